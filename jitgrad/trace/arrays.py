"""Arrays made of nested lists that hold traced values, as `np.array` makes them."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Const
from jitgrad.ops.registry import FUNCTIONS, METHODS
from jitgrad.ops.shape import array_
from jitgrad.ops.symbolic import Expr, as_arg, current


class ReadOnlyMark:
    """Base of the read-only copies of containers; here so that everything knows them."""

    __slots__ = ()


def is_of(x: object, package: str) -> bool:
    """Whether the class, or the function, `x` is defined in a package."""
    module = getattr(x, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] == package


def holds_expr(x: object) -> bool:
    """Whether there is a traced value in nested lists, tuples and dicts."""
    if isinstance(x, Expr):
        return True
    if isinstance(x, list | tuple):
        return any(map(holds_expr, x))
    return isinstance(x, dict) and any(map(holds_expr, x.values()))


def as_array(x: object) -> object:
    """Lists that hold traced values, as an array; anything else as it is."""
    return array_from(x) if isinstance(x, list | tuple) and holds_expr(x) else x


def array_from(x: object) -> object:
    """An `Expr` for nested lists of numbers, traced scalars and arrays."""
    if isinstance(x, Expr):
        return Expr(x.value)
    if not isinstance(x, list | tuple):
        return np.asarray(x)
    leaves: list[object] = []
    shape = _nesting(x, leaves)
    if shape is not None:
        return scalars(leaves, shape)
    parts = [array_from(p) for p in x]
    if len({np.ndim(p) for p in parts}) != 1:
        raise ValueError("setting an array element with a sequence. The requested array has an inhomogeneous shape")
    return FUNCTIONS[np.stack](parts)


def scalars(items: list, shape: tuple[int, ...]) -> Expr:
    """An array of scalars, traced or not."""
    args = tuple(as_arg(i) for i in items)
    if all(a.type == args[0].type and isinstance(a, Const) and a.value == args[0].value for a in args):
        return FUNCTIONS[np.broadcast_to](Expr(as_arg(np.full((1,) * len(shape), items[0]))), shape)
    return current().emit(array_, args, {"shape": shape})


def _nesting(x: object, leaves: list) -> tuple[int, ...] | None:
    """The shape of nested lists of scalars, collecting these; None if ragged, or if there is an array."""
    if isinstance(x, list | tuple):
        inner = [_nesting(p, leaves) for p in x]
        if None in inner or len(set(inner)) > 1:
            return None
        return (len(x), *inner[0]) if inner else None
    if np.ndim(x) if not isinstance(x, Expr) else x.ndim:
        return None
    leaves.append(x)
    return ()


def astype(x: object, dtype: object) -> object:
    """`x` in a dtype, which may be None."""
    if dtype is None or x.dtype == np.dtype(dtype):
        return x
    return METHODS["astype"](x, np.dtype(dtype))
