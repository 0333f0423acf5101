"""Loops and branches as statements.

What a loop carries is in a variable that each iteration sets anew; what a branch gives is in a variable that both
branches set. A variable that is there already goes on where it can: that of the array which is written to, or that of
the number which nobody else needs any more.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from jitgrad.codegen.calls import CallWriter
from jitgrad.codegen.forms import call, negated, tuple_of
from jitgrad.codegen.plan import Live, Plan
from jitgrad.codegen.statements import assignment
from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ops.flow import Slot, slots
from jitgrad.ops.inplace import origin, read_inside

_WRITERS = {"for": "_for", "while": "_while", "if": "_if", "call": "_call"}


class RegionWriter(CallWriter):
    """Writes loops, branches and calls, in both forms."""

    def statement(self, node: Node) -> list[ast.stmt] | None:
        return getattr(self, _WRITERS[node.op.name])(node) if node.op.name in _WRITERS else None

    def _for(self, node: Node) -> list[ast.stmt]:
        (region,) = node.regions
        count = self.arg(node.args[0], node)
        start = self._enter(node)
        index = region.params[0]
        self.names[index] = self.namer.new(index.name or "i", ("index", self.kind(index)))
        body = self._body(region, node)
        self.namer.release(self.names[index])
        self._leave(node)
        return [*start, ast.For(ast.Name(self.names[index], ast.Store()), self.numbers(node, count), body, [])]

    def numbers(self, node: Node, count: ast.expr) -> ast.expr:
        """What a loop runs over."""
        return call("range", count)

    def _while(self, node: Node) -> list[ast.stmt]:
        test, region = node.regions
        start = self._enter(node)
        for tested, param in zip(test.params, region.params, strict=True):
            self.names[tested] = self.names[param]
        with self._region(test):
            live = Live(self.plan)
            before = self.statements(test, live)
            go = self.arg(test.results[0])
            self.release(live, len(test.nodes))
        body = self._body(region, node)
        self._leave(node)
        if not before:
            return [*start, ast.While(go, body, [])]
        stop = ast.If(negated(go), [ast.Break()], [])
        return [*start, ast.While(ast.Constant(True), [*before, stop, *body], [])]

    def _if(self, node: Node) -> list[ast.stmt]:
        condition = self.arg(node.args[0], node)
        ours = self._choose(node)
        then, orelse = (self._branch(region, node, ours) for region in node.regions)
        if not then and not orelse:
            return []
        if not then:
            return [ast.If(negated(condition), orelse, [])]
        return [ast.If(condition, then, orelse)]

    # Variables.
    def _enter(self, node: Node) -> list[ast.stmt]:
        """Give the carried values their variables, and these their start."""
        start = []
        inside = read_inside(node)
        for slot in slots(node):
            param = slot.params[-1]
            if self._goes_on(slot, node, inside):
                self.names[param] = self.name(slot.init)
            else:
                value = self.given(slot.init, slot.out.type)
                self.names[param] = self.namer.new(param.name or "total", self.kind(param))
                self.holders[self.names[param]] += 1
                start.append(assignment(self.names[param], value, number=False))
        return start

    def _goes_on(self, slot: Slot, node: Node, inside: set[Value]) -> bool:
        """Whether a carried value may be in the variable of what it starts from."""
        init = slot.init
        return node.args.count(init) == 1 and init not in inside and self._may_take(init, slot.params[-1], node)

    def _may_take(self, value: Arg, new: Value, node: Node) -> bool:
        """Whether a value may be in the variable of one that nobody needs after a node."""
        return (
            self.plan.is_free_after(value, node)
            and self.kind(value) == self.kind(new)
            and (value.name is None or new.name is None or value.name == new.name)
            and self.holders[self.name(value)] == 1
        )

    def _leave(self, node: Node) -> None:
        """The results are in the variables of what was carried."""
        for slot in slots(node):
            name = self.names[slot.out] = self.names[slot.params[-1]]
            self.namer.claim(name)
            if self.names.get(slot.init) == name:  # it has lent it
                self.holders[name] += 1

    def _choose(self, node: Node) -> list[Value]:
        """Name the results of a branch; the values from before it whose variables they take."""
        ours: list[Value] = []
        for slot in slots(node):
            before = [origin(r, region) for r, region in zip(slot.results, node.regions, strict=True)]
            found = next((v for v in before if v not in ours and self._may_take(v, slot.out, node)), None)
            if found is not None:
                ours.append(found)
                self.names[slot.out] = self.name(found)
            else:
                self.name(slot.out)
        return ours

    # Regions.
    @contextmanager
    def _region(self, region: Block, own: Iterable[Value] = ()) -> Iterator[None]:
        outer, self.plan = self.plan, Plan(region, self, self.memory, own, nested=True)
        yield
        self.plan = outer

    def _body(self, region: Block, node: Node) -> list[ast.stmt]:
        """The body of a loop, and the next of what it carries."""
        params = [slot.params[-1] for slot in slots(node)]
        for slot in slots(node):
            self.wanted[slot.results[0]] = self.names[slot.params[-1]]
        with self._region(region):
            live = Live(self.plan, params)
            body = self.statements(region, live)
            body += self._moves([(self.names[s.params[-1]], s.results[0], s) for s in slots(node)])
            self.release(live, len(region.nodes), params)
        return body or [ast.Pass()]

    def _branch(self, region: Block, node: Node, ours: list[Value]) -> list[ast.stmt]:
        k = node.regions.index(region)
        for slot in slots(node):
            self.wanted[slot.results[k]] = self.names[slot.out]
        with self._region(region, ours):
            live = Live(self.plan, ours)
            body = self.statements(region, live)
            body += self._moves([(self.names[s.out], s.results[k], s) for s in slots(node)])
            self.release(live, len(region.nodes), ours)
        for value in ours:  # it is there for the other branch
            self.namer.claim(self.names[value])
            self.holders[self.names[value]] += 1
        return body

    def _moves(self, moves: list[tuple[str, Arg, Slot]]) -> list[ast.stmt]:
        """Assignments that take place at once, one after the other where that comes to the same."""
        left = [
            (name, self.given(arg, slot.out.type), slot)
            for name, arg, slot in moves
            if arg in self.inlined or not isinstance(arg, Value) or self.names[arg] != name
        ]
        out = []
        while left:
            reads = [_names(value) for _, value, _ in left]
            free = next(
                (k for k, (name, _, _) in enumerate(left) if all(name not in r for j, r in enumerate(reads) if j != k)),
                None,
            )
            if free is None:
                targets = ast.Tuple([ast.Name(name, ast.Store()) for name, _, _ in left], ast.Store())
                return [*out, ast.Assign([targets], tuple_of([value for _, value, _ in left]), lineno=0)]
            name, value, slot = left.pop(free)
            out.append(assignment(name, value, number=not slot.out.type.shape))
        return out


def _names(tree: ast.expr) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
