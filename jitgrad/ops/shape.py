"""Operations that move elements without changing them.

Run-time lengths are arguments of their nodes (ints or int64 values), so one program serves every batch size.
"""

from __future__ import annotations

import math

import numpy as np

from jitgrad.ir.op import Op
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.control import require, require_equal, require_not_one
from jitgrad.ops.infer import integer, length_args, normalize_axes, normalize_axis, same_type
from jitgrad.ops.registry import METHODS, numpy_function
from jitgrad.ops.rules import Constant, Linear, shape_of, sum_to
from jitgrad.ops.symbolic import Expr, as_arg, current

# `axis_length(x, axis=k)`: the run-time length of an axis.
axis_length = Op("axis_length", integer, lambda x, axis: x.shape[axis], Constant())


@numpy_function(np.shape)
def shape(x):
    """The lengths of the axes: ints where known while tracing, run-time integers elsewhere."""
    return tuple(shape_of(as_array(x)))


@numpy_function(np.size, method="size")
def size(x, axis=None):
    """The number of elements, or the length of an axis."""
    lengths = shape_of(as_array(x))
    return product(lengths) if axis is None else lengths[normalize_axis(axis, len(lengths))]


@numpy_function(np.ndim)
def ndim(x):
    """The number of axes."""
    return len(shape_of(as_array(x)))


def product(lengths):
    """A product of lengths, in which the known ones are one factor."""
    known = math.prod(n for n in lengths if isinstance(n, int | np.integer))
    unknown = [n for n in lengths if not isinstance(n, int | np.integer)]
    if not unknown:
        return int(known)
    total = unknown[0]
    for n in unknown[1:]:
        total = total * n
    return total if known == 1 else total * int(known)


def greatest(a, b):
    """The larger of two lengths, as weak as Python's numbers."""
    return max(a, b) if _known(a, b) else _run_time(a, b)._operate(np.maximum, a, b)


def least(a, b):
    """The smaller of two lengths, as weak as Python's numbers."""
    return min(a, b) if _known(a, b) else _run_time(a, b)._operate(np.minimum, a, b)


def _known(*lengths) -> bool:
    return not any(isinstance(n, Expr) for n in lengths)


def _run_time(a, b) -> Expr:
    return a if isinstance(a, Expr) else b


def as_array(x):
    return np.asarray(x) if isinstance(x, list | tuple) else x


# reshape(x, *lengths)
def _reshape_type(args):
    x, lengths = args[0].type, length_args(args[1:])
    return Type(x.dtype, lengths)


def _reshape_transpose(g, x, *lengths):
    return reshape_(g, *shape_of(x))


reshape_ = Op("reshape", _reshape_type, lambda x, *lengths: np.reshape(x, lengths), Linear(_reshape_transpose))


@numpy_function(np.reshape)
def reshape(x, shape=None, order="C", copy=None, newshape=None):
    """`np.reshape`, with -1 for the length that is left over."""
    shape = newshape if shape is None else shape
    x = as_array(x)
    lengths = list(shape) if isinstance(shape, tuple | list) else [shape]
    if order != "C":
        if order != "F":
            raise ValueError(f"order={order!r} is not supported: use 'C' or 'F'")
        return np.transpose(reshape(np.transpose(x), tuple(reversed(lengths))))
    old = shape_of(x)
    holes = [k for k, n in enumerate(lengths) if isinstance(n, int | np.integer) and n == -1]
    if len(holes) > 1:
        raise ValueError("can only specify one unknown dimension")
    if holes:
        lengths[holes[0]] = _rest(old, lengths, holes[0])
    elif isinstance(x, Expr):
        lengths = [n if isinstance(n, Expr) else int(n) for n in lengths]
    if _same(old, lengths):
        return x
    if isinstance(x, Expr) or any(isinstance(n, Expr) for n in lengths):
        args = (x, *lengths)
        _require_same_size(product(old), product(lengths), tuple(map(as_arg, args)))
        return current().emit(reshape_, args, {})
    return reshape_(x, *lengths)


METHODS["reshape"] = lambda x, *shape, order="C", copy=None: reshape(x, shape[0] if len(shape) == 1 else shape, order)


