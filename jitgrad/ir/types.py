"""Types of values: a dtype, and a length for each axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jitgrad.ir.graph import Value

BOOL = np.dtype(np.bool_)
INT64 = np.dtype(np.int64)
UINT64 = np.dtype(np.uint64)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value.

    `shape` holds one entry an axis: an int where the length is known while tracing, else the int64 `Value` that
    holds it at run time. An axis whose length is the int 1 broadcasts; any other axis never does, also when
    its length turns out to be one: what broadcasts is decided while tracing, once for all batch sizes.

    `weak` marks Python numbers, which don't promote arrays (NumPy 2's rule, NEP 50).
    """

    dtype: np.dtype
    shape: tuple[int | Value, ...] = ()
    weak: bool = False

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def is_float(self) -> bool:
        return self.dtype.kind == "f"

    def with_dtype(self, dtype: np.dtype) -> Type:
        return Type(np.dtype(dtype), self.shape)


def scalar_type(value: object) -> Type:
    """The type of a Python or NumPy scalar; Python's ints and floats are weak."""
    if isinstance(value, (bool, np.bool_)):
        return Type(BOOL)
    if isinstance(value, np.generic):
        return Type(value.dtype)
    if isinstance(value, int):
        return Type(INT64, (), weak=True)
    if isinstance(value, float):
        return Type(FLOAT64, (), weak=True)
    raise TypeError(f"a {type(value).__name__} is no number that jitgrad can compute with")
