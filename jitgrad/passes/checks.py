"""Checks in front of loops, and in front of everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from jitgrad.ir.function import callee, has_effect
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, lengths, used
from jitgrad.ops.control import check
from jitgrad.ops.flow import for_
from jitgrad.ops.shape import greatest, least
from jitgrad.ops.symbolic import Builder, as_arg, as_expr, building, current
from jitgrad.passes.bounds import AND, MOST_TRIPS, OR, Bounds, are_integers
from jitgrad.passes.invariants import Harmless
from jitgrad.passes.rename import renamed

STEEPEST = 1 << 11  # times MOST_TRIPS it does not wrap around


def checks_before_loops(block: Block) -> Block:
    """Do a check once for all iterations of a loop, where what it compares grows evenly: for the first and the last.

    What holds at both ends of a line holds between them. Only checks that every iteration comes by are moved: none out
    of a branch, nor out of a loop that may end early. That NumPy would have done the iterations before the one that
    fails, nobody can see.
    """
    return _Hoister(block).block(block)


class _Hoister:
    def __init__(self, block: Block):
        self.bounds = Bounds(block)
        self.harmless = Harmless(block)

    def block(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            if node.regions:
                node = renamed(node, {}, tuple(map(self.block, node.regions)))
                if node.op is for_:
                    node = self.parted(node, nodes)
            nodes.append(node)
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def parted(self, node: Node, front: list[Node]) -> Node:
        """The loop without the checks that can be done before it; these are put in front."""
        (body,) = node.regions
        if not any(inner.op is check for inner in body.nodes):
            return node
        loop, rest = _Loop(node, self.bounds, self.harmless), []
        for inner in body.nodes:
            new = loop.hoisted(inner) if inner.op is check else None
            if new is None:
                rest.append(inner)
            else:
                front += new
                self.bounds.maker.update((out, n) for n in new for out in n.outs)
        body = Block(body.params, rest, body.results, body.name, body.notes)
        return renamed(node, {}, (body,))


@dataclass(frozen=True, slots=True)
class _Parts:
    """A condition in parts.

    Attributes:
        holds: what must hold,
        unless: one of these is true, which don't depend on the index,
        counts: or one of these numbers is not positive.
    """

    holds: tuple[Arg, ...]
    unless: tuple[Arg, ...] = ()
    counts: tuple[Arg, ...] = ()


class _Loop:
    """A loop whose checks are looked at.

    Attributes:
        trips: how many iterations it has; none if that is negative.
        maker: the node in its body that a value is made by.
    """

    def __init__(self, node: Node, bounds: Bounds, harmless: Harmless):
        self.bounds, self.harmless = bounds, harmless
        (body,) = node.regions
        self.trips = bounds.unclamped(node.args[0])
        self.index, *params = body.params
        self.maker = {out: inner for inner in body.nodes for out in inner.outs}
        self.inside = {self.index, *params, *self.maker}
        self._slopes: dict[Arg, int | None] = {}

    # How a value depends on the index.
    def slope(self, arg: Arg) -> int | None:
        """By how much a value grows in an iteration; None if it does so unevenly."""
        if not isinstance(arg, Value) or arg not in self.inside:
            return 0
        if arg not in self._slopes:
            self._slopes[arg] = self._slope(arg)
        return self._slopes[arg]

    def _slope(self, arg: Value) -> int | None:
        if arg is self.index:
            return 1
        if arg in self.bounds.grown:
            return self.bounds.grown[arg][1]
        node = self.maker.get(arg)
        if node is None or not self.harmless.is_(node):
            return None
        slopes = [self.slope(a) for a in node.args]
        if not any(slopes) and None not in slopes:
            return 0
        if None in slopes or node.op.name not in _LINEAR or not are_integers(node):
            return None
        if node.op.name != "multiply":
            return _LINEAR[node.op.name](*slopes)
        for slope, other in zip(slopes, node.args[::-1], strict=True):
            if isinstance(other, Const):
                return slope * int(other.value)
        return None

    def at(self, arg: Arg, place: Arg) -> Arg:
        """What a value is in the iteration of a given number, computed in front of the loop."""
        if self.slope(arg) == 0 and arg not in self.maker:
            return arg
        if arg is self.index:
            return place
        if arg in self.bounds.grown:
            start, step, _ = self.bounds.grown[arg]
            return as_arg(as_expr(start) + as_expr(place) * step)
        node = self.maker[arg]
        there = as_arg(current().emit(node.op, tuple(self.at(a, place) for a in node.args), dict(node.attrs)))
        there.type = arg.type
        return there

    # What a check compares.
    def parts(self, ok: Arg) -> _Parts:
        """A condition, taken apart."""
        node = self.maker.get(ok)
        if node is not None and node.op.name in OR:
            for guard, rest in (node.args, node.args[::-1]):
                made = self.maker.get(guard)
                parts = self.parts(rest)
                if self.slope(guard) == 0:
                    return replace(parts, unless=(guard, *parts.unless))
                if made is not None and made.op.name == "less_equal" and made.args[1] == _ZERO:
                    return replace(parts, counts=(made.args[0], *parts.counts))
        if node is not None and node.op.name in AND:
            left, right = map(self.parts, node.args)
            if not any((left.counts, left.unless, right.counts, right.unless)):
                return _Parts(holds=left.holds + right.holds)
        return _Parts(holds=(ok,))

    def is_line(self, arg: Arg) -> bool:
        """Whether an integer grows evenly, slowly enough, and certainly does not wrap around on the way."""
        slope = self.slope(arg)
        return slope == 0 or (slope is not None and abs(slope) <= STEEPEST and self.bounds.size(arg) is not None)

    def ends(self, holds: tuple[Arg, ...]) -> list[tuple[bool, bool]] | None:
        """Of each condition, whether it has to be looked at in the first and in the last iteration.

        None if one of them may fail between two iterations in which they hold.
        """
        pairs = [self.compared(ok) for ok in holds]
        if None in pairs:
            return None
        # What is enclosed by numbers that fit does not wrap around either, if it is no steeper than that.
        enclosed = {small for small, _ in filter(None, pairs)} & {large for _, large in filter(None, pairs)}
        enclosed = {v for v in enclosed if self.slope(v) is not None and abs(self.slope(v)) <= STEEPEST}
        out = []
        for pair in pairs:
            if not pair:
                out.append((True, False))
            elif all(map(self.is_line, pair)):
                closer = self.slope(pair[1]) < self.slope(pair[0])
                out.append((not closer, closer))
            elif any(v in enclosed and self.slope(w) == 0 for v, w in (pair, pair[::-1])):
                out.append((True, True))
            else:
                return None
        return out

    def compared(self, ok: Arg) -> tuple[Arg, ...] | None:
        """What a condition compares, the smaller first; nothing if it is the same in all iterations.

        None if it does not compare integers.
        """
        if self.slope(ok) == 0:
            return ()
        node = self.maker.get(ok)
        if node is None or node.op.name not in _SIDES or not are_integers(node):
            return None
        return node.args if _SIDES[node.op.name] else node.args[::-1]

    # Moving it.
    def hoisted(self, node: Node) -> list[Node] | None:
        """The nodes that do a check before the loop; None if it has to stay."""
        parts = self.parts(node.args[0])
        ends = self.ends(parts.holds)
        if ends is None or None in map(self.slope, node.args[1:]) or not all(map(self.is_line, parts.counts)):
            return None
        builder = Builder()
        builder.loc = node.loc
        with building(builder):
            first, last, guard = self.span(parts.counts)
            guards = [as_expr(self.at(u, first)) for u in parts.unless]
            guards += [] if guard is None else [as_expr(guard) <= 0]
            for place, wanted in zip((first, last), zip(*ends, strict=True), strict=True):
                holds = [h for h, w in zip(parts.holds, wanted, strict=True) if w]
                if holds:
                    conditions = [as_expr(self.at(h, place)) for h in holds]
                    conditions += self.few_enough(holds) if place is last else []
                    ok = reduce(np.logical_or, [*guards, reduce(np.logical_and, conditions)])
                    sizes = [self.at(a, place) for a in node.args[1:]]
                    if place is last and sizes:
                        sizes[0] = self.first_outside(node, holds, first, sizes[0])
                    builder.emit(check, (as_arg(ok), *sizes), dict(node.attrs))
        return builder.nodes

    def few_enough(self, holds: list[Arg]) -> list:
        """That there are not so many iterations that something wraps around."""
        grow = {v for ok in holds for v in self.compared(ok) if self.slope(v)} - {self.index}
        return [as_expr(self.trips) <= MOST_TRIPS] if grow and self.bounds.size(self.trips) is None else []

    def span(self, counts: tuple[Arg, ...]) -> tuple[Arg, Arg, Arg | None]:
        """The first and the last iteration in which all counts are positive, and how many there are; None if there
        certainly are some."""
        first, last = 0, as_expr(self.trips) - 1
        for count in counts:
            slope, start = self.slope(count), as_expr(self.at(count, _ZERO))
            if slope > 0:
                first = greatest(first, -start // slope + 1)
            else:
                last = least(last, (start - 1) // -slope)
        number = as_arg(last - first + 1) if counts else self.trips
        certain = isinstance(number, Const) and number.value > 0
        return as_arg(first), as_arg(last), None if certain else number

    def first_outside(self, node: Node, holds: list[Arg], first: Arg, otherwise: Arg) -> Arg:
        """The first number out of range, for the message: NumPy's loop would have stopped there."""
        slope = self.slope(node.args[1])
        for ok in holds:
            compared = self.maker.get(ok)
            if compared is not None and compared.args[0] is node.args[1] and slope:
                start, limit = (as_expr(self.at(a, first)) for a in compared.args)
                if compared.op.name == "less" and slope > 0:
                    return as_arg(limit if slope == 1 else start + (limit - start + (slope - 1)) // slope * slope)
                if compared.op.name == "greater_equal" and slope < 0:
                    steps = (start - limit) // -slope + 1
                    return as_arg(limit - 1 if slope == -1 else start + steps * slope)
        return otherwise


_ZERO = Const.of(0)
_LINEAR = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "negative": lambda a: -a, "multiply": None,
}  # fmt: skip
# Comparisons, and whether the smaller side comes first.
_SIDES = {"less": True, "less_equal": True, "greater": False, "greater_equal": False}


