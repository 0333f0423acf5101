"""Elementwise operations on one element: the casts that NumPy makes and Numba would not, and short powers."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Const, Node, Value
from jitgrad.ir.types import BOOL
from jitgrad.lower.lazy import cast
from jitgrad.ops.elementwise import astype, stop_gradient, where
from jitgrad.ops.infer import ufunc_dtypes
from jitgrad.ops.reduce import root
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.rules import strong_multiply
from jitgrad.ops.symbolic import as_arg, current


def scalar(node: Node, args: list) -> object:
    """The element that `node` makes of one element of each operand."""
    op, out = node.op, node.out.type
    if op is stop_gradient or op.name == "positive":
        return args[0]
    if op is astype:
        return cast(args[0], np.dtype(node.attrs["dtype"]))
    if op is where:
        c, x, y = args
        return _where(c, cast(x, out.dtype), cast(y, out.dtype))
    if op is strong_multiply:
        g, p = (cast(a, out.dtype) for a in args)
        return _where(g == 0, out.dtype.type(0), g * p)
    if op is root:
        return np.sqrt(args[0])
    if op.name == "sinc":
        number = out.dtype.type
        x = cast(args[0], out.dtype)
        y = number(np.pi) * _where(x == 0, number(1e-20), x)
        return np.sin(y) / y
    if op.name == "sign" and out.dtype.kind == "u":  # Numba takes the top bit for a sign
        return cast(args[0] != 0, out.dtype)
    if op.name == "power":
        short = _short_power(node, args)
        if short is not None:
            return short
    dtypes = ufunc_dtypes(op.ufunc, node.args)
    if op.name.startswith("logical"):
        dtypes = (BOOL,) * len(dtypes)
        args = [a if as_arg(a).type.dtype == BOOL else UFUNCS[np.not_equal](a, 0) for a in args]
    operands = [cast(a, d) for a, d in zip(args, dtypes[:-1], strict=True)]
    if op.name == "left_shift":  # the processor shifts by the last bits of the count
        x, count = operands
        bits = 8 * out.dtype.itemsize
        operands = [_where((count >= 0) & (count < bits), x, out.dtype.type(0)), count]
    return current().emit(op, tuple(operands), dict(node.attrs))


def _where(c: object, x: object, y: object) -> object:
    if isinstance(as_arg(c), Const):
        return x if as_arg(c).value else y
    return current().emit(where, (c, x, y), {})


def _short_power(node: Node, args: list) -> object | None:
    """x ** k for a known small k as products, x ** 0.5 as a square root."""
    base, exponent = args[0], as_arg(args[1])
    if not isinstance(exponent, Const) or not isinstance(as_arg(base), Value):
        return None
    k, dtype = exponent.value, node.out.type.dtype
    base = cast(base, dtype)
    if k == 0.5 and dtype.kind == "f":
        return np.sqrt(base)
    if k == -1 and dtype.kind == "f":
        return dtype.type(1) / base
    if k not in (1, 2, 3, 4):
        return None
    if k == 1:
        return base
    squared = base * base
    return squared if k == 2 else squared * base if k == 3 else squared * squared
