"""Lowering of operations that move elements."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Block, Node, Value
from jitgrad.ir.types import INT64, Type
from jitgrad.lower.lazy import Lazy, all_reads, allocate, branch, cast, length, nest, put, write_all
from jitgrad.lower.lowering import Lowering, broadcast_index, lowers, with_ones
from jitgrad.lower.plan import only_ones_differ
from jitgrad.ops.index import array_axes, indexed_shape
from jitgrad.ops.memory import load, store
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr, as_arg, building, current


@lowers("axis_length")
def _axis_length(self: Lowering, node: Node) -> None:
    (x,), axis = node.args, node.attrs["axis"]
    if x in self.block.params:
        return self.set_scalar(node.out, current().emit(axis_length, (x,), {"axis": axis}))
    found = self.array(x)
    if found.buffer is not None:
        return self.set_scalar(node.out, current().emit(axis_length, (found.buffer,), {"axis": axis}))
    return self.set_scalar(node.out, length(found.shape[axis]))


@lowers("check")
def _check(self: Lowering, node: Node) -> None:
    current().emit(node.op, tuple(self.scalar(a) for a in node.args), dict(node.attrs))


@lowers("reshape")
def _reshape(self: Lowering, node: Node) -> None:
    x = self.array(node.args[0])
    if not x.shape and not node.out.type.shape:
        return self.set_scalar(node.out, self.scalar(node.args[0]))
    if not node.out.type.shape:
        return self.set_scalar(node.out, x.at((0,) * len(x.shape)))
    out = self.type(node.out.type)
    if not only_ones_differ(x.shape, out.shape):
        self.memory(node.args[0])
        return self.define(node.out, self.view(self.array(node.args[0]), out))
    return self.define(node.out, with_ones(x, out))


@lowers("transpose")
def _transpose(self: Lowering, node: Node) -> None:
    x, axes = self.array(node.args[0]), node.attrs["axes"]

    def at(index: tuple) -> object:
        places = [0] * len(axes)
        for i, k in zip(index, axes, strict=True):
            places[k] = i
        return x.at(tuple(places))

    swapped = x.buffer if axes == (1, 0) else None
    self.define(node.out, Lazy(self.type(node.out.type), at, transposed=swapped, reads=x.reads))


@lowers("broadcast_to")
def _broadcast_to(self: Lowering, node: Node) -> None:
    x = self.array(node.args[0])
    if not node.out.type.shape:
        return self.set_scalar(node.out, self.scalar(node.args[0]))
    type = self.type(node.out.type)
    at = lambda index: cast(x.at(broadcast_index(x, index)), type.dtype)  # noqa: E731
    return self.define(node.out, Lazy(type, at, reads=x.reads))


@lowers("iota")
def _iota(self: Lowering, node: Node) -> None:
    self.define(node.out, Lazy(self.type(node.out.type), lambda index: index[0]))


@lowers("array")
def _array(self: Lowering, node: Node) -> None:
    buffer = allocate(self.type(node.out.type), node.out.name)
    for index, item in zip(np.ndindex(*node.attrs["shape"]), node.args, strict=True):
        buffer = put(buffer, self.scalar(item), index)
    self.define_buffer(node.out, buffer)


@lowers("uninitialized")
def _uninitialized(self: Lowering, node: Node) -> None:
    self.define_buffer(node.out, allocate(self.type(node.out.type), node.out.name))


@lowers("copy")
def _copy(self: Lowering, node: Node) -> None:
    if not node.out.type.shape:
        return self.set_scalar(node.out, self.scalar(node.args[0]))
    buffer = allocate(self.type(node.out.type), node.out.name)
    return self.define_buffer(node.out, write_all(buffer, self.array(node.args[0])))


@lowers("concatenate")
def _concatenate(self: Lowering, node: Node) -> None:
    axis = node.attrs["axis"]
    buffer = allocate(self.type(node.out.type), node.out.name)
    start: object = 0
    for arg in node.args:
        piece = self.array(arg)

        def body(index, carry, piece=piece, start=start):
            place = tuple(i + start if k == axis and _moved(start) else i for k, i in enumerate(index))
            return (put(carry[0], piece.at(index), place),)

        lengths = tuple(length(n) for n in piece.shape)
        (buffer,) = nest(lengths, (buffer,), body)
        start = start + lengths[axis] if _moved(start) else lengths[axis]
    self.define_buffer(node.out, buffer)


def _moved(start: object) -> bool:
    return not (isinstance(start, int) and start == 0)


def places(self: Lowering, node: Node, operands: tuple, source_shape: tuple):
    """The map from a place in what an index reads to the place in the array that is indexed."""
    pattern = node.attrs["pattern"]
    numbers = [self.array(o) if o.type.shape else self.scalar(o) for o in operands]
    array_places, together = array_axes(pattern)
    picked = max((o.type.ndim for k in array_places for o in [operands[pattern[k][1]]]), default=0)

    def place(index: tuple) -> tuple:
        index = list(index)
        picked_index: tuple | None = None
        if array_places and not together:
            picked_index, index = tuple(index[:picked]), index[picked:]
        out = []
        for part in pattern:
            if part[0] == "new":
                index.pop(0)
            elif part[0] == "slice":
                start, step = numbers[part[1]], part[3]
                i = index.pop(0)
                i = i if step == 1 else -i if step == -1 else i * step
                out.append(i if isinstance(start, int) and start == 0 else start + i)
            elif array_places:
                if picked_index is None:
                    picked_index = tuple(index[:picked])
                    index = index[picked:]
                number = numbers[part[1]]
                out.append(number.at(broadcast_index(number, picked_index)) if isinstance(number, Lazy) else number)
            else:
                out.append(numbers[part[1]])
        return tuple(out)

    return place


@lowers("getitem")
def _getitem(self: Lowering, node: Node) -> None:
    x = self.array(node.args[0])
    place = places(self, node, node.args[1:], x.shape)
    if not node.out.type.shape:
        return self.set_scalar(node.out, x.at(place(())))
    reads = all_reads(self.array(a) for a in node.args)
    return self.define(node.out, Lazy(self.type(node.out.type), lambda index: x.at(place(index)), reads=reads))


def _write(self: Lowering, node: Node, step) -> None:
    target, v, *operands = node.args
    buffer = Expr(self.memory(target))
    _settle_operands(self, node)
    value = self.array(v)
    shape = indexed_lengths(self, node, tuple(operands))
    place = places(self, node, tuple(operands), target.type.shape)

    def body(index, carry):
        where = place(index)
        first = len(current().nodes)
        new = value.at(broadcast_index(value, index))
        _read_current(first, buffer.value, carry[0].value)
        return (step(carry[0], cast(new, buffer.dtype), where),)

    (buffer,) = nest(shape, (buffer,), body)
    self.define_buffer(node.out, buffer)


def _read_current(first: int, before: Value, now: Value) -> None:
    """Let the nodes from a number on read a buffer as it is now, where they read it as it was before the loop."""
    nodes = current().nodes
    for k in range(first, len(nodes)):
        node = nodes[k]
        if node.op is load and node.args[0] is before:
            nodes[k] = Node(load, (now, *node.args[1:]), node.outs, node.attrs, (), node.loc)


def _settle_operands(self: Lowering, node: Node) -> None:
    """What is written, and where, is computed before anything is written, if it reads the memory that is written to.

    `a[s] = 2 * a[s]` needs no such care: each element is read where it is written, and nowhere else.
    """
    target, v, *operands = node.args
    written = self.array(target)
    for arg in (*operands, v):
        if not arg.type.shape or self.array(arg).reads.isdisjoint(written.reads):
            continue
        if arg is not v or not _reads_in_place(self, node, written):
            self.arrays[arg] = self.fresh(self.array(arg), arg.name)


def _reads_in_place(self: Lowering, node: Node, written: Lazy) -> bool:
    """Whether the elements to write read no other element of the written array than the one they go to.

    To find out, one of them is computed in a program that is thrown away.
    """
    target, v, *operands = node.args
    if any(part[0] == "array" for part in node.attrs["pattern"]):  # which may come to a place twice
        return False
    with building(Builder()) as builder:
        rank = len(indexed_shape(node.attrs["pattern"], tuple(operands)))
        index = tuple(Expr(Value(Type(INT64))) for _ in range(rank))
        where = tuple(as_arg(i) for i in places(self, node, tuple(operands), target.type.shape)(index))
        value = self.array(v)
        value.at(broadcast_index(value, index))
    reads = [n for n in Block((), builder.nodes, ()).walk() if n.op is load]
    return all(
        n.args[1:] == where if n.args[0] is written.buffer else self.roots(n.args[0]).isdisjoint(written.reads)
        for n in reads
    )


def indexed_lengths(self: Lowering, node: Node, operands: tuple) -> tuple:
    """The shape of the places that a write reaches, in the lowered program's lengths."""
    return self.lengths(indexed_shape(node.attrs["pattern"], operands))


@lowers("setitem")
def _setitem(self: Lowering, node: Node) -> None:
    _write(self, node, lambda buffer, value, where: store(buffer, value, *where))


@lowers("add_at")
def _add_at(self: Lowering, node: Node) -> None:
    _write(self, node, lambda buffer, value, where: store(buffer, load(buffer, *where) + value, *where))


@lowers("nonzero")
def _nonzero(self: Lowering, node: Node) -> None:
    mask = self.array(node.args[0])
    outs = tuple(allocate(self.type(o.type), o.name) for o in node.outs)
    lengths = tuple(length(n) for n in mask.shape)

    def body(index, carry):
        def write(carry):
            count, *found = carry
            return (count + 1, *(store(b, i, count) for b, i in zip(found, index, strict=True)))

        return branch(mask.at(index), carry, write)

    results = nest(lengths, (np.int64(0), *outs), body)
    for out, buffer in zip(node.outs, results[1:], strict=True):
        self.define_buffer(out, buffer)
