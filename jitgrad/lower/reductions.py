"""Lowering of reductions, scans and products of matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jitgrad.ir.graph import Node, Value
from jitgrad.ir.types import BOOL, Type
from jitgrad.lower.lazy import Lazy, allocate, cast, length, loop, nest, put, write_all
from jitgrad.lower.lowering import Lowering, lowers
from jitgrad.lower.plan import is_vector_product
from jitgrad.ops.elementwise import where
from jitgrad.ops.memory import call_into, load, product_step, sum_step, view
from jitgrad.ops.rules import is_one
from jitgrad.ops.symbolic import Expr, as_arg


def _least(dtype: np.dtype) -> object:
    """What every number of the dtype is at least."""
    if dtype == BOOL:
        return np.False_
    return dtype.type(-np.inf) if dtype.kind == "f" else dtype.type(np.iinfo(dtype).min)


def _greatest(dtype: np.dtype) -> object:
    """What every number of the dtype is at most."""
    if dtype == BOOL:
        return np.True_
    return dtype.type(np.inf) if dtype.kind == "f" else dtype.type(np.iinfo(dtype).max)


# For each reduction: what it starts from, by dtype, and how an element is taken in.
STEPS: dict[str, tuple[Callable, Callable]] = {
    "sum": (lambda dtype: dtype.type(0), lambda total, x: sum_step(total, x)),
    "prod": (lambda dtype: dtype.type(1), lambda total, x: product_step(total, x)),
    # The total comes second: LLVM makes a masked store, which is slow, of a store that may leave the first as it is.
    "max": (_least, lambda total, x: np.maximum(x, total)),
    "min": (_greatest, lambda total, x: np.minimum(x, total)),
    "any": (lambda dtype: np.False_, lambda total, x: total | x),
    "all": (lambda dtype: np.True_, lambda total, x: total & x),
}


@lowers(*STEPS)
def _reduction(self: Lowering, node: Node) -> None:
    start, step = STEPS[node.op.name]
    x = self.array(node.args[0])
    dtype, out = node.out.type.dtype, self.type(node.out.type)
    reduce(self, node, x, out, node.attrs["axis"], start(dtype), step)


def reduce(self: Lowering, node: Node, x: Lazy, out: Type, axis: tuple, start: object, step: Callable) -> None:
    """Sum up (or the like) over axes.

    Without kept axes, or with the summed ones innermost, the sum is a scalar in a register. Else the whole result
    is the accumulator, and the loops go through `x` in the order in which it lies in memory.
    """
    dtype = out.dtype
    n = len(x.shape)
    kept = [k for k in range(n) if k not in axis]
    lengths = tuple(length(m) for m in x.shape)

    def place(kept_index: tuple) -> tuple:
        if len(out.shape) == len(kept):
            return kept_index
        places: list[object] = [0] * n
        for k, i in zip(kept, kept_index, strict=True):
            places[k] = i
        return tuple(places)

    def total(kept_index: tuple) -> object:
        def body(index, carry):
            whole: list[object] = [0] * n
            for k, i in zip((*kept, *axis), (*kept_index, *index), strict=True):
                whole[k] = i
            return (step(carry[0], cast(x.at(tuple(whole)), dtype)),)

        return nest(tuple(lengths[k] for k in axis), (start,), body)[0]

    if not out.shape:
        return self.set_scalar(node.out, total(()))
    buffer = allocate(out, node.out.name)
    kept_lengths = tuple(lengths[k] for k in kept)
    if not kept or max(kept) < min(axis):
        (buffer,) = nest(kept_lengths, (buffer,), lambda index, carry: (put(carry[0], total(index), place(index)),))
        return self.define_buffer(node.out, buffer)
    (buffer,) = nest(kept_lengths, (buffer,), lambda index, carry: (put(carry[0], start, place(index)),))

    def body(index, carry):
        where = place(tuple(index[k] for k in kept))
        return (put(carry[0], step(load(carry[0], *where), cast(x.at(index), dtype)), where),)

    (buffer,) = nest(lengths, (buffer,), body)
    return self.define_buffer(node.out, buffer)


@lowers("argmax", "argmin")
def _arg_extremum(self: Lowering, node: Node) -> None:
    x, axis = self.array(node.args[0]), node.attrs["axis"]
    dtype = x.type.dtype
    largest = node.op.name == "argmax"
    start = _least(dtype) if largest else _greatest(dtype)
    kept = tuple(length(n) for k, n in enumerate(x.shape) if k != axis)

    def search(kept_index: tuple) -> object:
        def body(i, carry):
            best, found = carry
            value = x.at((*kept_index[:axis], i, *kept_index[axis:]))
            better = value > best if largest else value < best
            if dtype.kind == "f":  # the first NaN wins, as in NumPy
                better = better | ((value != value) & (best == best))
            return where(better, value, best), where(better, i, found)

        return loop(length(x.shape[axis]), (start, np.int64(0)), body)[1]

    if not node.out.type.shape:
        return self.set_scalar(node.out, search(()))
    buffer = allocate(self.type(node.out.type), node.out.name)

    def write(index, carry):
        place = (*index[:axis], 0, *index[axis:]) if node.attrs["keepdims"] else index
        return (put(carry[0], search(index), place),)

    (buffer,) = nest(kept, (buffer,), write)
    return self.define_buffer(node.out, buffer)


@lowers("cumsum")
def _cumsum(self: Lowering, node: Node) -> None:
    x, axis = self.array(node.args[0]), node.attrs["axis"]
    dtype = node.out.type.dtype
    buffer = allocate(self.type(node.out.type), node.out.name)
    kept = tuple(length(n) for k, n in enumerate(x.shape) if k != axis)

    def row(index, carry):
        def body(i, inner):
            place = (*index[:axis], i, *index[axis:])
            total = inner[1] + cast(x.at(place), dtype)
            return put(inner[0], total, place), total

        return (loop(length(x.shape[axis]), (carry[0], dtype.type(0)), body)[0],)

    (buffer,) = nest(kept, (buffer,), row)
    self.define_buffer(node.out, buffer)


@lowers("product_of_others")
def _product_of_others(self: Lowering, node: Node) -> None:
    """Products from the left, then times products from the right."""
    self.memory(node.args[0])
    x = self.array(node.args[0])
    dtype = node.out.type.dtype
    buffer = allocate(self.type(node.out.type), node.out.name)
    *kept, n = (length(m) for m in x.shape)

    def row(index, carry):
        def left(i, inner):
            return put(inner[0], inner[1], (*index, i)), inner[1] * x.at((*index, i))

        def right(i, inner):
            place = (*index, n - 1 - i)
            return put(inner[0], load(inner[0], *place) * inner[1], place), inner[1] * x.at(place)

        filled, _ = loop(n, (carry[0], dtype.type(1)), left)
        return (loop(n, (filled, dtype.type(1)), right)[0],)

    (buffer,) = nest(tuple(kept), (buffer,), row)
    self.define_buffer(node.out, buffer)


@lowers("matmul")
def _matmul(self: Lowering, node: Node) -> None:
    a, b = node.args
    out = self.type(node.out.type)
    x, y = self.array(a), self.array(b)
    if is_vector_product(node):
        products = Lazy(
            Type(out.dtype, x.shape), lambda index: cast(x.at(index), out.dtype) * cast(y.at(index), out.dtype)
        )
        start, step = STEPS["sum"]
        return reduce(self, node, products, out, (0,), start(out.dtype), step)
    if max(x.type.ndim, y.type.ndim) > 2:
        return _batched(self, node, x, y, out)
    x, flip_x = _operand(self, x, out.dtype)
    y, flip_y = _operand(self, y, out.dtype)
    if len(x.type.shape) == 1 or len(y.type.shape) == 1:
        # A vector on one side: the transpose of a matrix is the product from the other side.
        matrix, vector = (y, x) if len(x.type.shape) == 1 else (x, y)
        from_left = (len(x.type.shape) == 1) != (flip_x or flip_y)
        function = "vector_matrix" if from_left else "matrix_vector"
        args = (Expr(vector), Expr(matrix)) if from_left else (Expr(matrix), Expr(vector))
    else:
        function = "matmul_" + "nt"[flip_x] + "nt"[flip_y]
        args = (Expr(x), Expr(y))
    if out.dtype.kind != "f":
        function += "_plain"
    return self.define_buffer(node.out, call_into(allocate(out, node.out.name), *args, function=function))


def _operand(self: Lowering, x: Lazy, dtype: np.dtype) -> tuple[Value, bool]:
    """A buffer for an operand in the result's dtype, and whether it holds the transpose."""
    if x.type.dtype == dtype:
        if x.buffer is not None:
            return x.buffer, False
        if x.transposed is not None:
            return x.transposed, True
    type = Type(dtype, x.shape)
    return write_all(allocate(type), Lazy(type, lambda index: cast(x.at(index), dtype))).value, False


