"""What a loop finds where an iteration before has been waits in a number that it carries.

LLVM vectorises that, for what is computed an iteration later is a shifted vector. And if it need not come from memory,
the loop may do what reads it together with what writes it.
"""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Loc, Node, Value
from jitgrad.lower.loops import INDEX, Loop, Loops
from jitgrad.ops.affine import ONE, Form, constant
from jitgrad.ops.flow import PARALLEL, for_
from jitgrad.ops.memory import load, store
from jitgrad.ops.symbolic import Builder, Expr, as_expr, building
from jitgrad.passes.bounds import Bounds
from jitgrad.passes.rename import renamed_inside


class Waiting(Loops):
    def __init__(self, block: Block):
        super().__init__(block)
        self.bounds = Bounds(block)

    def handed_on(self, first: Loop, second: Loop) -> tuple[Loop, list[Node]]:
        """The second loop, carrying what it would load that the first has stored an iteration ago, and what it carries
        at first."""
        init: list[Node] = []
        if first.node.attrs.get(PARALLEL) or second.node.attrs.get(PARALLEL):
            return second, init
        (body,) = first.node.regions
        for out, result in zip(first.node.outs, body.results, strict=True):
            write = self.makers.get(result)
            if not out.type.shape or write is None or write.op is not store or write not in body.nodes:
                continue
            place = [self.form(a, {body.params[0]: INDEX}) for a in write.args[2:]]
            before = [form - constant(form.get(INDEX, 0)) for form in place]
            loads = self.loads(second.node, out, before)
            alone = all(list(other) == place for other in first.places[self.buffers.of(out)])
            if loads and alone and write.args[1].type == loads[0].out.type and self.is_element(out, before):
                second, nodes = self.carrying(second, loads, before, write.args[1])
                init += nodes
        return second, init

    def keeping(self, loop: Loop, written: set[Arg]) -> tuple[Loop, list[Node]]:
        """The loop, carrying what it would load again that it has loaded an iteration ago, and what it carries at
        first; of arrays that are to be written in it."""
        init: list[Node] = []
        (body,) = loop.node.regions
        for node in body.nodes:
            if node.op is load and self.buffers.of(node.args[0]) in written:
                place = [self.form(a, {body.params[0]: INDEX}) for a in node.args[1:]]
                before = [form - constant(form.get(INDEX, 0)) for form in place]
                loads = self.loads(loop.node, node.args[0], before)
                if loads and node not in loads and self.is_element(node.args[0], before):
                    loop, nodes = self.carrying(loop, loads, before, node.out)
                    init += nodes
        return loop, init

    def carrying(self, loop: Loop, loads: list[Node], place: list[Form], value: Arg) -> tuple[Loop, list[Node]]:
        """The loop in which `value` waits an iteration for what these loads of a place would find."""
        nodes = _first_element(loads[0].args[0], place, INDEX, loads[0].loc)
        node = _waiting(loop.node, loads, nodes, value)
        self.waits.add(node.regions[0].params[-1])
        self.noted(nodes, node)
        return self.loop(node), nodes

    def loads(self, loop: Node, array: Value, place: list[Form]) -> list[Node]:
        """The loads of an element of an array in a loop that only reads it."""
        (body,) = loop.regions
        inside = {*body.params, *(o for node in body.walk() for o in node.outs)}
        if loop.attrs.get(PARALLEL) or array in loop.args or not all(inside.isdisjoint(form) for form in place):
            return []
        own = {body.params[0]: INDEX}
        found = [n for n in body.nodes if n.op is load and n.args[0] is array]
        return [n for n in found if [self.form(a, own) for a in n.args[1:]] == place]

    def is_element(self, array: Value, place: list[Form]) -> bool:
        """Whether there certainly is an element where an iteration of number 0 finds one."""
        at = [Form((s, c) for s, c in form.items() if s != INDEX) for form in place]
        return all(
            self.bounds.is_certain(i) and self.bounds.is_certain(self.length(n) - i - constant(1))
            for i, n in zip(at, array.type.shape, strict=True)
        )

    def length(self, axis: int | Value) -> Form:
        return constant(axis) if isinstance(axis, int) else self.bounds.form(axis)


def _waiting(loop: Node, loads: list[Node], init: list[Node], stored: Arg) -> Node:
    """The loop in which what these loads give is carried: `stored`, from the iteration before; at first what `init`
    loads."""
    (body,) = loop.regions
    held = Value(loads[0].out.type, loads[0].out.name)
    nodes = [n for n in body.nodes if n not in loads]
    rest = renamed_inside(Block((), nodes, body.results), {n.out: held for n in loads})
    region = Block((*body.params, held), rest.nodes, (*rest.results, stored), body.name, body.notes)
    return Node(for_, (*loop.args, init[-1].out), (*loop.outs, Value(held.type)), loop.attrs, (region,), loop.loc)


def _first_element(array: Value, place: list[Form], index: str, loc: Loc) -> list[Node]:
    """The load of what an iteration finds at a place if its number is 0, with what computes the place."""
    with building(Builder()) as builder:
        builder.loc = loc
        load(Expr(array), *(_at_zero(form, index) for form in place))
    return builder.nodes


def _at_zero(form: Form, index: str) -> object:
    total: object = form.get(ONE, 0)
    for symbol, c in form.items():
        if symbol not in (ONE, index):
            total = total + as_expr(symbol) * c
    return total
