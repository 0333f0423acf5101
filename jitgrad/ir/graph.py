"""Values, nodes and blocks: the one form that every stage of the compiler reads and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from jitgrad.ir.op import Op
from jitgrad.ir.types import Type, scalar_type

NO_ATTRS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loc:
    """A place in the user's source: file, function, line and columns, counted as `ast` counts them.

    `role` says what a node does for that line: nothing special in the primal, else "tangent" or "adjoint".
    """

    file: str = ""
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    text: str = ""
    function: str = ""
    role: str = ""

    def syntax_location(self) -> tuple:
        """What a `SyntaxError` takes to print the line with a caret (columns count from one there)."""
        end = self.end_column + 1 if self.end_line == self.line else len(self.text) + 1
        return (self.file, self.line, self.column + 1, self.text, self.line, end)

    def __str__(self) -> str:
        return f'File "{self.file}", line {self.line}: {self.text.strip()}' if self.line else ""


UNKNOWN = Loc()


class Value:
    """What a node makes, or a block takes: made once, never changed. The name is a hint for the printer."""

    __slots__ = ("name", "type")

    def __init__(self, type: Type, name: str | None = None):
        self.type = type
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name or 'value'}: {self.type.dtype}, {self.type.ndim}-d>"


@dataclass(frozen=True, slots=True, eq=False)
class Const:
    """A number that is known while tracing. Unlike Python's, 0.0 and -0.0 are two, and NaN equals itself."""

    value: object
    type: Type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self.type == other.type and repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash((self.type, repr(self.value)))

    @staticmethod
    def of(value: object) -> Const:
        return Const(value, scalar_type(value))


Arg = Value | Const


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One operation: `outs = op(*args, **attrs)`, with `regions` where the operation has a body."""

    op: Op
    args: tuple[Arg, ...]
    outs: tuple[Value, ...]
    attrs: Mapping[str, object] = field(default_factory=lambda: NO_ATTRS)
    regions: tuple[Block, ...] = ()
    loc: Loc = UNKNOWN

    @property
    def out(self) -> Value:
        return self.outs[0]


@dataclass(eq=False, slots=True)
class Block:
    """Nodes in the order in which they run. A block may read values of the blocks around it."""

    params: tuple[Value, ...]
    nodes: list[Node]
    results: tuple[Arg, ...]
    name: str = "block"
    notes: dict = field(default_factory=dict)

    def walk(self) -> Iterator[Node]:
        """Every node, those of regions included, outer ones first."""
        for node in self.nodes:
            yield node
            for region in node.regions:
                yield from region.walk()


def used(node: Node) -> Iterator[Value]:
    """The values that a node reads, its regions' results and free values included."""
    for arg in node.args:
        if isinstance(arg, Value):
            yield arg
    for region in node.regions:
        for inner in region.nodes:
            yield from used(inner)
        for arg in region.results:
            if isinstance(arg, Value):
                yield arg


def lengths(value: Arg) -> Iterator[Value]:
    """The values that hold the lengths of a value's axes."""
    for axis in value.type.shape:
        if isinstance(axis, Value):
            yield axis


def defined(block: Block) -> Iterator[Value]:
    """The values that nodes of a block make, with all that regions take and make."""
    for node in block.walk():
        yield from node.outs
        for region in node.regions:
            yield from region.params


def reads(block: Block) -> dict[Value, None]:
    """The values from outside that a block reads, in the order in which it does; lengths in types included."""
    found: dict[Value, None] = {}
    for node in block.walk():
        for arg in (*node.args, *(r for region in node.regions for r in region.results)):
            if isinstance(arg, Value):
                found.setdefault(arg)
        for value in (*node.args, *node.outs):
            found.update(dict.fromkeys(lengths(value)))
    found.update(dict.fromkeys(r for r in block.results if isinstance(r, Value)))
    made = {*block.params, *defined(block)}
    return {v: None for v in found if v not in made}


def substitute(block: Block, env: dict[Value, Arg]) -> Block:
    """A copy of the block with fresh values, `env` saying what stands for its params and free values.

    `env` is extended by what the copy makes, so the caller can look up where a value has gone.
    """

    def arg(a: Arg) -> Arg:
        return env.get(a, a) if isinstance(a, Value) else a

    def fresh(value: Value) -> Value:
        new = env[value] = Value(value.type, value.name)
        return new

    def retype(value: Value) -> None:
        new = env[value]
        if isinstance(new, Value) and any(axis in env for axis in lengths(value)):
            shape = tuple(_axis(arg(a)) if isinstance(a, Value) else a for a in value.type.shape)
            new.type = Type(value.type.dtype, shape, value.type.weak)

    def copy(b: Block) -> Block:
        params = tuple(env[p] if p in env else fresh(p) for p in b.params)
        nodes = []
        for node in b.nodes:
            args = tuple(arg(a) for a in node.args)
            regions = tuple(copy(r) for r in node.regions)
            outs = tuple(fresh(o) for o in node.outs)
            for out in node.outs:
                retype(out)
            nodes.append(Node(node.op, args, outs, node.attrs, regions, node.loc))
        for param in b.params:
            retype(param)
        return Block(params, nodes, tuple(arg(r) for r in b.results), b.name)

    return copy(block)


def _axis(a: Arg) -> int | Value:
    return int(a.value) if isinstance(a, Const) else a
