"""Elementary functions where there are no lanes to fill.

Our own are made for vectors, and ready later than those of the C library if a single number is waited for. An innermost
`for` has lanes unless it carries a number on which its next value depends; nothing else has any.
"""

from __future__ import annotations

from jitgrad.ir.graph import Block, Node
from jitgrad.lower.sums import waits
from jitgrad.ops.flow import call_, for_, if_, while_
from jitgrad.ops.memory import library
from jitgrad.ops.sums import Sums

# For single numbers they take from a half (power) to four fifths of the time.
FASTER = frozenset(("exp", "exp2", "log", "log2", "power"))


def from_library(block: Block, lanes: bool = False) -> Block:
    """The lowered block with functions of the C library where these are faster.

    Args:
        block: a program, or a region of one.
        lanes: whether it is in the body of a loop that has lanes.
    """
    nodes: list[Node] = []
    for node in block.nodes:
        if node.regions:
            regions = tuple(from_library(r, lanes if node.op is if_ else _has_lanes(node)) for r in node.regions)
            node = Node(node.op, node.args, node.outs, node.attrs, regions, node.loc)
        elif not lanes and node.op.name in FASTER and node.out.type.is_float:
            node = Node(library, node.args, node.outs, {"function": node.op.name}, loc=node.loc)
        nodes.append(node)
    return Block(block.params, nodes, block.results, block.name, block.notes)


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
