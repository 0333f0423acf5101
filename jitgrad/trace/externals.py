"""What a function reads from outside: inputs that are read at each call, and guards.

An array or float that is reached through a global, a closure or an attribute becomes a hidden input of the
compiled function. Whatever else the trace has looked at is guarded: once it has changed, the function is
traced again. Containers are not guarded by identity but by structure, and their leaves by themselves, so that
`params = [w - lr * g for ...]` between two calls needs no new trace.
"""

from __future__ import annotations

import itertools
import operator
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from jitgrad.ir.graph import Value
from jitgrad.ir.types import FLOAT64, Type
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Expr
from jitgrad.trace.readonly import ReadOnlyDict, ReadOnlyList, ReadOnlySet, special_copy
from jitgrad.trace.source import TRACED
from jitgrad.trace.values import Cell, refuse

# Packages whose contents don't change between calls, and whose functions are called as they are.
FIXED = frozenset(sys.stdlib_module_names) | {
    "jitgrad", "llvmlite", "matplotlib", "numba", "numpy", "pandas", "scipy", "sklearn", "tqdm", "pytest",
    "_pytest", "hypothesis", "IPython", "ipykernel",
}  # fmt: skip

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


@dataclass(frozen=True, slots=True)
class Hidden:
    """An array or float from outside: an extra parameter, read at each call."""

    value: Value
    read: Callable[[], object]
    path: str


@dataclass(frozen=True, slots=True)
class Guard:
    """Something the trace relied on: `read()` must still give `expected`, the same object or an equal one."""

    read: Callable[[], object]
    expected: object
    path: str
    identity: bool

    def holds(self) -> bool:
        """Whether nothing has changed; an error while reading is a change."""
        try:
            now = self.read()
        except Exception:
            return False
        if self.identity or now is self.expected:
            return now is self.expected
        return type(now) is type(self.expected) and bool(now == self.expected)


def is_fixed(module: object) -> bool:
    """Whether a module's name says that its contents don't change."""
    return isinstance(module, str) and module.partition(".")[0] in FIXED


def is_special(x: object) -> bool:
    """Whether a list or dict is of a class of the user's, with methods or attributes of its own."""
    return not is_fixed(type(x).__module__) and type(x).__module__ != "builtins"


def kind_of(x: object) -> tuple:
    """What must stay the same of a hidden input: type, dtype, and which axes have length one."""
    if isinstance(x, np.ndarray):
        return (type(x), x.dtype, tuple(n == 1 for n in x.shape))
    return (type(x),)


def _leaves(x) -> tuple:
    return (type(x), tuple(map(type, x)), tuple(x))


def _mapping(x) -> tuple:
    return (type(x), tuple(x), tuple(map(type, x.values())), tuple(x.values()))


