"""The functions of Python's `math`, on traced numbers."""

from __future__ import annotations

import math

import numpy as np

from jitgrad.errors import UnsupportedError
from jitgrad.ir.graph import Node, Value
from jitgrad.ir.types import FLOAT64, INT64, Type
from jitgrad.ops import special
from jitgrad.ops.elementwise import astype as astype_op
from jitgrad.ops.registry import METHODS
from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace.arrays import astype
from jitgrad.trace.values import plain

MATH: dict[object, object] = {
    getattr(math, name): ufunc
    for name, ufunc in {
        "exp": np.exp, "expm1": np.expm1, "log1p": np.log1p, "log2": np.log2, "log10": np.log10,
        "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
        "atan": np.arctan,
        "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
        "atanh": np.arctanh, "atan2": np.arctan2, "hypot": np.hypot, "pow": np.power, "fabs": np.fabs,
        "copysign": np.copysign, "fmod": np.fmod, "degrees": np.degrees, "radians": np.radians,
        "exp2": np.exp2, "cbrt": np.cbrt, "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
        "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    }.items()
    if hasattr(math, name)
}  # fmt: skip
MATH |= {math.erf: special.erf, math.erfc: special.erfc, math.lgamma: special.lgamma}


# Functions that have no derivative rule.
UNSUPPORTED = [
    getattr(math, name)
    for name in ("gamma", "dist", "modf", "frexp", "ldexp", "remainder", "nextafter")
    if hasattr(math, name)
]


def call_math(function, args: tuple, elementwise: bool = False) -> Expr:
    """A function of `math`: like Python's floats its result doesn't promote arrays.

    `elementwise` allows arrays, in functions for scalars that Numba applies to each element.
    """
    if function in UNSUPPORTED:
        raise UnsupportedError(
            f"math.{function.__name__} has no derivative rule in jitgrad (docs/operations.md lists what has one)",
            current().loc.syntax_location(),
        )
    if elementwise and any(isinstance(a, Expr) and a.ndim for a in args):
        return (np.log if function is math.log else MATH[function])(*args)
    args = tuple(astype(scalar(a), FLOAT64) if isinstance(a, Expr) else a for a in args)
    if function is math.log:
        result = np.log(args[0]) if len(args) == 1 else np.log(args[0]) / np.log(args[1])
    else:
        result = MATH[function](*args)
    if function in (math.floor, math.ceil, math.trunc):
        return as_python(result, INT64)
    return result if result.dtype == np.bool_ else weak(result)


def scalar(x: Expr) -> Expr:
    """The number in an array of one element."""
    if x.ndim == 0:
        return plain(x)
    if all(isinstance(n, int) and n == 1 for n in x.type.shape):
        return METHODS["reshape"](plain(x), ())
    raise TypeError("only 0-dimensional arrays can be converted to Python scalars")


def as_python(x: Expr, dtype: np.dtype) -> Expr:
    """`x` in a dtype, by a value of its own that is weak as Python's numbers are."""
    if x.dtype == dtype and x.type.weak:
        return x
    out = Value(Type(dtype, (), weak=True))
    builder = current()
    builder.append(Node(astype_op, (x.value,), (out,), {"dtype": dtype}, (), builder.loc))
    return Expr(out)


def weak(x: Expr) -> Expr:
    """`x`, which was just made, as a Python number, which doesn't promote arrays."""
    x.value.type = Type(x.dtype, (), weak=True)
    return x
