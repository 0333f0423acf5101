"""Points innermost, where few directions move.

A loop over the directions that count (see `live`) is short, as a rule shorter than a vector of the machine, and there
is one for each point. In a nest of its own, with the loop over the points innermost, there is one long loop for each
direction instead. For that the array that is added to has its axis of points last, wherever it is used, and what is
read along the points lies in rows: those of a table that outer loops don't change are copied in front of these.

It is legal if each iteration keeps to an element of its own, and what it reads besides isn't written in the loops that
are turned around: then any order is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jitgrad.ir.function import has_effect
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, defined, substitute
from jitgrad.ir.types import Type
from jitgrad.lower.buffers import Buffers
from jitgrad.lower.lazy import allocate, loop, put
from jitgrad.ops.flow import PARALLEL, for_, if_
from jitgrad.ops.memory import empty, load, store
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.shape import axis_length, greatest, least
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current
from jitgrad.passes.dce import dce

_ADD = UFUNCS[np.add]
_BEFORE_INDEX = {empty: 0, load: 1, store: 2}  # arguments in front of the index, or the lengths
_OF_MEMORY = (*_BEFORE_INDEX, for_, if_)


def points_innermost(block: Block, loops: Mapping[Node, Value]) -> Block:
    """The lowered block with nests turned around: `loops` over directions, each with the index of that over points.

    What is left of the loops over points follows, if it is as simple: it reads the same rows.
    """
    rows: dict[tuple, Value] = {}
    while loops:
        axes = _axes(block, loops)
        if not axes:
            break
        points = set(loops.values())
        block = dce(_Turned(block, axes, rows).block(block, ()))
        loops = {around[-1]: p for around in _nests(block) for p in points if _is_within(around, p)}
    return block


def _is_within(around: tuple[Node, ...], point: Value) -> bool:
    """Whether an innermost loop of so many iterations is in the loop with an index."""
    return isinstance(around[-1].args[0], Const) and any(n.regions[0].params[:1] == (point,) for n in around[:-1])


def _nests(block: Block, around: tuple[Node, ...] = ()) -> Iterator[tuple[Node, ...]]:
    """The innermost loops, each with the nodes around it."""
    for node in block.nodes:
        if node.op is for_ and not any(n.regions for n in node.regions[0].nodes):
            yield (*around, node)
        for region in node.regions:
            yield from _nests(region, (*around, node))


def _axes(block: Block, loops: Mapping[Node, Value]) -> dict[Arg, int]:
    """Of each buffer that is to be turned, the axis of points."""
    buffers = Buffers(block)
    found = [_Nest.of(around, loops[around[-1]], buffers) for around in _nests(block) if around[-1] in loops]
    nests = [nest for nest in found if nest is not None]
    fixed = {buffers.of(v) for v in (*block.params, *block.results)}
    for node in block.walk():
        if node.op not in _OF_MEMORY or node.attrs.get(PARALLEL):
            fixed.update(buffers.of(v) for v in (*node.args, *node.outs))
    axes: dict[Arg, int] = {}
    for nest in nests:
        for array, axis in nest.axes.items():
            if axes.setdefault(array, axis) != axis:
                fixed.add(array)
    return {a: k for nest in nests if fixed.isdisjoint(nest.arrays) for a, k in nest.axes.items()}


def _direction(node: Node, places: Iterable[tuple[Arg, ...]]) -> Value | None:
    """What a loop over directions calls its direction in places: its index, or that counted from a first one on."""
    (body,) = node.regions
    step, inside = body.params[0], {*body.params, *(o for n in body.nodes for o in n.outs)}
    shifted = [n.out for n in body.nodes if n.op is _ADD and n.args[1] is step and n.args[0] not in inside]
    return next((v for v in (step, *shifted) if any(v in place for place in places)), None)


@dataclass(frozen=True)
class _Nest:
    """Loops, one in the other, of which the innermost goes through elements of its own.

    Attributes:
        loops: from the loop over points to that over directions.
        arrays: the buffers that the innermost loop writes to; nothing else in the loops touches them.
        axes: for each of these the axis of points.
        before: what the innermost loop needs that is computed around it, for each point anew.
        always: the nodes that are run for each point, however many directions there are.
    """

    loops: tuple[Node, ...]
    arrays: tuple[Arg, ...]
    axes: dict[Arg, int]
    before: list[Node]
    always: set[Node]

    @property
    def point(self) -> Value:
        return self.loops[0].regions[0].params[0]

    @staticmethod
    def of(around: tuple[Node, ...], point: Value, buffers: Buffers) -> _Nest | None:
        """The loops from that with the index `point` on, if they can be turned around."""
        starts = [k for k, n in enumerate(around) if n.op is for_ and n.regions[0].params[0] is point]
        loops = around[starts[0] :] if starts else ()
        if len(loops) < 2 or any(n.op is not for_ or n.attrs.get(PARALLEL) for n in loops):
            return None
        arrays = tuple(buffers.of(a) for a in loops[-1].args[1:])
        outer = loops[0].regions[0]
        inside = {*outer.params, *defined(outer)}
        if len(set(arrays)) < len(arrays) or not all(v.type.shape for v in loops[-1].outs):
            return None
        if any(n.args[0] in inside for n in loops[1:]) or not _carried_straight(loops, arrays, buffers):
            return None
        axes = {array: _axis(loops, array, inside, buffers) for array in arrays}
        before = _needed(loops, inside, set(arrays), buffers)
        if before is None or None in axes.values():
            return None
        always = set(outer.nodes)
        for node in loops[1:]:
            if not (isinstance(node.args[0], Const) and node.args[0].value > 0):
                break
            always.update(node.regions[0].nodes)
        return _Nest(loops, arrays, axes, before, always)


def _carried_straight(loops: tuple[Node, ...], arrays: tuple[Arg, ...], buffers: Buffers) -> bool:
    """Whether the loops only hand the arrays on to the innermost, and nothing else in them knows the arrays."""
    inner = set(loops[-1].regions[0].nodes)
    for node in loops[0].regions[0].walk():
        touched = any(buffers.of(v) in arrays for v in (*node.args, *node.outs) if isinstance(v, Value))
        if touched and node not in inner and node not in loops:
            return False
    for outer, inner in pairwise(loops):
        (body,) = outer.regions
        slots = [k for k, out in enumerate(outer.outs) if buffers.of(out) in arrays]
        inits = {body.params[k + 1]: body.results[k] for k in slots}
        handed = {a: out for a, out in zip(inner.args[1:], inner.outs, strict=True) if buffers.of(out) in arrays}
        if len(slots) != len(arrays) or inits != handed:
            return False
    return True


def _axis(loops: tuple[Node, ...], array: Arg, inside: set[Value], buffers: Buffers) -> int | None:
    """The axis of points of an array, if each iteration touches elements of its own."""
    accesses = [n for n in loops[-1].regions[0].nodes if n.op in (load, store) and buffers.of(n.args[0]) is array]
    places = {n.args[1:] if n.op is load else n.args[2:] for n in accesses}
    indices = [n.regions[0].params[0] for n in loops[:-1]]
    direction = _direction(loops[-1], places)
    patterns = {tuple(i if i in indices or i is direction else None for i in place) for place in places}
    own = (*indices, direction)
    if direction is None or len(patterns) != 1 or any(i in inside and i not in own for place in places for i in place):
        return None
    (pattern,) = patterns
    return pattern.index(indices[0]) if all(pattern.count(i) == 1 for i in own) else None


def _needed(loops: tuple[Node, ...], inside: set[Value], arrays: set[Arg], buffers: Buffers) -> list[Node] | None:
    """The nodes around the innermost loop that it needs; None if they, or it, can't be moved."""
    outer = loops[0].regions[0]
    written = {buffers.of(o) for n in outer.walk() if n.op not in (for_, if_) for o in n.outs if o.type.shape}
    known = {n.regions[0].params[0] for n in loops}
    body = loops[-1].regions[0]
    inner = {*body.params, *(o for n in body.nodes for o in n.outs)}
    needed: set[Value] = {a for n in body.nodes for a in n.args if a in inside and a not in inner and a not in known}
    found: list[Node] = []
    for node in reversed([n for k in loops[:-1] for n in k.regions[0].nodes if n not in loops]):
        if needed.isdisjoint(node.outs):
            continue
        found.append(node)
        needed.difference_update(node.outs)
        needed.update(a for a in node.args if a in inside and a not in known)
    moved = [*found, *body.nodes]
    reads = {buffers.of(n.args[0]) for n in moved if n.op is load} - arrays
    if needed or not reads.isdisjoint(written) or not all(map(_is_plain, moved)):
        return None
    return found[::-1]


