"""Elementary functions where there are no lanes to fill.

Our own are made for vectors, and ready later than those of the C library if a single number is waited for. An innermost
`for` has lanes unless it carries a number on which its next value depends; nothing else has any. Where the others are
many they are called: inlined, each is a hundred instructions for LLVM, whose time grows faster than their number.
"""

from __future__ import annotations

from collections.abc import Iterator

from jitgrad.ir.graph import Block, Node
from jitgrad.ir.op import Op
from jitgrad.lower.sums import waits
from jitgrad.ops.flow import call_, for_, while_
from jitgrad.ops.memory import called, library
from jitgrad.ops.sums import Sums

# For single numbers they take from a half (power) to four fifths of the time.
FASTER = frozenset(("exp", "exp2", "log", "log2", "power"))
INLINED = 16  # as many are, of all functions together
_ELEMENTARY = frozenset((
    "expm1", "log10", "log1p", "tanh", "sinh", "cosh", "sin", "cos", "tan", "arctan", "arcsin", "arccos", "arcsinh",
    "arccosh", "arctanh", "arctan2", "hypot", "logaddexp", "logaddexp2", "cbrt", "erf", "erfc",
))  # fmt: skip


def from_library(block: Block) -> Block:
    """The lowered block with functions of the C library where these are faster, and with calls where there are many."""
    instead = dict.fromkeys(FASTER, library)
    others = sum(node.op.name in _ELEMENTARY for node in _without_lanes(block))
    if others > INLINED:
        instead |= dict.fromkeys(_ELEMENTARY, called)
    return _replaced(block, instead, frozenset(_without_lanes(block)))


def _replaced(block: Block, instead: dict[str, Op], where: frozenset[Node]) -> Block:
    nodes: list[Node] = []
    for node in block.nodes:
        if node.regions:
            regions = tuple(_replaced(r, instead, where) for r in node.regions)
            node = Node(node.op, node.args, node.outs, node.attrs, regions, node.loc)
        elif node in where and node.op.name in instead and node.out.type.is_float:
            node = Node(instead[node.op.name], node.args, node.outs, {"function": node.op.name}, loc=node.loc)
        nodes.append(node)
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _without_lanes(block: Block) -> Iterator[Node]:
    """The nodes that are not in the body of a loop with lanes."""
    for node in block.nodes:
        yield node
        if not _has_lanes(node):
            for region in node.regions:
                yield from _without_lanes(region)


def _has_lanes(loop: Node) -> bool:
    if loop.op is not for_:
        return False
    (body,) = loop.regions
    if any(node.op in (for_, while_, call_) for node in body.walk()):
        return False
    sums = Sums(body)
    return not any(
        not param.type.shape and sums.end_of(param, body) != k and waits(body.results[k], param, body)
        for k, param in enumerate(body.params[1:])
    )
