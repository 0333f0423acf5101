"""The way of a call: a generated function that takes the user's arguments apart and puts the results together.

It is plain Python, written for one signature: it checks what Numba's own dispatch would not notice, reads the leaves
and calls the machine code. Anything unexpected goes to the slow way, which knows everything.
"""

from __future__ import annotations

import keyword
import operator
from collections.abc import Callable

import numpy as np

from jitgrad.api.fast import Miss
from jitgrad.api.program import Program, Result
from jitgrad.api.signature import Flat, normalize, overlaps
from jitgrad.api.structure import LEAF, Static, build
from jitgrad.api.tracing import Primal
from jitgrad.trace import Guard, Place, kind_of, lacks, leaves_of, size_of, type_of


def make_caller(
    program: Program, primal: Primal, kernel: Callable, flat: Flat, static: frozenset[int], structure: tuple
) -> Callable:
    """The fast way for calls of one signature.

    Args:
        program: what `kernel` is the machine code of.
        primal: the traced function that it comes from.
        flat: the arguments, all positional, of a call with this signature.
        static: which leaves the program was traced for.
        structure: what the results are put together to.

    Returns:
        A function with the parameters of the user's, and `head` if the program has one. It raises `Miss` (or, for
        another number of arguments, a `TypeError`) where the call is not what it was made for.
    """
    writer = _Writer()
    arguments = [name if name.isidentifier() else f"a{k}" for k, name in enumerate(flat.places)]
    leaves: list[str] = []
    for name, part in zip(arguments, flat.structures, strict=True):
        writer.take_apart(name, part, leaves)
    for k, leaf in enumerate(flat.leaves):
        writer.check_leaf(leaves[k], leaf, k in static)
    passed_on = {id(primal.hidden[k].place) for kind, k in program.params if kind == "hidden"}
    for guard in primal.guards:
        writer.check_guard(guard, id(guard.place) in passed_on)
    for k in primal.written:
        others = [name for j, name in enumerate(leaves) if j != k and isinstance(flat.leaves[j], np.ndarray)]
        others += [writer.read(hidden.place) for hidden in primal.hidden]
        writer.tests += [f"not {writer.bind('overlaps', overlaps)}({leaves[k]}, {name})" for name in others]
    passed = {
        "leaf": lambda k: f"{writer.bind('normalize', normalize)}({leaves[k]})" if k in flat.changed else leaves[k],
        "hidden": lambda k: writer.read(primal.hidden[k].place),
        "captured": lambda k: writer.bind("captured", primal.captured[k]),
        "extra": lambda k: "head",
    }
    values = [passed[kind](k) for kind, k in program.params]
    if "head" in values:
        arguments.append("head=1.0")
        writer.tests.append(f"(type(head) is float or type(head) in {writer.bind('numbers', _NUMBERS)})")
    result = write_result(structure, program.results, lambda x: writer.bind("part", x))
    lines = [
        f"def call({', '.join(arguments)}):",
        "    try:",
        *(f"        {line}" for line in writer.lines),
        f"        __fits = {' and '.join(writer.tests) or 'True'}",
        f"    except {writer.bind('Exception', Exception)}:",  # reading may run code of the user's
        "        __fits = False",
        "    if __fits:",
        "        try:",
        f"            r = {writer.bind('kernel', kernel)}({', '.join(values)})",
        f"            return {result}",
        f"        except {writer.bind('expected', _EXPECTED)}:",
        "            pass",
        f"    raise {writer.bind('Miss', Miss)}",
    ]
    exec("\n".join(lines), writer.bound)
    return writer.bound["call"]


_NUMBERS = frozenset((int, np.float64, np.float32, np.int64))  # that a head may be, besides a float

# What goes wrong with arguments of other kinds; the slow way finds out, and says it well.
_EXPECTED = (TypeError, KeyError, IndexError, AttributeError, ValueError)


