"""What a loop chooses by is computed for all its iterations first.

The nearest of some points is found by a loop over them, with a loop over coordinates inside that adds up a distance.
Chosen by right away, each distance is waited for, and if the inner loop is short most of its time goes into its
beginning and its end. So the sums go into a row of memory, and the loop chooses by what is in the row. Where the inner
loop is short and the other is not, which is seen at run time, the row is filled with the other one innermost, along
copies of what it read across. Each sum is added up in the same order as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jitgrad.ir.function import callee, has_effect
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, substitute, used
from jitgrad.ir.types import Type
from jitgrad.lower.buffers import Buffers
from jitgrad.lower.lazy import allocate, nest, put
from jitgrad.ops.affine import Form, form_of
from jitgrad.ops.flow import branch, for_, for_loop, if_
from jitgrad.ops.memory import call_into, load, store
from jitgrad.ops.shape import axis_length, greatest, least
from jitgrad.ops.sums import Sums
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current
from jitgrad.passes.rename import renamed

SHORT = 32  # iterations, at most, of an inner loop that is moved outside
LONG = 16  # iterations, at least, of the loop that then is innermost


@dataclass(frozen=True, eq=False, slots=True)
class _Nest:
    """A loop that chooses by what a loop inside adds up.

    Attributes:
        loop: the one that chooses.
        inner: the one that adds up.
        before: the nodes in front of the inner one that it needs.
    """

    loop: Node
    inner: Node
    before: list[Node]

    @property
    def body(self) -> Block:
        return self.loop.regions[0]

    @property
    def indices(self) -> tuple[Value, Value]:
        return self.body.params[0], self.inner.regions[0].params[0]


def in_rows(block: Block) -> Block:
    """The lowered block, in which loops within others first compute what they choose by."""
    return _Rows(block).program() if any(_nest(node) is not None for node in block.walk()) else block


def _nest(loop: Node) -> _Nest | None:
    if loop.op is not for_ or loop.attrs:
        return None
    (body,) = loop.regions
    inners = [n for n in body.nodes if n.op is for_]
    if len(inners) != 1 or not any(n.op is if_ for n in body.nodes) or not _only_adds_up(inners[0]):
        return None
    if any(n.op in (store, call_into) or callee(n) is not None for n in body.walk()) or has_effect(loop):
        return None
    (inner,) = inners
    before = _needed(used(inner), body.nodes[: body.nodes.index(inner)])
    reads = {v for n in (inner, *before) for v in used(n)}
    if any(n.regions for n in before) or not reads.isdisjoint(body.params[1:]):
        return None
    return _Nest(loop, inner, before)


def _only_adds_up(loop: Node) -> bool:
    """Whether a loop adds numbers to numbers, without branches."""
    (body,) = loop.regions
    params = body.params[1:]
    if loop.attrs or not params or any(n.regions for n in body.nodes):
        return False
    if not all(p.type.is_float and not p.type.shape for p in params):
        return False
    sums = Sums(body)
    starts = all(isinstance(a, Const) for a in loop.args[1:])
    return starts and all(sums.end_of(p, body) == k for k, p in enumerate(params))


def _needed(values: Iterable[Arg], nodes: Sequence[Node]) -> list[Node]:
    """Those of the nodes by which the values are computed."""
    wanted = set(values)
    found: list[Node] = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outs):
            wanted.update(used(node))
            found.append(node)
    return found[::-1]


class _Rows:
    """Goes through a program.

    Attributes:
        known: what there is in front of the outermost loop that is looked at.
        written: the memory that this loop writes to; None if that isn't known.
        front: the nodes that come in front of it.
    """

    def __init__(self, block: Block):
        self.block = block
        self.buffers = Buffers(block)
        self.maker = {out: node for node in block.walk() for out in node.outs}
        self.known: set[Arg] = set(block.params)
        self.written: set[Arg] = set()
        self.front: list[Node] = []

    def program(self) -> Block:
        nodes: list[Node] = []
        for node in self.block.nodes:
            if node.op is for_:
                self.front = []
                self.written = {
                    self.buffers.of(n.args[0]) for n in node.regions[0].walk() if n.op in (store, call_into)
                }
                calls = any(callee(n) is not None for n in node.regions[0].walk())
                inside = node if calls else renamed(node, {}, tuple(map(self.inside, node.regions)))
                nodes += [*self.front, inside]
            else:
                nodes.append(node)
            self.known.update(node.outs)
        return Block(self.block.params, nodes, self.block.results, self.block.name, self.block.notes)

    def inside(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            found = _nest(node)
            turned = None if found is None else self.turned(found)
            if turned is not None:
                nodes += self.in_two(found, turned)
                continue
            if node.regions:
                node = renamed(node, {}, tuple(map(self.inside, node.regions)))
            nodes.append(node)
        return Block(block.params, nodes, block.results, block.name, block.notes)

    # Reads along the loop that becomes the innermost one.
    def turned(self, found: _Nest) -> list[Node] | None:
        """What an iteration of the inner loop does, reading along the other; None if it can't."""
        if not {found.loop.args[0], found.inner.args[0]} <= self.known | _constants(found):
            return None
        varying: set[Arg] = {found.indices[0]}
        nodes: list[Node] = []
        for node in (*found.before, *found.inner.regions[0].nodes):
            if not varying.isdisjoint(node.args):
                varying.update(node.outs)
                if node.op is load:
                    node = self.along(node, found, varying)
                    if node is None:
                        return None
            nodes.append(node)
        return nodes

    def along(self, node: Node, found: _Nest, varying: set[Arg]) -> Node | None:
        """The load of an element that is the next in memory in the next iteration; None if there is none."""
        array, *place = node.args
        index = found.indices[0]
        if tuple(place) == found.indices:
            if array not in self.known or self.buffers.of(array) in self.written:
                return None
            return Node(load, (self.transposed(array, found), *place[::-1]), node.outs, {}, (), node.loc)
        form = form_of(place[-1], self.maker.get, lambda value: Form({value: 1}))
        inside = varying - {index}
        is_next = form.get(index) == 1 and inside.isdisjoint(form) and varying.isdisjoint(place[:-1])
        return node if is_next and array not in varying else None

    def transposed(self, array: Value, found: _Nest) -> Value:
        """The transpose of the part of a matrix that is read, made in front of all loops."""
        with building(Builder()) as builder:
            builder.loc = found.loop.loc
            shape = tuple(
                least(self.trips(loop), current().emit(axis_length, (array,), {"axis": axis}))
                for axis, loop in ((1, found.inner), (0, found.loop))
            )
            copy = allocate(Type(array.type.dtype, tuple(map(_axis, shape))), array.name)
            (copy,) = nest(shape, (copy,), lambda k, carry: (put(carry[0], load(array, *k[::-1]), k),))
        self.front += builder.nodes
        return copy.value

    def trips(self, loop: Node) -> object:
        """How many iterations a loop has, for a length of an axis: not fewer than none."""
        count = loop.args[0]
        maker = self.maker.get(count)
        return as_expr(count) if maker is not None and maker.op is axis_length else greatest(as_expr(count), 0)

    # The loop in two.
    def in_two(self, found: _Nest, turned: list[Node]) -> list[Node]:
        """The nodes that fill rows, and the loop that chooses."""
        count, most = as_expr(found.loop.args[0]), as_expr(found.inner.args[0])
        with building(Builder()) as builder:
            length = _axis(self.trips(found.loop))
        self.front += builder.nodes
        with building(Builder()) as builder:
            builder.loc = found.inner.loc
            rows = [allocate(Type(o.type.dtype, (length,)), o.name) for o in found.inner.outs]
            rows = branch(
                np.logical_and(most <= SHORT, count >= LONG),
                lambda: _across(found, turned, rows),
                lambda: for_loop(count, rows, lambda j, *rows: _one_by_one(found, j, rows), found.indices[0].name),
            )
        return [*builder.nodes, _choosing(found, [as_arg(r) for r in rows])]


