"""The entry: evaluate a function once, and say what it returned and what it has read from outside."""

from __future__ import annotations

import copy
import dataclasses
import sys
import threading
import types
from contextlib import contextmanager
from dataclasses import dataclass

from jitgrad.errors import JitgradError, TraceError
from jitgrad.ir.graph import Value, used
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr, NeedStatic, building
from jitgrad.trace import growing
from jitgrad.trace.calls import call
from jitgrad.trace.frame import MAX_DEPTH, Frame, Trace
from jitgrad.trace.guards import Guard, Hidden
from jitgrad.trace.readonly import thaw
from jitgrad.trace.recursion import Place, Recursions
from jitgrad.trace.source import Scope
from jitgrad.trace.static import require_static
from jitgrad.trace.stretch import has_stretch
from jitgrad.trace.values import Cell, own

_active = threading.local()

_FRAMES_A_CALL = 24  # Python frames that the evaluation of one call takes, at most


@dataclass(frozen=True, slots=True)
class Traced:
    """What a function returned, with values for arrays, and what it has read from outside.

    A trace inside a trace reports neither hidden inputs nor guards: they belong to the outermost one.
    """

    result: object
    hidden: list[Hidden]
    guards: list[Guard]
    written: list[Value]  # arguments that the function writes to


def evaluate(
    function, args: tuple, kwargs: dict, builder: Builder, recursive: frozenset[Place] = frozenset()
) -> Traced:
    """Evaluate a function's AST once, on `Expr`s; its nodes go to `builder`.

    Args:
        function: anything callable.
        args, kwargs: the arguments; arrays and run-time numbers are `Expr`s, all else as the user
            passed it. Lists, dicts and dataclasses among them belong to the trace, which may change them.
        builder: where nodes go. One with a `parent` makes this a trace inside the running one.
        recursive: where functions are called that are known to call themselves at run time.

    Raises:
        Recursion: at another place, too; trace again with that.
        NeedStatic: Python needs the number behind an integer argument; trace again with that argument static.
        TraceError, UnsupportedError: the function does what can't be compiled; they point at the line.
    """
    outer = getattr(_active, "trace", None) if builder.parent is not None else None
    trace = Trace(builder, call) if outer is None else outer
    if outer is None:
        trace.recursions = Recursions(recursive)
    before = getattr(_active, "trace", None)
    _active.trace = trace
    try:
        with building(builder), _deep_enough():
            frame = Frame(trace, None, _NO_NAMES, None, function, getattr(function, "__name__", "function"))
            if outer is None:
                note_outside(trace, function, "function")
                for place, arg in [*enumerate(args), *kwargs.items()]:
                    note_outside(trace, arg, f"argument {place}")
            cells: dict[int, tuple[Value, Expr]] = {}
            args = tuple(into_cells(a, cells) for a in args)
            kwargs = {k: into_cells(v, cells) for k, v in kwargs.items()}
            result = _guarded(trace, builder, lambda: out_of_cells(call(frame, function, args, kwargs)))
    finally:
        _active.trace = before
    if outer is not None:
        return Traced(result, [], [], [])
    _drop_unused(trace, builder, result)
    written = [before for before, cell in cells.values() if isinstance(cell, Cell) and cell.written]
    return Traced(result, trace.externals.hidden, trace.externals.guards, written)


_NO_NAMES = Scope(frozenset(), frozenset(), frozenset())


def _guarded(trace: Trace, builder: Builder, evaluation) -> object:
    """Run, and make errors point at the user's line."""
    try:
        return evaluation()
    except NeedStatic as error:
        return _explain(trace, builder, error)
    except JitgradError:
        raise
    except RecursionError as error:
        raise TraceError(
            "the recursion is too deep to be traced; one that depends on no run-time value must end",
            builder.loc.syntax_location(),
        ) from error
    except Exception as error:
        _add_place(error, builder)
        raise


def _explain(trace: Trace, builder: Builder, error: NeedStatic) -> None:
    """Hand on what asks for a static argument; say in a `TraceError` why anything else can't be."""
    uses = {
        "the truth of a value": "a truth value",
        "iteration over an axis whose length is known at run time only": "a loop over an array",
        "the length of an axis as a Python integer": "a length as a Python integer",
    }
    try:
        require_static(error.value, uses.get(error.use, error.use), trace.hidden_values())
    except TraceError as told:
        raise told from None


