"""Containers that a traced function has made, as parts: lists, tuples, dicts, and objects of the user's classes."""

from __future__ import annotations

import collections
import copy
import types
from collections.abc import Iterator
from dataclasses import dataclass

from jitgrad.ops.symbolic import Expr
from jitgrad.trace.arrays import ReadOnlyMark
from jitgrad.trace.relied import is_fixed
from jitgrad.trace.stretch import Stretch

_BUILTIN = (list, tuple, dict, set, collections.deque)


@dataclass(frozen=True, slots=True)
class Attribute:
    """The key of an attribute, beside the items of a list or dict of a class of the user's."""

    name: str


def is_object(x: object) -> bool:
    """Whether `x` is an instance of a class of the user's, or a namespace."""
    kind = type(x)
    if isinstance(x, types.SimpleNamespace):
        return True
    fixed = kind.__module__ == "builtins" or is_fixed(kind.__module__)
    return not (fixed or isinstance(x, Expr | ReadOnlyMark | type)) and not callable(getattr(x, "__next__", None))


def has_parts(x: object) -> bool:
    """Whether `x` is a container whose parts can be looked at and put back."""
    return isinstance(x, _BUILTIN) or type(x) is Stretch or is_object(x)


def is_mutable(x: object) -> bool:
    """Whether a container can be changed in place."""
    return not isinstance(x, tuple | ReadOnlyMark | Stretch)


def parts(x: object) -> dict[object, object]:
    """The parts of a container by key."""
    if type(x) is Stretch:
        return x.parts()
    return _items(x) | {Attribute(name): value for name, value in _attributes(x)}


def _items(x: object) -> dict[object, object]:
    if isinstance(x, dict):
        return dict(x)
    if isinstance(x, set):
        return {e: e for e in x}
    return dict(enumerate(x)) if isinstance(x, _BUILTIN) else {}


def _attributes(x: object) -> Iterator[tuple[str, object]]:
    if type(x) in _BUILTIN or isinstance(x, tuple | ReadOnlyMark):
        return
    yield from getattr(x, "__dict__", {}).items()
    for base in type(x).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(x, name):
                yield name, getattr(x, name)


def rebuilt(x: object, new: dict[object, object]) -> object:
    """A container of the kind of `x` with these parts."""
    if type(x) is Stretch:
        return x.rebuilt(new)
    if isinstance(x, tuple):
        return x._make(new.values()) if hasattr(x, "_make") else tuple(new.values())
    if isinstance(x, ReadOnlyMark):
        return type(x)(new if isinstance(x, dict) else new.values())
    result = copy.copy(x) if isinstance(x, _BUILTIN) else object.__new__(type(x))
    refill(result, new)
    return result


def refill(x: object, new: dict[object, object]) -> None:
    """Give a container these parts in place of those that it has."""
    if isinstance(x, _BUILTIN):
        items = {k: v for k, v in new.items() if not isinstance(k, Attribute)}
        x.clear()
        if isinstance(x, list | collections.deque):
            x.extend(items.values())
        else:
            x.update(items)
    attributes = {k.name: v for k, v in new.items() if isinstance(k, Attribute)}
    for name in dict(_attributes(x)).keys() - attributes.keys():
        object.__delattr__(x, name)
    for name, value in attributes.items():
        object.__setattr__(x, name, value)
