"""Calls: binding of arguments, and which functions are evaluated and which are called as they are."""

from __future__ import annotations

import ast
import functools
import itertools
import math
import types
from dataclasses import dataclass

import numpy as np

from jitgrad.errors import TraceError
from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace import generators, growing, numpy_names, recursion
from jitgrad.trace.aliases import Pending
from jitgrad.trace.arrays import holds_expr, is_of
from jitgrad.trace.binding import bind_arguments, signature
from jitgrad.trace.builtin_names import BUILTINS, python_type, refusal
from jitgrad.trace.exits import result_of
from jitgrad.trace.frame import MAX_DEPTH, Frame, evaluate, run
from jitgrad.trace.guards import Place, find
from jitgrad.trace.numpy_names import is_numpy
from jitgrad.trace.object_names import COPIES, check_native, dispatched
from jitgrad.trace.relied import is_fixed
from jitgrad.trace.source import TRACED, Source, source_of
from jitgrad.trace.stretch import LazyItems, has_stretch
from jitgrad.trace.values import own, refuse


@dataclass(eq=False, slots=True)
class Closure:
    """A function that was defined while tracing: its node, the frame around it, and its default values."""

    node: ast.FunctionDef | ast.Lambda
    frame: Frame
    name: str
    defaults: tuple
    kw_defaults: dict[str, object]
    owner: object


def call(frame: Frame, function: object, args: tuple, kwargs: dict) -> object:
    """Call anything, as the traced function would."""
    trace = frame.trace
    if args and isinstance(args[0], LazyItems):
        is_done, result = args[0].given_to(None if kwargs else function, args[1:])
        if is_done:
            return result
        args = (result, *args[1:])
    if isinstance(function, _BUILTIN) and (
        function in _ITERATING or getattr(function, "__module__", None) in ("itertools", "collections", "_collections")
    ):
        args = tuple(outside_items(frame, a) if trace.externals.is_outside(a) else a for a in args)
    handler = BUILTINS.get(function) if isinstance(function, (*_BUILTIN, types.FunctionType)) else None
    if handler is not None:
        return handler(frame, *args, **kwargs)
    closure = TRACED.get(function) if isinstance(function, types.FunctionType) else None
    if closure is not None:
        return _call_closure(closure, args, kwargs)
    copies = COPIES.get(function) if isinstance(function, types.FunctionType) else None
    if copies is not None:
        return copies(frame, *args, **kwargs)
    why_not = refusal(function, args, trace.externals)
    if why_not is not None:
        refuse(why_not)
    if is_numpy(function):
        return numpy_names.call(function, args, kwargs)
    if isinstance(function, types.FunctionType):
        chosen = dispatched(function, args)
        if chosen is not None:
            kind = python_type(args[0]) if isinstance(args[0], Expr) else type(args[0])
            trace.externals.rely(Place(_dispatch, function, kind), chosen, f"{function.__name__} of {kind.__name__}")
            return call(frame, chosen, args, kwargs)
        return _call_function(frame, function, args, kwargs)
    if isinstance(function, types.MethodType):
        return call(frame, function.__func__, (function.__self__, *args), kwargs)
    if isinstance(function, functools.partial):
        parts = [getattr(function, name) for name in _PARTS]
        if trace.externals.is_outside(function):
            parts = [trace.externals.attribute(function, n, x) for n, x in zip(_PARTS, parts, strict=True)]
        return call(frame, parts[0], (*parts[1], *args), {**parts[2], **kwargs})
    if hasattr(type(function), "__jitgrad_trace__"):  # a derivative: it becomes part of the program
        inner = getattr(function, "function", None)
        if trace.externals.is_outside(function) and not isinstance(inner, types.FunctionType):
            trace.externals.register(inner, trace.externals.path(function))
        return function.__jitgrad_trace__(*args, **kwargs)
    inner, elementwise = python_function(function)
    if inner is not None:
        before, trace.elementwise = trace.elementwise, trace.elementwise or elementwise
        try:
            return call(frame, inner, args, kwargs)
        finally:
            trace.elementwise = before
    if isinstance(function, type):
        return _instantiate(frame, function, args, kwargs)
    method, base = trace.externals.special(function, "__call__")
    if isinstance(method, types.FunctionType) and not is_fixed(base.__module__):
        return call(frame, method, (function, *args), kwargs)
    return native(frame, function, args, kwargs)


_PARTS = ("func", "args", "keywords")


def _dispatch(function: object, kind: type) -> object:
    return function.dispatch(kind)


# Functions that run over what they are given, besides those of itertools.
_ITERATING = {
    sum, min, max, any, all, list, tuple, set, frozenset, dict, zip, enumerate, map, filter, sorted, reversed,
    iter, next, functools.reduce, math.fsum, math.prod,
}  # fmt: skip


def outside_items(frame: Frame, x: object) -> object:
    """The items of an object that existed before the call, if it is iterable; else the object itself."""
    if isinstance(x, type | types.FunctionType | types.MethodType | functools.partial) or not hasattr(x, "__iter__"):
        return x
    method, base = frame.trace.externals.special(x, "__iter__")
    if isinstance(method, types.FunctionType) and not is_fixed(base.__module__):
        return call(frame, method, (x,), {})
    return list(frame.trace.externals.iteration(x, iter(x)))


