"""NumPy's functions that make arrays. They are always caught: what they make may be written to."""

from __future__ import annotations

import numpy as np

from jitgrad.errors import UnsupportedError
from jitgrad.ops import create
from jitgrad.ops.registry import METHODS
from jitgrad.ops.symbolic import Expr, as_arg, current
from jitgrad.trace.arrays import array_from, as_array, astype, holds_expr, scalars
from jitgrad.trace.values import Cell, own, plain, refuse, snapshot

_SMALL = 32  # arrays of numbers up to this size become part of the program, larger ones an input of it


def concrete(result: object) -> object:
    """What NumPy has computed while tracing; arrays become cells, as they may be written to."""
    if isinstance(result, np.ndarray):
        if result.dtype.kind not in "biuf":
            return result
        if result.ndim == 0:
            return result[()]
        return Cell(current().capture(np.array(result)))
    if type(result) is tuple:
        return tuple(concrete(r) for r in result)
    return [concrete(r) for r in result] if type(result) is list else result


def own_all(result: object) -> object:
    """`own` for results that are several arrays."""
    if type(result) is tuple:
        return tuple(own_all(r) for r in result)
    return [own_all(r) for r in result] if type(result) is list else own(result)


# Arrays from nothing but numbers.
def _zeros(shape, dtype=None, order="C", **ignored):
    return _filled(shape, 0, float if dtype is None else dtype)


def _ones(shape, dtype=None, order="C", **ignored):
    return _filled(shape, 1, float if dtype is None else dtype)


def _full(shape, fill_value, dtype=None, order="C", **ignored):
    return _filled(shape, plain(as_array(fill_value)), dtype)


def _filled(shape, value, dtype):
    shape = tuple(shape) if isinstance(shape, list | tuple | np.ndarray) else (shape,)
    shape = tuple(n if isinstance(n, Expr) else int(n.__index__()) for n in shape)
    if any(isinstance(n, int) and n < 0 for n in shape):
        raise ValueError("negative dimensions are not allowed")
    if isinstance(value, np.ndarray):
        value = Expr(as_arg(value))
    if dtype is not None and np.dtype(dtype).kind not in "biuf":
        refuse(f"arrays of dtype {np.dtype(dtype)} are not supported: only booleans, integers and real floats are")
    return create.full(shape, value, dtype)


def _eye(N, M=None, k=0, dtype=float, order="C", **ignored):
    return create.eye(N, M, k, float if dtype is None else dtype)


def _arange(start, stop=None, step=None, dtype=None, **ignored):
    return create.arange(start, stop, step, dtype)


def _linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0, **ignored):
    if axis != 0 or retstep or np.ndim(start) or np.ndim(stop):
        raise UnsupportedError("np.linspace between arrays, or with retstep=, is not supported")
    return create.linspace(start, stop, num, endpoint, dtype)


def _like(value):
    def make(a, dtype=None, order="K", subok=True, shape=None, **ignored):
        a = plain(as_array(a))
        dtype = dtype or (a.dtype if hasattr(a, "dtype") else np.asarray(a).dtype)
        return _filled(np.shape(a) if shape is None else shape, value, dtype)

    return make


def _full_like(a, fill_value, dtype=None, order="K", subok=True, shape=None, **ignored):
    return _like(plain(as_array(fill_value)))(a, dtype, shape=shape)


def make_array(object, dtype=None, *, copy=True, order="K", subok=False, ndmin=0, **ignored):
    """`np.array`: a new array, whatever it is made of."""
    if isinstance(object, Cell) and not copy and (dtype is None or object.dtype == np.dtype(dtype)):
        return object
    if isinstance(object, Expr):
        new = plain(object)
        new = METHODS["astype"](new, np.dtype(dtype)) if dtype is not None else METHODS["copy"](new)
    elif isinstance(object, list | tuple) and holds_expr(object):
        new = astype(array_from(snapshot(object)), dtype)
    else:
        new = _constant(np.array(object, dtype))
    if isinstance(new, Expr) and new.ndim < ndmin:
        new = METHODS["reshape"](new, (1,) * (ndmin - new.ndim) + tuple(new.shape))
    return new


def _constant(array: np.ndarray) -> object:
    """An array of numbers that are known while tracing."""
    if 0 < array.size <= _SMALL and array.ndim > 0 and array.dtype.kind in "biuf":
        if (array == array.flat[0]).all():
            return create.full(array.shape, array.flat[0], array.dtype)
        return scalars([array.dtype.type(v) for v in array.flat], array.shape)
    return concrete(array)


def _asarray(a, dtype=None, order=None, **ignored):
    """`np.asarray`: the same array, if it has the dtype already."""
    if isinstance(a, Cell) and (dtype is None or a.dtype == np.dtype(dtype)):
        return a
    return make_array(a, dtype)


def _contiguous(a, dtype=None, **ignored):
    return _asarray(a, dtype) if not isinstance(a, Cell) or a.contiguous else make_array(a, dtype)


CREATION = {
    np.zeros: _zeros, np.ones: _ones, np.empty: _zeros, np.full: _full, np.eye: _eye, np.arange: _arange,
    np.identity: lambda n, dtype=None, **ignored: _eye(n, dtype=dtype), np.linspace: _linspace,
    np.zeros_like: _like(0), np.ones_like: _like(1), np.empty_like: _like(0), np.full_like: _full_like,
    np.array: make_array, np.asarray: _asarray, np.asanyarray: _asarray, np.ascontiguousarray: _contiguous,
    np.asfortranarray: make_array, np.asarray_chkfinite: _asarray,
    np.copy: lambda a, *args, **kwargs: make_array(a),
}  # fmt: skip
