"""NumPy's functions as the traced function calls them.

What makes arrays is always caught, since they may be written to; so is what makes views, what writes, and what takes lists
of traced values. All else is looked up in the operation table.
"""

from __future__ import annotations

import math
import types

import numpy as np

from jitgrad.errors import UnsupportedError
from jitgrad.ir.types import FLOAT64, Type
from jitgrad.ops import create
from jitgrad.ops.index import add_at, parse_index
from jitgrad.ops.registry import FUNCTIONS, METHODS, UFUNCS, lookup
from jitgrad.ops.symbolic import Expr, as_arg, current
from jitgrad.trace.arrays import array_from, as_array, astype, holds_expr
from jitgrad.trace.static import fold
from jitgrad.trace.values import Cell, View, cast_in_place, is_basic, own, plain, refuse, snapshot

_SMALL = 32  # arrays of numbers up to this size become part of the program, larger ones an input of it


def is_numpy(function: object) -> bool:
    """Whether a callable is NumPy's own."""
    if isinstance(function, np.ufunc):
        return True
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, np.ufunc):
        return True
    module = getattr(function, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] == "numpy"


def call(function, args: tuple, kwargs: dict) -> object:
    """Call a NumPy function or ufunc with traced values among the arguments, or to make an array."""
    handler = INTERCEPTED.get(function) if getattr(function, "__hash__", None) else None
    if handler is not None:
        return own(handler(*args, **kwargs))
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, np.ufunc):
        return _ufunc_method(function.__self__, function.__name__, args, kwargs)
    out = kwargs.get("out")
    if isinstance(out, tuple) and len(out) == 1:
        out = out[0]
    if isinstance(out, Cell):
        rest = {k: v for k, v in kwargs.items() if k != "out"}
        return _write_out(function, out, call(function, args, rest))
    args, kwargs = snapshot(args), {k: snapshot(v) for k, v in kwargs.items()}
    if isinstance(function, type) and issubclass(function, np.generic):
        return _convert(function, args)
    if not (holds_expr(args) or holds_expr(kwargs)):
        return concrete(function(*args, **kwargs))
    return own_all(_apply(function, args, kwargs))


def _apply(function, args: tuple, kwargs: dict) -> object:
    if isinstance(function, np.ufunc):
        args = tuple(as_array(a) for a in args)
        if not kwargs and function in UFUNCS:
            return UFUNCS[function](*args)
        return function(*args, **kwargs)
    implementation = lookup(function)
    if implementation is not None:
        return implementation(*_lists_to_arrays(function, args), **kwargs)
    known = _fold_all((args, kwargs))
    if known is not None:  # all of it is known while tracing: NumPy itself can do it
        return concrete(function(*known[0], **known[1]))
    name = f"{(function.__module__ or 'numpy').replace('numpy', 'np', 1)}.{function.__name__}"
    raise UnsupportedError(
        f"{name} has no derivative rule in jitgrad (docs/operations.md lists what has one)",
        current().loc.syntax_location(),
    )


# Functions whose first argument is a sequence of arrays rather than an array.
_SEQUENCES = {
    np.concatenate, np.stack, np.vstack, np.hstack, np.column_stack, np.dstack, np.block, np.broadcast_arrays,
    np.einsum, np.linalg.multi_dot, np.meshgrid,
}  # fmt: skip


def _lists_to_arrays(function, args: tuple) -> tuple:
    if function in _SEQUENCES:
        return args
    # A tuple after the first argument is a shape or an axis.
    return tuple(as_array(a) if k == 0 or isinstance(a, list) else a for k, a in enumerate(args))


def _fold_all(x: object) -> object:
    """The arguments with every traced value replaced by what it is known to be; None if one isn't."""
    if isinstance(x, Expr):
        return fold(x)
    if isinstance(x, list | tuple):
        parts = [_fold_all(e) for e in x]
        if any(p is None and e is not None for p, e in zip(parts, x, strict=True)):
            return None
        return type(x)(parts) if type(x) in (list, tuple) else tuple(parts)
    if isinstance(x, dict):
        parts = _fold_all(list(x.values()))
        return None if parts is None else dict(zip(x, parts, strict=True))
    return x


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


def _convert(dtype: type, args: tuple) -> object:
    """`np.float32(x)` and the like."""
    if not args or not holds_expr(args):
        return concrete(dtype(*args))
    return own(METHODS["astype"](array_from(args[0]), np.dtype(dtype)))


def _write_out(function, out: Cell, result: object) -> Cell:
    """`function(..., out=out)`."""
    result = plain(result) if isinstance(result, Expr) else Expr(as_arg(np.asarray(result)))
    ufunc = function if isinstance(function, np.ufunc) and function.nin == 1 else np.add
    if isinstance(function, np.ufunc) or result.dtype != out.dtype:
        result = cast_in_place(ufunc, plain(out), _spread(result, out), result) if ufunc is np.add else _cast(result, out)
    out[...] = result
    return out


