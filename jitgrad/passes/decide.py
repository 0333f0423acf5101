"""What is certain while compiling need not be asked at run time: above all, that an index is in range."""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ops.control import check
from jitgrad.ops.flow import if_, while_
from jitgrad.passes.bounds import AND, COMPARISONS, NOT, OR, Bounds, are_integers
from jitgrad.passes.carries import typed_as
from jitgrad.passes.rename import rename_lengths, renamed


def decide(block: Block) -> Block:
    """Replace comparisons of integers that can only come out in one way, and what follows from that.

    The bounds of indices and lengths, the conditions of branches and loops around, and the checks before tell what is
    certain. A check of what is certain is left out; an index that can't be negative needs no `where` that counts it from
    the end, and the bounds of a slice within the array need no clamping.
    """
    return _Decider(block).run()


class _Decider:
    def __init__(self, block: Block):
        self.program = block
        self.bounds = Bounds(block)
        self.env: dict[Arg, Arg] = {}

    def run(self) -> Block:
        return rename_lengths(self.block(self.program), self.env)

    def block(self, block: Block) -> Block:
        nodes = []
        for node in block.nodes:
            node = renamed(node, self.env)
            result = self.result(node)
            if result is not None:
                self.env[node.out] = result
                if isinstance(result, Value) and result.name is None:
                    result.name = node.out.name
            elif node.op is not check or not _is_true(node.args[0]):
                nodes.append(renamed(node, {}, self.regions(node)) if node.regions else node)
                if node.op is check:
                    self.bounds.learn(node.args[0])
        results = tuple(self.env.get(r, r) for r in block.results)
        return Block(block.params, nodes, results, block.name, block.notes)

    def regions(self, node: Node) -> tuple[Block, ...]:
        """The regions, knowing what holds in them."""
        out = []
        for k, region in enumerate(node.regions):
            holds, outcome = None, True
            if node.op is if_:
                holds, outcome = node.args[0], k == 0
            elif node.op is while_ and region.name != "test":
                holds = node.regions[0].results[0]
            with self.bounds.supposing(holds, outcome):
                out.append(self.block(region))
        return tuple(out)

    def result(self, node: Node) -> Arg | None:
        """What a node comes to, if that is certain."""
        if len(node.outs) != 1 or node.out.type.shape or node.regions:
            return None
        name, args = node.op.name, node.args
        if name in COMPARISONS and are_integers(node):
            return self.known(self.bounds.decide(node), node)
        if name in (*AND, *OR) and node.out.type.dtype.kind == "b":
            return _joined(node, stops=name in OR)
        if name in NOT and isinstance(args[0], Const) and node.out.type.dtype.kind == "b":
            return self.known(not args[0].value, node)
        if name == "where" and isinstance(args[0], Const):
            return typed_as(args[1 if args[0].value else 2], node.out)
        if name in ("maximum", "minimum") and are_integers(node):
            return self.extreme(node)
        return None

    def known(self, truth: bool | None, node: Node) -> Const | None:
        return None if truth is None else Const(node.out.type.dtype.type(truth), node.out.type)

    def extreme(self, node: Node) -> Value | None:
        """The larger or smaller of two integers. A constant isn't put in: an axis that is not known to have length one
        does not broadcast."""
        sign = 1 if node.op.name == "maximum" else -1
        a, b = map(self.bounds.form, node.args)
        for arg, ahead in ((node.args[0], a - b), (node.args[1], b - a)):
            if isinstance(arg, Value) and self.bounds.is_certain(ahead.times(sign)):
                return typed_as(arg, node.out)
        return None


def _is_true(arg: Arg) -> bool:
    return isinstance(arg, Const) and bool(arg.value)


def _joined(node: Node, stops: bool) -> Arg | None:
    """A conjunction (or, if true `stops` it, a disjunction) one side of which is known."""
    for arg, other in (node.args, node.args[::-1]):
        if isinstance(arg, Const):
            return typed_as(arg if bool(arg.value) is stops else other, node.out)
    return None