def _constants(found: _Nest) -> set[Arg]:
    return {a for a in (found.loop.args[0], found.inner.args[0]) if isinstance(a, Const)}


def _axis(length: object) -> int | Value:
    return length.value if isinstance(length, Expr) else int(length)


def _across(found: _Nest, nodes: list[Node], rows: Sequence) -> tuple:
    """The rows filled by the inner loop outside, and the other inside."""
    count, init = as_expr(found.loop.args[0]), found.inner.args[1:]
    j, t = found.indices
    (body,) = found.inner.regions

    def clear(k: object, *rows: Expr) -> list:
        return [put(row, as_expr(a), (k,)) for row, a in zip(rows, init, strict=True)]

    def add(t_now: object, *rows: Expr) -> tuple:
        env: dict[Value, Arg] = {t: as_arg(t_now)}
        varying = _varying(nodes, {j, *body.params[1:]})
        _copied([n for n in nodes if n not in varying], (), env)

        def step(k: object, *rows: Expr) -> list:
            inner = {**env, j: as_arg(k)}
            inner.update((p, as_arg(load(row, k))) for p, row in zip(body.params[1:], rows, strict=True))
            sums = _copied(varying, body.results, inner)
            return [store(row, s, k) for row, s in zip(rows, sums, strict=True)]

        return for_loop(count, rows, step, j.name)

    rows = for_loop(count, rows, clear, j.name)
    return for_loop(as_expr(found.inner.args[0]), rows, add, t.name)


def _varying(nodes: list[Node], values: set[Arg]) -> list[Node]:
    """Those of the nodes that depend on the values."""
    found = []
    for node in nodes:
        if not values.isdisjoint(node.args):
            values.update(node.outs)
            found.append(node)
    return found


def _one_by_one(found: _Nest, j: object, rows: Sequence) -> list:
    """An element of each row, as it was written."""
    env = {found.indices[0]: as_arg(j)}
    sums = _copied([*found.before, found.inner], found.inner.outs, env)
    return [store(row, s, j) for row, s in zip(rows, sums, strict=True)]


def _copied(nodes: list[Node], results: tuple[Arg, ...], env: dict[Value, Arg]) -> tuple:
    """The nodes once more, put into the block that is being built."""
    copy = substitute(Block((), nodes, results), env)
    current().extend(copy.nodes)
    return tuple(map(as_expr, copy.results))


def _choosing(found: _Nest, rows: list[Value]) -> Node:
    """The loop with what is in the rows in place of what the inner loop gives."""
    body, inner = found.body, found.inner
    loads = [
        Node(load, (row, body.params[0]), (out,), {}, (), inner.loc) for row, out in zip(rows, inner.outs, strict=True)
    ]
    place = body.nodes.index(inner)
    nodes = [*body.nodes[:place], *loads, *body.nodes[place + 1 :]]
    nodes = _needed(body.results, nodes)
    region = Block(body.params, nodes, body.results, body.name, body.notes)
    return renamed(found.loop, {}, (region,))
