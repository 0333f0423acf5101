"""What writing in place does to dtypes and shapes: NumPy's rules for `x op= y`."""

from __future__ import annotations

import numpy as np

from jitgrad.ops.registry import METHODS
from jitgrad.ops.symbolic import Expr


def cast_in_place(ufunc: np.ufunc, target: Expr, result: Expr, other: object) -> Expr:
    """What is written back by `target op= other`: in the dtype and shape of the target, or NumPy's error."""
    if not np.can_cast(result.dtype, target.dtype, "same_kind"):
        dtype = getattr(other, "dtype", None)
        sample = np.ones(1, dtype) if dtype is not None else other
        place = np.ones(1, target.dtype)
        ufunc(place, sample, out=place, casting="same_kind")  # raises NumPy's own casting error
    shape, wanted = result.type.shape, target.type.shape
    if len(shape) != len(wanted) or any(_is_one(m) and not _is_one(n) for n, m in zip(shape, wanted, strict=True)):
        raise ValueError(
            f"non-broadcastable output operand with shape {_show(wanted)} doesn't match the broadcast shape "
            f"{_show(shape)}"
        )
    return result if result.dtype == target.dtype else METHODS["astype"](result, target.dtype)


def _is_one(n: object) -> bool:
    return isinstance(n, int) and n == 1


def _show(shape: tuple) -> str:
    names = [str(n) if isinstance(n, int) else (n.name or "?") for n in shape]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
