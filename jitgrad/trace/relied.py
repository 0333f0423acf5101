"""What else a trace relies on: classes and their methods, attributes that are missing, builtins.

Not noticed: changes of the packages in `FIXED` and of the module `builtins`; of `__getattribute__` and metaclasses; of
what a method written in C gives for an object outside (`deque.count`, `os.environ.get`), numbers of which are refused;
and, in generator functions, of operators that a user's class defines.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable

from jitgrad.trace.guards import MISSING, Guard, Place, find, lacks, raw_above, raw_in, type_of

# Packages whose contents don't change between calls, and whose functions are called as they are.
FIXED = frozenset(sys.stdlib_module_names) | {
    "jitgrad", "llvmlite", "matplotlib", "numba", "numpy", "pandas", "scipy", "sklearn", "tqdm", "pytest",
    "_pytest", "hypothesis", "IPython", "ipykernel",
}  # fmt: skip


def is_fixed(module: object) -> bool:
    """Whether a module's name says that its contents don't change."""
    return isinstance(module, str) and module.partition(".")[0] in FIXED


def is_users(kind: type) -> bool:
    """Whether a class may change between calls."""
    return kind.__module__ != "builtins" and not is_fixed(kind.__module__)


class Relied:
    """The guards of a trace, and the objects that existed before it."""

    def __init__(self) -> None:
        self.guards: list[Guard] = []
        self.classes: set[type] = set()  # defined while tracing
        self._known: dict[tuple, object] = {}
        self._objects: dict[int, tuple[object, str]] = {}
        self._names: dict[int, set[str]] = {}

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
        """Note that an object existed before the call, with the one that a bound method belongs to."""
        self._objects.setdefault(id(obj), (obj, path))
        owner = obj.__self__ if isinstance(obj, types.MethodType) else None
        if owner is not None and not isinstance(owner, type):
            self.register(owner, f"{path}.__self__")

    def rely(self, place: Place, expected: object, path: str, key: tuple | None = None) -> None:
        """A place must have this very object at each call; `key` tells places with owners that are made for it."""
        key = ("rely", place.get, *(key or (id(place.owner), place.key)))
        if key not in self._known:
            self._known[key] = place.owner
            self._guard(place, expected, path, True)

    def inlined(self, function) -> None:
        """A function was evaluated inline: its code must stay what it is."""
        self.rely(Place(getattr, function, "__code__"), function.__code__, f"{function.__name__}.__code__")

    def unbound(self, space: dict, name: str) -> None:
        """A name was none of the module's, but a builtin's: one guard for all such names."""
        if not is_fixed(space.get("__name__")):
            self._absent(space, space, name, f"builtins in {space.get('__name__')}")

    def of_type(self, obj: object) -> None:
        """What the class of an object has was used: it must stay its class."""
        if self.is_outside(obj) and is_users(type(obj)):
            self.rely(Place(type_of, obj), type(obj), f"type({self.path(obj)})")

    def of_class(self, kind: type, name: str) -> None:
        """What a class has under a name, or that it has nothing, was used: a method, a property."""
        raw, base = find(kind, name)
        if kind in self.classes:  # made anew at each trace, perhaps of one that isn't
            kind = base
        if kind is None or kind in self.classes or not is_users(kind):
            return
        seen = getattr(kind, name, MISSING)
        if seen is raw and raw is not MISSING:
            place = Place(getattr, kind, name)  # cheaper, and the same for functions and properties
        elif seen is MISSING and raw is MISSING:
            place, raw = Place(hasattr, kind, name), False
        else:
            place = Place(raw_in, kind, name)
        self.rely(place, raw, f"{kind.__name__}.{name} of the class")

    def of_bases(self, cls: type, kind: type, name: str) -> None:
        """What `super()` has found under a name was used."""
        if is_users(kind) and kind not in self.classes:
            raw = raw_above((cls, kind), name)
            path = f"super({cls.__name__}).{name} of {kind.__name__}"
            self.rely(Place(raw_above, (cls, kind), name), raw, path, (cls, kind, name))

    def special(self, obj: object, name: str) -> tuple[object, type | None]:
        """A special method, which Python looks for in the class, and the class that has it."""
        self.of_type(obj)
        self.of_class(type(obj), name)
        return find(type(obj), name)

    def unshadowed(self, obj: object, name: str) -> None:
        """The class's attribute was used: no attribute of the instance hid it. One guard for all of an object."""
        if self.is_outside(obj) and hasattr(obj, "__dict__"):
            self._absent(obj, Place(getattr, obj, "__dict__"), name, f"attributes of {self.path(obj)}")

    def missing(self, obj: object, name: str) -> None:
        """An object had no attribute of that name, as `hasattr` and `getattr` with a default ask."""
        if not self.is_outside(obj) and not isinstance(obj, type | types.ModuleType):
            obj = type(obj)
        fixed = is_fixed(obj.__name__) if isinstance(obj, types.ModuleType) else not is_users(type(obj))
        if isinstance(obj, type):
            fixed = obj in self.classes or not is_users(obj)
        if not fixed and not hasattr(obj, name):
            self.rely(Place(hasattr, obj, name), False, f"no {self.path(obj)}.{name}")

    def _absent(self, owner: object, space: object, name: str, path: str) -> None:
        names = self._names.get(id(owner))
        if names is None:
            names = self._names[id(owner)] = set()  # grows until the trace ends
            self._guard(Place(lacks, space, names), True, path, True)
            self._known["kept", id(owner)] = owner
        names.add(name)

    def _guard(self, place: Place, expected: object, path: str, identity: bool, look: Callable | None = None) -> None:
        self.guards.append(Guard(place, expected, path, identity, look))
