"""Python's built-in functions where they meet traced values, and what a compiled function can't call."""

from __future__ import annotations

import builtins
import math
import os
import random
import time
import types

import numpy as np

from jitgrad.ir.types import FLOAT64, INT64
from jitgrad.ops.registry import FUNCTIONS
from jitgrad.ops.symbolic import Expr
from jitgrad.trace import growing
from jitgrad.trace.arrays import holds_expr
from jitgrad.trace.journal import check_stateful
from jitgrad.trace.math_names import MATH, UNSUPPORTED, as_python, call_math, scalar, weak
from jitgrad.trace.readonly import ReadOnlyDict, ReadOnlyList, ReadOnlySet
from jitgrad.trace.stretch import has_stretch
from jitgrad.trace.values import own, plain

# Built-in function -> function(frame, *args, **kwargs). Only those that must know of traced values.
BUILTINS: dict[object, object] = {}


def builtin(function):
    """Decorator: this stands for a built-in function."""

    def register(handler):
        BUILTINS[function] = handler
        return handler

    return register


def python_type(x: Expr) -> type:
    """The type that Python code takes a traced value for."""
    if x.ndim:
        return np.ndarray
    if x.dtype == np.bool_:
        return bool
    if x.type.weak:
        return float if x.dtype.kind == "f" else int
    return x.dtype.type


@builtin(isinstance)
def _isinstance(frame, obj, kind):
    if isinstance(obj, Expr):
        if obj.dtype == np.bool_ and not obj.ndim:
            return issubclass(bool, kind) or issubclass(np.bool_, kind)
        return issubclass(python_type(obj), kind) or (isinstance(kind, type) and issubclass(kind, Expr))
    frame.trace.externals.of_type(obj)
    return isinstance(obj, kind)


@builtin(type)
def _type(frame, *args):
    if len(args) == 1 and isinstance(args[0], Expr):
        return python_type(args[0])
    if len(args) == 1:
        frame.trace.externals.of_type(args[0])
        copies = {ReadOnlyList: list, ReadOnlyDict: dict, ReadOnlySet: set}
        return copies.get(type(args[0]), type(args[0]))
    return type(*args)


@builtin(len)
def _len(frame, x):
    if isinstance(x, Expr):
        if not x.ndim:
            raise TypeError("len() of unsized object")
        return x.shape[0]
    if has_stretch(x):
        return growing.count_of(x)
    externals = frame.trace.externals
    return externals.length(x) if externals.is_outside(x) else len(x)


@builtin(next)
def _next(frame, iterator, *default):
    check_stateful(iterator, "an iterator is advanced")
    return next(iterator, *default)


@builtin(float)
def _float(frame, *args):
    if args and isinstance(args[0], Expr):
        return as_python(scalar(args[0]), FLOAT64)
    return float(*args)


@builtin(int)
def _int(frame, *args, **kwargs):
    if args and isinstance(args[0], Expr):
        return as_python(scalar(args[0]), INT64)
    return int(*args, **kwargs)


@builtin(bool)
def _bool(frame, *args):
    if args and isinstance(args[0], Expr):
        x = scalar(args[0])
        return x if x.dtype == np.bool_ else x != 0
    if args and has_stretch(args[0]):
        return growing.count_of(args[0]) > 0
    return bool(*args)


@builtin(complex)
def _complex(frame, *args, **kwargs):
    if any(isinstance(a, Expr) for a in args):
        raise TypeError("complex numbers of traced values are not supported")
    return complex(*args, **kwargs)


def _extremum(better, of_array):
    def handler(frame, *args, key=None, **kwargs):
        items = args[0] if len(args) == 1 else args
        if has_stretch(items) and key is None and not kwargs:
            return growing.extremum_of(items, of_array)
        if has_stretch(items):
            growing.expand(items, "a key or default of max() or min()")
        if isinstance(items, Expr) and items.ndim == 1 and key is None:
            return FUNCTIONS[of_array](plain(items))
        if key is None and len(args) == 1 and not isinstance(items, list | tuple):
            items = list(items)
        if key is not None or not any(isinstance(i, Expr) for i in items):
            function = max if of_array is np.max else min
            kwargs = kwargs if key is None else {"key": key, **kwargs}
            return function(items, **kwargs)
        best = items[0]
        for item in items[1:]:  # the first of equals stays, as in Python
            if any(isinstance(i, Expr) and i.ndim for i in (best, item)):
                raise ValueError(
                    "The truth value of an array with more than one element is ambiguous: use np.maximum or np.minimum"
                )
            is_weak = all(i.type.weak if isinstance(i, Expr) else not isinstance(i, np.generic) for i in (best, item))
            best = FUNCTIONS[np.where](better(item, best), item, best)
            best = weak(best) if is_weak else best
        return best

    return handler


