"""The way of a call: a generated function that takes the user's arguments apart and puts the results together.

It is plain Python, written for one signature: it checks what Numba's own dispatch would not notice, reads the leaves
and calls the machine code. Anything unexpected goes to the slow way, which knows everything.
"""

from __future__ import annotations

import keyword
import operator
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jitgrad.api.chain import Entry
from jitgrad.api.fast import Miss
from jitgrad.api.outs import Outs, fill
from jitgrad.api.program import Program, Result
from jitgrad.api.signature import normalize, overlaps
from jitgrad.api.structure import LEAF, Static, build, flatten
from jitgrad.trace import Guard, Place, kind_of, lacks, leaves_of, size_of, type_of


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the function that is generated.

    Attributes:
        name: what it is called, and `default` the text of its default value.
        kind: of the program's params that its leaves are for: "leaf" or "extra".
        structure: of what is passed for it, and `given` the leaves of that in a call.
        changed: which of these (by their numbers among all of their kind) have to be made contiguous.
        lenient: its leaf is a number of any kind.
        by_name: it is passed by keyword only.
    """

    name: str
    kind: str
    structure: tuple
    given: Sequence
    changed: frozenset[int] = frozenset()
    default: str = ""
    lenient: bool = False
    by_name: bool = False


def passed_on(name: str, what: object, extras: Sequence, by_name: bool = False) -> Parameter | None:
    """The parameter for what becomes further params of the program, as it is or made contiguous; None if it doesn't."""
    given, _, structure = flatten(what, name, lambda x, _: isinstance(x, np.ndarray | float | int | np.generic))
    if len(given) != len(extras):
        return None
    changed = frozenset(k for k, (x, extra) in enumerate(zip(given, extras, strict=True)) if x is not extra)
    if not all(isinstance(given[k], np.ndarray) and given[k].ndim for k in changed):
        return None
    return Parameter(name, "extra", structure, given, changed, by_name=by_name)


def make_caller(
    program: Program,
    kernel: Callable,
    parameters: Sequence[Parameter],
    entry: Entry,
    outs: Outs | None = None,
    finish: Callable | None = None,
) -> Callable:
    """The fast way for calls of one kind.

    Args:
        program: what `kernel` is the machine code of.
        kernel: a compiled function.
        parameters: of the function to be made, with what they are in a call for which it is right.
        entry: where the program comes from: the traced function with its guards, if there is one, and the structure
            of the results.
        outs: the arrays for results in that call.
        finish: what is made of the results in the end.

    Returns:
        A function of the parameters, and of `out` by keyword if there are arrays for results. It raises `Miss` (or, for
        another number of arguments, a `TypeError`) where the call is not what it was made for.
    """
    writer = _Writer()
    primal = entry.primal
    leaves, passed = writer.take("leaf", parameters, entry.static)
    _, extras = writer.take("extra", parameters, frozenset())
    hidden: list[Place] = []
    if primal is not None:
        hidden = [h.place for h in primal.hidden]
        passed_on = {id(hidden[k]) for kind, k in program.params if kind == "hidden"}
        for guard in primal.guards:
            writer.check_guard(guard, id(guard.place) in passed_on)
        writer.keep_apart(leaves, primal.written, hidden)
    sources = {
        "leaf": passed.__getitem__,
        "extra": extras.__getitem__,
        "hidden": lambda k: writer.read(hidden[k]),
        "captured": lambda k: writer.bind("captured", primal.captured[k]),
    }
    arrays = {} if outs is None else writer.take_outs(outs)
    values = [arrays[k] if kind == "out" else sources[kind](k) for kind, k in program.params]
    if outs is not None:
        writer.compare_outs(outs, arrays, values)
    result, fills = write_outs(entry.structure, program, arrays, writer)
    by_name = [p.name + p.default for p in parameters if p.by_name] + ["out"] * (outs is not None)
    signature = [*(p.name for p in parameters if not p.by_name), *(["*", *by_name] if by_name else [])]
    lines = [
        f"def call({', '.join(signature)}):",
        "    try:",
        *(f"        {line}" for line in writer.lines),
        f"        __fits = {' and '.join(writer.tests) or 'True'}",
        f"    except {writer.bind('Exception', Exception)}:",  # reading may run code of the user's
        "        __fits = False",
        "    if __fits:",
        "        try:",
        f"            r = {writer.bind('kernel', kernel)}({', '.join(values)})",
        *(f"            {line}" for line in fills),
        f"            return {writer.bind('finish', finish)}({result})" if finish else f"            return {result}",
        f"        except {writer.bind('expected', _EXPECTED)}:",
        "            pass",
        f"    raise {writer.bind('Miss', Miss)}",
    ]
    exec("\n".join(lines), writer.bound)
    return writer.bound["call"]