class _Writer:
    """Collects statements, tests and the objects that they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tests: list[str] = []
        self.bound: dict[str, object] = {}
        self._places: dict[int, str] = {}  # the local variables of places outside; each is read once
        self._owners: dict[int, str] = {}

    def bind(self, hint: str, value: object) -> str:
        """A name for an object, which no parameter of the user's has."""
        name = f"__{hint}_{len(self.bound)}"
        self.bound[name] = value
        return name

    def take_apart(self, name: str, structure: tuple, leaves: list[str]) -> None:
        """Statements that read the leaves of an argument, and tests of its structure."""
        if structure == LEAF:
            leaves.append(name)
            return
        if structure[0] == "static":
            self._check_static(name, structure[1])
            return
        kind, cls, keys, n = structure[:4]
        self.tests.append(f"type({name}) is {self.bind('cls', cls)}")
        if kind != "dataclass":
            self.tests.append(f"len({name}) == {n}")
        for k, part in enumerate(structure[4:]):
            local = f"__leaf_{len(self.lines)}"
            place = f".{keys[k]}" if kind == "dataclass" else f"[{self.bind('key', keys[k]) if kind == 'dict' else k}]"
            self.lines.append(f"{local} = {name}{place}")
            self.take_apart(local, part, leaves)

    def _check_static(self, name: str, static: Static) -> None:
        value = static.value
        if isinstance(value, str | int | float | bytes):
            self.tests.append(
                f"type({name}) is {self.bind('cls', type(value))} and {name} == {self.bind('value', value)}"
            )
        else:
            self.tests.append(f"{name} is {self.bind('value', value)}")

    def check_leaf(self, name: str, leaf: object, static: bool) -> None:
        """Numba's dispatch tells dtypes, ranks and layouts apart, but converts numbers, and takes subclasses."""
        if static:
            self._check_static(name, Static(leaf))
        elif isinstance(leaf, np.ndarray):
            self.tests.append(f"type({name}) is {self.bind('ndarray', np.ndarray)}")
        else:
            self.tests.append(f"type({name}) is {self.bind('cls', type(leaf))}")

    # What the function reads from outside.
    def read(self, place: Place) -> str:
        """The local variable that holds what there is in a place now."""
        if id(place) not in self._places:
            if isinstance(place.owner, Place):
                owner = self.read(place.owner)
            elif id(place.owner) in self._owners:
                owner = self._owners[id(place.owner)]
            else:
                owner = self._owners[id(place.owner)] = self.bind("owner", place.owner)
            local = self._places[id(place)] = f"__now_{len(self.lines)}"
            self.lines.append(f"{local} = {self._reading(place, owner)}")
        return self._places[id(place)]

    def _reading(self, place: Place, owner: str) -> str:
        get, key = place.get, place.key
        if get is getattr and key.isidentifier() and not keyword.iskeyword(key):
            return f"{owner}.{key}"
        if get is operator.getitem:
            return f"{owner}[{repr(key) if type(key) in (int, str) else self.bind('key', key)}]"
        if get is type_of:
            return f"type({owner})"
        if get is lacks:
            if len(key) == 1:
                return f"{next(iter(key))!r} not in {owner}"
            return f"{owner}.keys().isdisjoint({self.bind('names', tuple(key))})"
        return f"{self.bind('get', get)}({owner}, {self.bind('key', key)})"

    def check_guard(self, guard: Guard, passed_on: bool) -> None:
        """A guard as the cheapest test that is as strict; one of an array that is passed on, Numba checks in part."""
        now, expected = self.read(guard.place), guard.expected
        if guard.look is kind_of:
            self.tests.append(f"type({now}) is {self.bind('cls', expected[0])}")
            if len(expected) > 1:
                _, dtype, ones = expected
                if not passed_on:
                    self.tests += [f"{now}.dtype == {self.bind('dtype', dtype)}", f"{now}.ndim == {len(ones)}"]
                if not any(ones):
                    self.tests.append(f"1 not in {now}.shape")
                else:
                    axes = enumerate(ones)
                    self.tests.append(" and ".join(f"{now}.shape[{k}] {'==' if one else '!='} 1" for k, one in axes))
        elif guard.look is size_of:
            self.tests.append(f"type({now}) is {self.bind('cls', expected[0])} and len({now}) == {expected[1]}")
        elif guard.look is not None:
            equal = f"{self.bind('look', guard.look)}({now}) == {self.bind('expected', expected)}"
            if guard.look is leaves_of and expected[0] is tuple:  # holds nothing that changes
                equal = f"({now} is {self.bind('tuple', expected[2])} or {equal})"
            self.tests.append(equal)
        elif guard.place.get is lacks:
            self.tests.append(now)
        elif expected is None or expected is True or expected is False:
            self.tests.append(f"{now} is {expected}")
        elif guard.identity:
            self.tests.append(f"{now} is {self.bind('expected', expected)}")
        else:  # the same object at most calls, or an equal one
            same = self.bind("expected", expected)
            self.tests.append(f"({now} is {same} or (type({now}) is type({same}) and {now} == {same}))")


def write_result(structure: tuple, results: list[Result], bind: Callable[[object], str], in_python: bool = True) -> str:
    """The expression that makes the user's result of the kernel's results `r`.

    `bind` gives a name for an object that has no text of its own. In Python a compiled function has given Python
    numbers; where NumPy would give one of its own, so does the result.
    """
    places = iter(range(len(results)))
    single = len(results) == 1

    def write(s: tuple) -> str:
        if s == LEAF:
            k = next(places)
            text = "r" if single else f"r[{k}]"
            plain = results[k].ndim or results[k].weak or not in_python
            return text if plain else f"{bind(results[k].dtype.type)}({text})"
        if s[0] == "static":
            return "None" if s[1].value is None else bind(s[1].value)
        kind, cls, keys, _ = s[:4]
        parts = [write(part) for part in s[4:]]
        if kind == "dict" and cls is dict:
            return "{" + ", ".join(f"{bind(k)}: {p}" for k, p in zip(keys, parts, strict=True)) + "}"
        if kind == "list" and cls is list:
            return f"[{', '.join(parts)}]"
        if kind == "tuple" and cls is tuple:
            return f"({''.join(p + ', ' for p in parts)})"
        if kind == "tuple" and keys:
            return f"{bind(cls)}({', '.join(parts)})"
        return f"{bind(lambda *items: build(kind, cls, keys, list(items)))}({', '.join(parts)})"

    return write(structure)