def _spread(result: Expr, out: Cell) -> Expr:
    return result if result.ndim == out.ndim else FUNCTIONS[np.broadcast_to](result, out.shape)


def _cast(result: Expr, out: Cell) -> Expr:
    if not np.can_cast(result.dtype, out.dtype, "same_kind"):
        raise TypeError(f"Cannot cast ufunc output from {result.dtype!r} to {out.dtype!r} with casting rule 'same_kind'")
    return result


def _ufunc_method(ufunc: np.ufunc, name: str, args: tuple, kwargs: dict) -> object:
    if name == "at":
        return _ufunc_at(ufunc, *args)
    args = tuple(as_array(a) for a in snapshot(args))
    return own_all(getattr(ufunc, name)(*args, **snapshot(kwargs)))


def _ufunc_at(ufunc: np.ufunc, target: object, index: object, value: object = None) -> None:
    """`np.add.at(x, index, v)`: repeated indices add up."""
    if not isinstance(target, Cell) or ufunc not in (np.add, np.subtract):
        raise UnsupportedError(f"np.{ufunc.__name__}.at is not supported", current().loc.syntax_location())
    target.check_writable()
    x, value = plain(target), plain(as_array(value))
    pattern, operands = parse_index(x, snapshot(index))
    value = -value if ufunc is np.subtract else value
    value = value if isinstance(value, Expr) else np.asarray(value)
    if not np.can_cast(value.dtype, x.dtype, "same_kind"):
        raise TypeError(f"Cannot cast ufunc '{ufunc.__name__}' output from {value.dtype!r} to {x.dtype!r}")
    value = value.astype(x.dtype) if isinstance(value, np.ndarray) else astype(value, x.dtype)
    target.store(add_at(x, value if np.ndim(value) else value[()] if isinstance(value, np.ndarray) else value,
                        *operands, pattern=pattern))  # fmt: skip


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


def _array(object, dtype=None, *, copy=True, order="K", subok=False, ndmin=0, **ignored):
    """`np.array`: a new array, whatever it is made of."""
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
    if 0 < array.size <= _SMALL and 0 < array.ndim and array.dtype.kind in "biuf":
        if (array == array.flat[0]).all():
            return create.full(array.shape, array.flat[0], array.dtype)
        from_items = FUNCTIONS[np.stack]
        flat = [array.dtype.type(v) for v in array.flat]
        return _items(flat, array.shape) if from_items else None
    return concrete(array)


def _items(flat: list, shape: tuple) -> Expr:
    from jitgrad.trace.arrays import scalars

    return scalars(flat, shape)


def _asarray(a, dtype=None, order=None, **ignored):
    """`np.asarray`: the same array, if it has the dtype already."""
    if isinstance(a, Cell) and (dtype is None or a.dtype == np.dtype(dtype)):
        return a
    return _array(a, dtype)


def _asfloat(a, dtype=np.float64):
    return _asarray(a, dtype)


def _contiguous(a, dtype=None, **ignored):
    return _asarray(a, dtype) if not isinstance(a, Cell) or a.contiguous else _array(a, dtype)


# Views.
def _as_cell(x: object) -> object:
    return own(x) if isinstance(x, Expr) else own(_array(x))


def _by_shape(function):
    """A function that changes the shape only: its result is another shape of the same cell."""

    def view(a, *args, **kwargs):
        a = _as_cell(a)
        if not isinstance(a, Cell):
            return FUNCTIONS[function](a, *args, **kwargs)
        new = FUNCTIONS[function](plain(a), *snapshot(args), **snapshot(kwargs))
        return a if new.value is a.value else a.reshaped(new)

    return view


def _reshape(a, /, shape=None, order="C", *, newshape=None, copy=None):
    return _as_cell(a).reshape(newshape if shape is None else shape, order=order, copy=copy)


def _by_order(function):
    """A function that changes the order of the axes only."""

    def view(a, *args, **kwargs):
        a = _as_cell(a)
        # NumPy itself says which axis goes where, on an array whose lengths tell the axes apart.
        probe = function(np.empty(tuple(range(2, 2 + a.ndim)), np.bool_), *args, **kwargs)
        return a.transpose(tuple(n - 2 for n in probe.shape)) if isinstance(a, Cell) else a

    return view


def _by_index(function):
    """A function that is written over basic indexing, so that cells give views by themselves."""
    return lambda a, *args, **kwargs: FUNCTIONS[function](_as_cell(a), *snapshot(args), **snapshot(kwargs))


def _read_only(function, applies=lambda a: True):
    """A function whose result is a view that can't be written to."""

    def view(a, *args, **kwargs):
        a = _as_cell(as_array(a))
        args, kwargs = snapshot(args), snapshot(kwargs)
        result = FUNCTIONS[function](plain(a), *args, **kwargs)
        if not isinstance(a, Cell) or not applies(a) or not result.ndim:
            return result
        return View(a, result, lambda b: FUNCTIONS[function](b, *args, **kwargs), None, False)

    return view


