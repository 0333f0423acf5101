"""What a function reads from outside: inputs that are read at each call, and guards.

An array or float that is reached through a global, a closure or an attribute becomes a hidden input of the
compiled function. Whatever else the trace has looked at is guarded: once it has changed, the function is
traced again. Containers are not guarded by identity but by structure, and their leaves by themselves, so that
`params = [w - lr * g for ...]` between two calls needs no new trace.
"""

from __future__ import annotations

import itertools
import operator
import types
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from jitgrad.ir.graph import Value
from jitgrad.ir.types import FLOAT64, Type
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Expr
from jitgrad.trace.guards import (
    Hidden,
    Place,
    items_of,
    keys_of,
    kind_of,
    leaves_of,
    listed,
    members_of,
    size_of,
)  # fmt: skip
from jitgrad.trace.readonly import ReadOnlyDict, ReadOnlyList, ReadOnlySet, special_copy
from jitgrad.trace.relied import Relied, is_fixed
from jitgrad.trace.source import TRACED
from jitgrad.trace.values import Cell, refuse

_FROZEN = "an array that existed before the call is written to; work on a copy of it (`x = x.copy()`) and return it"
_DTYPES = frozenset(np.dtype(c) for c in "?bhilqBHILQfd")
_STATIC = (
    bool,
    int,
    str,
    bytes,
    complex,
    np.bool_,
    np.integer,
    np.dtype,
    type(None),
    type(Ellipsis),
    slice,
    range,
)


def is_special(x: object) -> bool:
    """Whether a list or dict is of a class of the user's, with methods or attributes of its own."""
    return not is_fixed(type(x).__module__) and type(x).__module__ != "builtins"