def kind_of_call(parameters: Sequence[Parameter], outs: Outs | None) -> tuple:
    """What calls of one program have in common that go the same fast way."""
    passed = tuple((p.name, p.structure, p.changed, p.lenient, tuple(map(type, p.given))) for p in parameters)
    if outs is None:
        return passed, None
    return passed, (outs.structure, tuple(outs.names), tuple((k, tuple(j)) for k, j in outs.shared.items()))


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

    # What is passed.
    def take(
        self, kind: str, parameters: Sequence[Parameter], static: frozenset[int]
    ) -> tuple[dict[int, str], list[str]]:
        """Read the leaves of the parameters of a kind, with tests of what they are.

        Returns:
            The names of those that are arrays, and the texts for all as they are passed on.
        """
        arrays: dict[int, str] = {}
        found: list[str] = []
        for parameter in (p for p in parameters if p.kind == kind):
            names: list[str] = []
            self.take_apart(parameter.name, parameter.structure, names)
            for name, leaf in zip(names, parameter.given, strict=True):
                if parameter.lenient:
                    self.tests.append(f"(type({name}) is float or type({name}) in {self.bind('numbers', _NUMBERS)})")
                else:
                    self.check_leaf(name, leaf, len(found) in static)
                if isinstance(leaf, np.ndarray):
                    arrays[len(found)] = name
                changed = len(found) in parameter.changed
                found.append(f"{self.bind('normalize', normalize)}({name})" if changed else name)
        return arrays, found

    def take_outs(self, outs: Outs) -> dict[int, str]:
        """The names of the arrays for results."""
        names: list[str] = []
        self.take_apart("out", outs.structure, names)
        self.tests += [f"type({name}) is {self.bind('ndarray', np.ndarray)}" for name in names]
        return dict(zip(outs.arrays, names, strict=True))

    def compare_outs(self, outs: Outs, arrays: dict[int, str], values: list[str]) -> None:
        """Test that an array which the program can't write to still is one, so that others go their own way.

        What is copied in the end must share no memory with other arrays for results; the program looks after its own.
        """
        for k, name in arrays.items():
            others = [] if k in outs.names else [other for j, other in arrays.items() if j != k]
            self.tests += [f"not {self.bind('overlaps', overlaps)}({name}, {other})" for other in others]
            if k in outs.shared:
                shared = (f"{self.bind('overlaps', overlaps)}({name}, {values[j]})" for j in outs.shared[k])
                self.tests.append(" and ".join(shared))
            elif k not in outs.names and outs.arrays[k].ndim:
                self.tests.append(f"{self.bind('normalize', normalize)}({name}) is not {name}")

    def keep_apart(self, arrays: dict[int, str], written: Sequence[int], hidden: Sequence[Place]) -> None:
        """Test that arguments which the function writes to share no memory with anything."""
        for k in written:
            others = [name for j, name in arrays.items() if j != k] + [self.read(place) for place in hidden]
            self.tests += [f"not {self.bind('overlaps', overlaps)}({arrays[k]}, {name})" for name in others]

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


def write_outs(structure: tuple, program: Program, arrays: Mapping[int, str], writer: _Writer) -> tuple[str, list[str]]:
    """The expression for the user's result, and statements that fill the arrays to which the program doesn't write."""
    texts = program.texts()
    fills = [f"{writer.bind('fill', fill)}({name}, {texts[k]})" for k, name in arrays.items() if k in texts]
    bind = lambda x: writer.bind("part", x)  # noqa: E731
    return write_result(structure, program.results, bind, texts=texts | dict(arrays), given=arrays), fills


def write_result(
    structure: tuple,
    results: list[Result],
    bind: Callable[[object], str],
    texts: Mapping[int, str],
    given: Container[int] = (),
    in_python: bool = True,
) -> str:
    """The expression that makes the user's result.

    Args:
        structure: of the user's result; its leaves are `results`.
        bind: gives a name for an object that has no text of its own.
        texts: for each result the expression that it is.
        given: those that are arrays of the caller's.
        in_python: a compiled function has given Python numbers; where NumPy would give one of its own, so does the
            result.
    """
    places = iter(range(len(results)))

    def write(s: tuple) -> str:
        if s == LEAF:
            k = next(places)
            plain = results[k].ndim or results[k].weak or not in_python or k in given
            return texts[k] if plain else f"{bind(results[k].dtype.type)}({texts[k]})"
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
