"""The functions that a program calls, as functions of its module."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

from jitgrad.codegen.calls import CallWriter, Convention, Shared, kept_results
from jitgrad.codegen.forms import expression, fill, function_def, returned
from jitgrad.codegen.names import Namer
from jitgrad.ir.function import Function, components
from jitgrad.ir.graph import Arg, Block, Value


class Functions:
    """All functions of a program.

    Attributes:
        conventions: how each is called.
        definitions: their texts, those first that are called by others.
        imports: what they need.
    """

    def __init__(
        self,
        block: Block,
        entry: str,
        writer: Callable[..., CallWriter],
        prepare: Callable[[Block], Block],
        reserved: Iterable[str],
        merges: bool,
    ):
        self.writer = writer
        self.prepare = prepare
        self.conventions: dict[Function, Convention] = {}
        self.definitions: list[ast.stmt] = []
        self.imports: set[str] = set()
        groups = components(block)
        self.namer = Namer()
        self.namer.taken |= {entry, *reserved}
        for group in groups:
            self._agree(group, merges and len(group) > 1)
        for group in groups:
            self.definitions += self._merged(group) if merges and len(group) > 1 else map(self._defined, group)

    @property
    def names(self) -> set[str]:
        return {c.name for c in self.conventions.values()}

    def _agree(self, group: list[Function], merged: bool) -> None:
        kept = kept_results(group, self.conventions)
        shared = Shared() if merged else None
        name = self.namer.new("_or_".join(f.name for f in group)) if merged else None
        for number, function in enumerate(group):
            convention = Convention(name or self.namer.new(function.name), kept[function], shared, number)
            if shared is not None:
                convention.params = _places(shared.kinds, function.block.params)
                convention.results = _places(shared.results, _given(function, convention))
            self.conventions[function] = convention
        if shared is not None:
            shared.params = [self.namer.new("given") for _ in shared.kinds]

    def _body(self, function: Function, convention: Convention, taken: set[str]) -> tuple[CallWriter, list[ast.stmt]]:
        """The statements of a function, the return included."""
        writer = self.writer(self.prepare(function.block), self.conventions)
        writer.is_entry = False
        writer.namer.taken |= self.names | taken
        if convention.shared is not None:
            writer.inside = convention.shared
            writer.namer.taken.update(convention.shared.params)
            places = zip(function.block.params, convention.params, strict=True)
            writer.names.update((p, convention.shared.params[k]) for p, k in places)
        for param in function.block.params:
            writer.name(param)
        body = [*writer.prologue(), *writer.body()]
        values = convention.returned([writer.arg(r) for r in _given(function, convention)])
        self.imports |= writer.imports
        return writer, [*body, returned(values) if values else ast.Return(None)]

    def _defined(self, function: Function) -> ast.stmt:
        convention = self.conventions[function]
        writer, body = self._body(function, convention, set())
        return function_def(convention.name, [writer.name(p) for p in function.block.params], body)

    def _merged(self, group: list[Function]) -> list[ast.stmt]:
        """One function that is all of them."""
        taken = {"which"}
        body: list[ast.stmt] = []
        for function in reversed(group):
            convention = self.conventions[function]
            writer, own = self._body(function, convention, taken)
            taken |= writer.namer.taken  # a variable has one type
            test = fill(f"_0 == {convention.number}", expression("which"))
            body = [ast.If(test, own, []), *body] if body else own
        return [function_def(convention.name, ["which", *convention.shared.params], body)]


def _given(function: Function, convention: Convention) -> list[Arg]:
    return [r for j, r in enumerate(function.block.results) if j not in convention.kept]


def _places(kinds: list, values: tuple[Value, ...]) -> tuple[int, ...]:
    """A place for each value among places of given kinds, to which those that are missing are added."""
    places: list[int] = []
    for value in values:
        kind = (value.type.dtype, value.type.ndim)
        free = (k for k, other in enumerate(kinds) if other == kind and k not in places)
        place = next(free, len(kinds))
        if place == len(kinds):
            kinds.append(kind)
        places.append(place)
    return tuple(places)
