"""The way of a call: a generated function that takes the user's arguments apart and puts the results together.

It is plain Python, written for one signature: it checks what Numba's own dispatch would not notice, reads the leaves
and calls the machine code. Anything unexpected goes to the slow way, which knows everything.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jitgrad.api.program import Program, Result
from jitgrad.api.structure import LEAF, Static, build
from jitgrad.api.signature import Flat

def make_caller(
    program: Program, kernel: Callable, flat: Flat, static: frozenset[int], structure: tuple, slow: Callable
) -> Callable:
    """The fast way for positional calls of one signature.

    Args:
        program: what `kernel` is the machine code of.
        flat: the arguments of a call with this signature.
        static: which leaves the program was traced for.
        structure: what the results are put together to.
        slow: `slow(arguments, extras)`, for calls that turn out to be something else.

    Returns:
        A function of the positional arguments, and of the extra params (head, tangents) as leaves.
    """
    writer = _Writer()
    count = len(flat.structures) - len(flat.keywords)
    arguments = [f"a{k}" for k in range(count)]
    leaves: list[str] = []
    for name, part in zip(arguments, flat.structures, strict=False):
        writer.take_apart(name, part, leaves)
    for k, leaf in enumerate(flat.leaves):
        if k < len(leaves):
            writer.check_leaf(leaves[k], leaf, k in static)
    for k, guard in enumerate(program.primal.guards):
        writer.tests.append(f"{writer.bind('guard', guard.holds)}()")
    for k in program.primal.written:
        others = [name for j, name in enumerate(leaves) if j != k and isinstance(flat.leaves[j], np.ndarray)]
        writer.tests += [f"not {writer.bind('overlaps', overlaps)}({leaves[k]}, {name})" for name in others]
    passed = []
    for kind, k in program.params:
        if kind == "leaf":
            passed.append(leaves[k])
        elif kind == "hidden":
            passed.append(f"{writer.bind('read', program.primal.hidden[k].read)}()")
        elif kind == "captured":
            passed.append(writer.bind("captured", program.primal.captured[k]))
        else:
            passed.append(f"x{k}")
    extras = [f"x{k}" for kind, k in program.params if kind == "extra"]
    defaults = [f"{x}=1.0" for x in extras] if program.defaults else extras
    result = write_result(structure, program.results, lambda x: writer.bind("part", x))
    tests = " and ".join(writer.tests) or "True"
    lines = [
        f"def call({', '.join([*arguments, *defaults])}):",
        "    try:",
        *(f"        {line}" for line in writer.lines),
        f"        if {tests}:",
        f"            r = kernel({', '.join(passed)})",
        f"            return {result}",
        "    except expected:",
        "        pass",
        f"    return slow(({''.join(a + ', ' for a in arguments)}), ({''.join(x + ', ' for x in extras)}))",
    ]
    expected = (TypeError, KeyError, IndexError, AttributeError, ValueError)
    space = {**writer.bound, "ndarray": np.ndarray, "expected": expected, "slow": slow, "kernel": kernel}
    exec("\n".join(lines), space)
    return space["call"]


def overlaps(a: object, b: object) -> bool:
    """Whether two leaves share memory."""
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


class _Writer:
    """Collects statements, tests and the objects that they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tests: list[str] = []
        self.bound: dict[str, object] = {}

    def bind(self, hint: str, value: object) -> str:
        name = f"_{hint}{len(self.bound)}"
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
            local = f"l{len(self.lines)}"
            place = f".{keys[k]}" if kind == "dataclass" else f"[{self.bind('key', keys[k]) if kind == 'dict' else k}]"
            self.lines.append(f"{local} = {name}{place}")
            self.take_apart(local, part, leaves)

    def _check_static(self, name: str, static: Static) -> None:
        value = static.value
        if isinstance(value, str | int | float | bytes):
            self.tests.append(f"type({name}) is {self.bind('cls', type(value))} and {name} == {self.bind('value', value)}")
        else:
            self.tests.append(f"{name} is {self.bind('value', value)}")

    def check_leaf(self, name: str, leaf: object, static: bool) -> None:
        """Numba's dispatch tells dtypes, ranks and layouts apart, but converts numbers, and takes subclasses."""
        if static:
            self._check_static(name, Static(leaf))
        elif isinstance(leaf, np.ndarray):
            self.tests.append(f"type({name}) is ndarray")
        else:
            self.tests.append(f"type({name}) is {self.bind('cls', type(leaf))}")


def write_result(
    structure: tuple, results: list[Result], bind: Callable[[object], str], in_python: bool = True
) -> str:
    """The expression that makes the user's result of the kernel's results `r`.

    `bind` gives a name for an object that has no text of its own. In Python a compiled function has given Python numbers;
    where NumPy would give one of its own, so does the result.
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
