"""What Python's operators demand of integers. NumPy's integers go without: of a division by zero it makes zero."""

from __future__ import annotations

import numpy as np

from jitgrad.ops.control import require
from jitgrad.ops.registry import DEMANDS
from jitgrad.ops.rules import dtype_of
from jitgrad.ops.symbolic import as_arg


def demand(*ufuncs: np.ufunc):
    """Decorator: this function makes sure that these operators have what they need."""

    def register(function):
        DEMANDS.update(dict.fromkeys(ufuncs, function))
        return function

    return register


def _are_pythons(*args: object) -> bool:
    types = [as_arg(a).type for a in args]
    return all(t.weak and t.dtype.kind == "i" for t in types)


@demand(np.floor_divide, np.remainder)
def divide(x, y):
    if _are_pythons(x, y):
        require(y != 0, "integer division or modulo by zero")


@demand(np.left_shift, np.right_shift)
def shift(x, y):
    if _are_pythons(x, y):
        require(y >= 0, "negative shift count")


@demand(np.power)
def power(x, y):
    """Python makes a float of it, whose type can't depend on a run-time value; NumPy refuses."""
    if dtype_of(x).kind in "iu" and dtype_of(y).kind == "i":
        require(np.all(np.greater_equal(y, 0)), "Integers to negative integer powers are not allowed.")
