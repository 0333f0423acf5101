"""Attributes and items: reading them from inside and outside objects, and the writes that are refused."""

from __future__ import annotations

import types

import numpy as np

from jitgrad.errors import UnsupportedError
from jitgrad.ir.types import FLOAT64, INT64
from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace import growing
from jitgrad.trace.arrays import ReadOnlyMark
from jitgrad.trace.externals import is_special
from jitgrad.trace.guards import MISSING, Place, above, find, find_in
from jitgrad.trace.math_names import as_python, scalar
from jitgrad.trace.relied import is_fixed
from jitgrad.trace.stretch import has_stretch
from jitgrad.trace.values import own, refuse

_OUTSIDE = (
    "an attribute of {} is set, an object that existed before the call; a compiled function can't do that: "
    "return the "
    "new value and set it outside"
)


def mangle(frame, name: str) -> str:
    """A class-private name as the compiler spells it."""
    if not name.startswith("__") or name.endswith("__") or "." in name:
        return name
    owner = getattr(frame.owner, "__name__", None)
    if owner is None:
        parts = [p for p in frame.function.__qualname__.split(".") if p != "<locals>"]
        owner = parts[-2] if len(parts) > 1 else None
    return name if not owner else f"_{owner.lstrip('_')}{name}"


def load(frame, obj: object, name: str) -> object:
    """`obj.name`."""
    if isinstance(obj, Expr):
        return _of_array(obj, name)
    try:
        return _load(frame, obj, name)
    except AttributeError:
        frame.trace.externals.missing(obj, name)
        raise


def _load(frame, obj: object, name: str) -> object:
    kind = type(obj)
    externals = frame.trace.externals
    if kind is types.ModuleType:
        value = getattr(obj, name)
        fixed = is_fixed(obj.__name__) and not isinstance(value, np.ndarray)
        return value if fixed else externals.attribute(obj, name, value)
    if isinstance(obj, type):
        return _of_class(externals, obj, name)
    if kind is super:
        return _of_bases(frame, externals, obj, name)
    if isinstance(obj, ReadOnlyMark) and is_special(obj):
        externals.of_class(kind.__bases__[1], name)
    if kind.__module__ == "builtins" or isinstance(obj, ReadOnlyMark):
        return getattr(obj, name)
    return _of_instance(frame, externals, obj, kind, name)


def _of_array(obj: Expr, name: str) -> object:
    if name in ("real", "T") and not obj.ndim:
        return obj
    if name == "item":
        return lambda *index: obj[index[0] if len(index) == 1 else index] if index else _item(obj)
    try:
        value = getattr(obj, name)
    except AttributeError:
        if hasattr(np.ndarray, name):
            raise UnsupportedError(
                f"the array method or attribute .{name} is not supported", current().loc.syntax_location()
            ) from None
        raise
    return own(value) if isinstance(value, Expr) else value


def _item(obj: Expr) -> Expr:
    x = scalar(obj)
    return x if x.dtype == np.bool_ else as_python(x, FLOAT64 if x.dtype.kind == "f" else INT64)


def _is_data(raw: object) -> bool:
    return not hasattr(type(raw), "__get__")


def _of_class(externals, obj: type, name: str) -> object:
    raw, base = find(obj, name)
    value = getattr(obj, name)
    if raw is MISSING or is_fixed(base.__module__) or base.__module__ == "builtins" or externals.is_inside(base):
        return value
    if _is_data(raw) or isinstance(raw, types.FunctionType | staticmethod):
        return externals.attribute(obj, name, value)
    externals.of_class(obj, name)
    return value


def _of_bases(frame, externals, obj: super, name: str) -> object:
    cls, owner = obj.__thisclass__, obj.__self__
    kind = obj.__self_class__
    raw, base = find_in(above(cls, kind), name)
    if raw is not MISSING and not is_fixed(base.__module__) and base.__module__ != "builtins":
        externals.of_bases(cls, kind, name)
        if isinstance(raw, property) and isinstance(raw.fget, types.FunctionType):
            return frame.trace.call(frame, raw.fget, (owner,), {})
    return getattr(obj, name)


def _of_instance(frame, externals, obj: object, kind: type, name: str) -> object:
    raw, base = find(kind, name)
    outside = externals.is_outside(obj)
    if isinstance(raw, property) and isinstance(raw.fget, types.FunctionType) and not is_fixed(base.__module__):
        externals.special(obj, name)
        return frame.trace.call(frame, raw.fget, (obj,), {})
    of_instance = getattr(obj, "__dict__", {})
    if name in of_instance:
        return externals.attribute(obj, name, of_instance[name]) if outside else of_instance[name]
    users = raw is not MISSING and not externals.is_inside(base) and not is_fixed(base.__module__)
    if users and _is_data(raw):  # data of the class
        return externals.attribute(obj if outside else kind, name, raw)
    if users and isinstance(raw, types.FunctionType):
        externals.special(obj, name)
        externals.unshadowed(obj, name)
        externals.register(raw, name)
        return types.MethodType(raw, obj)
    value = getattr(obj, name)
    if isinstance(value, types.MethodType | types.BuiltinMethodType):  # made anew each time
        if users:
            externals.special(obj, name)
            externals.unshadowed(obj, name)
        elif outside and raw is MISSING and isinstance(value, types.MethodType):  # of `__getattr__`
            for part in ("__func__", "__self__"):
                where = Place(getattr, Place(getattr, obj, name), part)
                externals.rely(where, getattr(value, part), f"{name}.{part}", (id(obj), name, part))
        return value
    if outside:
        return externals.attribute(obj, name, value)
    if users:
        externals.of_class(kind, name)
    return value


