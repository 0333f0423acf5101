"""Lists that have another number of items after a branch, or after an iteration of a loop: both sides as a stretch.

A loop that appends gets buffers that are long enough for all its iterations: by how much a list grows in one is found by
tracing the body, as everything else that the loop carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Value
from jitgrad.ir.types import Type
from jitgrad.ops.shape import greatest
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current
from jitgrad.trace.growing import bound_of, can_extend, count_of, extended, gathered, grown, layout_of, total
from jitgrad.trace.images import Image, Leaf, Tree
from jitgrad.trace.merge import Differs, Joiner
from jitgrad.trace.stretch import Layout, Owner, Stretch, Ungrown, is_same

Sides = tuple[Tree, Tree, tuple[Stretch, Stretch]]

_ENDLESS = (
    "a list grows in a `while` loop, which may take any number of steps; use a `for` loop over the most steps that "
    "there can be, with `break`, or write to an array that is made before"
)


class InBranch:
    """How the lists of two branches are put together.

    Args:
        argument: the int argument that decides which branch is taken, if there is one.
    """

    def __init__(self, argument: Value | None):
        self.argument = argument

    def __call__(self, joiner: Joiner, a: Tree, b: Tree) -> Sides:
        sides = [_segments(joiner, image, k) for k, image in enumerate((a, b))]
        layout = _layout(joiner, a, b, [*sides[0], *sides[1]])
        regions: list[Builder] = [joiner.first[0], joiner.second[0]]
        firsts = [side[0] if can_extend(side, layout) else None for side in sides]
        if all(firsts) and firsts[0].owner is firsts[1].owner and is_same(firsts[0].capacity, firsts[1].capacity):
            made = [_within(region, grown, side[0], side[1:]) for region, side in zip(regions, sides, strict=True)]
            growth = greatest(*(s.growth for s in made))
        else:
            capacity, growth = greatest(*map(bound_of, sides)), 0
            _check_visible(joiner, a, b, capacity)
            made = [
                _within(region, gathered, side, layout, capacity) for region, side in zip(regions, sides, strict=True)
            ]
        held = (*made[0].held, *made[1].held)
        result = replace(made[0], held=held, growth=growth, argument=self.argument or made[0].argument, full=False)
        return _image(made[0]), _image(made[1]), (result, result)


class InLoop:
    """How the lists of a loop are carried.

    Args:
        trips: the most iterations that there are; None if that isn't known.
        argument: the int argument which, made static, makes the loop one that can be unrolled.

    Attributes:
        leaves_early: whether there may be fewer iterations.
    """

    def __init__(self, trips: int | Expr | None, argument: Value | None):
        self.trips, self.argument, self.leaves_early = trips, argument, False
        self._owners: list[Owner] = []

    def __call__(self, joiner: Joiner, a: Tree, b: Tree) -> Sides:
        entry, end = _segments(joiner, a, 0), _segments(joiner, b, 1)
        if self.trips is None:
            raise TraceError(_ENDLESS, current().loc.syntax_location())
        layout = _layout(joiner, a, b, [*entry, *end])
        growth, exact = self._growth(entry, end)
        reserved = greatest_of((growth, *self._growths(end)))
        _check_visible(joiner, a, b, total((growth, reserved)))
        if can_extend(entry, layout):
            first = grown(entry[0], entry[1:])
            after = total((first.growth, _product(self.trips, reserved)))
            first.owner.growth.append(after)
        else:
            capacity = total((bound_of(entry), _product(self.trips, reserved)))
            first, after = gathered(entry, layout, capacity), 0
        last = self._last(joiner, first, layout, end)
        full = exact and is_same(first.count, bound_of(entry)) and is_same(growth, reserved) and first.owner is None
        owner = Owner()
        self._owners.append(owner)
        inside = replace(first, layout=layout, owner=owner, growth=0, argument=self.argument, full=False)
        outside = replace(inside, owner=first.owner, growth=after, held=(*first.held, *last.held), full=full)
        return _image(first), _image(last), (inside, outside)

    def _is_own(self, x: object) -> bool:
        return isinstance(x, Stretch) and any(x.owner is owner for owner in self._owners)

    def _growth(self, entry: Sequence, end: Sequence) -> tuple[int | Expr, bool]:
        """By how many items a list grows in an iteration at most; whether always by so many."""
        if end and self._is_own(end[0]):
            untouched = is_same(end[0].growth, 0)
            return total((end[0].growth, bound_of(end[1:]))), untouched and not self._varies(end[1:])
        common = 0
        while common < min(len(entry), len(end)) and entry[common] is end[common]:
            common += 1
        before, now = bound_of(entry[common:]), bound_of(end[common:])
        if isinstance(before, int) and isinstance(now, int):
            return max(now - before, 0), False
        return (now if is_same(before, 0) else greatest(now - before, 0)), False

    def _varies(self, segments: Sequence) -> bool:
        return self.leaves_early or any(isinstance(s, Stretch) and not is_same(s.count, s.capacity) for s in segments)

    def _growths(self, end: Sequence) -> list[int | Expr]:
        """What has been used of the room in an iteration, of this list or, if that is another one now, of any."""
        owners = [end[0].owner] if end and self._is_own(end[0]) else self._owners
        return [n for owner in owners for n in owner.growth]

    def _last(self, joiner: Joiner, first: Stretch, layout: Layout, end: Sequence) -> Stretch:
        """The list at the end of an iteration."""
        region = tuple(joiner.second)[-1]
        if not (end and self._is_own(end[0])):
            if any(map(self._is_own, end)):
                raise Differs(Leaf(as_arg(0)), Leaf(as_arg(0)))
            return _within(region, gathered, end, layout, first.capacity)
        own = end[0]
        if own.layout == layout and is_same(own.capacity, first.capacity):
            return _within(region, extended, own, end[1:])
        # The body is traced again, with these types.
        buffers = tuple(Expr(Value(b.type)) for b in first.buffers)
        return replace(own, layout=layout, buffers=buffers, count=Expr(Value(Type(_INT, (), weak=True))))


def greatest_of(numbers: Iterable[int | Expr]) -> int | Expr:
    """The largest of lengths."""
    first, *rest = numbers
    for n in rest:
        first = first if is_same(first, n) else greatest(first, n)
    return first


def _product(n: int | Expr, k: int | Expr) -> int | Expr:
    if is_same(k, 1):
        return n
    return k if is_same(n, 1) else n * k


def _segments(joiner: Joiner, image: Tree, side: int) -> list:
    """The items of a list as an image has them."""
    return [_segment(joiner, child, side) for child in image.children.values()]


def _segment(joiner: Joiner, image: Image, side: int) -> object:
    if isinstance(image, Leaf):
        if image.cell is not None:
            root = image.cell.root()
            joiner.held[side][id(root)] = root
        return _Held(image) if image.cell is not None else as_expr(image.arg)
    if isinstance(image, Tree) and type(image.thing) is tuple:
        return tuple(_segment(joiner, child, side) for child in image.children.values())
    if isinstance(image, Tree) and type(image.thing) is Stretch:
        stretch = image.thing
        joiner.held[side].update((id(cell), cell) for cell, _ in stretch.held)
        return stretch
    return image
