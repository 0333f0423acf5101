"""NumPy's functions as the traced function calls them.

What makes arrays is always caught, since they may be written to; so is what makes views, what writes, and
what takes lists of traced values. All else is looked up in the operation table.
"""

from __future__ import annotations

import types

import numpy as np

from jitgrad.errors import UnsupportedError
from jitgrad.ops.arraylike import numpy_name
from jitgrad.ops.brackets import parse_index
from jitgrad.ops.index import add_at
from jitgrad.ops.registry import FUNCTIONS, METHODS, UFUNCS, lookup, misfit
from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace import growing
from jitgrad.trace.arrays import array_from, as_array, astype, holds_expr, is_of
from jitgrad.trace.creation import CREATION, concrete, own_all
from jitgrad.trace.static import fold
from jitgrad.trace.values import Cell, own, plain, snapshot
from jitgrad.trace.view_functions import VIEWS


def is_numpy(function: object) -> bool:
    """Whether a callable is NumPy's own."""
    if isinstance(function, np.ufunc):
        return True
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, np.ufunc):
        return True
    # A transformed NumPy function is ours.
    return is_of(function, "numpy") and not is_of(type(function), "jitgrad")


def call(function, args: tuple, kwargs: dict) -> object:
    """Call a NumPy function or ufunc with traced values among the arguments, or to make an array."""
    if args and function in _SEQUENCES and growing.has_stretch(args[0]):
        joined = growing.put_together(function, *args, **kwargs)
        if joined is not None:
            return own(joined)
        growing.expand(args[0], f"np.{function.__name__}")
    elif any(map(growing.has_stretch, args)):
        args = growing.with_arrays(args)
    handler = INTERCEPTED.get(function) if getattr(function, "__hash__", None) else None
    if handler is not None:
        return own(handler(*args, **kwargs))
    if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, np.ufunc):
        return _ufunc_method(function.__self__, function.__name__, args, kwargs)
    if isinstance(function, np.ufunc) and function.nout == 1 and len(args) > function.nin:
        args, kwargs = args[: function.nin], {**kwargs, "out": args[function.nin]}
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
    unknown = misfit(implementation, args, kwargs) if implementation is not None and kwargs else None
    if implementation is not None and unknown is None:
        return implementation(*_lists_to_arrays(function, args), **kwargs)
    known = _fold_all((args, kwargs))
    if known is not None:  # all of it is known while tracing: NumPy itself can do it
        return concrete(function(*known[0], **known[1]))
    name = numpy_name(function) if unknown is None else f"{numpy_name(function)} with {unknown}"
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
        parts = args[0] if args and isinstance(args[0], list | tuple) else None
        return args if parts is None else (type(parts)(as_array(p) for p in parts), *args[1:])
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


def _convert(dtype: type, args: tuple) -> object:
    """`np.float32(x)` and the like."""
    if not args or not holds_expr(args):
        return concrete(dtype(*args))
    return own(METHODS["astype"](array_from(args[0]), np.dtype(dtype)))


def _write_out(function, out: Cell, result: object) -> Cell:
    """`function(..., out=out)`."""
    result = plain(result) if isinstance(result, Expr) else np.asarray(result)
    if not np.can_cast(result.dtype, out.dtype, "same_kind"):
        raise TypeError(
            f"Cannot cast {function.__name__} output from {result.dtype!r} to {out.dtype!r} with casting "
            "rule "
            "'same_kind'"
        )
    out[...] = result
    return out


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


def _isscalar(x):
    return not x.ndim if isinstance(x, Expr) else np.isscalar(x)


def _nan_to_num(x, copy=True, **kwargs):
    result = FUNCTIONS[np.nan_to_num](plain(as_array(x)), **kwargs)
    if copy or not isinstance(x, Cell):
        return result
    x[...] = result
    return x


def _shape(a):
    return np.shape(a) if not holds_expr(a) else tuple(array_from(a).shape)


def _ndim(a):
    return len(_shape(a))


# NumPy function -> what stands for it, with cells as they are.
INTERCEPTED: dict[object, object] = {
    **CREATION, **VIEWS, np.nan_to_num: _nan_to_num,
    np.isscalar: _isscalar, np.shape: _shape, np.ndim: _ndim,
}  # fmt: skip


# Code without source reaches NumPy through its protocols, and gets the same cells and views.
def _array_function(self, function, types, args, kwargs):
    return call(function, args, kwargs)


def _array_ufunc(self, ufunc, method, *inputs, **kwargs):
    return call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)


Cell.__array_function__ = _array_function
Cell.__array_ufunc__ = _array_ufunc
