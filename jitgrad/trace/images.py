"""What a variable has at the end of a region, as a tree of numbers and arrays.

An image is taken inside the region, with the values that arrays have there, so that it can be put together with that
of the other branch, or with what a loop has started from.
"""

from __future__ import annotations

import types
from dataclasses import dataclass

import numpy as np

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Arg, Const, Value
from jitgrad.ops.symbolic import Expr
from jitgrad.trace.aliases import Maybe, Undecided
from jitgrad.trace.journal import MISSING, can_read
from jitgrad.trace.source import TRACED
from jitgrad.trace.structure import has_parts, is_object, parts
from jitgrad.trace.values import Cell


@dataclass(frozen=True, eq=False, slots=True)
class Leaf:
    """A number, or the value of an array; `cell` is the array as Python sees it."""

    arg: Arg
    cell: Cell | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Fixed:
    """An object that holds no traced values, or that is the same at entry and exit."""

    thing: object


@dataclass(frozen=True, eq=False, slots=True)
class Tree:
    """A container and the images of its parts."""

    thing: object
    children: dict[object, Image]


@dataclass(frozen=True, eq=False, slots=True)
class Optional:
    """A variable that is bound if `flag`."""

    value: Image
    flag: Leaf


@dataclass(frozen=True, eq=False, slots=True)
class Absent:
    """A variable that isn't bound."""


@dataclass(frozen=True, eq=False, slots=True)
class Opaque:
    """What can't be put together with anything else, and why."""

    reason: str
    undecided: Undecided | None = None


Image = Leaf | Fixed | Tree | Optional | Absent | Opaque

_LARGEST = 2**63


class Imager:
    """Takes images of what there is now; one object has one image."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[object, Image]] = {}

    def image(self, x: object) -> Image:
        found = self.known.get(id(x))
        if found is None:
            self.known[id(x)] = (x, Opaque("a container that contains itself"))
            found = self.known[id(x)] = (x, self._image(x))
        return found[1]

    def _image(self, x: object) -> Image:
        if x is MISSING:
            return Absent()
        if isinstance(x, Expr):
            return _of_array(x)
        if _is_number(x):
            return Leaf(Const.of(x))
        if isinstance(x, Undecided):
            return Opaque(x.reason, x)
        if isinstance(x, Maybe):
            return Optional(self.image(x.value), Leaf(x.defined.value))
        if has_parts(x) and not isinstance(x, type):
            return Tree(x, {k: self.image(v) for k, v in parts(x).items()})
        return Fixed(x)


def _of_array(x: Expr) -> Image:
    try:
        return Leaf(x.value, x if isinstance(x, Cell) else None)
    except TraceError as error:  # it can't be read any more
        return Opaque(error.msg)


def _is_number(x: object) -> bool:
    if isinstance(x, bool | float | np.bool_ | np.integer | np.floating):
        return True
    return type(x) is int and -_LARGEST <= x < _LARGEST


def is_plain(x: object) -> bool:
    """Whether an object can be used outside of the regions that it may come from: it holds nothing of them."""
    if isinstance(x, types.MethodType):
        return is_plain(x.__func__) and not is_object(x.__self__)
    if isinstance(x, types.FunctionType):
        closure = TRACED.get(x)
        return closure is None or (not (closure.defaults or closure.kw_defaults) and can_read(closure.frame.home))
    return x is None or isinstance(x, _PLAIN)


_PLAIN = (
    str, bytes, int, complex, type, np.dtype, np.ufunc, slice, range, frozenset, types.ModuleType,
    types.BuiltinFunctionType, type(Ellipsis),
)  # fmt: skip


def show(image: Image) -> str:
    """An image in words, for messages."""
    if isinstance(image, Leaf):
        return _show_type(image.arg)
    if isinstance(image, Fixed):
        text = repr(image.thing)
        return f"the function {image.thing.__name__}" if isinstance(image.thing, types.FunctionType) else text[:60]
    if isinstance(image, Tree):
        kind = type(image.thing).__name__
        return f"a {kind} of {len(image.children)}" if isinstance(image.thing, list | tuple | dict) else f"a {kind}"
    if isinstance(image, Optional):
        return show(image.value)
    return "unbound" if isinstance(image, Absent) else image.reason


def _show_type(arg: Arg) -> str:
    kind = arg.type
    if kind.shape:
        lengths = (str(n) if not isinstance(n, Value) else n.name or "?" for n in kind.shape)
        return f"a {kind.dtype} array of shape ({', '.join(lengths)}{',' * (kind.ndim == 1)})"
    if kind.weak:
        return "a float" if kind.is_float else "an int"
    return "a bool" if kind.dtype == np.bool_ else f"a {kind.dtype} number"