def checks_first(block: Block) -> Block:
    """Move checks, and what they read, lengths of arrays included, in front of everything else, in their order.

    An exception in compiled code leaks the arrays that are alive, so a check had better be done before any is made. The
    checks that depend on nothing but lengths thereby allocate nothing. Those in loops, branches and calls stay where
    they are, and no check moves in front of them: the first that fails is the one to be raised.
    """
    maker = {out: node for node in block.nodes for out in node.outs}
    wanted: set[Node] = set()

    def want(node: Node) -> None:
        stack = [node]
        while stack:
            node = stack.pop()
            if node not in wanted:
                wanted.add(node)
                read = set(used(node))
                read.update(n for v in (*read, *node.outs) for n in lengths(v))
                stack.extend(maker[v] for v in read if v in maker)

    for node in _movable(block):
        if _is_scalar(node, maker):
            want(node)
    front = [node for node in block.nodes if node in wanted]
    back = [node for node in block.nodes if node not in wanted]
    return Block(block.params, front + back, block.results, block.name, block.notes)


def _movable(block: Block) -> Iterator[Node]:
    """The checks up to the first that is in a region, or in a function that is called."""
    for node in block.nodes:
        if not node.op.effect and has_effect(node):
            return
        if node.op.effect:
            yield node


def _is_scalar(node: Node, maker: dict[Value, Node]) -> bool:
    """Whether all that a node depends on are numbers (and the lengths of parameters), computed without a loop."""
    stack, seen = [node], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.regions or callee(node) is not None:
            return False
        for v in used(node):
            if v in maker:
                if v.type.shape:
                    return False
                stack.append(maker[v])
    return True
