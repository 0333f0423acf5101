"""Checks. What else steers is in `jitgrad.ops.flow`."""

from __future__ import annotations

import builtins

import numpy as np

from jitgrad.ir.graph import Arg, Const, Value
from jitgrad.ir.op import Op
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.symbolic import as_arg, current


def _evaluate_check(ok: object, *sizes: object, message: str, where: str = "", sides: tuple = ()) -> None:
    if not ok:
        text = text_of(message).format(*(int(n) for n in sizes))
        raise error_class(message)(f"{text}\n  {where}" if where else text)


def error_class(message: str) -> type[Exception]:
    """What Python or NumPy raises with such a message."""
    if message.startswith("assertion"):
        return AssertionError
    if message.startswith("cannot access local variable"):
        return UnboundLocalError
    if message.startswith("integer division"):
        return ZeroDivisionError
    named = _named(message)
    if named is not None:
        return named
    if message.startswith("maximum recursion depth"):
        return RecursionError
    return IndexError if message.startswith(("index", "boolean index")) else ValueError


def text_of(message: str) -> str:
    """The text of the error, without the name of its class."""
    return message if _named(message) is None else message.partition(": ")[2]


def _named(message: str) -> type[Exception] | None:
    """The class that a message names: that of an error which the user's function raises."""
    named = getattr(builtins, message.partition(":")[0], None)
    return named if isinstance(named, type) and issubclass(named, Exception) else None


# `check(ok, *sizes, message=, where=, sides=)` raises unless `ok`. An effect: it stays though nobody reads it, and
# it is
# made while tracing, so that differentiation and dead-code removal can't lose it. The message says `{k}` for the k-th
# size; `sides` describes lengths (by their places among the sizes) that would broadcast if they were known to be one.
check = Op("check", infer=lambda args, **attrs: (), evaluate=_evaluate_check, effect=True)

# NumPy's texts. `{a}` and `{b}` are the lengths that differ, `{0}` and so on the operands' shapes.
_MESSAGES = {
    "broadcast": "operands could not be broadcast together with shapes {shapes}",
    "matmul": "matmul: Input operand 1 has a mismatch in its core dimension 0, with gufunc signature "
    "(n?,k),(k,m?)->(n?,m?) (size {b} is different from {a})",
    "dot": "shapes {0} and {1} not aligned: {a} (dim {last}) != {b} (dim {first})",
    "concatenate": "all the input array dimensions except for the concatenation axis must match exactly, but along "
    "dimension {axis}, the array at index 0 has size {a} and the array at index {index} has size {b}",
    "split": "array split does not result in an equal division",
    "reshape": "cannot reshape array of size {a} into shape {1}",
    "head": "the head gradient has shape {0}, where the output has shape {1}",
    "tangent": "the tangent has shape {0}, where the argument has shape {1}",
    "mask": "boolean index did not match indexed array along axis {axis}; size of axis is {a} but size of "
    "corresponding boolean axis is {b}",
    "cross": "incompatible dimensions for cross product (dimension must be 2 or 3), shape {0}",
    "average": "shapes of a and weights differ: {0} {1}",
    "einsum": "operands could not be broadcast together with remapped shapes: {0} {1}, where {letter!r} is {a} and {b}",
    "tensordot": "shape-mismatch for sum: axes of lengths {a} and {b} in shapes {0} {1}",
    "assign": "could not broadcast input array from shape {0} into shape {1}",
}


def require_equal(a: int | Value, b: int | Value, args: tuple[Arg, ...], kind: str, **words: object) -> None:
    """Make sure that two lengths agree: now if both are known, at run time if not.

    Args:
        a, b: the lengths.
        args: the operands, whose shapes the message shows.
        kind: which message; `words` are filled into it.

    Raises:
        ValueError: NumPy's text with the operands' shapes, and the user's line.
    """
    if a is b or (isinstance(a, int) and isinstance(b, int) and a == b):
        return
    builder = current()
    sizes: list[Value] = []

    def show(n: int | Value) -> str:
        if isinstance(n, int):
            return str(n)
        if n not in sizes:
            sizes.append(n)
        return f"{{{sizes.index(n)}}}"

    shapes = [f"({','.join(map(show, x.type.shape))}{',' * (x.type.ndim == 1)})" for x in args]
    message = _MESSAGES[kind].format(*shapes, shapes=" ".join(shapes), a=show(a), b=show(b), **words)
    if isinstance(a, int) and isinstance(b, int):
        unknown = (n.name or "?" for n in sizes)
        raise error_class(message)(f"{message.format(*unknown)}\n  {builder.loc}")
    if builder.checking and builder.first_time_equal(a, b):
        ok = builder.emit(UFUNCS[np.equal], (_arg(a), _arg(b)), {})
        sides = (
            tuple((sizes.index(n), builder.describe(n)) for n in (a, b) if n in sizes)
            if kind in ("broadcast", "assign")
            else ()
        )
        builder.emit(check, (ok, *sizes), {"message": message, "where": str(builder.loc), "sides": sides})


def require(ok: object, message: str, *sizes: object) -> None:
    """Make sure of a run-time condition while tracing; a derivative doesn't ask again.

    Args:
        ok: the condition.
        message: the text of the error; `{k}` stands for the k-th of `sizes`.
        sizes: integers.
    """
    builder = current()
    if isinstance(ok, bool | np.bool_):
        if not ok:
            raise error_class(message)(f"{text_of(message).format(*sizes)}\n  {builder.loc}")
        return
    if builder.checking and builder.first_time_equal(as_arg(ok), message):
        builder.emit(check, (ok, *sizes), {"message": message, "where": str(builder.loc)})


def require_in_bounds(ok: object, axis: int, length: object, index: object = None) -> None:
    """Make sure that what is read or written is there, unless the user goes without that (`boundscheck=False`).

    Args:
        ok: the condition.
        axis, length: the axis and its length.
        index: the index, if it is a single one.
    """
    if current().boundscheck and index is None:
        require(ok, f"index is out of bounds for axis {axis} with size {{0}}", length)
    elif current().boundscheck:
        require(ok, f"index {{0}} is out of bounds for axis {axis} with size {{1}}", index, length)


def require_not_one(n: Value) -> None:
    """Make sure at run time that a length isn't one, where the result had another shape; if it is, trace that."""
    builder = current()
    if builder.checking and builder.first_time_equal(n, "not one"):
        ok = builder.emit(UFUNCS[np.not_equal], (n, Const.of(1)), {})
        attrs = {"message": "a length is {0}", "where": str(builder.loc), "sides": ((0, builder.describe(n)),)}
        builder.emit(check, (ok, n), attrs)


def _arg(a: int | Value) -> Arg:
    return a if isinstance(a, Value) else Const.of(a)