def _rest(old, lengths, hole):
    """The length that -1 stands for; equal factors cancel, so that `(n, 3) -> (-1, 3)` is `n` again."""
    have, wanted = list(old), [n for k, n in enumerate(lengths) if k != hole]
    for n in list(wanted):
        match = next((k for k, m in enumerate(have) if _is_same(m, n)), None)
        if match is not None:
            have.pop(match)
            wanted.remove(n) if not isinstance(n, Expr) else _remove(wanted, n)
    total, divisor = product(have), product(wanted)
    if isinstance(divisor, int) and divisor == 1:
        return total
    if isinstance(total, int) and isinstance(divisor, int):
        if divisor == 0 or total % divisor:
            raise ValueError(f"cannot reshape array of size {product(old)} into shape {tuple(lengths)}")
        return total // divisor
    return total // divisor


def _remove(items, item):
    items.pop(next(k for k, other in enumerate(items) if other is item))


def _is_same(a, b) -> bool:
    if isinstance(a, Expr) or isinstance(b, Expr):
        return isinstance(a, Expr) and isinstance(b, Expr) and a.value is b.value
    return int(a) == int(b)


def _same(a, b) -> bool:
    return len(a) == len(b) and all(map(_is_same, a, b))


def _require_same_size(a, b, args):
    a, b = (n.value if isinstance(n, Expr) else n for n in (a, b))
    require_equal(a, b, (args[0], _Shaped(Type(INT64, length_args(args[1:])))), "reshape")


class _Shaped:
    """Stands for the wanted shape in the text of an error."""

    def __init__(self, type: Type):
        self.type = type


@numpy_function(np.ravel, method="ravel")
def ravel(x, order="C"):
    """One axis, in row-major order."""
    return reshape(x, (-1,), "C" if order in "KA" else order)


METHODS["flatten"] = ravel


@numpy_function(np.squeeze, method="squeeze")
def squeeze(x, axis=None):
    """Without the axes of length one, or without those given."""
    old = shape_of(x)
    gone = set()
    for k in range(len(old)) if axis is None else normalize_axes(axis, len(old)):
        if isinstance(old[k], int):
            if old[k] == 1:
                gone.add(k)
            elif axis is not None:
                raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
        elif axis is None:
            require_not_one(old[k].value)
        else:
            require(old[k] == 1, "cannot select an axis to squeeze out which has size not equal to one")
            gone.add(k)
    return reshape(x, tuple(n for k, n in enumerate(old) if k not in gone))


@numpy_function(np.expand_dims)
def expand_dims(x, axis):
    """With new axes of length one."""
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    old = list(shape_of(x))
    axes = normalize_axes(tuple(axes), len(old) + len(axes))
    return reshape(x, tuple(1 if k in axes else old.pop(0) for k in range(len(old) + len(axes))))


@numpy_function(np.atleast_1d)
def atleast_1d(x):
    """At least one axis."""
    return x if shape_of(x) else reshape(x, (1,))


@numpy_function(np.atleast_2d)
def atleast_2d(x):
    """At least two axes, new ones in front."""
    lengths = shape_of(x)
    return x if len(lengths) >= 2 else reshape(x, (1,) * (2 - len(lengths)) + tuple(lengths))


# transpose(x, axes=permutation)
def _transpose_type(args, axes):
    x = args[0].type
    return Type(x.dtype, tuple(x.shape[k] for k in axes))


def _inverse(axes):
    return tuple(int(k) for k in np.argsort(axes))


transpose_ = Op(
    "transpose", _transpose_type, lambda x, axes: np.transpose(x, axes),
    Linear(lambda g, x, axes: transpose_(g, axes=_inverse(axes))),
)  # fmt: skip


@numpy_function(np.transpose)
def transpose(x, axes=None):
    """The axes in another order; by default reversed."""
    n = len(shape_of(x))
    axes = tuple(reversed(range(n))) if axes is None else tuple(normalize_axis(a, n) for a in axes)
    if sorted(axes) != list(range(n)):
        raise ValueError("axes don't match array")
    return x if axes == tuple(range(n)) else transpose_(x, axes=axes)


METHODS["transpose"] = lambda x, *axes: transpose(
    x, None if not axes or axes == (None,) else axes[0] if isinstance(axes[0], tuple | list) else axes
)


@numpy_function(np.matrix_transpose if hasattr(np, "matrix_transpose") else None)
def matrix_transpose(x):
    """The last two axes exchanged."""
    return swapaxes(x, -1, -2)


@numpy_function(np.swapaxes, method="swapaxes")
def swapaxes(x, axis1, axis2):
    """Two axes exchanged."""
    n = len(shape_of(x))
    order = list(range(n))
    a, b = normalize_axis(axis1, n), normalize_axis(axis2, n)
    order[a], order[b] = order[b], order[a]
    return transpose(x, tuple(order))