class Externals:
    """The hidden inputs and guards of a trace; each path is read once."""

    def __init__(self, builder):
        self.builder = builder
        self.hidden: list[Hidden] = []
        self.guards: list[Guard] = []
        self.classes: set[type] = set()  # defined while tracing
        self._known: dict[tuple, object] = {}
        self._objects: dict[int, tuple[object, str]] = {}
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
            self._known[key] = self.take(value, lambda: cell.cell_contents, name)
        return self._known[key]

    def global_(self, function, name: str) -> object:
        """A global variable of a function's module."""
        space = function.__globals__
        key = ("global", id(space), name)
        if key not in self._known:
            if is_fixed(space.get("__name__")):
                self._known[key] = space[name]
            else:
                self._known[key] = self.take(space[name], lambda: space[name], name)
        return self._known[key]

    def attribute(self, obj: object, name: str, value: object) -> object:
        """`obj.name`, where `obj` existed before the call."""
        key = ("attribute", id(obj), name)
        if key not in self._known:
            path = f"{self.path(obj)}.{name}"
            self._known[key] = self.take(value, lambda: getattr(obj, name), path)
            self._objects.setdefault(id(obj), (obj, self.path(obj)))  # keeps the id from being used again
        return self._known[key]

    def item(self, obj: object, key_: object, value: object) -> object:
        """`obj[key]`, where `obj` existed before the call and is no plain container."""
        key = ("item", id(obj), type(key_), key_)
        if key not in self._known:
            path = f"{self.path(obj)}[{key_!r}]"
            self._known[key] = self.take(value, lambda: obj[key_], path)
        return self._known[key]

    def length(self, obj: object) -> int:
        """`len(obj)` of an object that existed before the call and is no plain container."""
        key = ("length", id(obj))
        if key not in self._known:
            self._known[key] = self.take(len(obj), lambda: len(obj), f"len({self.path(obj)})")
        return self._known[key]

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
            self._known[key] = self.take(len(values), lambda: sum(1 for _ in obj), f"number of items of {path}")
        for k, value in enumerate(values):
            key = ("iteration", id(obj), k)
            if key not in self._known:
                self._known[key] = self.take(value, lambda k=k: next(itertools.islice(obj, k, None)), f"{path}[{k}]")
            yield self._known[key]

    def default(self, function, place: object, value: object) -> object:
        """The default value of a parameter: a place in `__defaults__`, or a name in `__kwdefaults__`."""
        key = ("default", id(function), place)
        if key not in self._known:
            values = "__kwdefaults__" if isinstance(place, str) else "__defaults__"
            path = f"{function.__name__}.{values}[{place!r}]"
            self._known[key] = self.take(value, lambda: getattr(function, values)[place], path)
            self._objects.setdefault(id(function), (function, function.__name__))
        return self._known[key]

    def inlined(self, function) -> None:
        """A function was evaluated inline: its code must stay what it is."""
        key = ("code", id(function))
        if key not in self._known:
            self._known[key] = function
            code = function.__code__
            self._guard(lambda: function.__code__, code, f"{function.__name__}.__code__", True)

    # What becomes of them.
    def is_outside(self, obj: object) -> bool:
        """Whether an object existed before the call, as far as the trace has come across it."""
        known = self._objects.get(id(obj))
        return known is not None and known[0] is obj

    def is_inside(self, cls: type) -> bool:
        """Whether a class was defined while tracing."""
        return cls in self.classes

    def path(self, obj: object) -> str:
        known = self._objects.get(id(obj))
        return getattr(obj, "__name__", type(obj).__name__) if known is None else known[1]

    def register(self, obj: object, path: str) -> None:
        """Note that an object existed before the call."""
        self._objects.setdefault(id(obj), (obj, path))

    def take(self, value: object, read: Callable, path: str) -> object:
        """What the traced function sees for a value from outside."""
        if isinstance(value, Expr) or (isinstance(value, types.FunctionType) and value in TRACED):
            return value
        if isinstance(value, np.ndarray):
            return self._array(value, read, path)
        if isinstance(value, float | np.floating):
            return self._float(value, read, path)
        if isinstance(value, _STATIC):
            if not isinstance(value, str | bytes) and type(value) not in _STATIC and not isinstance(value, np.generic):
                self._guard(read, value, path, True)  # an enum's member, or another subclass
            else:
                self._guard(read, value, path, value is None or value is Ellipsis or isinstance(value, bool))
            return value
        if isinstance(value, types.ModuleType):
            self.register(value, path)
            if not is_fixed(value.__name__):
                self._guard(read, value, path, True)
            return value
        if isinstance(value, list | tuple | dict | set | frozenset):
            return self._container(value, read, path)
        self._guard(read, value, path, True)
        if not isinstance(value, types.BuiltinFunctionType | np.ufunc):
            self.register(value, path)
        return value

    def _guard(self, read: Callable, expected: object, path: str, identity: bool) -> None:
        self.guards.append(Guard(read, expected, path, identity))

    def _hide(self, type_: Type, kind: tuple, read: Callable, path: str) -> Value:
        value = Value(type_, _name_from(path))
        self.hidden.append(Hidden(value, read, path))
        self._guard(lambda: kind_of(read()), kind, path, False)
        return value

    def _float(self, value, read: Callable, path: str) -> Expr:
        strong = isinstance(value, np.generic)
        if strong and value.dtype not in _DTYPES:
            refuse(f"{path} has dtype {value.dtype}; only booleans, integers, float32 and float64 are supported")
        type_ = Type(value.dtype) if strong else Type(FLOAT64, (), weak=True)
        return Expr(self._hide(type_, kind_of(value), read, path))

    def _array(self, array: np.ndarray, read: Callable, path: str) -> Expr:
        if array.dtype.kind in "USOVMm":  # strings, records and dates are no numbers: they are what they are now
            self._guard(lambda: read().tolist(), array.tolist(), path, False)
            copy = array.copy()
            copy.flags.writeable = False
            return copy
        if array.dtype not in _DTYPES or not array.dtype.isnative or isinstance(array, np.matrix | np.ma.MaskedArray):
            refuse(
                f"{path} is a {type(array).__name__} of dtype {array.dtype}; only plain arrays of "
                "booleans, integers, "
                "float32 and float64 are supported"
            )
        value = self._hide(Type(array.dtype, (1,) * array.ndim), kind_of(array), read, path)
        lengths = (1 if n == 1 else self._length(value, k) for k, n in enumerate(array.shape))
        value.type = Type(array.dtype, tuple(lengths))
        return Cell(value, _FROZEN) if array.ndim else Expr(value)

    def _length(self, value: Value, axis: int) -> Value:
        return self.builder.emit(axis_length, (value,), {"axis": axis}).value

    def _container(self, value, read: Callable, path: str) -> object:
        if id(value) in self._open:
            refuse(f"{path} contains itself; pass what is needed of it as an argument")
        self._open[id(value)] = path
        try:
            return self._copy(value, read, path)
        finally:
            del self._open[id(value)]

    def _copy(self, value, read: Callable, path: str) -> object:
        if isinstance(value, set | frozenset):
            self._guard(lambda: (type(read()), frozenset(read())), (type(value), frozenset(value)), path, False)
            return ReadOnlySet(value) if isinstance(value, set) else value
        leaves = list(value.values()) if isinstance(value, dict) else value
        if all(type(e) in (bool, int, str, type(None)) for e in leaves):  # one guard for all
            look = _mapping if isinstance(value, dict) else _leaves
            self._guard(lambda: look(read()), look(value), path, False)
            parts = leaves
        elif isinstance(value, dict):
            self._guard(lambda: tuple(read()), tuple(value), f"keys of {path}", False)
            parts = [self._element(v, read, k, path) for k, v in value.items()]
        else:
            self._guard(lambda: (type(read()), len(read())), (type(value), len(value)), f"len({path})", False)
            parts = [self._element(v, read, k, path) for k, v in enumerate(value)]
        special = is_special(value)
        if isinstance(value, dict):
            items = ReadOnlyDict(zip(value, parts, strict=True))
            return special_copy(value, items, self._state(value, read, path)) if special else items
        if isinstance(value, list):
            items = ReadOnlyList(parts)
            return special_copy(value, items, self._state(value, read, path)) if special else items
        if type(value) is tuple:
            return tuple(parts)
        return type(value)._make(parts) if hasattr(value, "_make") else tuple(parts)

    def _state(self, value, read: Callable, path: str) -> dict:
        """The attributes of a container of a class of the user's."""
        return {
            name: self.take(attribute, lambda name=name: getattr(read(), name), f"{path}.{name}")
            for name, attribute in getattr(value, "__dict__", {}).items()
            if attribute is not value
        }

    def _element(self, value, read: Callable, key: object, path: str) -> object:
        get = operator.itemgetter(key)
        return self.take(value, lambda: get(read()), f"{path}[{key!r}]")

    def unused(self, used: set[Value]) -> set[Value]:
        """Forget hidden inputs that nothing reads, together with their guards; what was forgotten."""
        gone = {h.value for h in self.hidden if h.value not in used}
        paths = {h.path for h in self.hidden if h.value in gone}
        self.hidden = [h for h in self.hidden if h.value not in gone]
        kept = {h.path for h in self.hidden}
        self.guards = [
            g
            for g in self.guards
            if not (g.path in paths - kept and isinstance(g.expected, tuple) and _is_kind(g.expected))
        ]
        return gone


def _is_kind(expected: tuple) -> bool:
    return isinstance(expected[0], type) and issubclass(expected[0], np.ndarray | float | np.floating)


def _name_from(path: str) -> str:
    """A readable name for a hidden input: `params['w'][0]` gives `params_w_0`."""
    words = "".join(c if c.isalnum() or c == "_" else " " for c in path).split()
    words = words[1:] if len(words) > 1 and words[0] == "self" else words
    name = "_".join(words) or "hidden"
    return name if not name[0].isdigit() else f"_{name}"
