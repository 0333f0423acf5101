"""Operations that steer: checks, and (later) loops, branches and calls."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Const, Value
from jitgrad.ir.op import Op
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.symbolic import as_arg, current


def _evaluate_check(
    ok: object, *sizes: object, message: str, shapes: tuple = (), where: str = "", sides: tuple = ()
) -> None:
    """Raise the `ValueError` or `IndexError` of a failed check, with the shapes as they are."""
    if not ok:
        raise_check(message, shapes, sizes, where)


def raise_check(message: str, shapes: tuple, sizes: tuple, where: str) -> None:
    """Fill the lengths into the message and raise.

    `shapes` holds a tuple for each operand; an entry is a length, or `"#k"` for the k-th of `sizes`.
    """
    texts = []
    for shape in shapes:
        axes = tuple(int(sizes[int(n[1:])]) if isinstance(n, str) else n for n in shape)
        texts.append(str(axes))
    kind = IndexError if message.startswith("index") else ValueError
    text = " ".join([message, *texts])
    raise kind(f"{text}\n  {where}" if where else text)


# `check(ok, *sizes, message=, shapes=, where=, sides=)` raises unless `ok`. An effect: it stays though nobody reads it,
# and it is made while tracing, so that differentiation and dead-code removal can't lose it. `sides` describes
# lengths (by their places among the sizes) that would broadcast if they were known to be one.
check = Op("check", infer=lambda args, **attrs: (), evaluate=_evaluate_check, effect=True)

_MESSAGES = {
    "broadcast": "operands could not be broadcast together with shapes",
    "matmul": "matmul: the lengths of the contracted axes differ in shapes",
    "concatenate": "all the input array dimensions except for the concatenation axis must match exactly; shapes",
    "reshape": "cannot reshape: the number of elements differs in shapes",
    "head": "the head gradient must have the shape of the output; shapes",
    "tangent": "a tangent must have the shape of its argument; shapes",
    "assign": "could not broadcast input array to the place it is assigned to; shapes",
}


def require_equal(a: int | Value, b: int | Value, args: tuple[Arg, ...], kind: str) -> None:
    """Make sure that two lengths agree: now if both are known, at run time if not.

    Raises:
        ValueError: NumPy's text with the operands' shapes, and the user's line.
    """
    if a is b or (isinstance(a, int) and isinstance(b, int) and a == b):
        return
    builder = current()
    if isinstance(a, int) and isinstance(b, int):
        shapes = " ".join(_show(x.type.shape) for x in args)
        raise ValueError(f"{_MESSAGES[kind]} {shapes}\n  {builder.loc}")
    if builder.checking and builder.first_time_equal(a, b):
        sizes: list[Value] = []
        shapes = []
        for x in args:
            entry = []
            for n in x.type.shape:
                if isinstance(n, Value):
                    sizes.append(n)
                    entry.append(f"#{len(sizes) - 1}")
                else:
                    entry.append(n)
            shapes.append(tuple(entry))
        ok = builder.emit(UFUNCS[np.equal], (_arg(a), _arg(b)), {})
        attrs = {"message": _MESSAGES[kind], "shapes": tuple(shapes), "where": str(builder.loc)}
        if kind == "broadcast":
            attrs["sides"] = tuple((sizes.index(n), builder.describe(n)) for n in (a, b) if n in sizes)
        builder.emit(check, (ok, *sizes), attrs)


def require(ok: object, message: str) -> None:
    """Make sure of a run-time condition while tracing; a derivative doesn't ask again."""
    builder = current()
    if builder.checking and builder.first_time_equal(as_arg(ok), message):
        builder.emit(check, (ok,), {"message": message, "shapes": (), "where": str(builder.loc)})


def _arg(a: int | Value) -> Arg:
    return a if isinstance(a, Value) else Const.of(a)


def _show(shape: tuple) -> str:
    inner = ", ".join(str(n) if isinstance(n, int) else (n.name or "?") for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
