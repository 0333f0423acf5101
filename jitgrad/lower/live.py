"""Directions in which something moves, found at run time.

A loop over directions adds, for each point of a loop around it, what a few tangents contribute:
`x_dot[v, k] += y_dot[i, k] * weight`. Where the tangents of a direction are zero it adds nothing. If they are few, and
the same for all points, one look at them in front of the outer loop finds the directions that count: those of one
finger, of a whole hand.

A zero tangent times infinity then is zero, as it is where that is known while compiling. Only tangents are: what the
primal computes, or is given, isn't looked at.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.lower.buffers import Buffers
from jitgrad.lower.lazy import nest
from jitgrad.lower.points import points_innermost
from jitgrad.ops.flow import for_
from jitgrad.ops.memory import load, store, sum_step
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.shape import axis_length, greatest, least
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current
from jitgrad.passes.rename import renamed

FEW = 64  # tangents in each direction that are looked at

_ADD, _SUBTRACT, _MULTIPLY = UFUNCS[np.add], UFUNCS[np.subtract], UFUNCS[np.multiply]
_ZERO_OF_ZERO = (UFUNCS[np.negative], UFUNCS[np.true_divide])


def of_live_directions(block: Block) -> Block:
    """The lowered block, in which loops over directions run over those that are not all zero."""
    if not any(_is_tangent(node) for node in block.walk()):
        return block
    live = _Live(block)
    return points_innermost(live.block(block), live.points)


def _is_tangent(node: Node) -> bool:
    return node.op is for_ and node.loc.role == "tangent" and not any(n.regions for n in node.regions[0].nodes)


class _Live:
    def __init__(self, block: Block):
        self.buffers = Buffers(block)
        self.makers = {out: node for node in block.walk() for out in node.outs}
        stores = [node for node in block.walk() if node.op is store and node.loc.role == "tangent"]
        self.of_tangents = {self.buffers.of(node.out) for node in stores}
        self.ranges: dict[Node, tuple[Arg, Arg]] = {}  # of a loop over directions: the first, and how many
        self.outer: dict[Node, Value] = {}  # the index of the loop in front of which they are looked at
        self.points: dict[Node, Value] = {}  # the same, of the shortened loops

    def block(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            if node in self.ranges:
                nodes.append(self.shortened(node))
                self.points[nodes[-1]] = self.outer[node]
                continue
            if node.op is for_:
                nodes += self.looked_at(node)
            if node.regions:
                node = renamed(node, {}, tuple(self.block(region) for region in node.regions))
            nodes.append(node)
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def looked_at(self, outer: Node) -> list[Node]:
        """What finds the directions that count for the loops within a loop."""
        body = outer.regions[0]
        inside = {*body.params, *(v for node in body.walk() for v in (*node.outs, *_params(node)))}
        written = {self.buffers.of(node.args[0]) for node in body.walk() if node.op is store}
        nodes: list[Node] = []
        for node in body.walk():
            if node in self.ranges or not _is_tangent(node) or node.args[0] in inside:
                continue
            tangents = self.tangents(node)
            if not tangents or any(t in inside or self.buffers.of(t) in written for t in tangents):
                continue
            with building(Builder()) as builder:
                builder.loc = node.loc
                self.ranges[node] = _range(tangents, as_expr(node.args[0]))
                self.outer[node] = body.params[0]
            nodes += builder.nodes
        return nodes

    def tangents(self, node: Node) -> list[Value] | None:
        """The tangents without which a loop over directions adds nothing to the arrays that it writes to."""
        (body,) = node.regions
        stores = [n for n in body.nodes if n.op is store]
        if not all(n.loc.role == "tangent" for n in stores):  # a loop of the primal has been joined with this one
            return None
        if not stores or any(n.op.effect for n in body.nodes) or not all(o.type.shape for o in node.outs):
            return None
        found: list[Value] = []
        if not all(self.adds_nothing(n, body.params[0], found) for n in stores):
            return None
        return found if found and all(map(_are_few, found)) else None

    def adds_nothing(self, node: Node, direction: Value, found: list[Value]) -> bool:
        """Whether a store adds to an element what is zero where the tangents in a direction are."""
        array, total, *place = node.args
        addition = self.makers.get(total)
        if place[-1] is not direction or addition is None or addition.op not in (_ADD, _SUBTRACT, sum_step):
            return False
        before, term = addition.args
        if addition.op is _ADD and not self.is_load(before, array, place):
            before, term = term, before
        return self.is_load(before, array, place) and self.vanishes(term, direction, array, found)

    def is_load(self, arg: Arg, array: Arg, place: list[Arg]) -> bool:
        node = self.makers.get(arg)
        return node is not None and node.op is load and node.args == (array, *place)

    def vanishes(self, arg: Arg, direction: Value, array: Arg, found: list[Value]) -> bool:
        """Whether a number is zero where the tangents in a direction are, which `found` takes."""
        if isinstance(arg, Const):
            return arg.value == 0
        node = self.makers.get(arg)
        if node is None:
            return False
        if node.op is load:
            buffer = self.buffers.of(node.args[0])
            is_tangent = node.args[-1] is direction and buffer in self.of_tangents - {self.buffers.of(array)}
            if is_tangent and node.args[0] not in found:
                found.append(node.args[0])
            return is_tangent
        if node.op in (_ADD, _SUBTRACT):
            return all(self.vanishes(a, direction, array, found) for a in node.args)
        if node.op is _MULTIPLY:
            return any(self.vanishes(a, direction, array, found) for a in node.args)
        return node.op in _ZERO_OF_ZERO and self.vanishes(node.args[0], direction, array, found)

    def shortened(self, node: Node) -> Node:
        """The loop, over the directions that count."""
        first, count = self.ranges[node]
        (body,) = node.regions
        step = Value(body.params[0].type, body.params[0].name)
        shift = Node(_ADD, (first, step), (body.params[0],), {}, (), node.loc)
        region = Block((step, *body.params[1:]), [shift, *body.nodes], body.results, body.name, body.notes)
        return Node(for_, (count, *node.args[1:]), node.outs, node.attrs, (region,), node.loc)


def _params(node: Node) -> list[Value]:
    return [param for region in node.regions for param in region.params]


def _are_few(tangents: Value) -> bool:
    lengths = tangents.type.shape[:-1]
    return all(isinstance(n, int) for n in lengths) and np.prod(lengths, dtype=int) <= FEW


def _directions(array: Value, count: object) -> object:
    """How many directions are looked at. If the outer loop has no iterations, nobody has checked that all are there."""
    if array.type.shape[-1] == as_arg(count):
        return count
    return least(count, current().emit(axis_length, (array,), {"axis": array.type.ndim - 1}))


def _range(arrays: list[Value], count: object) -> tuple[Arg, Arg]:
    """The first direction in which any of the arrays is not zero, and how many there are from it to the last."""
    first, end = as_expr(as_arg(count)), as_expr(Const.of(0))
    for array in arrays:
        lengths = (*array.type.shape[:-1], _directions(array, count))

        def look(index: tuple, seen: tuple, array: Value = array) -> tuple:
            moves = np.not_equal(load(Expr(array), *index), 0.0)
            lower, upper = seen
            here = index[-1]
            return np.where(moves & (here < lower), here, lower), np.where(moves & (here >= upper), here + 1, upper)

        first, end = nest(lengths, (first, end), look)
    return as_arg(first), as_arg(greatest(end - first, 0))
