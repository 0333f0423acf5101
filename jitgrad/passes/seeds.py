"""Loops that are linear in one number: they may run with one in its place, and be scaled afterwards.

The cotangent of a sum is often known after the sum only, as that of `log(total)` is. What the reversed loop adds up is
that cotangent times something. With one in its place the loop depends on the sum no more.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, used
from jitgrad.ir.types import Type
from jitgrad.ops.elementwise import astype, where
from jitgrad.ops.flow import for_, if_, slots
from jitgrad.ops.index import setitem
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.rules import Bilinear, Linear, strong_multiply
from jitgrad.ops.shape import broadcast_to_
from jitgrad.ops.symbolic import Builder, Expr, as_expr, building
from jitgrad.passes.rename import renamed_inside

add, sub, mul = UFUNCS[np.add], UFUNCS[np.subtract], UFUNCS[np.multiply]
div, neg = UFUNCS[np.true_divide], UFUNCS[np.negative]

# The arguments that an operation is linear in, all at once; or, any of two, but not both.
_TOGETHER = {add: (0, 1), sub: (0, 1), where: (1, 2), setitem: (0, 1), neg: (0,), astype: (0,), div: (0,)}
_ONE = (mul, strong_multiply)


def scaled_slots(node: Node, seed: Value, maker: dict[Arg, Node]) -> list[int] | None:
    """The slots of a `for` that are sums of terms linear in `seed`; None if it does anything else with `seed`.

    Args:
        node: a loop that only adds up.
        seed: a number that it reads, and doesn't start from.
        maker: the nodes by which values from outside of it are made.
    """
    (body,) = node.regions
    known = {**maker, **{out: inner for inner in body.walk() for out in inner.outs}}
    reading = _Reading(body, seed, known)
    found = [k for k, param in enumerate(body.params[1:]) if param in reading.found]
    starts = (k for k in found if node.args[k + 1].type.shape)
    right = reading.is_linear(body) and all(_is_zero(node.args[k + 1], maker) for k in starts)
    return found if right and all(body.results[k] in reading.found for k in found) else None


def as_factor(node: Node, number: Value) -> tuple[Node, Value, list[Node]]:
    """A loop that divides by a number as one that multiplies by the inverse; with that, and the nodes that make it."""
    (body,) = node.regions
    if not all(n.op is div and n.args[1] is number is not n.args[0] for n in body.walk() if number in n.args):
        return node, number, []
    inverse = Value(number.type)
    made = Node(div, (_number(1, number.type), number), (inverse,), {}, (), node.loc)
    return (
        Node(for_, node.args, node.outs, node.attrs, (_multiplying(body, number, inverse),), node.loc),
        inverse,
        [made],
    )


def _multiplying(block: Block, number: Value, inverse: Value) -> Block:
    nodes = []
    for node in block.nodes:
        op, args = (mul, (node.args[0], inverse)) if number in node.args else (node.op, node.args)
        regions = tuple(_multiplying(region, number, inverse) for region in node.regions)
        nodes.append(Node(op, args, node.outs, node.attrs, regions, node.loc))
    return Block(block.params, nodes, block.results, block.name, block.notes)


class _Reading:
    """The values in a loop that depend on a number."""

    def __init__(self, body: Block, seed: Value, maker: dict[Arg, Node]):
        self.maker = maker
        readers: dict[Arg, list[Value]] = {}
        for node in body.walk():
            for source in node.args if not node.regions else node.args[:1]:
                readers.setdefault(source, []).extend(node.outs)
            for slot in slots(node) if node.regions else ():
                for source in (slot.init, *slot.results):
                    readers.setdefault(source, []).extend((*slot.params, slot.out))
        for param, result in zip(body.params[1:], body.results, strict=True):
            readers.setdefault(result, []).append(param)
        self.found = {seed}
        pending = [seed]
        while pending:
            for value in readers.get(pending.pop(), ()):
                if value not in self.found:
                    self.found.add(value)
                    pending.append(value)

    def is_linear(self, block: Block) -> bool:
        """Whether all in a block that depends on the number is linear in it."""
        return all(self._node(node) for node in block.nodes)

    def _node(self, node: Node) -> bool:
        if node.op is for_ or node.op is if_:
            return node.args[0] not in self.found and self._flow(node)
        if not any(v in self.found for v in (*used(node), *node.outs)):
            return True
        rule = node.op.rule
        if node.op in _ONE or isinstance(rule, Bilinear):
            return sum(a in self.found for a in node.args) == 1
        linear = _TOGETHER.get(node.op)
        if isinstance(rule, Linear):
            linear = range(len(node.args) if rule.arity is None else rule.arity)
        if linear is None or len(node.outs) != 1:
            return False
        rest = (a for k, a in enumerate(node.args) if k not in linear)
        return node.out.type.is_float and self._all(*(node.args[k] for k in linear)) and self._none(*rest)

    def _flow(self, node: Node) -> bool:
        for slot in slots(node):
            sources = (*slot.results, *(() if slot.init is None else (slot.init,)))
            if slot.out in self.found and not self._all(*sources):
                return False
        return all(self.is_linear(region) for region in node.regions)

    def _all(self, *args: Arg) -> bool:
        return all(a in self.found or _is_zero(a, self.maker) for a in args)

    def _none(self, *args: Arg) -> bool:
        return not any(a in self.found for a in args)


def _is_zero(arg: Arg, maker: dict[Arg, Node]) -> bool:
    if isinstance(arg, Const):
        return arg.value == 0
    node = maker.get(arg)
    return node is not None and node.op is broadcast_to_ and _is_zero(node.args[0], maker)


def with_one(node: Node, seed: Value, scaled: list[int]) -> tuple[Node, list[Node]]:
    """The loop with one in the place of the number, and the nodes that make of its results those of the loop."""
    args, outs = list(node.args), list(node.outs)
    after: list[Node] = []
    for k in scaled:
        out, init = node.outs[k], node.args[k + 1]
        outs[k] = Value(out.type, out.name)
        if not out.type.shape:
            args[k + 1] = _number(0, out.type)
        after += _scaled(outs[k], seed, out, None if out.type.shape else init, node)
    regions = tuple(renamed_inside(region, {seed: _number(1, seed.type)}) for region in node.regions)
    return Node(for_, tuple(args), tuple(outs), node.attrs, regions, node.loc), after


def _number(number: int, type: Type) -> Const:
    return Const(float(number) if type.weak else type.dtype.type(number), type)


def _scaled(unit: Value, seed: Value, out: Value, init: Arg | None, node: Node) -> list[Node]:
    """`out = init + unit * seed`, where an exact zero stays zero whichever of the factors it is.

    It may be an element that nothing was added to, or a cotangent that wasn't selected; the other may be infinite.
    """
    with building(Builder()) as builder:
        builder.loc = node.loc
        factor = Expr(seed)
        total = np.where(np.equal(factor, 0), seed.type.dtype.type(0), strong_multiply(Expr(unit), factor))
        if total.dtype != out.type.dtype:
            total = astype(total, dtype=out.type.dtype)
        if init is not None:
            total = np.add(as_expr(init), total)
    *nodes, last = builder.nodes
    return [*nodes, Node(last.op, last.args, (out,), last.attrs, (), last.loc)]