# Writes.
def _copyto(dst, src, casting="same_kind", where=True):
    if where is True:
        dst[...] = src
    else:
        dst.store(np.where(plain(where), METHODS["astype"](plain(src), dst.dtype), plain(dst)))


def _refused(name: str):
    def refused(*args, **kwargs):
        raise UnsupportedError(f"np.{name} is not supported", current().loc.syntax_location())

    return refused


def _isscalar(x):
    return not x.ndim if isinstance(x, Expr) else np.isscalar(x)


def _shape(a):
    return np.shape(a) if not holds_expr(a) else tuple(array_from(a).shape)


def _ndim(a):
    return len(_shape(a))


# NumPy function -> what stands for it, with cells as they are.
INTERCEPTED: dict[object, object] = {
    np.zeros: _zeros, np.ones: _ones, np.empty: _zeros, np.full: _full, np.eye: _eye, np.arange: _arange,
    np.identity: lambda n, dtype=None, **ignored: _eye(n, dtype=dtype), np.linspace: _linspace,
    np.zeros_like: _like(0), np.ones_like: _like(1), np.empty_like: _like(0), np.full_like: _full_like,
    np.array: _array, np.asarray: _asarray, np.asanyarray: _asarray, np.ascontiguousarray: _contiguous,
    np.asfortranarray: _array, np.asarray_chkfinite: _asarray,
    np.copy: lambda a, *args, **kwargs: _array(a), np.copyto: _copyto,
    np.reshape: _reshape, np.ravel: lambda a, order="C": _as_cell(a).ravel(order),
    np.isscalar: _isscalar, np.shape: _shape, np.ndim: _ndim,
    **{f: _by_shape(f) for f in (np.squeeze, np.expand_dims, np.atleast_1d, np.atleast_2d) if f in FUNCTIONS},
    **{f: _by_order(f) for f in (np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, getattr(np, "matrix_transpose", None),
                                 getattr(np, "permute_dims", None)) if f is not None},
    **{f: _by_index(f) for f in (np.flip, np.flipud, np.fliplr, np.split, np.array_split) if f in FUNCTIONS},
    np.broadcast_to: _read_only(np.broadcast_to),
    **{f: _read_only(f, lambda a: a.ndim > 1) for f in (np.diag, np.diagonal) if f in FUNCTIONS},
    **{getattr(np, n): _refused(n) for n in ("put", "place", "putmask", "fill_diagonal", "put_along_axis", "resize")},
}  # fmt: skip

# `math`'s functions, on traced numbers.
MATH: dict[object, object] = {
    getattr(math, name): ufunc
    for name, ufunc in {
        "exp": np.exp, "expm1": np.expm1, "log1p": np.log1p, "log2": np.log2, "log10": np.log10, "sqrt": np.sqrt,
        "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
        "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
        "atanh": np.arctanh, "atan2": np.arctan2, "hypot": np.hypot, "pow": np.float_power, "fabs": np.fabs,
        "copysign": np.copysign, "fmod": np.fmod, "degrees": np.degrees, "radians": np.radians, "exp2": np.exp2,
        "cbrt": np.cbrt, "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
        "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    }.items()
    if hasattr(math, name)
}  # fmt: skip


def call_math(function, args: tuple) -> Expr:
    """A function of `math`: like Python's floats its result doesn't promote arrays."""
    args = tuple(_number(a) for a in args)
    if function is math.log:
        result = np.log(args[0]) if len(args) == 1 else np.log(args[0]) / np.log(args[1])
    else:
        result = MATH[function](*args)
    if function in (math.floor, math.ceil, math.trunc):
        return weak(METHODS["astype"](result, np.dtype(np.int64)))
    return result if result.dtype == np.bool_ else weak(astype(result, FLOAT64))


def _number(x: object) -> object:
    if not isinstance(x, Expr):
        return x
    if x.ndim:
        if all(n == 1 for n in x.type.shape):
            return METHODS["reshape"](plain(x), ())
        raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
    return astype(x, FLOAT64)


def weak(x: Expr) -> Expr:
    """`x` as a Python number, which doesn't promote arrays."""
    x.value.type = Type(x.dtype, (), weak=True)
    return x


# Code without source reaches NumPy through its protocols, and gets the same cells and views.
def _array_function(self, function, types, args, kwargs):
    return call(function, args, kwargs)


def _array_ufunc(self, ufunc, method, *inputs, **kwargs):
    return call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)


Cell.__array_function__ = _array_function
Cell.__array_ufunc__ = _array_ufunc

__all__ = ["INTERCEPTED", "MATH", "call", "call_math", "concrete", "is_basic", "is_numpy", "own_all", "weak"]
