"""Sums that loops carry, in any order.

A number that a loop carries, adds to, and reads for nothing else is a sum in whatever order it is taken; only its
rounding changes, as that of `np.sum` does. Such additions become steps of a reduction, which LLVM spreads over vector
lanes. A compensated sum reads its total to find what was lost, and stays as it was written.

A loop that carries a number on which its next value depends, such as a power, has no lanes: iterations wait for one
another. There a step isn't fused with a product that is added, for what waits is the sum, and a sum alone is ready
sooner.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.ir.op import Op
from jitgrad.ir.types import FLOAT32, FLOAT64, Type
from jitgrad.ops.flow import for_
from jitgrad.ops.memory import serial_step, sum_step
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.sums import Sums

_EXTREMA = (UFUNCS[np.maximum], UFUNCS[np.minimum])  # reductions that have lanes
_NUMBERS = {Type(dtype) for dtype in (FLOAT32, FLOAT64)}


def in_any_order(block: Block) -> Block:
    """The lowered block with the additions to the sums that its loops carry as steps of reductions."""
    steps = _additions(block)
    return _rewritten(block, steps) if steps else block


def _additions(block: Block) -> dict[Node, Op]:
    """The additions to sums that loops carry, and what they become; the innermost loop decides."""
    loops = [node for node in block.walk() if node.op is for_]
    if not loops:
        return {}
    sums = Sums(block)
    found: dict[Node, Op] = {}
    for loop in loops:
        (body,) = loop.regions
        step, additions = sum_step, []
        for k, param in enumerate(body.params[1:]):
            passed: list[Node] = []
            if param.type in _NUMBERS:
                if sums.end_of(param, body, passed) == k:
                    additions += passed
                elif _waits(body.results[k], param, body):
                    step = serial_step
        found.update(dict.fromkeys(additions, step))
    return found


def _waits(result: Arg, param: Value, body: Block) -> bool:
    """Whether the result is computed from the parameter, and isn't the extremum of it and another number."""
    reached: set[Arg] = {param}
    for node in body.nodes:
        if not reached.isdisjoint(used(node)):
            if result in node.outs and node.op in _EXTREMA and param in node.args:
                return False
            reached.update(node.outs)
    return result in reached


def _rewritten(block: Block, steps: dict[Node, Op]) -> Block:
    nodes: list[Node] = []
    for node in block.nodes:
        if node in steps:
            nodes.extend(_step(node, steps[node]))
        elif node.regions:
            regions = tuple(_rewritten(region, steps) for region in node.regions)
            nodes.append(Node(node.op, node.args, node.outs, node.attrs, regions, node.loc))
        else:
            nodes.append(node)
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _step(node: Node, step: Op) -> list[Node]:
    """The same as a step of a reduction; what is subtracted is added with its sign changed."""
    total, part = node.args
    if node.op is not UFUNCS[np.subtract]:
        return [Node(step, node.args, node.outs, loc=node.loc)]
    negated = Value(part.type)
    change = Node(UFUNCS[np.negative], (part,), (negated,), loc=node.loc)
    return [change, Node(step, (total, negated), node.outs, loc=node.loc)]
