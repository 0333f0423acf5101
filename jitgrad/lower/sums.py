"""Sums that loops carry, in any order.

A number that a loop carries, adds to, and reads for nothing else is a sum in whatever order it is taken; only its
rounding changes, as that of `np.sum` does. Such additions become steps of a reduction, which LLVM spreads over vector
lanes. The same goes for the element of an array that a loop adds to in each iteration, and touches no other: LLVM has
it in a register. A compensated sum reads its total to find what was lost, and stays as it was written.

A loop that carries a number on which its next value depends, such as a power, has no lanes: iterations wait for one
another. There a step isn't fused with a product that is added, for what waits is the sum, and a sum alone is ready
sooner.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, used
from jitgrad.ir.op import Op
from jitgrad.ir.types import FLOAT32, FLOAT64
from jitgrad.ops.flow import for_, if_, while_
from jitgrad.ops.memory import load, serial_step, store, sum_step
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.sums import ADDS, Passed, Sums

_SUBTRACT = UFUNCS[np.subtract]
_EXTREMA = (UFUNCS[np.maximum], UFUNCS[np.minimum])  # reductions that have lanes
# For each dtype of sums, the sum of nothing: told from other zeros by its identity.
_NOTHING = {dtype: Const.of(dtype.type(0)) for dtype in (FLOAT32, FLOAT64)}


def in_any_order(block: Block) -> Block:
    """The lowered block with the additions to the sums that its loops carry as steps of reductions."""
    steps = _steps(block)
    return _Rewriting(steps).block(block, {}) if steps else block


def _steps(block: Block) -> dict[Node, dict[Passed, Op]]:
    """What sums that loops carry come by, additions and branches, and the operation that is to add to them.

    The innermost loop decides about that. A branch is in it if it is to give what is added.
    """
    loops = [node for node in block.walk() if node.op is for_]
    if not loops:
        return {}
    sums = Sums(block)
    found: dict[Node, dict[Passed, Op]] = {}
    for loop in loops:
        (body,) = loop.regions
        step, met = sum_step, []
        for k, param in enumerate(body.params[1:]):
            passed: list[Passed] = []
            if param.type.dtype not in _NOTHING:
                continue
            if param.type.shape:
                met += _to_an_element(body, param, body.results[k], sums)
            elif sums.end_of(param, body, passed) == k:
                met += passed
            elif waits(body.results[k], param, body):
                step = serial_step
        lanes = step is sum_step and not any(node.op in (for_, while_) for node in body.walk())
        for passed in met:
            if passed.node.op is not if_ or lanes:
                found.setdefault(passed.node, {})[passed] = step
    return found


def _to_an_element(body: Block, param: Value, result: Arg, sums: Sums) -> list[Passed]:
    """The additions to the one element of a carried buffer that an iteration reads, adds to and writes again."""
    uses = sums.uses.get(param, ())
    nodes = {use.node.op: use.node for use in uses if use.block is body and use.node is not None}
    if len(uses) != 2 or nodes.keys() != {load, store}:
        return []
    read, write = nodes[load], nodes[store]
    made = {*body.params, *(out for node in body.nodes for out in node.outs)}
    place = read.args[1:]
    if write.out is not result or write.args[2:] != place or not made.isdisjoint(place) or len(sums.uses[result]) != 1:
        return []
    found: list[Passed] = []
    value = read.out
    while value is not write.args[1]:
        uses = sums.uses.get(value, ())
        use = uses[0] if len(uses) == 1 and uses[0].block is body else None
        if use is None or use.node is None or use.node.op not in ADDS or (use.node.op is _SUBTRACT and use.place):
            return []
        found.append(Passed(use.node, value, use.place))
        value = use.node.out
    return found if len(sums.uses[value]) == 1 else []


def waits(result: Arg, param: Value, body: Block) -> bool:
    """Whether the result is computed from the parameter, and isn't the extremum of it and another number."""
    reached: set[Arg] = {param}
    for node in body.nodes:
        if not reached.isdisjoint(used(node)):
            if result in node.outs and node.op in _EXTREMA and param in node.args:
                return False
            reached.update(node.outs)
    return result in reached


class _Rewriting:
    """Makes steps of reductions."""

    def __init__(self, steps: dict[Node, dict[Passed, Op]]):
        self.steps = steps

    def block(self, block: Block, env: dict[Arg, Arg]) -> Block:
        nodes = [new for node in block.nodes for new in self.node(node, env)]
        results = tuple(env.get(r, r) for r in block.results)
        return Block(block.params, nodes, results, block.name, block.notes)

    def node(self, node: Node, env: dict[Arg, Arg]) -> list[Node]:
        args = tuple(env.get(a, a) for a in node.args)
        steps = self.steps.get(node, {})
        if node.op is if_:
            return self.branch(node, args, steps, env)
        if steps:
            ((step, op),) = steps.items()
            return self.addition(node, args, step.place, op, env)
        regions = tuple(self.block(region, env) for region in node.regions)
        return [Node(node.op, args, node.outs, node.attrs, regions, node.loc)]

    def branch(self, node: Node, args: tuple[Arg, ...], steps: Iterable[Passed], env: dict[Arg, Arg]) -> list[Node]:
        """A branch that gives what it adds to a sum, which is added after it.

        LLVM makes a choice between two sums of `if x > 0: total += x`, and that it doesn't take for a reduction.
        """
        inner = {**env, **{step.total: _NOTHING[step.total.type.dtype] for step in steps}}
        outs = list(node.outs)
        sums: list[Node] = []
        for step in steps:
            total, out = env.get(step.total, step.total), outs[step.place]
            if total is not _NOTHING[out.type.dtype]:  # else what it adds is all that there is
                outs[step.place] = part = Value(out.type)
                sums.append(Node(sum_step, (total, part), (out,), loc=node.loc))
        regions = tuple(self.block(region, inner) for region in node.regions)
        return [Node(node.op, args, tuple(outs), node.attrs, regions, node.loc), *sums]

    def addition(self, node: Node, args: tuple[Arg, ...], place: int, op: Op, env: dict[Arg, Arg]) -> list[Node]:
        """An addition as a step of a reduction; what is subtracted is added with its sign changed."""
        total, part = args[place], args[1 - place]
        nodes = []
        if node.op is _SUBTRACT:
            nodes.append(Node(UFUNCS[np.negative], (part,), (Value(part.type),), loc=node.loc))
            part = nodes[0].out
        if total is _NOTHING[node.out.type.dtype]:
            env[node.out] = part
            return nodes
        return [*nodes, Node(op, (total, part), node.outs, loc=node.loc)]