class Externals(Relied):
    """The hidden inputs and guards of a trace; each path is read once."""

    def __init__(self, builder):
        super().__init__()
        self.builder = builder
        self.hidden: list[Hidden] = []
        self._closures: dict[int, tuple] = {}
        self._open: dict[int, str] = {}

    # Where values come from.
    def closure(self, function) -> dict:
        """The closure cells of a function by name."""
        known = self._closures.get(id(function))
        if known is None:
            cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
            known = self._closures[id(function)] = (cells, function)
        return known[0]

    def cell(self, function, name: str, cell) -> object:
        """A variable of the function around a real (untraced) function."""
        key = ("cell", id(cell))
        if key not in self._known:
            try:
                value = cell.cell_contents
            except ValueError:
                raise NameError(
                    f"cannot access free variable {name!r} where it is not associated with a value in enclosing scope"
                ) from None
            self._known[key] = self.take(value, Place(getattr, cell, "cell_contents"), name)
        return self._known[key]

    def global_(self, function, name: str) -> object:
        """A global variable of a function's module."""
        space = function.__globals__
        key = ("global", id(space), name)
        if key not in self._known:
            if is_fixed(space.get("__name__")):
                self._known[key] = space[name]
            else:
                self._known[key] = self.take(space[name], Place(operator.getitem, space, name), name)
        return self._known[key]

    def attribute(self, obj: object, name: str, value: object) -> object:
        """`obj.name`, where `obj` existed before the call."""
        key = ("attribute", id(obj), name)
        if key not in self._known:
            path = f"{self.path(obj)}.{name}"
            self._known[key] = self.take(value, Place(getattr, obj, name), path)
            self._objects.setdefault(id(obj), (obj, self.path(obj)))  # keeps the id from being used again
        return self._known[key]

    def item(self, obj: object, key: object, value: object) -> object:
        """`obj[key]`, where `obj` existed before the call and is no plain container."""
        return self.answer(operator.getitem, obj, key, value, f"{self.path(obj)}[{key!r}]")

    def length(self, obj: object) -> int:
        """`len(obj)` of an object that existed before the call and is no plain container."""
        return self.answer(_length, obj, None, len(obj), f"len({self.path(obj)})")

    def answer(self, ask: Callable, obj: object, key: object, value: object, path: str) -> object:
        """`ask(obj, key)`, which is `value` now and asked again at each call."""
        try:
            hash(key)
        except TypeError:  # a slice
            known = ("answer", ask, id(obj), repr(key))
        else:
            known = ("answer", ask, id(obj), type(key), key)
        if known not in self._known:
            self._known[known] = self.take(value, Place(ask, obj, key), path)
        return self._known[known]

    def iteration(self, obj: object, items: Iterator) -> Iterator:
        """The items of an object that existed before the call and is no plain container."""
        if items is obj:
            refuse(
                f"{self.path(obj)} is an iterator that existed before the call, and is used up here; make "
                "it in the "
                "function, or pass a list"
            )
        path = self.path(obj)
        values = list(items)
        key = ("count", id(obj))
        if key not in self._known:
            self._known[key] = self.take(len(values), Place(_count, obj), f"number of items of {path}")
        for k, value in enumerate(values):
            key = ("iteration", id(obj), k)
            if key not in self._known:
                self._known[key] = self.take(value, Place(_nth, obj, k), f"{path}[{k}]")
            yield self._known[key]

    def default(self, function, place: object, value: object) -> object:
        """The default value of a parameter: a place in `__defaults__`, or a name in `__kwdefaults__`."""
        key = ("default", id(function), place)
        if key not in self._known:
            values = "__kwdefaults__" if isinstance(place, str) else "__defaults__"
            path = f"{function.__name__}.{values}[{place!r}]"
            # Counted from the end, where the last parameter's stays when others get one.
            index = place if isinstance(place, str) else place - len(function.__defaults__)
            where = Place(operator.getitem, Place(getattr, function, values), index)
            self._known[key] = self.take(value, where, path)
            self._objects.setdefault(id(function), (function, function.__name__))
        return self._known[key]

    # What becomes of them.
    def take(self, value: object, place: Place, path: str) -> object:
        """What the traced function sees for a value from outside."""
        if isinstance(value, Expr) or (isinstance(value, types.FunctionType) and value in TRACED):
            return value
        if isinstance(value, np.ndarray):
            return self._array(value, place, path)
        if isinstance(value, float | np.floating):
            return self._float(value, place, path)
        if isinstance(value, _STATIC):
            if not isinstance(value, str | bytes) and type(value) not in _STATIC and not isinstance(value, np.generic):
                self._guard(place, value, path, True)  # an enum's member, or another subclass
            else:
                self._guard(place, value, path, value is None or value is Ellipsis or isinstance(value, bool))
            return value
        if isinstance(value, types.ModuleType):
            self.register(value, path)
            if not is_fixed(value.__name__):
                self._guard(place, value, path, True)
            return value
        if isinstance(value, list | tuple | dict | set | frozenset | types.MappingProxyType):
            return self._container(value, place, path)
        self._guard(place, value, path, True)
        if not isinstance(value, types.BuiltinFunctionType | np.ufunc):
            self.register(value, path)
        return value

    def _hide(self, type_: Type, kind: tuple, place: Place, path: str) -> Value:
        value = Value(type_, _name_from(path))
        self.hidden.append(Hidden(value, place, path))
        self._guard(place, kind, path, False, kind_of)
        return value

    def _float(self, value, place: Place, path: str) -> Expr:
        strong = isinstance(value, np.generic)
        if strong and value.dtype not in _DTYPES:
            refuse(f"{path} has dtype {value.dtype}; only booleans, integers, float32 and float64 are supported")
        type_ = Type(value.dtype) if strong else Type(FLOAT64, (), weak=True)
        return Expr(self._hide(type_, kind_of(value), place, path))

    def _array(self, array: np.ndarray, place: Place, path: str) -> Expr:
        if array.dtype.kind in "USOVMm":  # strings, records and dates are no numbers: they are what they are now
            self._guard(place, listed(array), path, False, listed)
            copy = array.copy()
            copy.flags.writeable = False
            return copy
        if array.dtype not in _DTYPES or not array.dtype.isnative or isinstance(array, np.matrix | np.ma.MaskedArray):
            refuse(
                f"{path} is a {type(array).__name__} of dtype {array.dtype}; only plain arrays of "
                "booleans, integers, "
                "float32 and float64 are supported"
            )
        value = self._hide(Type(array.dtype, (1,) * array.ndim), kind_of(array), place, path)
        lengths = (1 if n == 1 else self._length(value, k) for k, n in enumerate(array.shape))
        value.type = Type(array.dtype, tuple(lengths))
        return Cell(value, _FROZEN) if array.ndim else Expr(value)

    def _length(self, value: Value, axis: int) -> Value:
        return self.builder.emit(axis_length, (value,), {"axis": axis}).value

    def _container(self, value, place: Place, path: str) -> object:
        if id(value) in self._open:
            refuse(f"{path} contains itself; pass what is needed of it as an argument")
        self._open[id(value)] = path
        try:
            return self._copy(value, place, path)
        finally:
            del self._open[id(value)]

    def _copy(self, value, place: Place, path: str) -> object:
        if isinstance(value, set | frozenset):
            self._guard(place, members_of(value), path, False, members_of)
            self._register_all(value, path)
            return ReadOnlySet(value) if isinstance(value, set) else value
        is_dict = isinstance(value, dict | types.MappingProxyType)
        leaves = list(value.values()) if is_dict else value
        if is_dict:
            self._register_all(value, path)
        if all(type(e) in (bool, int, str, type(None)) for e in leaves):  # one guard for all
            look = items_of if is_dict else leaves_of
            self._guard(place, look(value), path, False, look)
            parts = leaves
        elif is_dict:
            self._guard(place, keys_of(value), f"keys of {path}", False, keys_of)
            parts = [self._element(v, place, k, path) for k, v in value.items()]
        else:
            self._guard(place, size_of(value), f"len({path})", False, size_of)
            parts = [self._element(v, place, k, path) for k, v in enumerate(value)]
        special = is_special(value)
        if is_dict:
            items = ReadOnlyDict(zip(value, parts, strict=True))
            return special_copy(value, items, self._state(value, place, path)) if special else items
        if isinstance(value, list):
            items = ReadOnlyList(parts)
            return special_copy(value, items, self._state(value, place, path)) if special else items
        if type(value) is tuple:
            return tuple(parts)
        return type(value)._make(parts) if hasattr(value, "_make") else tuple(parts)

    def _register_all(self, keys: Iterable, path: str) -> None:
        """Objects among members and keys existed before the call; the guard on all of them is theirs, too."""
        for k in keys:
            if not isinstance(k, (*_STATIC, float, tuple, frozenset)):
                self.register(k, f"{type(k).__name__} in {path}")

    def _state(self, value, place: Place, path: str) -> dict:
        """The attributes of a container of a class of the user's."""
        state = getattr(value, "__dict__", None)
        if state is None:
            return {}
        self._guard(Place(getattr, place, "__dict__"), keys_of(state), f"attributes of {path}", False, keys_of)
        return {
            name: self.take(attribute, Place(getattr, place, name), f"{path}.{name}")
            for name, attribute in state.items()
            if attribute is not value
        }

    def _element(self, value, place: Place, key: object, path: str) -> object:
        return self.take(value, Place(operator.getitem, place, key), f"{path}[{key!r}]")

    def unused(self, used: set[Value]) -> set[Value]:
        """Forget hidden inputs that nothing reads; what was forgotten.

        Their guards stay: dtype, number of axes or being None may have decided something.
        """
        gone = {h.value for h in self.hidden if h.value not in used}
        self.hidden = [h for h in self.hidden if h.value not in gone]
        return gone


def _length(x: object, _: None) -> int:
    return len(x)


def _count(x: object, _: None) -> int:
    return sum(1 for _ in x)


def _nth(x: object, k: int) -> object:
    return next(itertools.islice(x, k, None))


def _name_from(path: str) -> str:
    """A readable name for a hidden input: `params['w'][0]` gives `params_w_0`."""
    words = "".join(c if c.isalnum() or c == "_" else " " for c in path).split()
    words = words[1:] if len(words) > 1 and words[0] == "self" else words
    name = "_".join(words) or "hidden"
    return name if not name[0].isdigit() else f"_{name}"
