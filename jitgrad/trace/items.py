"""What a loop runs over, where its length may be known at run time only: a count, and the item of a run-time index."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from jitgrad.ops.control import require
from jitgrad.ops.shape import greatest, least
from jitgrad.ops.slices import wide
from jitgrad.ops.symbolic import Expr, NeedStatic, current
from jitgrad.trace import growing
from jitgrad.trace.builtin_names import builtin
from jitgrad.trace.stretch import LazyItems, has_stretch
from jitgrad.trace.values import own, refuse


class Items:
    """A sequence whose length may be known at run time only.

    Attributes:
        count: how many there are.
        item: gives the item of an index from 0 up.
        sources: the arrays that the items are read from, as they are when an item is asked for.
        chunked: a loop over them is to keep less for its reverse, and run its body again for that.
    """

    chunked = False

    def __init__(self, count: int | Expr, item: Callable[[int | Expr], object], sources: tuple = ()):
        self.count, self.item, self.sources = count, item, sources

    def __iter__(self) -> Iterator:
        return (self.item(k) for k in range(len(self)))

    def __len__(self) -> int:
        if isinstance(self.count, Expr):
            raise NeedStatic(self.count.value, "a loop that isn't a `for` statement")
        return self.count

    def __getitem__(self, index: int | Expr) -> object:
        require((index >= -self.count) & (index < self.count), "index out of range")
        if isinstance(index, Expr):
            return self.item(np.where(index < 0, index + self.count, index))
        return self.item(index + self.count if index < 0 else index)


class RunTimeRange(Items):
    """`range` with bounds that are known at run time only."""

    def __init__(self, start: int | Expr, stop: int | Expr, step: int | Expr):
        self.start, self.stop, self.step = start, stop, step
        super().__init__(_count(start, stop, step), lambda k: _affine(start, k, step))


def _affine(start, k, step):
    scaled = k if isinstance(step, int) and step == 1 else k * step
    return scaled if isinstance(start, int) and start == 0 else start + scaled


def _count(start, stop, step):
    """How many numbers there are in a range."""
    if isinstance(step, Expr):
        require(step != 0, "range() arg 3 must not be zero")
        up, down = (stop - start + step - 1) // step, (start - stop - step - 1) // -step
        return greatest(np.where(step > 0, up, down), 0)
    if step == 0:
        raise ValueError("range() arg 3 must not be zero")
    span = stop - start if step > 0 else start - stop
    if isinstance(start, int) and start == 0 and step > 0:
        span = stop
    every = abs(step)
    count = span if every == 1 else (span + (every - 1)) // every
    return count if current().is_length(count) else greatest(count, 0)


def items_of(frame, x: object) -> Items | None:
    """What a loop runs over as `Items`, if it is a range, an array, or made of them."""
    if isinstance(x, Items):
        return x
    if isinstance(x, range):
        return Items(len(x), lambda k: x[k] if isinstance(k, int) else _affine(x.start, k, x.step))
    if isinstance(x, LazyItems):
        return items_of(frame, x.listed())
    if has_stretch(x):
        return _of_list(x)
    if isinstance(x, Expr) and x.ndim:
        known = frame.trace.known(x) if x.ndim == 1 else None
        item = lambda k: known[k] if known is not None and isinstance(k, int) else own(x[k])  # noqa: E731
        return Items(x.shape[0], item, (x,))
    return None


def _of_list(x: list | tuple) -> Items:
    """The items of a list whose length is known at run time only."""
    stretch = growing.settled(x)

    def item(k: int | Expr) -> object:
        if isinstance(x, list) and not (len(x) == 1 and x[0] is stretch):
            refuse("a list is changed in the loop that runs over it; loop over a copy, or use `while` and an index")
        return growing.item(stretch, k)

    return Items(stretch.count, item)


def _parts(frame, sources: tuple) -> list[Items] | None:
    """Several sources as `Items`, if one of them is; lists among them need their index while tracing."""
    if not any(isinstance(s, Items | Expr) or has_stretch(s) for s in sources):
        return None
    parts = []
    for source in sources:
        part = items_of(frame, source)
        if part is None:
            listed = list(source)
            part = Items(len(listed), lambda k, x=listed: x[frame.trace.demand(k, "indexing a Python container")])
        parts.append(part)
    return parts


@builtin(range)
def _range(frame, *bounds):
    known = [frame.trace.known(b) if isinstance(b, Expr) else b for b in bounds]
    if None not in known:
        return range(*known)
    if any(isinstance(b, Expr) and b.dtype.kind not in "iu" for b in bounds):
        raise TypeError("'float' object cannot be interpreted as an integer")
    whole = [k.__index__() if k is not None else wide(b) for k, b in zip(known, bounds, strict=True)]
    start, stop, step = (0, *whole, 1) if len(whole) == 1 else (*whole, 1)[:3]
    return RunTimeRange(start, stop, step)


@builtin(enumerate)
def _enumerate(frame, iterable, start=0):
    parts = _parts(frame, (iterable,))
    if parts is None:
        return enumerate(iterable, start)
    (items,) = parts
    return Items(items.count, lambda k: (_affine(start, k, 1), items.item(k)), items.sources)


@builtin(zip)
def _zip(frame, *iterables, strict=False):
    parts = _parts(frame, iterables)
    if parts is None:
        return zip(*iterables, strict=strict)
    count = parts[0].count
    for k, part in enumerate(parts[1:], start=2):
        if strict:
            require(np.equal(part.count, count), f"zip() argument {k} is shorter or longer than argument 1")
        count = count if _same(count, part.count) else least(count, part.count)
    sources = tuple(x for part in parts for x in part.sources)
    return Items(count, lambda k: tuple(part.item(k) for part in parts), sources)


def _same(a: object, b: object) -> bool:
    if isinstance(a, Expr) and isinstance(b, Expr):
        return a.value is b.value or current().knows_equal(a.value, b.value)
    return isinstance(a, int) and isinstance(b, int) and a == b


@builtin(reversed)
def _reversed(frame, sequence):
    if isinstance(sequence, range):
        return sequence[::-1]
    parts = _parts(frame, (sequence,))
    if parts is None:
        return reversed(sequence)
    (items,) = parts
    return Items(items.count, lambda k: items.item(items.count - 1 - k), items.sources)
