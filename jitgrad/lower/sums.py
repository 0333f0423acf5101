"""Sums that loops carry, in any order.

A number that a loop carries, adds to, and reads for nothing else is a sum in whatever order it is taken; only its
rounding changes, as that of `np.sum` does. Such additions become steps of a reduction, which LLVM spreads over vector
lanes. A compensated sum reads its total to find what was lost, and stays as it was written.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Block, Node, Value
from jitgrad.ir.types import FLOAT32, FLOAT64, Type
from jitgrad.ops.flow import for_
from jitgrad.ops.memory import sum_step
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.sums import Sums

_NUMBERS = {Type(dtype) for dtype in (FLOAT32, FLOAT64)}


def in_any_order(block: Block) -> Block:
    """The lowered block with the additions to the sums that its loops carry as steps of reductions."""
    steps = _additions(block)
    return _rewritten(block, steps) if steps else block


def _additions(block: Block) -> set[Node]:
    """The additions to sums that loops carry."""
    loops = [node for node in block.walk() if node.op is for_]
    if not loops:
        return set()
    sums = Sums(block)
    found: set[Node] = set()
    for loop in loops:
        (body,) = loop.regions
        for k, param in enumerate(body.params[1:]):
            passed: list[Node] = []
            if param.type in _NUMBERS and sums.end_of(param, body, passed) == k:
                found.update(passed)
    return found


def _rewritten(block: Block, steps: set[Node]) -> Block:
    nodes: list[Node] = []
    for node in block.nodes:
        if node in steps:
            nodes.extend(_step(node))
        elif node.regions:
            regions = tuple(_rewritten(region, steps) for region in node.regions)
            nodes.append(Node(node.op, node.args, node.outs, node.attrs, regions, node.loc))
        else:
            nodes.append(node)
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _step(node: Node) -> list[Node]:
    """The same as a step of a reduction; what is subtracted is added with its sign changed."""
    total, part = node.args
    if node.op is not UFUNCS[np.subtract]:
        return [Node(sum_step, node.args, node.outs, loc=node.loc)]
    negated = Value(part.type)
    change = Node(UFUNCS[np.negative], (part,), (negated,), loc=node.loc)
    return [change, Node(sum_step, (total, negated), node.outs, loc=node.loc)]
