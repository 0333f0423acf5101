"""Reductions and scans along axes."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.op import Op
from jitgrad.ir.types import BOOL, FLOAT64, INT64, UINT64, Type
from jitgrad.ops.control import require, require_equal
from jitgrad.ops.elementwise import as_bool
from jitgrad.ops.infer import normalize_axes, normalize_axis
from jitgrad.ops.registry import METHODS, numpy_function
from jitgrad.ops.rules import Constant, Custom, Linear, dtype_of, shape_of, spread
from jitgrad.ops.shape import product, ravel, reshape
from jitgrad.ops.symbolic import as_arg, is_building
from jitgrad.runtime.arrays import product_of_others


def reduced_shape(x: Type, axis: tuple[int, ...], keepdims: bool) -> tuple:
    if keepdims:
        return tuple(1 if k in axis else n for k, n in enumerate(x.shape))
    return tuple(n for k, n in enumerate(x.shape) if k not in axis)


def _reduction_type(dtype_rule):
    def infer(args, axis, keepdims):
        x = args[0].type
        return Type(dtype_rule(x.dtype), reduced_shape(x, axis, keepdims))

    return infer


def _sum_dtype(dtype: np.dtype) -> np.dtype:
    """Small integers are summed in 64 bits."""
    return INT64 if dtype.kind in "bi" else UINT64 if dtype.kind == "u" else dtype


def _reduction(function, dtype_rule, rule) -> Op:
    def evaluate(x, axis, keepdims):
        return function(x, axis=axis, keepdims=keepdims)

    return Op(function.__name__, _reduction_type(dtype_rule), evaluate, rule)


sum_ = _reduction(np.sum, _sum_dtype, Linear(lambda g, x, axis, keepdims: spread(g, x, axis, keepdims)))


@numpy_function(np.sum, method="sum")
def sum(a, axis=None, dtype=None, out=None, keepdims=False, initial=0, where=True):
    """The sum along axes (None: all)."""
    _no_out(a, "np.sum", out)
    a = _prepare(a, dtype)
    if where is not True:
        a = np.where(where, a, dtype_of(a).type(0))
    total = _reduce(sum_, a, axis, keepdims)
    return total if isinstance(initial, int) and initial == 0 else total + initial


def _reduce(op, a, axis, keepdims):
    axes = normalize_axes(axis, len(shape_of(a)))
    if not axes:  # a number: NumPy gives one of its own, no Python number
        return METHODS["astype"](a, _sum_dtype(dtype_of(a)) if op in (sum_, prod_) else dtype_of(a))
    return op(a, axis=axes, keepdims=bool(keepdims))


def _prepare(a, dtype=None):
    a = np.stack(a) if isinstance(a, list | tuple) else a
    return a if dtype is None else METHODS["astype"](a, np.dtype(dtype))


def _no_out(a, name, out):
    if out is not None:
        _prepare(a)._unsupported(f"{name} with out=")


# The product of all the others along the last axis: the derivative of a product, right also where elements are zero.
def _others_derivative(v, x):
    """The derivative of `others_of_rows`, a symmetric matrix for each row, times v.

    Its element (j, k) is the product of the row without its elements j and k.
    """
    lengths = tuple(shape_of(x))
    square = (*lengths, lengths[-1])
    rows = np.broadcast_to(reshape(x, (*lengths[:-1], 1, lengths[-1])), square)
    ones = np.ones_like(rows)
    diagonal = np.triu(ones) * np.tril(ones) != 0
    matrix = others_of_rows(np.where(diagonal, dtype_of(x).type(1), rows))
    matrix = np.where(diagonal, dtype_of(x).type(0), matrix)
    return np.sum(matrix * reshape(v, (*lengths[:-1], 1, lengths[-1])), axis=-1)


others_of_rows = Op(
    "product_of_others",
    lambda args: Type(args[0].type.dtype, args[0].type.shape),
    product_of_others,
    Custom(
        lambda tangents, z, x: _others_derivative(tangents[0], x),
        lambda g, z, x: (_others_derivative(g, x),),
    ),
)


def others(x, axis):
    """For each element the product of all the others along `axis`."""
    n = len(shape_of(x))
    kept = tuple(k for k in range(n) if k not in axis)
    order = (*kept, *axis)
    lengths = tuple(shape_of(x)[k] for k in order)
    rows = reshape(np.transpose(x, order), (*lengths[: len(kept)], product(lengths[len(kept) :])))
    back = tuple(int(k) for k in np.argsort(order))
    return np.transpose(reshape(others_of_rows(rows), lengths), back)


prod_ = _reduction(
    np.prod,
    _sum_dtype,
    Custom(
        lambda tangents, z, x, axis, keepdims: np.sum(tangents[0] * others(x, axis), axis=axis, keepdims=keepdims),
        lambda g, z, x, axis, keepdims: (spread(g, x, axis, keepdims) * others(x, axis),),
    ),
)


@numpy_function(np.prod, method="prod")
def prod(a, axis=None, dtype=None, out=None, keepdims=False):
    """The product along axes (None: all); its derivative is right where elements are zero, too."""
    _no_out(a, "np.prod", out)
    return _reduce(prod_, _prepare(a, dtype), axis, keepdims)


# Extrema: the derivative is shared evenly among all that tie.
def _ties(z, x, axis, keepdims):
    """The weight of each element: 1 / (number of ties) where it is extreme, else 0."""
    hit = np.equal(x, spread(z, x, axis, keepdims))
    if dtype_of(x).kind == "f":
        hit = hit | np.isnan(x)  # NaN is the extremum of what holds one
    count = np.sum(hit, axis=axis, keepdims=True)
    number = dtype_of(x).type
    return np.where(hit, number(1) / METHODS["astype"](count, dtype_of(x)), number(0))


def _extremum_jvp(tangents, z, x, axis, keepdims):
    weights = _ties(z, x, axis, keepdims)
    zero = dtype_of(x).type(0)
    return np.sum(np.where(weights == 0, zero, weights * tangents[0]), axis=axis, keepdims=keepdims)


def _extremum_vjp(g, z, x, axis, keepdims):
    return (_ties(z, x, axis, keepdims) * spread(g, x, axis, keepdims),)


max_ = _reduction(np.max, lambda dtype: dtype, Custom(_extremum_jvp, _extremum_vjp, masks=True))
min_ = _reduction(np.min, lambda dtype: dtype, Custom(_extremum_jvp, _extremum_vjp, masks=True))


def _require_some(a, axis, name):
    message = f"zero-size array to reduction operation {name} which has no identity"
    for k in normalize_axes(axis, len(shape_of(a))):
        n = shape_of(a)[k]
        if isinstance(n, int):
            if n == 0:
                raise ValueError(message)
        else:
            require(n >= 1, message)


@numpy_function(np.max, np.amax, method="max")
def max(a, axis=None, out=None, keepdims=False, initial=None):
    """The largest element along axes; its derivative is shared evenly among ties."""
    _no_out(a, "np.max", out)
    a = _prepare(a)
    if initial is not None:
        return np.maximum(_reduce(max_, a, axis, keepdims), initial)
    _require_some(a, axis, "maximum")
    return _reduce(max_, a, axis, keepdims)


@numpy_function(np.min, np.amin, method="min")
def min(a, axis=None, out=None, keepdims=False, initial=None):
    """The smallest element along axes; its derivative is shared evenly among ties."""
    _no_out(a, "np.min", out)
    a = _prepare(a)
    if initial is not None:
        return np.minimum(_reduce(min_, a, axis, keepdims), initial)
    _require_some(a, axis, "minimum")
    return _reduce(min_, a, axis, keepdims)


@numpy_function(np.ptp)
def ptp(a, axis=None, out=None, keepdims=False):
    """Largest minus smallest."""
    return max(a, axis, out, keepdims) - min(a, axis, out, keepdims)


any_ = _reduction(np.any, lambda dtype: BOOL, Constant())
all_ = _reduction(np.all, lambda dtype: BOOL, Constant())


@numpy_function(np.any, method="any")
def any(a, axis=None, out=None, keepdims=False):
    """Whether an element is true."""
    return _reduce(any_, as_bool(_prepare(a)), axis, keepdims)


@numpy_function(np.all, method="all")
def all(a, axis=None, out=None, keepdims=False):
    """Whether every element is true."""
    return _reduce(all_, as_bool(_prepare(a)), axis, keepdims)


@numpy_function(np.count_nonzero)
def count_nonzero(a, axis=None, *, keepdims=False):
    """The number of true elements."""
    return sum(as_bool(a), axis=axis, keepdims=keepdims)


# argmax and argmin take one axis; None is the flattened array.
def _arg_reduction(function) -> Op:
    def infer(args, axis, keepdims):
        x = args[0].type
        return Type(INT64, reduced_shape(x, (axis,), keepdims))

    return Op(function.__name__, infer, lambda x, axis, keepdims: function(x, axis=axis, keepdims=keepdims),
              Constant())  # fmt: skip


argmax_, argmin_ = _arg_reduction(np.argmax), _arg_reduction(np.argmin)


def _arg_extremum(op):
    def find(a, axis=None, out=None, keepdims=False):
        a = _prepare(a)
        if axis is None:
            index = op(ravel(a), axis=0, keepdims=False) if shape_of(a) else 0
            return reshape(index, (1,) * len(shape_of(a))) if keepdims else index
        return op(a, axis=normalize_axis(axis, len(shape_of(a))), keepdims=bool(keepdims))

    return find


numpy_function(np.argmax, method="argmax")(_arg_extremum(argmax_))
numpy_function(np.argmin, method="argmin")(_arg_extremum(argmin_))


@numpy_function(np.mean, method="mean")
def mean(a, axis=None, dtype=None, out=None, keepdims=False):
    """The arithmetic mean along axes."""
    _no_out(a, "np.mean", out)
    a = _as_float(_prepare(a, dtype))
    return sum(a, axis=axis, keepdims=keepdims) / _count(a, axis)


def _count(a, axis):
    return product([shape_of(a)[k] for k in normalize_axes(axis, len(shape_of(a)))])


def _as_float(a):
    return a if dtype_of(a).kind == "f" else METHODS["astype"](a, FLOAT64)


@numpy_function(np.average)
def average(a, axis=None, weights=None, *, keepdims=False):
    """The mean, or with `weights` the weighted mean."""
    if weights is None:
        return mean(a, axis=axis, keepdims=keepdims)
    a = _prepare(a)
    if len(shape_of(weights)) != len(shape_of(a)):
        k = normalize_axis(axis, len(shape_of(a)))
        weights = reshape(weights, tuple(n if j == k else 1 for j, n in enumerate(shape_of(a))))
        weights = np.broadcast_to(weights, shape_of(a))
    elif is_building():
        x, w = as_arg(a), as_arg(weights)
        for n, m in zip(x.type.shape, w.type.shape, strict=True):
            require_equal(n, m, (x, w), "average")
    return sum(a * weights, axis=axis, keepdims=keepdims) / sum(weights, axis=axis, keepdims=keepdims)


@numpy_function(np.var, method="var")
def var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, correction=None):
    """The variance along axes."""
    _no_out(a, "np.var", out)
    a = _as_float(_prepare(a, dtype))
    ddof = ddof if correction is None else correction
    centred = a - mean(a, axis=axis, keepdims=True)
    return sum(np.square(centred), axis=axis, keepdims=keepdims) / (_count(a, axis) - ddof)


# The square root of a sum of squares: its kink at 0 has the derivative 0, where that of sqrt is infinite.
def _half_over(z):
    return np.where(z == 0, dtype_of(z).type(0), 0.5 / np.where(z == 0, dtype_of(z).type(1), z))


root = Op(
    "root",
    lambda args: Type(args[0].type.dtype, args[0].type.shape),
    np.sqrt,
    Custom(
        lambda tangents, z, x: tangents[0] * _half_over(z),
        lambda g, z, x: (g * _half_over(z),),
    ),
)


@numpy_function(np.std, method="std")
def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, correction=None):
    """The standard deviation along axes; the derivative is 0 where it is 0."""
    return root(var(a, axis, dtype, out, ddof, keepdims, correction=correction))


# Scans along one axis.
def _scan_type(args, axis):
    return Type(_sum_dtype(args[0].type.dtype), args[0].type.shape)


def _cumsum_transpose(g, x, axis):
    return np.flip(cumsum_(np.flip(g, axis), axis=axis), axis)


cumsum_ = Op("cumsum", _scan_type, lambda x, axis: np.cumsum(x, axis=axis), Linear(_cumsum_transpose))


@numpy_function(np.cumsum, method="cumsum")
def cumsum(a, axis=None, dtype=None, out=None):
    """Running sums along an axis; None is the flattened array."""
    _no_out(a, "np.cumsum", out)
    a = _prepare(a, dtype)
    if axis is None:
        a, axis = ravel(a), 0
    return cumsum_(a, axis=normalize_axis(axis, len(shape_of(a))))


@numpy_function(np.diff)
def diff(a, n=1, axis=-1):
    """Differences of neighbours."""
    axis = normalize_axis(axis, len(shape_of(a)))
    before = (slice(None),) * axis
    for _ in range(n):
        after, first = a[(*before, slice(1, None))], a[(*before, slice(None, -1))]
        a = np.not_equal(after, first) if dtype_of(a) == BOOL else after - first
    return a
