"""Slices as start, count and step, clamped as Python clamps them, also where the length is known at run time only."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.types import INT64
from jitgrad.ops.registry import METHODS
from jitgrad.ops.shape import greatest, least
from jitgrad.ops.symbolic import Expr


def slice_bounds(s: slice, length) -> tuple:
    """Start, count and step of a slice of an axis, clamped as Python clamps them."""
    s = slice(wide(s.start), wide(s.stop), s.step)
    step = 1 if s.step is None else s.step
    if isinstance(step, Expr):
        step = step.__index__()
    step = int(step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if known(length) and known(s.start) and known(s.stop):
        r = range(*slice(s.start, s.stop, step).indices(int(length)))
        return (r.start if len(r) else 0), len(r), step
    every = abs(step)
    if step == 1 and known(s.start) and known(s.stop):
        start, count = _forward_span(s.start or 0, s.stop, length)
        return start, count, step
    if s.start is None and s.stop is None:
        count = length if every == 1 else (length + (every - 1)) // every
        return (0 if step > 0 else length - 1), count, step
    if step > 0:
        start = _clamped(s.start, length, 0, 0, length)
        span = _clamped(s.stop, length, length, 0, length) - start
    else:
        start = _clamped(s.start, length, length - 1, -1, length - 1)
        span = start - _clamped(s.stop, length, -1, -1, length - 1)
    span = greatest(span, 0)
    return start, (span if every == 1 else (span + (every - 1)) // every), step


def _forward_span(start: int, stop: int | None, length) -> tuple:
    """Start and count of `start:stop` with plain numbers, in as few operations as it takes.

    A start behind the end stays as it is: the count is 0 there.
    """
    if start < 0:
        first = greatest(length + start, 0)
        end = length if stop is None else _clamped(stop, length, length, 0, length)
        return first, (length - first if stop is None else greatest(end - first, 0))
    if stop is None:
        return start, (length if start == 0 else greatest(length - start, 0))
    if stop < 0:
        return start, greatest(length - (start - stop), 0)
    if stop <= start:
        return start, 0
    return start, greatest(least(length, stop) - start, 0) if start else least(length, stop)


def plain_bounds(s: slice) -> tuple | None:
    """The bounds of a slice, where they are plain numbers."""
    if not (known(s.start) and known(s.stop) and known(s.step)):
        return None
    return tuple(None if b is None else int(b) for b in (s.start, s.stop))


def _clamped(bound, length, default, low, high):
    """A slice's bound as a number within [low, high]; negative ones count from the end."""
    if bound is None:
        return default
    if not isinstance(bound, Expr):
        bound = int(bound)
        if bound == 0 and low == 0:
            return 0
        return greatest(length + bound, low) if bound < 0 else least(bound, high)
    if bound.ndim or bound.dtype.kind not in "iu":
        raise TypeError("slice indices must be integers or None or have an __index__ method")
    return least(greatest(from_start(bound, length), low), high)


def from_start(index: Expr, length) -> Expr:
    """A number that may count from the end of an axis, as one that counts from its start."""
    counted = np.where(index < 0, index + length, index)
    if isinstance(counted, Expr):
        counted.value.type = index.type
    return counted


def wide(n):
    """An integer that counts places: a length may not fit into the dtype that it has."""
    return METHODS["astype"](n, INT64) if isinstance(n, Expr) and n.dtype != INT64 else n


def known(n) -> bool:
    return n is None or isinstance(n, int | np.integer)
