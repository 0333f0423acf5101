"""The invariants of a block, checked after every pass in the tests."""

from __future__ import annotations

import os

from jitgrad.ir.function import callee
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, lengths
from jitgrad.ir.text import block_text

ENABLED = os.environ.get("JITGRAD_VERIFY", "") not in ("", "0")


class VerifyError(AssertionError):
    """A pass has broken the IR; a fault of jitgrad, not of the user's program."""


def verify(block: Block, after: str = "", nested: bool = False) -> Block:
    """Check that a block is well formed, and give it back.

    Args:
        block: any block.
        after: what has made it, for the message.
        nested: it belongs inside of another block, whose values it may use.

    * a value is defined once, and before it is used (values of enclosing blocks may be used in regions)
    * constants are numbers, and their type is theirs
    * the lengths that a type names are int64 values without axes
    * results are values or constants
    * what a region takes and gives has the dtype and axes of what the node takes and gives; the same with a function
      and those who call it

    Raises:
        VerifyError: with the text of the block.
    """

    made = {v for node in block.walk() for v in node.outs} if nested else set()

    def fail(text: str, node: Node | None = None) -> None:
        where = f" in {node.op.name}" if node else ""
        raise VerifyError(f"after {after or 'a pass'}: {text}{where}\n{block_text(block)}")

    def check_arg(arg: Arg, known: set[Value], node: Node | None) -> None:
        if isinstance(arg, Const):
            if arg.type.shape:
                fail("a constant has axes", node)
        elif not isinstance(arg, Value):
            fail(f"{arg!r} is neither a value nor a constant", node)
        elif arg not in known and (not nested or arg in made):
            fail(f"{arg!r} is used before it is defined", node)

    def check_block(b: Block, known: set[Value]) -> None:
        known = known | set(b.params)
        for node in b.nodes:
            for arg in node.args:
                check_arg(arg, known, node)
            for region in node.regions:
                check_block(region, known)
            check_regions(node)
            check_call(node)
            for out in node.outs:
                if out in known:
                    fail(f"{out!r} is defined twice", node)
                known.add(out)
                for axis in lengths(out):
                    if axis.type.shape or axis.type.dtype != "int64":
                        fail(f"the length {axis!r} is no int64 number", node)
        for result in b.results:
            check_arg(result, known, None)

    def check_regions(node: Node) -> None:
        init = node.args[1:]
        for region in node.regions:
            wanted = (None,) if region.name == "test" else node.outs
            params = region.params[1:] if node.op.name == "for" else region.params
            if node.op.name != "if" and [_kind(p) for p in params] != [_kind(a) for a in init]:
                fail("the params of a region are not what it starts from", node)
            if len(region.results) != len(wanted):
                fail(f"a region gives {len(region.results)} values in place of {len(wanted)}", node)
            for result, out in zip(region.results, wanted, strict=True):
                if out is not None and _kind(result) != _kind(out):
                    fail(f"a region gives {result!r} in place of {out!r}", node)

    def check_call(node: Node) -> None:
        function = callee(node)
        if function is not None and function.block is not None:
            for ours, theirs in ((node.args, function.block.params), (node.outs, function.block.results)):
                if [_kind(a) for a in ours] != [_kind(a) for a in theirs]:
                    fail(f"a call of {function} does not fit it", node)

    check_block(block, set())
    return block


def _kind(arg: Arg) -> tuple:
    return arg.type.dtype, arg.type.ndim