BUILTINS[max] = _extremum(lambda a, b: a > b, np.max)
BUILTINS[min] = _extremum(lambda a, b: a < b, np.min)


@builtin(sum)
def _sum(frame, items, /, start=0):
    if has_stretch(items):
        total = growing.total_of(items)
        return total if isinstance(start, int) and start == 0 else start + total
    if isinstance(items, Expr) and items.ndim and not isinstance(items.type.shape[0], int):
        total = FUNCTIONS[np.sum](plain(items), axis=0)
        return total if isinstance(start, int) and start == 0 else start + total
    return sum(items, start)


def _quantifier(function, of_array):
    def handler(frame, items):
        items = growing.array_of(items) if has_stretch(items) else items
        if isinstance(items, Expr) and items.ndim == 1:
            return FUNCTIONS[of_array](plain(items))
        return function(frame.trace.truth_of(item) for item in items)

    return handler


BUILTINS[any] = _quantifier(any, np.any)
BUILTINS[all] = _quantifier(all, np.all)


@builtin(callable)
def _callable(frame, obj):
    return False if isinstance(obj, Expr) else callable(obj)


@builtin(round)
def _round(frame, x, ndigits=None):
    if isinstance(x, Expr):
        result = FUNCTIONS[np.round](plain(x), ndigits or 0)
        return as_python(result, INT64) if ndigits is None and not x.ndim else result
    return round(x) if ndigits is None else round(x, ndigits)


@builtin(builtins.locals)
def _locals(frame):
    return {name: frame.lookup(name) for name in frame.vars}


@builtin(super)
def _super(frame, *args):
    if args:
        return super(*args)
    owner = getattr(frame.owner, "cls", frame.owner)
    if owner is None:
        cell = frame.trace.externals.closure(frame.function).get("__class__")
        owner = None if cell is None else cell.cell_contents
    if owner is None:
        raise RuntimeError("super(): no arguments")
    return super(owner, frame.first)


def _of_math(function):
    def handler(frame, *args):
        if not any(isinstance(a, Expr) for a in args):
            return function(*args)
        return own(call_math(function, args, frame.trace.elementwise))

    return handler


BUILTINS.update((f, _of_math(f)) for f in (*MATH, *UNSUPPORTED, math.log))
BUILTINS[math.fsum] = lambda frame, items: sum(items) if holds_expr(items := list(items)) else math.fsum(items)


# What gives another result at each call, or acts on the world: tracing would do it once.
_REFUSED = {
    input: "input() is called, which a compiled function can't do; ask before the call and pass the answer in",
    open: "a file is opened, which a compiled function can't do; read it before the call and pass the contents in",
    exec: "exec() is called, which can't be traced; write the code into the function",
    eval: "eval() is called, which can't be traced; write the expression into the function",
    globals: "globals() is called, which can't be traced; name the global variable",
    os.urandom: "random bytes are drawn, which a trace would do only once; draw them before the call and pass them in",
    **dict.fromkeys(
        (time.time, time.perf_counter, time.monotonic, time.process_time, time.time_ns, time.perf_counter_ns),
        "the clock is read, which a trace would do only once; measure around the call instead",
    ),
}
_RANDOM = (
    "random numbers are drawn here, which a trace would do only once; draw them before the call and pass "
    "them in as an "
    "argument"
)
_GENERATORS = (np.random.RandomState, np.random.Generator, np.random.BitGenerator, random.Random)


def refusal(function: object, args: tuple, externals) -> str | None:
    """Why a function can't be called in a trace, or None."""
    try:
        message = _REFUSED.get(function)
    except TypeError:  # unhashable
        return None
    if message is not None:
        return message
    owner = getattr(function, "__self__", None)
    if isinstance(owner, _GENERATORS):
        check_stateful(owner, "random numbers are drawn")
    if isinstance(owner, _GENERATORS) and (externals.is_outside(owner) or owner in _SHARED):
        return _RANDOM
    if function is np.random.default_rng and (not args or args[0] is None):
        return _RANDOM
    if function in (np.random.RandomState, random.Random) and not args:
        return _RANDOM
    return None


_SHARED = tuple(
    f.__self__ for f in (random.random, np.random.rand) if isinstance(f, types.BuiltinMethodType | types.MethodType)
)
