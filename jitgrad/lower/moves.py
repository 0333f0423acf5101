"""Lowering of operations that move elements."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Node
from jitgrad.lower.lazy import Lazy, allocate, branch, cast, length, nest, put, write_all
from jitgrad.lower.lowering import Lowering, broadcast_index, lowers, reshaped
from jitgrad.lower.plan import only_ones_differ
from jitgrad.ops.index import array_axes, indexed_shape
from jitgrad.ops.memory import load, store
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Expr, current


@lowers("axis_length")
def _axis_length(self: Lowering, node: Node) -> None:
    # Only parameters are asked; they stay as they are.
    self.set_scalar(node.out, current().emit(axis_length, node.args, dict(node.attrs)))


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
        x = self.array(node.args[0])
    return self.define(node.out, reshaped(x, out))


@lowers("transpose")
def _transpose(self: Lowering, node: Node) -> None:
    x, axes = self.array(node.args[0]), node.attrs["axes"]

    def at(index: tuple) -> object:
        places = [0] * len(axes)
        for i, k in zip(index, axes, strict=True):
            places[k] = i
        return x.at(tuple(places))

    swapped = x.buffer if axes == (1, 0) else None
    self.define(node.out, Lazy(self.type(node.out.type), at, transposed=swapped))


@lowers("broadcast_to")
def _broadcast_to(self: Lowering, node: Node) -> None:
    x = self.array(node.args[0])
    if not node.out.type.shape:
        return self.set_scalar(node.out, self.scalar(node.args[0]))
    type = self.type(node.out.type)
    return self.define(node.out, Lazy(type, lambda index: cast(x.at(broadcast_index(x, index)), type.dtype)))


@lowers("iota")
def _iota(self: Lowering, node: Node) -> None:
    self.define(node.out, Lazy(self.type(node.out.type), lambda index: index[0]))


@lowers("array")
def _array(self: Lowering, node: Node) -> None:
    buffer = allocate(self.type(node.out.type), node.out.name)
    for index, item in zip(np.ndindex(*node.attrs["shape"]), node.args, strict=True):
        buffer = put(buffer, self.scalar(item), index)
    self.define_buffer(node.out, buffer)


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
    return self.define(node.out, Lazy(self.type(node.out.type), lambda index: x.at(place(index))))


def _write(self: Lowering, node: Node, step) -> None:
    target, v, *operands = node.args
    buffer = Expr(self.memory(target))
    value = self.array(v)
    shape = indexed_lengths(self, node, tuple(operands))
    place = places(self, node, tuple(operands), target.type.shape)

    def body(index, carry):
        where = place(index)
        return (step(carry[0], cast(value.at(broadcast_index(value, index)), buffer.dtype), where),)

    (buffer,) = nest(shape, (buffer,), body)
    self.define_buffer(node.out, buffer)


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
