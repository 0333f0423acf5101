"""Where Python needs the number behind a run-time value: folding, static arguments, or an error."""

from __future__ import annotations

import weakref

import numpy as np

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Const, Node, Value
from jitgrad.ops.control import require_not_one
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr, NeedStatic, current
from jitgrad.trace.journal import NeedUnrolled

_producers: weakref.WeakKeyDictionary[Builder, tuple[int, dict[Value, Node]]] = weakref.WeakKeyDictionary()

_LARGEST = 100_000  # arrays above it are not folded


def producer(value: Value) -> Node | None:
    """The node that makes a value, in the current builder or those around it; None for inputs."""
    builder = current()
    while builder is not None:
        count, table = _producers.get(builder, (0, {}))
        if count < len(builder.nodes):
            for node in builder.nodes[count:]:
                for out in node.outs:
                    table[out] = node
            _producers[builder] = (len(builder.nodes), table)
        if value in table:
            return table[value]
        builder = builder.parent
    return None


def fold(x: Expr) -> object:
    """The number or array that an expression of constants alone has; None if it depends on an input."""
    known: dict[Value, object] = {}
    captured = {id(value): array for value, array in current().captured}
    return _fold(x.value, known, captured)


def _fold(value: Value, known: dict, captured: dict) -> object:
    stack = [value]
    while stack:
        v = stack[-1]
        if v in known:
            stack.pop()
            continue
        if id(v) in captured:
            known[v] = captured[id(v)]
            continue
        node = producer(v)
        if node is None or node.regions or node.op.evaluate is None or not node.args:
            return None
        decided = _decided(node)
        if decided is not None:
            known[v] = decided
            continue
        missing = [a for a in node.args if isinstance(a, Value) and a not in known]
        if missing:
            stack.extend(missing)
            continue
        args = [known[a] if isinstance(a, Value) else a.value for a in node.args]
        if any(np.size(a) > _LARGEST for a in args):
            return None
        results = node.op.evaluate(*args, **node.attrs)
        known.update(zip(node.outs, results if isinstance(results, tuple) else (results,), strict=True))
    result = known[value]
    return _python(result) if value.type.weak else result


def _decided(node: Node) -> bool | None:
    """A comparison of lengths that holds, or doesn't, for every call of the signature."""
    answers = _SAME.get(node.op.name)
    if answers is None or not all(a.type.ndim == 0 and a.type.dtype.kind in "iu" for a in node.args):
        return None
    a, b = node.args
    if a is b:
        return answers[0]
    if isinstance(a, Const):
        a, b = b, a
    # The axes of length one are part of the signature. A program for longer ones may be run for one of length one, too,
    # where nothing depends on it; here something does, so that is checked.
    if answers[1] is not None and isinstance(a, Value) and isinstance(b, Const) and b.value == 1:
        made_by = producer(a)
        if made_by is not None and made_by.op is axis_length and _is_argument(made_by.args[0]):
            require_not_one(a)
            return answers[1]
    return None


def _is_argument(value: Value) -> bool:
    """Whether a value is an argument of the traced function; those of a function that calls itself aren't."""
    builder: Builder | None = current()
    while builder is not None:
        if value in builder.made:
            return False
        builder = builder.parent
    return producer(value) is None


# Comparison -> what it is of a number with itself, and of a length that isn't one with one.
_SAME = {
    "equal": (True, False), "not_equal": (False, True), "less_equal": (True, None),
    "greater_equal": (True, None), "less": (False, None), "greater": (False, None),
}  # fmt: skip


def _python(x: object) -> object:
    return x.item() if isinstance(x, np.generic | np.ndarray) else x


def inputs_of(value: Value) -> set[Value]:
    """The inputs that a value depends on."""
    found: set[Value] = set()
    seen: set[Value] = set()
    stack = [value]
    while stack:
        v = stack.pop()
        if v in seen:
            continue
        seen.add(v)
        node = producer(v)
        if node is None or node.regions:
            found.add(v)
        else:
            stack.extend(a for a in node.args if isinstance(a, Value))
    return found


def depends(value: int | Value, on: int | Value) -> bool:
    """Whether a value is computed from another one."""
    stack: list[object] = [value]
    seen: set[object] = set()
    while stack:
        v = stack.pop()
        if v is on:
            return True
        node = producer(v) if isinstance(v, Value) and v not in seen else None
        seen.add(v)
        stack.extend(a for a in (node.args if node is not None else ()) if isinstance(a, Value))
    return False


def static_argument(value: Value, hidden: set[Value]) -> Value | None:
    """The integer argument that, made static, makes the value known while tracing, or None."""
    leaves = inputs_of(value)
    if not leaves or leaves & hidden or any(_loop_of(v) is not None or producer(v) is not None for v in leaves):
        return None
    if all(v.type.ndim == 0 and v.type.dtype.kind in "biu" for v in leaves):
        return min(leaves, key=lambda v: v.name or "")
    return None


def demand(x: object, use: str, hidden: set[Value], way_out: str = "") -> object:
    """The Python number behind `x`, where Python needs one.

    Raises:
        NeedStatic: it depends on integer arguments only; tracing again with one of them static gives it.
        TraceError: it is known at run time only.
    """
    if not isinstance(x, Expr):
        return x
    folded = fold(x)
    if folded is not None:
        return folded
    return require_static(x.value, use, hidden, way_out)


def require_static(value: Value, use: str, hidden: set[Value], way_out: str = "") -> object:
    """Raise what says that a value is needed while tracing: `NeedStatic` or `TraceError`."""
    argument = static_argument(value, hidden)
    if argument is not None:
        raise NeedStatic(argument, use)
    message = f"{use} needs {describe(value)}, which is known at run time only"
    message, place = f"{message}; {way_out or _WAY_OUT}", current().loc.syntax_location()
    loops = {_loop_of(v) for v in inputs_of(value)} - {None}
    if not loops:
        raise TraceError(message, place)
    builder = current()
    while builder not in loops:
        builder = builder.parent
    raise NeedUnrolled(message, place, builder, inputs_of(value))


def _loop_of(value: Value) -> Builder | None:
    """The region that a value is a param of."""
    builder = current()
    while builder is not None and value not in builder.made:
        builder = builder.parent
    return None if builder is None or producer(value) is not None else builder


_WAY_OUT = (
    "use array operations (np.where for a choice, a sum or a scan for a loop), or pass the number as an int argument"
)


def describe(value: Value) -> str:
    """What a value is, in words of the user's code."""
    node = producer(value)
    if node is not None and node.op is axis_length:
        owner = node.args[0].name if not isinstance(node.args[0], Const) else None
        return f"the length of axis {node.attrs['axis']} of {owner or 'an array'}"
    if value.name:
        return f"the value of {value.name!r}"
    return "a computed value"