def store(frame, obj: object, name: str, value: object) -> None:
    """`obj.name = value`."""
    if isinstance(obj, Expr):
        if name == "shape":
            refuse("the shape of an array is set in place; use `x = x.reshape(shape)`")
        raise AttributeError(f"attribute {name!r} of 'numpy.ndarray' objects is not writable")
    externals = frame.trace.externals
    frame.trace.check_unsealed(obj)
    if (
        isinstance(obj, types.ModuleType | types.FunctionType | ReadOnlyMark)
        or externals.is_outside(obj)
        or _is_foreign(externals, obj)
    ):
        refuse(_OUTSIDE.format(externals.path(obj)))
    raw, base = find(type(obj), name)
    if isinstance(raw, property) and isinstance(raw.fset, types.FunctionType) and not is_fixed(base.__module__):
        externals.of_class(type(obj), name)
        frame.trace.call(frame, raw.fset, (obj, value), {})
        return
    setter, base = find(type(obj), "__setattr__")
    if isinstance(setter, types.FunctionType) and not is_fixed(base.__module__) and base.__module__ != "builtins":
        externals.of_class(type(obj), "__setattr__")
        frame.trace.call(frame, setter, (obj, name, value), {})
        return
    setattr(obj, name, value)


def _is_foreign(externals, obj: object) -> bool:
    return isinstance(obj, type) and not externals.is_inside(obj)


def delete(frame, obj: object, name: str) -> None:
    """`del obj.name`."""
    externals = frame.trace.externals
    if externals.is_outside(obj) or isinstance(obj, types.ModuleType) or _is_foreign(externals, obj):
        refuse(_OUTSIDE.format(externals.path(obj)))
    delattr(obj, name)


def load_item(frame, obj: object, index: object) -> object:
    """`obj[index]`."""
    if isinstance(obj, Expr):
        return own(obj[index])
    if has_stretch(obj):
        return growing.load(obj, index)
    if isinstance(index, Expr) and isinstance(obj, list | tuple) and _selects(frame, index):
        return growing.select(obj, index)
    if isinstance(index, Expr) and isinstance(obj, list | tuple | str | range | dict):
        index = frame.trace.demand(index, "indexing a Python container")
    elif isinstance(index, slice) and isinstance(obj, list | tuple | str | range):
        index = slice(
            *(frame.trace.demand(i, "slicing a Python sequence") for i in (index.start, index.stop, index.step))
        )
    method, base = frame.trace.externals.special(obj, "__getitem__")
    if isinstance(method, types.FunctionType) and not is_fixed(base.__module__):
        return frame.trace.call(frame, method, (obj, index), {})
    value = obj[index]
    externals = frame.trace.externals
    if externals.is_outside(obj) and not isinstance(obj, type) and not isinstance(index, Expr):
        return externals.item(obj, index, value)
    return value


def _selects(frame, index: Expr) -> bool:
    """Whether an item is selected at run time: in a loop that can't be unrolled."""
    return frame.trace.selecting > 0 and frame.trace.is_run_time(index)


def store_item(frame, obj: object, index: object, value: object) -> None:
    """`obj[index] = value`."""
    if isinstance(obj, np.ndarray):
        refuse("this array can't be written to while tracing; make it with a NumPy function inside the function")
    if isinstance(obj, Expr):
        if not obj.ndim:
            refuse("a number can't be written to; use an array with an axis, or assign to the name")
        obj[index] = value
        return
    frame.trace.check_unsealed(obj)
    if has_stretch(obj):
        growing.store(obj, index, value)
        return
    if isinstance(index, Expr) and isinstance(obj, list | dict):
        index = frame.trace.demand(index, "indexing a Python container")
    externals = frame.trace.externals
    method, base = frame.trace.externals.special(obj, "__setitem__")
    if isinstance(method, types.FunctionType) and not is_fixed(base.__module__) and not isinstance(obj, ReadOnlyMark):
        frame.trace.call(frame, method, (obj, index, value), {})
        return
    if externals.is_outside(obj):
        refuse(
            f"{externals.path(obj)} is written to, an object that existed before the call; return the new value instead"
        )
    obj[index] = value