def _is_plain(node: Node) -> bool:
    """Whether a node only computes a number, or accesses an element."""
    if node.regions or has_effect(node):
        return False
    return node.op in (load, store) or not any(v.type.shape for v in (*node.args, *node.outs))


class _Turned:
    """Goes through a program, turns the buffers that are to be turned, and the nests that write to nothing else.

    The loops stay as they were, but for what they give: nobody reads any more what the nests have taken over.
    """

    def __init__(self, block: Block, axes: dict[Arg, int], rows: dict[tuple, Value]):
        self.buffers = Buffers(block)
        self.axes = axes
        self.rows = rows  # what there is already
        self.copying: dict[Node, list[Node]] = {}  # what makes rows in front of a loop
        values = {*(v for n in block.walk() for v in (*n.outs, *(p for r in n.regions for p in r.params)))}
        self.nests: dict[Node, list[_Nest]] = {}
        for nest in self._found(block):
            self.nests.setdefault(nest.loops[0], []).append(nest)
        for value in values:
            axis = self.axis(value)
            if axis is not None:
                value.type = Type(value.type.dtype, _last(value.type.shape, axis), value.type.weak)

    def axis(self, value: Arg) -> int | None:
        """The axis of a buffer that is to be its last."""
        return self.axes.get(self.buffers.of(value)) if isinstance(value, Value) and value.type.shape else None

    def _found(self, block: Block) -> Iterator[_Nest]:
        """The nests that write to nothing but buffers to be turned."""
        for around in _nests(block):
            stores = [n for n in around[-1].regions[0].nodes if n.op is store]
            axes = {self.axis(n.args[0]) for n in stores}
            if len(axes) != 1 or None in axes:
                continue
            (axis,) = axes
            nest = _Nest.of(around, stores[0].args[2 + axis], self.buffers)
            if nest is not None and all(self.axes[a] == k for a, k in nest.axes.items()):
                yield nest

    def block(self, block: Block, around: tuple[Node, ...]) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            turned = [self.turned(nest, around) for nest in self.nests.get(node, ())]
            taken = {out for nest in turned for out in nest[-1].outs}
            outs = tuple(Value(o.type, o.name) if o in taken else o for o in node.outs)
            regions = tuple(self.block(r, (*around, node)) for r in node.regions)
            kept = self.at_place(Node(node.op, node.args, outs, node.attrs, regions, node.loc))
            nodes += [*self.copying.get(node, ()), kept, *(n for nest in turned for n in nest)]
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def at_place(self, node: Node) -> Node:
        """An access with its index turned as the buffer is."""
        if node.op not in _BEFORE_INDEX:
            return node
        fixed = _BEFORE_INDEX[node.op]
        axis = self.axis(node.args[0] if fixed else node.out)
        if axis is None:
            return node
        return Node(node.op, (*node.args[:fixed], *_last(node.args[fixed:], axis)), node.outs, node.attrs, (), node.loc)

    def turned(self, nest: _Nest, around: tuple[Node, ...]) -> list[Node]:
        """The nest that does what the innermost loop did, points innermost."""
        outer, *others = nest.loops
        (body,) = nest.loops[-1].regions
        arrays = {self.buffers.of(a): a for a in outer.args[1:] if self.buffers.of(a) in nest.arrays}
        outs = {self.buffers.of(o): o for o in outer.outs if self.buffers.of(o) in nest.arrays}
        order = [arrays[a] for a in nest.arrays]
        env: dict[Value, Arg] = {}
        with building(Builder()) as builder:
            builder.loc = nest.loops[-1].loc
            moved = [*nest.before, *body.nodes]
            rows = {n: row for n in moved if (row := self.row(n, nest, around)) is not None}

            def innermost(point: Expr, carry: tuple) -> tuple:
                env[nest.point] = _named(point, nest.point)
                env.update((n.out, as_arg(load(Expr(row), point))) for n, row in rows.items())
                env.update(zip(body.params[1:], map(as_arg, carry), strict=True))
                nodes = [self.at_place(n) for n in moved if n not in rows]
                inner = substitute(Block((), nodes, body.results), env)
                current().extend(inner.nodes)
                return tuple(map(as_expr, inner.results))

            def level(rest: list[Node], carry: tuple) -> tuple:
                if not rest:
                    return loop(as_expr(outer.args[0]), carry, innermost)
                index = rest[0].regions[0].params[0]

                def inside(i: Expr, inner: tuple) -> tuple:
                    env[index] = _named(i, index)
                    return level(rest[1:], inner)

                return loop(as_expr(rest[0].args[0]), carry, inside)

            level(others, tuple(map(as_expr, order)))
        *before, last = builder.nodes
        outs = tuple(outs[a] for a in nest.arrays)
        return [*before, Node(last.op, last.args, outs, last.attrs, last.regions, last.loc)]

    def row(self, node: Node, nest: _Nest, around: tuple[Node, ...]) -> Value | None:
        """A row in memory with what a node loads for each point, if it doesn't lie in one anyway.

        Nothing is read that the loops might not have come to: they have no checks between.
        """
        if node.op is not load or node not in nest.always or self.axis(node.args[0]) is not None:
            return None
        array, *place = node.args
        body = nest.loops[0].regions[0]
        if any(map(has_effect, body.walk())):
            return None
        inside = {*body.params, *defined(body)}
        if place.count(nest.point) != 1 or place[-1] is nest.point:
            return None
        if any(i is not nest.point and i in inside for i in place) or array in inside:
            return None
        home = self.home(node, nest, around)
        others = (None if i is nest.point else i for i in place)
        key = (home.regions[0].params[0], nest.loops[0].args[0], array, *others)
        if key not in self.rows:
            self.rows[key] = self.copied(array, place, nest, home)
        return self.rows[key]

    def home(self, node: Node, nest: _Nest, around: tuple[Node, ...]) -> Node:
        """The outermost loop in front of which a row can be copied."""
        home = nest.loops[0]
        array, *place = node.args
        if not all(i is nest.point or (isinstance(i, Const) and i.value >= 0) for i in place):
            return home
        for outer in reversed(around):
            if outer.op is not for_:
                break
            (body,) = outer.regions
            written = {self.buffers.of(n.out) for n in body.walk() if n.op not in (for_, if_) and n.outs}
            inside = {*body.params, *defined(body)}
            if self.buffers.of(array) in written or array in inside or nest.loops[0].args[0] in inside:
                break
            home = outer
        return home

    def copied(self, array: Arg, place: list[Arg], nest: _Nest, home: Node) -> Value:
        """What copies a row in front of a loop: where nobody has checked how long it is, no more than there is."""
        with building(Builder()) as builder:
            builder.loc = nest.loops[0].loc
            count = as_expr(nest.loops[0].args[0])
            row = allocate(Type(array.type.dtype, (as_arg(greatest(count, 0)),)), array.name)
            if home is not nest.loops[0]:
                for axis, i in enumerate(place):
                    length = current().emit(axis_length, (array,), {"axis": axis})
                    if i is not nest.point:
                        count = np.where(as_expr(i) < length, count, 0)
                    elif array.type.shape[axis] is not nest.loops[0].args[0]:
                        count = least(count, length)
            index = [as_expr(i) for i in place]
            at = place.index(nest.point)

            def copy(v: Expr, carry: tuple) -> tuple:
                return (put(carry[0], load(as_expr(array), *index[:at], v, *index[at + 1 :]), (v,)),)

            (row,) = loop(count, (row,), copy)
        self.copying.setdefault(home, []).extend(builder.nodes)
        return as_arg(row)


def _named(index: Expr, old: Value) -> Value:
    """The index of a new loop, by the name of an old one."""
    index.value.name = old.name
    return index.value


def _last(parts: tuple, axis: int) -> tuple:
    """With the part for an axis last."""
    return (*parts[:axis], *parts[axis + 1 :], parts[axis])
