"""Lists that have another number of items after a branch, or after an iteration of a loop: made into stretches.

A loop that appends gets buffers that are long enough for all its iterations: by how much a list grows in one is found
by tracing the body, as everything else that the loop carries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Value
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.shape import greatest
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current
from jitgrad.trace.growing import STALE, bound_of, can_extend, extended, gathered, grown, layout_of
from jitgrad.trace.images import Image, Leaf, Tree
from jitgrad.trace.merge import Differs, Joiner
from jitgrad.trace.stretch import Layout, Origin, Stretch, Ungrown, is_same, total

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
        if (
            None not in firsts
            and firsts[0].origin is firsts[1].origin
            and is_same(firsts[0].capacity, firsts[1].capacity)
        ):
            made = [_within(region, grown, side[0], side[1:]) for region, side in zip(regions, sides, strict=True)]
        else:
            capacity = greatest_of(map(bound_of, sides))
            _check_visible(joiner, a, b, capacity)
            made = [
                _within(region, gathered, side, layout, capacity) for region, side in zip(regions, sides, strict=True)
            ]
        held = _held(joiner, *made)
        same = made[0].origin is made[1].origin
        origin, growth = (made[0].origin, greatest_of(s.growth for s in made)) if same else (Origin(), 0)
        result = replace(
            made[0], held=held, origin=origin, growth=growth, argument=self.argument or made[0].argument, full=False
        )
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
        self._origins: list[Origin] = []

    def __call__(self, joiner: Joiner, a: Tree, b: Tree) -> Sides:
        entry, end = _segments(joiner, a, 0), _segments(joiner, b, 1)
        layout = _layout(joiner, a, b, [*entry, *end])
        growth, exact = self._growth(entry, end)
        reserved = greatest_of((growth, *self._growths(end)))
        reserved = max(reserved, 0) if isinstance(reserved, int) else reserved
        if self.trips is None and not (isinstance(growth, int) and growth <= 0):
            raise TraceError(_ENDLESS, current().loc.syntax_location())
        _check_visible(joiner, a, b, total((growth, reserved)))
        if can_extend(entry, layout):
            first = grown(entry[0], entry[1:])
            first.origin.growth.append(total((first.growth, self._room(reserved))))
        else:
            capacity = total((bound_of(entry), self._room(reserved)))
            first = gathered(entry, layout, capacity)
        last = self._last(joiner, first, layout, end)
        full = (
            exact and is_same(first.count, bound_of(entry)) and is_same(growth, reserved) and not first.origin.has_room
        )
        if last.is_stale():
            raise TraceError(STALE, current().loc.syntax_location())
        origin = Origin(has_room=True)
        self._origins.append(origin)
        inside = replace(first, origin=origin, growth=0, held=_held(joiner, first), argument=self.argument, full=False)
        outside = replace(inside, origin=Origin(), held=_held(joiner, first, last), full=full)
        if first.origin.has_room:
            after = total((first.growth, self._room(reserved)))
            outside = replace(outside, origin=first.origin, growth=after)
        return _image(first), _image(last), (inside, outside)

    def _room(self, reserved: int | Expr) -> int | Expr:
        """For how many items there has to be room, besides those from before the loop."""
        if is_same(reserved, 0) or self.trips is None:
            return reserved  # a loop whose iterations leave no more items than they find may use some in between
        return _product(self.trips, reserved)

    def _is_own(self, x: object) -> bool:
        return isinstance(x, Stretch) and x.origin in self._origins

    def _growth(self, entry: Sequence, end: Sequence) -> tuple[int | Expr, bool]:
        """By how many items a list grows in an iteration at most; whether always by so many."""
        if end and self._is_own(end[0]):
            untouched = is_same(end[0].growth, 0)
            return total((end[0].growth, bound_of(end[1:]))), untouched and not self._varies(end[1:])
        if entry and end and _have_one_origin(entry[0], end[0]):
            before, now = total((entry[0].growth, bound_of(entry[1:]))), total((end[0].growth, bound_of(end[1:])))
        else:
            before, now = bound_of(entry), bound_of(end)
        if is_same(before, now):
            return 0, False
        return (now if is_same(before, 0) else now - before), False

    def _varies(self, segments: Sequence) -> bool:
        return self.leaves_early or any(isinstance(s, Stretch) and not is_same(s.count, s.capacity) for s in segments)

    def _growths(self, end: Sequence) -> list[int | Expr]:
        """What has been used of the room in an iteration, of this list or, if that is another one now, of any."""
        origins = [end[0].origin] if end and self._is_own(end[0]) else self._origins
        return [n for origin in origins for n in origin.growth]

    def _last(self, joiner: Joiner, first: Stretch, layout: Layout, end: Sequence) -> Stretch:
        """The list at the end of an iteration."""
        region = tuple(joiner.second)[-1]
        if not (end and self._is_own(end[0])):
            if any(map(self._is_own, end)):
                raise Differs(_image(first), _image(end[0]))
            return _within(region, gathered, end, layout, first.capacity)
        own = end[0]
        if own.layout == layout and is_same(own.capacity, first.capacity):
            return _within(region, extended, own, end[1:])
        # The body is traced again, with these types.
        buffers = tuple(Expr(Value(b.type)) for b in first.buffers)
        return replace(own, layout=layout, buffers=buffers, count=Expr(Value(Type(INT64, (), weak=True))))


def _have_one_origin(a: object, b: object) -> bool:
    return isinstance(a, Stretch) and isinstance(b, Stretch) and a.origin is b.origin


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
    """The items of a list as an image has them: the arrays by value; which they are is noted in the joiner."""
    return [_segment(joiner, child, side) for child in image.children.values()]


def _segment(joiner: Joiner, image: Image, side: int) -> object:
    if isinstance(image, Leaf):
        if image.cell is not None:
            root = image.cell.root()
            joiner.held[side][id(root)] = root
        return as_expr(image.arg)
    if isinstance(image, Tree) and type(image.thing) is tuple:
        return tuple(_segment(joiner, child, side) for child in image.children.values())
    if isinstance(image, Tree) and type(image.thing) is Stretch:
        joiner.held[side].update((id(cell), cell) for cell, _ in image.thing.held)
        return image.thing
    return image


def _held(joiner: Joiner, *stretches: Stretch) -> tuple:
    """The arrays in stretches, and those that were put in now, whose stamps are taken when the state is made."""
    known = {id(cell): (cell, stamp) for stretch in stretches for cell, stamp in stretch.held}
    new = {key: (cell, None) for side in joiner.held for key, cell in side.items()}
    return tuple((new | known).values())


def _layout(joiner: Joiner, a: Tree, b: Tree, segments: Sequence) -> Layout:
    try:
        return layout_of(joiner, segments)
    except Ungrown:
        raise Differs(a, b) from None


def _check_visible(joiner: Joiner, a: Tree, b: Tree, n: int | Expr) -> None:
    """
    Raises:
        Differs: by how much a list grows is computed inside of a loop or branch.
    """
    if isinstance(n, Expr) and not joiner.is_visible(n.value):
        raise Differs(a, b)


def _within(region: Builder, make: Callable[..., Stretch], *args: object) -> Stretch:
    with building(region):
        return make(*args)


def _image(stretch: Stretch) -> Tree:
    return Tree(stretch, {k: Leaf(as_arg(x)) for k, x in stretch.parts().items()})
