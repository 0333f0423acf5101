"""Operations that make arrays from nothing but numbers."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.op import Op
from jitgrad.ir.types import FLOAT64, INT64, Type, scalar_type
from jitgrad.ops.infer import length_args
from jitgrad.ops.registry import METHODS, numpy_function
from jitgrad.ops.rules import Constant, dtype_of, shape_of
from jitgrad.ops.shape import broadcast_to, broadcast_to_, greatest, reshape
from jitgrad.ops.symbolic import Expr, as_arg, current

# iota(n): 0, 1, ..., n - 1 as int64.
iota = Op("iota", lambda args: Type(INT64, length_args(args)), lambda n: np.arange(n), Constant())

# uninitialized(*lengths, dtype=, keeps=): an array whose every element is written before it is read; `keeps` says why
# the reverse mode keeps a value in it, if it does.
uninitialized = Op(
    "uninitialized", lambda args, dtype, keeps="": Type(np.dtype(dtype), length_args(args)),
    lambda *lengths, dtype, keeps="": np.empty(tuple(int(n) for n in lengths), dtype), Constant(),
)  # fmt: skip


def full(shape, fill_value, dtype=None):
    """An array of one value; `emit`s, so it works inside a trace also when all arguments are plain numbers."""
    lengths = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    dtype = np.dtype(dtype) if dtype is not None else _dtype_of_fill(fill_value)
    if isinstance(fill_value, Expr):
        fill_value = fill_value if fill_value.dtype == dtype else METHODS["astype"](fill_value, dtype)
        if fill_value.ndim:
            return broadcast_to(fill_value, lengths)
    else:
        fill_value = dtype.type(fill_value)
    if not lengths:
        return fill_value
    return current().emit(broadcast_to_, (fill_value, *lengths), {})


def _dtype_of_fill(value) -> np.dtype:
    return value.dtype if hasattr(value, "dtype") else scalar_type(value).dtype


def arange(start, stop=None, step=None, dtype=None):
    """Evenly spaced numbers in a half-open interval, with NumPy's rule for their count."""
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    parts = (start, stop, step)
    if all(_is_integer(p) for p in parts):
        n = stop if _is_number(start, 0) else stop - start
        n = n if _is_number(step, 1) else -(-n // step)
        out = current().emit(iota, (n if current().is_length(n) else greatest(n, 0),), {})
        out = out if _is_number(step, 1) else out * step
        out = out if _is_number(start, 0) else out + start
    else:
        n = np.maximum(np.ceil((stop - start) / step), 0)
        n = METHODS["astype"](n, INT64) if isinstance(n, Expr) else int(n)
        out = METHODS["astype"](current().emit(iota, (n,), {}), FLOAT64) * step + start
    return out if dtype is None else METHODS["astype"](out, np.dtype(dtype))


def _is_number(x, number: int) -> bool:
    return isinstance(x, int) and x == number


def _is_integer(x) -> bool:
    return isinstance(x, int | np.integer) or (isinstance(x, Expr) and x.dtype.kind in "iu")


def linspace(start, stop, num=50, endpoint=True, dtype=None):
    """`num` evenly spaced numbers from `start` to `stop`."""
    gaps = num - 1 if endpoint else num
    gaps = greatest(gaps, 1)
    ticks = METHODS["astype"](current().emit(iota, (num,), {}), _ticks_dtype(start, stop))
    if endpoint:  # the last one is `stop` itself, as in NumPy
        last = np.equal(ticks, gaps)
        out = np.where(last, stop, start + ticks * ((stop - start) / gaps)) if not _one(num) else start + ticks
    else:
        out = start + ticks * ((stop - start) / gaps)
    return out if dtype is None else METHODS["astype"](out, np.dtype(dtype))


def _ticks_dtype(*ends) -> np.dtype:
    """float64, but for ends that are float32."""
    types = [t for t in (as_arg(x).type for x in ends) if not t.weak]
    return np.result_type(*(t.dtype if t.is_float else FLOAT64 for t in types)) if types else FLOAT64


def _one(num) -> bool:
    return isinstance(num, int) and num == 1


def eye(N, M=None, k=0, dtype=float):
    """Ones on a diagonal."""
    M = N if M is None else M
    rows = reshape(current().emit(iota, (N,), {}), (-1, 1))
    cols = reshape(current().emit(iota, (M,), {}), (1, -1))
    return METHODS["astype"](np.equal(cols - rows, k), np.dtype(dtype))


@numpy_function(np.tril)
def tril(m, k=0):
    """The lower triangle, zeros above."""
    return np.where(diagonals(m) <= k, m, dtype_of(m).type(0))


@numpy_function(np.triu)
def triu(m, k=0):
    """The upper triangle, zeros below."""
    return np.where(diagonals(m) >= k, m, dtype_of(m).type(0))


def diagonals(m):
    """j - i for each element of a matrix: the number of the diagonal that it is on."""
    rows, cols = shape_of(m)[-2:] if len(shape_of(m)) > 1 else shape_of(m) * 2  # NumPy makes a matrix of a vector
    if not isinstance(m, Expr):
        return np.arange(cols)[None, :] - np.arange(rows)[:, None]
    i, j = (current().emit(iota, (n,), {}) for n in (rows, cols))
    return reshape(j, (1, -1)) - reshape(i, (-1, 1))


def _like(value: int):
    def make(x, dtype=None, order="K", subok=True, shape=None):
        dtype = dtype_of(x) if dtype is None else np.dtype(dtype)
        lengths = shape_of(x) if shape is None else shape
        if isinstance(x, Expr):
            return full(lengths, value, dtype)
        return broadcast_to_(dtype.type(value), *lengths) if lengths else dtype.type(value)

    return make


numpy_function(np.zeros_like, np.empty_like)(_like(0))
numpy_function(np.ones_like)(_like(1))


@numpy_function(np.full_like)
def full_like(x, fill_value, dtype=None, order="K", subok=True, shape=None):
    """An array of one value with the shape and dtype of `x`."""
    dtype = dtype_of(x) if dtype is None else np.dtype(dtype)
    lengths = shape_of(x) if shape is None else shape
    if isinstance(x, Expr) or isinstance(fill_value, Expr):
        return full(lengths, fill_value, dtype)
    fill_value = METHODS["astype"](fill_value, dtype) if hasattr(fill_value, "dtype") else dtype.type(fill_value)
    return broadcast_to(fill_value, lengths)


def zeros(shape, dtype=float, order="C"):
    """An array of zeros."""
    return full(shape, 0, dtype)


def ones(shape, dtype=float, order="C"):
    """An array of ones."""
    return full(shape, 1, dtype)