_BUILTIN = (types.BuiltinFunctionType, type)


def python_function(function: object) -> tuple[object, bool]:
    """The Python function in a Numba dispatcher or a cache, or None; and whether it is elementwise."""
    if isinstance(function, functools._lru_cache_wrapper):
        return function.__wrapped__, False
    if not is_of(type(function), "numba"):
        return None, False
    inner = getattr(function, "py_func", None)
    if inner is None and hasattr(function, "_dispatcher"):  # of numba.vectorize
        return getattr(function._dispatcher, "py_func", None), True
    return inner, False


def _call_function(frame: Frame, function: types.FunctionType, args: tuple, kwargs: dict) -> object:
    if is_fixed(function.__module__) or is_fixed(function.__globals__.get("__name__")):
        return native(frame, function, args, kwargs)
    source = source_of(function)
    if source is None:
        _guard_native(frame, function, set())
        return native(frame, function, args, kwargs)
    return evaluate_function(frame.trace, function, source, args, kwargs)


def _guard_native(frame: Frame, function: types.FunctionType, seen: set) -> None:
    """Guard what code that isn't evaluated reads from outside; the arrays and floats there it would freeze."""
    externals = frame.trace.externals
    externals.inlined(function)
    seen.add(function)
    codes, names = [function.__code__], set()
    for code in codes:
        names.update(code.co_names)
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    values = {n: externals.global_(function, n) for n in sorted(names & function.__globals__.keys())}
    for name, cell in externals.closure(function).items():
        try:
            values[name] = externals.cell(function, name, cell)
        except NameError:
            continue
    for name, value in values.items():
        if holds_expr(value):
            refuse(
                f"{function.__name__} has no source that can be read, and reads {name!r} from outside, "
                "whose changes would go unnoticed; pass it as an argument"
            )
        if isinstance(value, types.FunctionType) and not is_fixed(value.__module__) and value not in seen:
            _guard_native(frame, value, seen)


def evaluate_function(trace, function: types.FunctionType, source: Source, args: tuple, kwargs: dict) -> object:
    """Evaluate a Python function's body."""
    trace.externals.inlined(function)
    node = source.node
    frame = Frame(trace, source, source.scope(node), None, function, function.__name__)
    externals = trace.externals
    positional = function.__defaults__ or ()
    kw = function.__kwdefaults__ or {}
    bind_arguments(
        frame, node.args, function.__name__, args, kwargs, len(positional), kw,
        lambda place: externals.default(function, place, (kw if place in kw else positional)[place]),
    )  # fmt: skip
    return _run_body(frame, node)


def _call_closure(closure: Closure, args: tuple, kwargs: dict) -> object:
    outer, node = closure.frame, closure.node
    scope = outer.source.scope(node)
    frame = Frame(outer.trace, outer.source, scope, outer, outer.function, closure.name)
    frame.owner = closure.owner if closure.owner is not None else outer.owner
    defaults, kw = closure.defaults, closure.kw_defaults
    bind_arguments(
        frame, node.args, closure.name, args, kwargs, len(defaults), kw,
        lambda place: kw[place] if isinstance(place, str) else defaults[place],
    )  # fmt: skip
    return _run_body(frame, node)


def _run_body(frame: Frame, node: ast.FunctionDef | ast.Lambda) -> object:
    names = (*node.args.posonlyargs, *node.args.args)
    if names:
        frame.first = frame.vars.get(names[0].arg)
    if frame.scope.generator:
        return generators.start(frame, node, lambda x: _callback(frame, x), lambda x: outside_items(frame, x))
    if frame.scope.asynchronous:
        raise frame.error(
            node, f"{frame.name} is an async function, which can't be traced; write it as an ordinary one"
        )
    frame.node, frame.site = node, current().loc
    return recursion.run(frame, _evaluate_body)


def _evaluate_body(frame: Frame) -> object:
    trace, node = frame.trace, frame.node
    builder = current()
    loc = builder.loc
    if trace.depth >= MAX_DEPTH:
        raise frame.error(
            node, f"{frame.name} calls itself more than {MAX_DEPTH} times deep while it is traced; a recursion that "
            "depends on no run-time value must end",
        )  # fmt: skip
    trace.depth += 1
    trace.frames.append(frame)
    try:
        is_lambda = isinstance(node, ast.Lambda)
        result = evaluate(frame, node.body) if is_lambda else result_of(trace, run(frame, node.body))
    finally:
        trace.depth -= 1
        trace.frames.pop()
    if isinstance(result, Pending):
        result = result.read(f"the value that {frame.name} returns")
    builder.loc = loc if loc.line else builder.loc  # of the last line, where there is no caller
    return result


