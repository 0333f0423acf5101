"""Operations that join arrays and take them apart along an axis."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from jitgrad.ir.op import Op
from jitgrad.ir.types import Type
from jitgrad.ops.control import require_equal
from jitgrad.ops.index import part
from jitgrad.ops.infer import normalize_axis
from jitgrad.ops.registry import numpy_function
from jitgrad.ops.rules import Linear, dtype_of, shape_of
from jitgrad.ops.shape import (
    array_of,
    as_array,
    atleast_1d,
    atleast_2d,
    broadcast_to,
    expand_dims,
    greatest,
    least,
    ravel,
    reshape,
)
from jitgrad.ops.symbolic import Expr, as_arg, as_length


# concatenate(*arrays, axis=k)
def _concatenate_type(args, axis):
    dtype = np.result_type(*(a.type.dtype for a in args))
    first = args[0].type
    lengths = list(first.shape)
    for index, other in enumerate(args[1:], start=1):
        for k, (a, b) in enumerate(zip(first.shape, other.type.shape, strict=True)):
            if k != axis:
                require_equal(a, b, (args[0], other), "concatenate", axis=k, index=index)
                if isinstance(b, int):
                    lengths[k] = b
    total = sum((as_length(a.type.shape[axis]) for a in args[1:]), as_length(first.shape[axis]))
    lengths[axis] = total.value if isinstance(total, Expr) else total
    return Type(dtype, tuple(lengths))


def _concatenate_transpose(g, *arrays, axis):
    bars, start = [], 0
    for x in arrays:
        length = shape_of(x)[axis]
        bars.append(part(g, axis, start, length))
        start = length if isinstance(start, int) and start == 0 else start + length
    return tuple(bars)


concatenate_ = Op(
    "concatenate", _concatenate_type, lambda *arrays, axis: np.concatenate(arrays, axis),
    Linear(_concatenate_transpose, arity=None),
)  # fmt: skip


@numpy_function(np.concatenate)
def concatenate(arrays, axis=0):
    """Arrays one after the other along an axis."""
    arrays = [as_array(a) for a in arrays]
    if not arrays:
        raise ValueError("need at least one array to concatenate")
    if axis is None:
        return concatenate([ravel(a) for a in arrays])
    ranks = {len(shape_of(a)) for a in arrays}
    if ranks == {0}:
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    if len(ranks) > 1:
        raise ValueError("all the input array dimensions except for the concatenation axis must match exactly")
    axis = normalize_axis(axis, ranks.pop())
    return arrays[0] if len(arrays) == 1 else concatenate_(*arrays, axis=axis)


@numpy_function(np.stack)
def stack(arrays, axis=0):
    """Arrays side by side along a new axis."""
    arrays = [as_array(a) for a in arrays]
    if not arrays:
        raise ValueError("need at least one array to stack")
    if all(not shape_of(a) for a in arrays):
        return array_of(arrays)
    axis = normalize_axis(axis, len(shape_of(arrays[0])) + 1)
    return concatenate([expand_dims(a, axis) for a in arrays], axis)


@numpy_function(np.vstack)
def vstack(arrays):
    """Rows on top of each other."""
    return concatenate([atleast_2d(as_array(a)) for a in arrays], 0)


@numpy_function(np.hstack)
def hstack(arrays):
    """Arrays side by side."""
    arrays = [atleast_1d(as_array(a)) for a in arrays]
    return concatenate(arrays, 0 if len(shape_of(arrays[0])) == 1 else 1)


@numpy_function(np.column_stack)
def column_stack(arrays):
    """Vectors as the columns of a matrix."""
    arrays = [as_array(a) for a in arrays]
    return concatenate([a if len(shape_of(a)) > 1 else reshape(a, (-1, 1)) for a in arrays], 1)


@numpy_function(np.split)
def split(x, indices_or_sections, axis=0):
    """A list of slices: at the given places, or in equal parts."""
    axis = normalize_axis(axis, len(shape_of(x)))
    n = shape_of(x)[axis]
    if isinstance(indices_or_sections, int):
        parts = indices_or_sections
        if isinstance(n, Expr):
            require_equal(n.value, (n // parts * parts).value, (as_arg(x),), "split")
        elif n % parts:
            raise ValueError("array split does not result in an equal division")
    return array_split(x, indices_or_sections, axis)


@numpy_function(np.array_split)
def array_split(x, indices_or_sections, axis=0):
    """A list of slices: at the given places, or in parts, the first ones longer by one where it doesn't divide."""
    axis = normalize_axis(axis, len(shape_of(x)))
    n = shape_of(x)[axis]
    if isinstance(indices_or_sections, int):
        parts = indices_or_sections
        bounds = [k * (n // parts) + least(n % parts, k) for k in range(1, parts)]
    else:
        bounds = list(indices_or_sections)
    before = (slice(None),) * axis
    return [x[(*before, slice(a, b))] for a, b in pairwise([None, *bounds, None])]


@numpy_function(np.roll)
def roll(a, shift, axis=None):
    """Elements moved along an axis; what falls off one end comes in at the other."""
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), tuple(shape_of(a)))
    if isinstance(axis, tuple | list):
        shifts = shift if isinstance(shift, tuple | list) else (shift,) * len(axis)
        for s, k in zip(shifts, axis, strict=True):
            a = roll(a, s, k)
        return a
    axis = normalize_axis(axis, len(shape_of(a)))
    n = shape_of(a)[axis]
    if isinstance(n, int) and n <= 1 and isinstance(shift, int):
        return a
    cut = -shift % greatest(n, 1)
    before = (slice(None),) * axis
    return concatenate([a[(*before, slice(cut, None))], a[(*before, slice(None, cut))]], axis)


@numpy_function(np.pad)
def pad(array, pad_width, mode="constant", constant_values=0):
    """With a constant border; other modes are not supported."""
    if mode != "constant" or isinstance(constant_values, tuple | list):
        _refuse(array, f"np.pad with mode={mode!r}" if mode != "constant" else "np.pad with several constants")
    n = len(shape_of(array))
    widths = np.broadcast_to(np.asarray(pad_width), (n, 2)).tolist()
    for axis, (low, high) in enumerate(widths):
        border = list(shape_of(array))
        parts = [array]
        for width, place in ((low, 0), (high, len(parts) + 1)):
            if width:
                border[axis] = width
                parts.insert(place, broadcast_to(dtype_of(array).type(constant_values), tuple(border)))
        array = concatenate(parts, axis)
    return array


def _refuse(x, name):
    if isinstance(x, Expr):
        x._unsupported(name)
    raise NotImplementedError(name)
