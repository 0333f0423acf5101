"""Type rules that several families of operations share."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Value
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.control import require_equal
from jitgrad.ops.symbolic import current

COMPARISONS = (np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal)
_PYTHON = {"i": int, "f": float}


def ufunc_dtypes(ufunc: np.ufunc, args: tuple[Arg, ...], dtype: np.dtype | None = None) -> tuple[np.dtype, ...]:
    """The dtypes in which NumPy would compute: of each argument, then of the result."""
    wanted = tuple(_PYTHON.get(a.type.dtype.kind, a.type.dtype) if a.type.weak else a.type.dtype for a in args)
    if all(a.type.weak for a in args) or (ufunc in COMPARISONS and any(_may_not_fit(a, args) for a in args)):
        wanted = tuple(a.type.dtype for a in args)  # NumPy asks for one dtype at least; it compares exactly
    return ufunc.resolve_dtypes((*wanted, dtype))


def _may_not_fit(arg: Arg, others: tuple[Arg, ...]) -> bool:
    """Whether a Python integer may be outside of the range of the integers that it meets."""
    if not (arg.type.weak and arg.type.dtype == INT64):
        return False
    ranges = [np.iinfo(a.type.dtype) for a in others if a.type.dtype.kind in "iu" and not a.type.weak]
    return any(isinstance(arg, Value) or not r.min <= arg.value <= r.max for r in ranges)


def elementwise_type(ufunc: np.ufunc):
    """The type rule of a ufunc: NumPy's own dtypes, and the broadcast shape."""

    def infer(args: tuple[Arg, ...]) -> Type:
        dtype = ufunc_dtypes(ufunc, args)[-1]
        return Type(dtype, broadcast(args))

    return infer


def broadcast(args: tuple[Arg, ...]) -> tuple[int | Value, ...]:
    """The shape that the arguments broadcast to, after making sure that it exists."""
    shapes = [a.type.shape for a in args if a.type.shape]
    if len(shapes) <= 1:
        return shapes[0] if shapes else ()
    result: list[int | Value] = []
    for k in range(-max(map(len, shapes)), 0):
        axes = [s[k] for s in shapes if len(s) >= -k]
        axes = [n for n in axes if not (isinstance(n, int) and n == 1)] or [1]
        axes.sort(key=lambda n: isinstance(n, Value))  # a known length is the better one to go on with
        for n in axes[1:]:
            require_equal(axes[0], n, args, "broadcast")
        result.append(axes[0])
    return tuple(result)


def normalize_axis(axis: object, ndim: int) -> int:
    """An axis as a number from 0 to `ndim - 1`; NumPy's `AxisError` otherwise."""
    axis = int(axis.__index__())
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


def normalize_axes(axis: object, ndim: int) -> tuple[int, ...]:
    """The axes of a reduction, in order; None means all of them."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    result = tuple(sorted(normalize_axis(a, ndim) for a in axes))
    if len(set(result)) != len(result):
        raise ValueError("duplicate value in 'axis'")
    return result


def same_type(args: tuple[Arg, ...], **attrs) -> Type:
    x = args[0].type
    return Type(x.dtype, x.shape, x.weak)


def integer(args: tuple[Arg, ...], **attrs) -> Type:
    return Type(INT64, (), weak=True)


def length_args(args: tuple[Arg, ...]) -> tuple[int | Value, ...]:
    """Arguments that are lengths, as a type's shape holds them."""
    return tuple(a if isinstance(a, Value) else int(a.value) for a in args)


def checking() -> bool:
    return current().checking