def make_function(frame: Frame, node: ast.FunctionDef | ast.Lambda, owner: object = None) -> types.FunctionType:
    """A real function for a `def` or `lambda` that is met while tracing; calling it evaluates it."""
    a = node.args
    name = getattr(node, "name", "<lambda>")
    defaults = tuple(evaluate(frame, d) for d in a.defaults)
    kw_defaults = {p.arg: evaluate(frame, d) for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None}
    closure = Closure(node, frame, name, defaults, kw_defaults, owner)

    def traced(*args, **kwargs):
        return _call_closure(closure, args, kwargs)

    traced.__name__ = name
    traced.__qualname__ = f"{frame.name}.<locals>.{name}"
    traced.__module__ = frame.function.__module__
    traced.__doc__ = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
    TRACED[traced] = closure
    traced.__signature__ = signature(a, defaults, kw_defaults)
    return traced


def _instantiate(frame: Frame, cls: type, args: tuple, kwargs: dict) -> object:
    """An instance; a constructor written in Python is evaluated."""
    init, base = find(cls, "__init__")
    if init is not object.__init__:
        frame.trace.externals.of_class(cls, "__init__")
    plain = type(cls).__call__ is type.__call__ and cls.__new__ is object.__new__
    if plain and isinstance(init, types.FunctionType) and not is_fixed(base.__module__):
        traced = init in TRACED
        if traced or source_of(init) is not None:
            obj = object.__new__(cls)
            call(frame, init, (obj, *args), kwargs)
            return obj
    return native(frame, cls, args, kwargs)


def _is_ours(function: object) -> bool:
    """Whether a callable is of this package, which takes functions and objects as they are."""
    return is_of(type(function), "jitgrad") or is_of(function, "jitgrad")


# Classes whose instances call the functions that they are given.
_CALLING = {map, filter, *(c for c in vars(itertools).values() if isinstance(c, type))}


def native(frame: Frame, function: object, args: tuple, kwargs: dict) -> object:
    """Call a function as it is, with callbacks that are evaluated in turn."""
    outside = getattr(function, "__self__", None)
    if outside is not None and _mutates(frame, function, outside):
        refuse(
            f"{frame.trace.externals.path(outside)}.{function.__name__}() changes an object that existed "
            "before the "
            "call; return the new value instead"
        )
    if outside is not None and getattr(function, "__name__", "") in _MUTATORS:
        frame.trace.check_unsealed(outside)
    if has_stretch(outside) and function.__name__ == "pop" and not args:
        return growing.pop(outside)
    if not growing.takes_stretches(function):
        for x in (outside, *args, *kwargs.values()):
            if has_stretch(x):
                growing.expand(x, getattr(function, "__name__", "a function"))
    if isinstance(outside, dict | set) and args:
        args = (frame.trace.demand(args[0], "a key"), *args[1:])
    if not _is_ours(function):
        check_native(frame, function, args, kwargs)
        if not isinstance(function, type) or function in _CALLING:
            args = tuple(_callback(frame, a) for a in args)
            kwargs = {k: _callback(frame, v) for k, v in kwargs.items()}
    builder = current()
    loc = builder.loc
    result = function(*args, **kwargs)
    builder.loc = loc
    owner = function if outside is None else outside
    if isinstance(result, float | np.floating | np.ndarray) and frame.trace.externals.is_outside(owner):
        refuse(
            f"{frame.trace.externals.path(owner)} gives a number here that may be another one at the next "
            "call; call "
            "it before, and pass the number as an argument"
        )
    return _own(result)


_MUTATORS = frozenset(
    [
        "append",
        "extend",
        "insert",
        "remove",
        "pop",
        "clear",
        "sort",
        "reverse",
        "add",
        "discard",
        "update",
        "setdefault",
        "popitem",
        "appendleft",
        "popleft",
        "extendleft",
        "rotate",
        "subtract",
        "move_to_end",
        "write",
        "writelines",
        "put",
    ]
)


def _mutates(frame: Frame, function: object, owner: object) -> bool:
    return getattr(function, "__name__", "") in _MUTATORS and frame.trace.externals.is_outside(owner)


def _callback(frame: Frame, x: object) -> object:
    """A Python function as native code may call it: it is evaluated when called."""
    if not isinstance(x, types.FunctionType | types.MethodType | functools.partial):
        return x
    function = x
    while not isinstance(function, types.FunctionType):
        function = function.__func__ if isinstance(function, types.MethodType) else getattr(function, "func", None)
        if function is None:
            return x
    if x in TRACED if isinstance(x, types.FunctionType) else is_fixed(getattr(function, "__module__", None)):
        return x
    return _bound(frame, x)


def _bound(frame: Frame, x: object):
    @functools.wraps(x, assigned=("__name__", "__doc__", "__qualname__", "__module__"), updated=())
    def callback(*args, **kwargs):
        return call(frame, x, args, kwargs)

    return callback


def _own(result: object) -> object:
    if isinstance(result, Expr):
        return own(result)
    if isinstance(result, np.ndarray):
        return numpy_names.concrete(result)
    if type(result) is tuple and any(isinstance(r, Expr | np.ndarray) for r in result):
        return tuple(map(_own, result))
    if type(result) is list and any(type(r) is Expr for r in result):
        result[:] = map(_own, result)
    return result


__all__ = ["Closure", "TraceError", "call", "make_function", "native"]