@numpy_function(np.moveaxis)
def moveaxis(x, source, destination):
    """Axes moved to other places."""
    n = len(shape_of(x))
    source = [source] if isinstance(source, int) else list(source)
    destination = [destination] if isinstance(destination, int) else list(destination)
    source = [normalize_axis(a, n) for a in source]
    destination = [normalize_axis(a, n) for a in destination]
    if len(source) != len(destination):
        raise ValueError("`source` and `destination` arguments must have the same number of elements")
    order = [k for k in range(n) if k not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return transpose(x, tuple(order))


# broadcast_to(x, *lengths)
broadcast_to_ = Op(
    "broadcast_to",
    lambda args: Type(args[0].type.dtype, length_args(args[1:])),
    lambda x, *lengths: np.broadcast_to(x, lengths),
    Linear(lambda g, x, *lengths: sum_to(g, x)),
)


@numpy_function(np.broadcast_to)
def broadcast_to(x, shape, subok=False):
    """Repeated along new axes and along axes of length one."""
    lengths = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    old = shape_of(x)
    if _same(old, lengths):
        return x
    if not isinstance(x, Expr) and not any(isinstance(n, Expr) for n in lengths):
        return broadcast_to_(x, *lengths)
    if len(old) > len(lengths):
        raise ValueError("input operand has more dimensions than allowed by the axis remapping")
    args = tuple(as_arg(a) for a in (x, *lengths))
    final = list(length_args(args[1:]))
    for k, n in enumerate(args[0].type.shape, start=len(lengths) - len(old)):
        if not (isinstance(n, int) and n == 1):
            require_equal(n, final[k], (args[0], _Shaped(Type(INT64, tuple(final)))), "broadcast")
    return current().emit(broadcast_to_, args, {})


# array_of scalars: what `np.array([a, b])` makes of run-time numbers.
array_ = Op(
    "array",
    lambda args, shape: Type(np.result_type(*(a.type.dtype for a in args)), shape),
    lambda *items, shape: np.array(items).reshape(shape),
    Linear(lambda g, *items, shape: tuple(g[index] for index in np.ndindex(*shape)), arity=None),
)


def array_of(items, shape=None):
    """A small array of the given scalars, in row-major order."""
    return array_(*items, shape=(len(items),) if shape is None else shape)


@numpy_function(np.tile)
def tile(x, reps):
    """The array repeated as a whole along each axis."""
    reps = tuple(reps) if isinstance(reps, tuple | list) else (reps,)
    lengths = tuple(shape_of(x))
    n = max(len(reps), len(lengths))
    reps = (1,) * (n - len(reps)) + reps
    lengths = (1,) * (n - len(lengths)) + lengths
    paired = tuple(k for pair in zip((1,) * n, lengths, strict=True) for k in pair)
    repeated = tuple(k for pair in zip(reps, lengths, strict=True) for k in pair)
    final = tuple(r * m for r, m in zip(reps, lengths, strict=True))
    return reshape(broadcast_to(reshape(x, paired), repeated), final)


@numpy_function(np.repeat, method="repeat")
def repeat(x, repeats, axis=None):
    """Each element repeated; a number of repeats, or one for each index along the axis."""
    if axis is None:
        x, axis = ravel(x), 0
    lengths = tuple(shape_of(x))
    axis = normalize_axis(axis, len(lengths))
    if len(shape_of(as_array(repeats))):
        if isinstance(repeats, Expr):
            repeats._unsupported("np.repeat with run-time counts")
        index = np.repeat(np.arange(len(repeats)), repeats)
        return x[(slice(None),) * axis + (index,)]
    left, right = lengths[: axis + 1], lengths[axis + 1 :]
    spreaded = broadcast_to(reshape(x, (*left, 1, *right)), (*left, repeats, *right))
    return reshape(spreaded, (*left[:-1], left[-1] * repeats, *right))


@numpy_function(np.flip)
def flip(m, axis=None):
    """The order of elements reversed along axes."""
    axes = normalize_axes(axis, len(shape_of(m)))
    return m[tuple(slice(None, None, -1) if k in axes else slice(None) for k in range(len(shape_of(m))))]


numpy_function(np.flipud)(lambda m: flip(m, 0))
numpy_function(np.fliplr)(lambda m: flip(m, 1))


# copy(x): the same values in memory of their own.
copy_ = Op("copy", same_type, lambda x: np.array(x), Linear(lambda g, x: g))


@numpy_function(np.copy, method="copy")
def copy(a, order="K", subok=False):
    """A value of its own."""
    return copy_(a)
