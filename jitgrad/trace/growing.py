"""Lists with items whose number is known at run time only: their length, their items, and what else can be done."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jitgrad.ir.types import Type
from jitgrad.ops.brackets import checked_number
from jitgrad.ops.control import require
from jitgrad.ops.registry import FUNCTIONS, METHODS
from jitgrad.ops.symbolic import Expr, NeedStatic, as_arg
from jitgrad.trace.aliases import Alias
from jitgrad.trace.math_names import weak
from jitgrad.trace.merge import Differs, Joiner
from jitgrad.trace.stretch import Layout, Origin, Stretch, Ungrown, has_stretch, leaves_of, total
from jitgrad.trace.values import Cell, own, refuse

_MIXED = (
    "the items of a list whose length is known at run time only have to be numbers or arrays of one type and shape, or "
    "tuples of them"
)
STALE = (
    "an array in a list whose length is known at run time only has been written to since it was appended; append a "
    "copy (`.copy()`)"
)


# Segments: the items of such a list, those that are known one by one, and stretches.
def layout_of(joiner: Joiner, segments: Sequence) -> Layout:
    """What the items of all the segments are.

    Raises:
        Differs: they are of different kinds.
    """
    forms, types = [], []
    for segment in segments:
        leaves: list = []
        if isinstance(segment, Stretch):
            forms.append(segment.layout.form)
            types.append(segment.layout.types)
        else:
            forms.append(leaves_of(segment, leaves))
            types.append([as_arg(leaf).type for leaf in leaves])
    if any(form != forms[0] for form in forms):
        raise Ungrown
    return Layout(forms[0], tuple(_joined(joiner, column) for column in zip(*types, strict=True)))


def _layout_for_all(segments: Sequence) -> Layout:
    """
    Raises:
        TraceError: the items are of different kinds.
    """
    try:
        return layout_of(Joiner(), segments)
    except (Ungrown, Differs):
        return refuse(_MIXED)


def _joined(joiner: Joiner, types: Sequence[Type]) -> Type:
    result = joiner.joined_type(types[0], types[0])
    for type_ in types[1:]:
        result = joiner.joined_type(result, type_)
    return result


def bound_of(segments: Sequence) -> int | Expr:
    """The most items that there can be."""
    return total(s.capacity if isinstance(s, Stretch) else 1 for s in segments)


def count_of(segments: Sequence) -> int | Expr:
    """How many items there are."""
    return total(s.count if isinstance(s, Stretch) else 1 for s in segments)


def extended(stretch: Stretch, segments: Sequence) -> Stretch:
    """A stretch with more items, for which there is room."""
    for segment in segments:
        if isinstance(segment, Stretch):
            stretch = replace(stretch.with_stretch(segment), held=(*stretch.held, *segment.held), full=False)
            continue
        leaves: list = []
        leaves_of(segment, leaves)
        count = total((stretch.count, 1))
        held = tuple((leaf.root(), None) for leaf in leaves if isinstance(leaf, Cell))
        filled = stretch.with_leaves(leaves, stretch.count)
        stretch = replace(filled, count=count, held=(*stretch.held, *held), full=False)
    return stretch


def grown(stretch: Stretch, segments: Sequence) -> Stretch:
    """One that a running loop has reserved room for, with more items."""
    growth = total((stretch.growth, bound_of(segments)))
    stretch.origin.growth.append(growth)
    return replace(extended(stretch, segments), growth=growth)


def gathered(segments: Sequence, layout: Layout, capacity: int | Expr) -> Stretch:
    """All items in new buffers."""
    first, *rest = segments or [None]
    if isinstance(first, Stretch) and not rest and first.layout == layout and first.capacity is capacity:
        return first
    argument = next((s.argument for s in segments if isinstance(s, Stretch) and s.argument is not None), None)
    origin, growth = Origin(), bound_of(segments)
    if isinstance(first, Stretch) and not first.origin.has_room:
        origin, growth = first.origin, total((first.growth, bound_of(rest)))
    new = Stretch(layout, 0, layout.buffers(capacity), origin, growth=growth, argument=argument)
    return extended(new, segments)


def can_extend(segments: Sequence, layout: Layout) -> bool:
    """Whether the first segment has room for the others."""
    first = segments[0] if segments else None
    return isinstance(first, Stretch) and first.origin.has_room and first.layout == layout


def settled(x: Sequence) -> Stretch:
    """The items of a list as one stretch; the list has that from now on."""
    segments = list(x)
    stretch = segments[0]
    if len(segments) > 1:
        layout = _layout_for_all(segments)
        if can_extend(segments, layout):
            stretch = grown(segments[0], segments[1:])
        else:
            stretch = gathered(segments, layout, bound_of(segments))
        stretch = stretch.rebuilt(stretch.parts())
    if stretch.is_stale():
        refuse(STALE)
    if isinstance(x, list):
        x[:] = [stretch]
    return stretch


# What can be done with such a list.
def length(x: Sequence) -> int | Expr:
    return count_of(x)


def item(stretch: Stretch, k: int | Expr) -> object:
    """The k-th item, which exists."""
    others = [cell for cell, _ in stretch.held]

    def build(form: object) -> object:
        if isinstance(form, tuple):
            return tuple(map(build, form))
        leaf = stretch.leaf(form, k)
        if leaf.ndim:
            return Alias(leaf.value, others)
        return weak(leaf) if stretch.layout.types[form].weak else leaf

    return build(stretch.layout.form)


def load(x: Sequence, index: object) -> object:
    """`x[index]`."""
    if isinstance(index, slice):
        return _sliced(x, index)
    known = _known_place(x, index)
    if known is not None:
        return x[known]
    stretch = settled(x)
    return item(stretch, checked_number(index, stretch.count, 0))


def select(x: Sequence, index: Expr) -> object:
    """`x[index]` of a list whose items are known one by one: by value."""
    if not x:
        raise IndexError("list index out of range")
    stretch = gathered(x, _layout_for_all(x), len(x))
    return item(stretch.rebuilt(stretch.parts()), checked_number(index, len(x), 0))


def _known_place(x: Sequence, index: object) -> int | None:
    """Where in a list an item is that is known by itself."""
    if not isinstance(index, int):
        return None
    side = x[: index + 1] if index >= 0 else x[index:]
    inside = -len(x) <= index < len(x)
    return index if inside and not has_stretch(side) else None


def _sliced(x: Sequence, index: slice) -> Sequence:
    stretch = settled(x)
    arrays = [stretch.array(k) for k in range(len(stretch.buffers))]
    buffers = [METHODS["__getitem__"](a, index) for a in arrays]
    part = Stretch(
        stretch.layout, buffers[0].shape[0], tuple(buffers), Origin(), stretch.held, argument=stretch.argument
    )
    return type(x)([part])


def store(x: list, index: object, value: object) -> None:
    """`x[index] = value`."""
    if isinstance(index, slice):
        refuse("a slice of a list whose length is known at run time only is written to; make a new list")
    known = _known_place(x, index)
    if known is not None:
        x[known] = value
        return
    stretch = settled(x)
    layout = _layout_for_all((stretch, value))
    if not layout.fits(stretch.layout):
        refuse(_MIXED)
    k = checked_number(index, stretch.count, 0)
    leaves: list = []
    leaves_of(value, leaves)
    held = tuple((leaf.root(), leaf.root().stamp()) for leaf in leaves if isinstance(leaf, Cell))
    x[:] = [replace(stretch.with_leaves(leaves, k), layout=layout, held=(*stretch.held, *held))]


def array_of(x: Sequence) -> Expr:
    """The items as an array, as `np.array` makes it."""
    stretch = settled(x)
    form = stretch.layout.form
    if isinstance(form, int):
        return stretch.array(form)
    if not all(isinstance(f, int) for f in form):
        refuse("a list of nested tuples, whose length is known at run time only, becomes an array; append arrays")
    return FUNCTIONS[np.stack]([stretch.array(k) for k in form], axis=1)


def total_of(x: Sequence) -> Expr:
    """`sum(x)`."""
    values = array_of(x)
    result = FUNCTIONS[np.sum](values, axis=0)
    return weak(result) if not result.ndim and settled(x).layout.types[0].weak else own(result)


def extremum_of(x: Sequence, function: object) -> Expr:
    """`max(x)` or `min(x)`, as NumPy's function does it."""
    stretch = settled(x)
    values = array_of(x)
    if values.ndim > 1:
        raise ValueError("The truth value of an array with more than one element is ambiguous: use np.max or np.min")
    require(stretch.count > 0, "ValueError: max() or min() of an empty list")
    result = FUNCTIONS[function](values)
    return weak(result) if stretch.layout.types[0].weak else result