def _batched(self: Lowering, node: Node, x: Lazy, y: Lazy, out: Type) -> None:
    """A batch of matrices: one product for all where the right factor is one matrix, else one product each."""
    suffix = "" if out.dtype.kind == "f" else "_plain"
    if y.type.ndim == 2:
        rows = 1
        for n in x.shape[:-1]:
            rows = rows * length(n)
        buffer, _ = _operand(self, x, out.dtype)
        flat = view(Expr(buffer), rows, length(x.shape[-1]))
        right, flip = _operand(self, y, out.dtype)
        target = allocate(Type(out.dtype, (_axis(rows), out.shape[-1])), node.out.name)
        product = call_into(target, flat, Expr(right), function="matmul_n" + "nt"[flip] + suffix)
        return self.define_buffer(node.out, view(product, *(length(n) for n in out.shape)))
    batch = out.shape[:-2]
    count = 1
    for n in batch:
        count = count * length(n)
    flat = []
    for operand in (x, y):
        whole = Type(out.dtype, (*batch, *operand.shape[-2:]))

        def at(index, operand=operand):
            skip = len(index) - len(operand.shape)
            own = [0 if is_one(n) else i for n, i in zip(operand.shape, index[skip:], strict=True)]
            return cast(operand.at(tuple(own)), out.dtype)

        same = operand.buffer is not None and operand.type.shape == whole.shape and operand.type.dtype == out.dtype
        buffer = Expr(operand.buffer) if same else write_all(allocate(whole), Lazy(whole, at))
        flat.append(view(buffer, count, *(length(n) for n in operand.shape[-2:])))
    target = allocate(Type(out.dtype, (_axis(count), *out.shape[-2:])), node.out.name)
    product = call_into(target, *flat, function="matmul_batch" + suffix)
    return self.define_buffer(node.out, view(product, *(length(n) for n in out.shape)))


def _axis(n: object) -> int | Value:
    return as_arg(n) if isinstance(n, Expr) else int(n)
