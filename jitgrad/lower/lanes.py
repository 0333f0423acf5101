"""Elementary functions where there are no lanes to fill.

Our own are made for vectors, and ready later than those of the C library if a single number is waited for. An innermost
`for` has lanes unless it carries a number on which its next value depends; nothing else has any. Where the others are
many they are called: inlined, each is a hundred instructions for LLVM, whose time grows faster than their number. Where
they are few, in a loop whose iterations wait for one another, `tanh`, `sin`, `cos` go a short way for most arguments.
"""

from __future__ import annotations

from collections.abc import Iterator

from jitgrad.ir.graph import Block, Node
from jitgrad.ir.op import Op
from jitgrad.lower.sums import waits
from jitgrad.ops.elementary import ELEMENTARY
from jitgrad.ops.flow import call_, for_, while_
from jitgrad.ops.memory import called, library, waited_for
from jitgrad.ops.sums import Sums

# For single numbers they take from a half (power) to four fifths of the time.
FASTER = frozenset(("exp", "exp2", "log", "log2", "power"))
WAITED_FOR = frozenset(("tanh", "sin", "cos"))
INLINED = 16  # as many are, of all functions together
_OTHERS = ELEMENTARY - FASTER


def from_library(block: Block) -> Block:
    """The lowered block with functions for single numbers where they are faster, and calls where they are many."""
    alone = dict(_without_lanes(block))
    many = sum(node.op.name in _OTHERS for node in alone) > INLINED
    instead: dict[Node, Op] = {}
    for node, waiting in alone.items():
        name = node.op.name
        if name in FASTER:
            instead[node] = library
        elif many and name in _OTHERS:
            instead[node] = called
        elif waiting and name in WAITED_FOR:
            instead[node] = waited_for
    return _replaced(block, instead)


def _replaced(block: Block, instead: dict[Node, Op]) -> Block:
    nodes: list[Node] = []
    for node in block.nodes:
        if node.regions:
            regions = tuple(_replaced(r, instead) for r in node.regions)
            node = Node(node.op, node.args, node.outs, node.attrs, regions, node.loc)
        elif node in instead and node.out.type.is_float:
            node = Node(instead[node], node.args, node.outs, {"function": node.op.name}, loc=node.loc)
        nodes.append(node)
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _without_lanes(block: Block, waiting: bool = False) -> Iterator[tuple[Node, bool]]:
    """The nodes that are not in the body of a loop with lanes; and whether iterations of a loop around them wait."""
    for node in block.nodes:
        yield node, waiting
        inside = _waits(node) if node.op in (for_, while_) else waiting
        if inside or not _is_innermost(node):
            for region in node.regions:
                yield from _without_lanes(region, inside)


def _is_innermost(loop: Node) -> bool:
    return loop.op is for_ and not any(node.op in (for_, while_, call_) for node in loop.regions[0].walk())


def _waits(loop: Node) -> bool:
    """Whether an iteration needs a number that the one before has computed."""
    if loop.op is while_:
        return True
    (body,) = loop.regions
    sums = Sums(body)
    return any(
        not param.type.shape and sums.end_of(param, body) != k and waits(body.results[k], param, body)
        for k, param in enumerate(body.params[1:])
    )