def pop(x: list) -> object:
    """`x.pop()`."""
    if type(x[-1]) is not Stretch:
        return list.pop(x)
    stretch = settled(x)
    require(stretch.count > 0, "IndexError: pop from empty list")
    last = stretch.count - 1
    x[:] = [replace(stretch, count=last, growth=total((stretch.growth, -1)), full=False)]
    return item(stretch, last)


def put_together(function: object, x: Sequence, axis: int = 0) -> Expr | None:
    """`np.stack(x)` and the like; None for a function that isn't known."""
    values = array_of(x)
    if function is np.stack:
        return values if axis == 0 else FUNCTIONS[np.moveaxis](values, 0, axis)
    if function is np.vstack and values.ndim < 3:
        return values if values.ndim == 2 else METHODS["reshape"](values, (-1, 1))
    if function is np.hstack and values.ndim < 3:
        return METHODS["reshape"](values, (-1,))
    if function in (np.concatenate, np.vstack) and axis == 0:
        if values.ndim == 1:
            raise ValueError("zero-dimensional arrays cannot be concatenated")
        return METHODS["reshape"](values, (-1, *values.shape[2:]))
    return None


def with_arrays(args: tuple) -> tuple:
    """Arguments of a NumPy function, with arrays for such lists."""
    return tuple(array_of(x) if has_stretch(x) else x for x in args)


def takes_stretches(function: object) -> bool:
    """Whether a function of Python's works on segments as it does on items."""
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, list):
        return function.__name__ in ("append", "extend", "copy", "clear")
    return function in (list, tuple, print, repr, str, id)


def expand(x: object, use: str) -> None:
    """Give a list its items one by one, if it is known how many there are.

    Raises:
        NeedStatic: an argument says how many there are.
        TraceError: it is known at run time only.
    """
    stretch = settled(x)
    if isinstance(stretch.count, int) and isinstance(x, list):
        x[:] = [item(stretch, k) for k in range(stretch.count)]
        return
    if stretch.argument is not None:
        raise NeedStatic(stretch.argument, use)
    refuse(
        f"{use} needs the items of a list one by one, but its length is known at run time only; use it by index, in a "
        "`for` loop, or as an array (`np.array(items)`)"
    )