def _add_place(error: Exception, builder: Builder) -> None:
    if not builder.loc.line or not hasattr(error, "add_note"):
        return
    place = f'  File "{builder.loc.file}", line {builder.loc.line}'
    notes = getattr(error, "__notes__", ())
    if f"line {builder.loc.line}" not in str(error) and not any(place in note for note in notes):
        error.add_note(f"{place}, in {builder.loc.function}\n    {builder.loc.text.strip()}")


@contextmanager
def _deep_enough():
    """Python's recursion limit raised for the length of a trace, so that ours is met first."""
    before = sys.getrecursionlimit()
    wanted = _FRAMES_A_CALL * (MAX_DEPTH + 10) + 500
    if before < wanted:
        sys.setrecursionlimit(wanted)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def note_outside(trace: Trace, x: object, path: str) -> None:
    """Objects among function and arguments existed before the call."""
    externals = trace.externals
    if isinstance(x, types.MethodType):
        externals.register(x.__self__, "self")
        externals.register(x, path)
    elif isinstance(x, list | tuple):
        for k, e in enumerate(x):
            note_outside(trace, e, f"{path}[{k}]")
    elif isinstance(x, dict):
        for k, e in x.items():
            note_outside(trace, e, f"{path}[{k!r}]")
    elif dataclasses.is_dataclass(x) and not isinstance(x, type) and path != "function":
        for f in dataclasses.fields(x):
            note_outside(trace, getattr(x, f.name, None), f"{path}.{f.name}")
    elif not isinstance(x, Expr | int | float | str | bytes | type | types.FunctionType | type(None)):
        externals.register(x, path)


def into_cells(x: object, cells: dict[int, tuple[Value, Expr]]) -> object:
    """Arguments with their arrays as cells, one for each `Expr`."""
    if type(x) is Expr:
        if id(x) not in cells:
            cells[id(x)] = (x.value, own(x))
        return cells[id(x)][1]
    if type(x) is list:
        x[:] = [into_cells(e, cells) for e in x]
    elif isinstance(x, tuple):
        parts = [into_cells(e, cells) for e in x]
        return tuple(parts) if type(x) is tuple else x._make(parts) if hasattr(x, "_make") else x
    elif isinstance(x, dict):
        for k, v in x.items():
            x[k] = into_cells(v, cells)
    elif dataclasses.is_dataclass(x) and not isinstance(x, type):
        for f in dataclasses.fields(x):
            old = getattr(x, f.name, None)
            new = into_cells(old, cells)
            if new is not old:
                object.__setattr__(x, f.name, new)
    return x


def out_of_cells(x: object) -> object:
    """A result with the arrays' current values, and ordinary containers."""
    if isinstance(x, Cell):
        return Expr(x.value)
    if has_stretch(x):
        growing.expand(x, "returning")
    x = thaw(x)
    if type(x) is list:
        return [out_of_cells(e) for e in x]
    if isinstance(x, tuple):
        parts = [out_of_cells(e) for e in x]
        return tuple(parts) if type(x) is tuple else x._make(parts) if hasattr(x, "_make") else x
    if isinstance(x, dict):
        new = copy.copy(x)
        for k, v in new.items():
            new[k] = out_of_cells(v)
        return new
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        new = copy.copy(x)
        for f in dataclasses.fields(x):
            object.__setattr__(new, f.name, out_of_cells(getattr(x, f.name, None)))
        return new
    return x


def _leaves(x: object):
    if isinstance(x, Expr):
        yield x.value
    elif isinstance(x, list | tuple):
        for e in x:
            yield from _leaves(e)
    elif isinstance(x, dict):
        yield from _leaves(list(x.values()))
    elif dataclasses.is_dataclass(x) and not isinstance(x, type):
        yield from _leaves([getattr(x, f.name, None) for f in dataclasses.fields(x)])


def _drop_unused(trace: Trace, builder: Builder, result: object) -> None:
    """Forget hidden inputs that were brought in with a container, but that nothing reads."""
    externals = trace.externals
    hidden = trace.hidden_values()
    if not hidden:
        return
    measured = {n.out: n.args[0] for n in builder.nodes if n.op is axis_length and n.args[0] in hidden}
    read: set[Value] = set(_leaves(result))
    for node in builder.nodes:
        if node.out not in measured if node.outs else True:
            read.update(used(node))
    read.update(owner for length, owner in measured.items() if length in read)
    gone = externals.unused(read)
    if gone:
        builder.nodes[:] = [n for n in builder.nodes if not (n.op is axis_length and n.args[0] in gone)]


__all__ = ["Traced", "evaluate"]
