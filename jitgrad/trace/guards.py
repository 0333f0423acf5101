"""Places outside the function that a trace has read, and what must still be found there at the next call.

Places and guards are data: `Guard.holds` looks at one, and the way of a call is generated from them as plain tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jitgrad.ir.graph import Value

MISSING = object()


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """Where something is read: `get(owner, key)`; the owner is an object, or what another place has now."""

    get: Callable[[object, object], object]
    owner: object
    key: object = None

    def read(self) -> object:
        owner = self.owner.read() if type(self.owner) is Place else self.owner
        return self.get(owner, self.key)


@dataclass(frozen=True, slots=True)
class Hidden:
    """An array or float from outside: an extra parameter, read at each call."""

    value: Value
    place: Place
    path: str

    def read(self) -> object:
        return self.place.read()


@dataclass(frozen=True, slots=True)
class Guard:
    """Something the trace relied on: a place still has `expected`, the same object or an equal one.

    Attributes:
        place, expected: where, and what.
        path: both in words.
        identity: only the same object will do.
        look: what of the object in that place must be `expected`; None for the object itself.
    """

    place: Place
    expected: object
    path: str
    identity: bool
    look: Callable[[object], object] | None = None

    def holds(self) -> bool:
        """Whether nothing has changed; an error while reading is a change."""
        try:
            now = self.place.read()
            now = now if self.look is None else self.look(now)
            if self.identity or now is self.expected:
                return now is self.expected
            return type(now) is type(self.expected) and bool(now == self.expected)
        except Exception:
            return False


# What a guard may look at.
def kind_of(x: object) -> tuple:
    """What must stay the same of a hidden input: type, dtype, and which axes have length one."""
    if isinstance(x, np.ndarray):
        return (type(x), x.dtype, tuple(n == 1 for n in x.shape))
    return (type(x),)


def size_of(x: object) -> tuple:
    """Of a container whose items have guards of their own."""
    return (type(x), len(x))


def keys_of(x: dict) -> tuple:
    """Of a dict whose values have guards of their own."""
    return leaves_of(x)


# 1, 1.0 and True are equal, so types are compared as well.
def leaves_of(x: object) -> tuple:
    """All of a list or tuple of numbers, strings and flags."""
    return (type(x), tuple(map(type, x)), tuple(x))


def items_of(x: dict) -> tuple:
    """All of a dict of numbers, strings and flags, with their order."""
    return (*leaves_of(x), *leaves_of(x.values()))


def members_of(x: set) -> tuple:
    """All of a set."""
    return (type(x), frozenset((type(e), e) for e in x))


def listed(x: np.ndarray) -> list:
    """All of an array of strings, records or dates."""
    return x.tolist()


# How places are read, besides `getattr` and `operator.getitem`.
def type_of(x: object, _: None) -> type:
    return type(x)


def lacks(space: dict, names: set[str]) -> bool:
    """Whether none of the names is a key."""
    return space.keys().isdisjoint(names)


def find(kind: type, name: str) -> tuple[object, type | None]:
    """What a class has under a name, and which of its bases has it."""
    return find_in(kind.__mro__, name)


def find_in(bases: tuple[type, ...], name: str) -> tuple[object, type | None]:
    for base in bases:
        if name in base.__dict__:
            return base.__dict__[name], base
    return MISSING, None


def raw_in(kind: type, name: str) -> object:
    """What a class has under a name, before a descriptor makes something else of it."""
    return find_in(kind.__mro__, name)[0]


def raw_above(pair: tuple[type, type], name: str) -> object:
    """The same for `super()`: what the bases of a class have, in the order of another class."""
    return find_in(above(*pair), name)[0]


def above(cls: type, kind: type) -> tuple[type, ...]:
    """The classes after `cls` in the order of `kind`."""
    return kind.__mro__[kind.__mro__.index(cls) + 1 :]
