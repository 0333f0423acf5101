"""Nested containers as flat lists of leaves, and back.

A structure is nested tuples that can be compared and hashed: `LEAF`, `("static", Static)`, or a kind of container with
what tells it from others of its kind, and the structures of its parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from jitgrad.ops.symbolic import Expr

LEAF = ("leaf",)
_PLAIN = (str, bytes, int, float, bool, type(None), type(Ellipsis), range, np.dtype)


class Static:
    """A value that the program depends on: by value for numbers and strings, by identity for objects."""

    __slots__ = ("value",)

    def __init__(self, value: object):
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Static):
            return False
        a, b = self.value, other.value
        return a is b or (isinstance(a, _PLAIN) and type(a) is type(b) and (a == b or (a != a and b != b)))

    def __hash__(self) -> int:
        return hash((type(self.value), self.value)) if isinstance(self.value, _PLAIN) else id(self.value)

    def __repr__(self) -> str:
        return f"Static({self.value!r})"


def flatten(x: object, name: str, is_leaf: Callable[[object, str], bool]) -> tuple[list, list[str], tuple]:
    """The leaves of a structure, their names, and the structure.

    Args:
        x: anything.
        name: what the leaves' names start with.
        is_leaf: decides for what is no container; what isn't a leaf is static.
    """
    leaves: list[object] = []
    names: list[str] = []

    def visit(x: object, name: str) -> tuple:
        kind = _container(x)
        if kind is None:
            if is_leaf(x, name):
                leaves.append(x)
                names.append(name)
                return LEAF
            return ("static", Static(x))
        head, keys, parts = kind
        return (*head, *(visit(part, f"{name}_{key}") for key, part in zip(keys, parts, strict=True)))

    return leaves, names, visit(x, name)


def _container(x: object) -> tuple[tuple, list, list] | None:
    """Head of the structure, names of the parts, the parts."""
    cls = type(x)
    if isinstance(x, Expr | np.ndarray | np.generic | str | bytes | int | float):
        return None
    if isinstance(x, dict):
        if cls is not dict and not hasattr(cls, "fromkeys"):
            return None
        return ("dict", cls, tuple(x), len(x)), [_word(k) for k in x], list(x.values())
    if isinstance(x, tuple):
        fields = getattr(cls, "_fields", None)
        return ("tuple", cls, fields, len(x)), list(fields or range(len(x))), list(x)
    if isinstance(x, list):
        return ("list", cls, None, len(x)), list(range(len(x))), list(x)
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        names = [f.name for f in dataclasses.fields(x)]
        return ("dataclass", cls, tuple(names), len(names)), names, [getattr(x, n) for n in names]
    return None


def _word(key: object) -> str:
    return key if isinstance(key, str) else str(key)


def unflatten(structure: tuple, leaves: Iterator) -> object:
    """The structure with the next of `leaves` at each leaf."""
    if structure is LEAF or structure == LEAF:
        return next(leaves)
    if structure[0] == "static":
        return structure[1].value
    kind, cls, keys, _ = structure[:4]
    parts = [unflatten(s, leaves) for s in structure[4:]]
    return build(kind, cls, keys, parts)


def build(kind: str, cls: type, keys: tuple | None, parts: list) -> object:
    """A container of a kind from its parts."""
    if kind == "dict":
        return dict(zip(keys, parts, strict=True)) if cls is dict else _dict_like(cls, keys, parts)
    if kind == "list":
        return parts if cls is list else cls(parts)
    if kind == "tuple":
        return tuple(parts) if cls is tuple else cls(*parts) if keys else cls(parts)
    new = object.__new__(cls)
    for name, part in zip(keys, parts, strict=True):
        object.__setattr__(new, name, part)
    return new


def get_part(kind: str, container: object, key: object, k: int) -> object:
    """The k-th part of a container of a kind; in a dict or dataclass it is called `key`."""
    return container[key] if kind == "dict" else getattr(container, key) if kind == "dataclass" else container[k]


def _dict_like(cls: type, keys: tuple, parts: list) -> object:
    new = cls()
    new.update(zip(keys, parts, strict=True))
    return new


def pair(*structures: tuple) -> tuple:
    """The structure of a tuple of these."""
    return ("tuple", tuple, None, len(structures), *structures)


def count(structure: tuple) -> int:
    """The number of leaves."""
    if structure == LEAF:
        return 1
    return 0 if structure[0] == "static" else sum(count(s) for s in structure[4:])


def places(structure: tuple) -> Iterator[bool]:
    """For everything that is no container, in order, whether it is a leaf; else it is static."""
    if structure == LEAF or structure[0] == "static":
        yield structure == LEAF
    else:
        for part in structure[4:]:
            yield from places(part)


def without_statics(structure: tuple) -> tuple:
    """The structure of a derivative: what is static has none."""
    if structure == LEAF:
        return LEAF
    if structure[0] == "static":
        return ("static", Static(None))
    return (*structure[:4], *(without_statics(s) for s in structure[4:]))
