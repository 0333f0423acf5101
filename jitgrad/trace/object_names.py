"""Functions of Python that look into objects, which the trace must see."""

from __future__ import annotations

import copy
import dataclasses
import types

import numpy as np

from jitgrad.ops.symbolic import Expr
from jitgrad.trace import attributes
from jitgrad.trace.builtin_names import BUILTINS, builtin, python_type
from jitgrad.trace.values import refuse


@builtin(getattr)
def _getattr(frame, obj, name, *default):
    if not default:
        return attributes.load(frame, obj, name)
    try:
        return attributes.load(frame, obj, name)
    except AttributeError:
        return default[0]


@builtin(hasattr)
def _hasattr(frame, obj, name):
    if isinstance(obj, Expr):
        return hasattr(obj, name)
    try:
        attributes.load(frame, obj, name)
    except AttributeError:
        return False
    return True


@builtin(setattr)
def _setattr(frame, obj, name, value):
    attributes.store(frame, obj, name, value)


@builtin(delattr)
def _delattr(frame, obj, name):
    attributes.delete(frame, obj, name)


@builtin(vars)
def _vars(frame, *args):
    return attributes.load(frame, args[0], "__dict__") if args else {name: frame.lookup(name) for name in frame.vars}


# Functions that copy objects; those of outside objects are copied by way of what the trace sees of them.
def _replace(frame, obj, /, **changes):
    if not frame.trace.externals.is_outside(obj):
        return dataclasses.replace(obj, **changes)
    for field in dataclasses.fields(obj):
        if field.init and field.name not in changes:
            changes[field.name] = attributes.load(frame, obj, field.name)
    return frame.trace.call(frame, type(obj), (), changes)


def _copy(frame, obj):
    if isinstance(obj, Expr):
        return obj.copy() if obj.ndim else obj
    if not frame.trace.externals.is_outside(obj) or not hasattr(obj, "__dict__"):
        return copy.copy(obj)
    new = object.__new__(type(obj))
    for name in vars(obj):
        object.__setattr__(new, name, attributes.load(frame, obj, name))
    return new


COPIES = {dataclasses.replace: _replace, copy.copy: _copy}

# What only asks what an object is.
_HARMLESS = frozenset(
    {isinstance, issubclass, type, id, print, repr, str, hasattr, callable, len, super, format, hash, ascii}
    | {dataclasses.fields, dataclasses.is_dataclass}
)


def check_native(frame, function: object, args: tuple, kwargs: dict) -> None:
    """Refuse to let code that isn't evaluated read numbers of outside objects: it would freeze them."""
    externals = frame.trace.externals
    for x in (*args, *kwargs.values()):
        if not externals.is_outside(x) or isinstance(x, type | types.FunctionType | types.ModuleType):
            continue
        if getattr(function, "__hash__", None) and function in _HARMLESS:
            continue
        held = getattr(x, "__dict__", {}).values()
        if any(isinstance(v, float | np.floating | np.ndarray | list | tuple | dict) for v in held):
            name = getattr(function, "__qualname__", type(function).__name__)
            refuse(
                f"{name} is called with {externals.path(x)}, whose numbers it would read once and for all; "
                "pass it the attributes that it needs"
            )


def dispatched(function: object, args: tuple) -> object:
    """The implementation that a `functools.singledispatch` function chooses, or None."""
    if not (args and hasattr(function, "registry") and callable(getattr(function, "dispatch", None))):
        return None
    return function.dispatch(python_type(args[0]) if isinstance(args[0], Expr) else type(args[0]))


__all__ = ["BUILTINS", "COPIES", "check_native", "dispatched"]
