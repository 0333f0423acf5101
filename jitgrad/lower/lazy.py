"""Arrays that exist as a rule for their elements, until someone needs them in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jitgrad.ir.graph import Arg, Node, Value
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.elementwise import astype
from jitgrad.ops.flow import for_, if_, region
from jitgrad.ops.memory import empty, load, store
from jitgrad.ops.symbolic import Expr, as_arg, as_expr, current


@dataclass(frozen=True)
class Lazy:
    """An array by its elements.

    Attributes:
        type: dtype and shape.
        at: `at(index)` gives the element at a tuple of indices, as an `Expr` or a number, adding nodes to the current
            builder.
        buffer: the memory it is in, C-contiguous, if it is in memory.
        transposed: the memory of its transpose, if that is what is in memory (matrices only).
        viewed: the memory of the same elements in another shape, if that is what is in memory.
        reads: the roots of the memory that the elements are computed from. Once it is written to, they are lost.
    """

    type: Type
    at: Callable[[tuple], object]
    buffer: Value | None = None
    transposed: Value | None = None
    viewed: Value | None = None
    reads: frozenset[Value] = frozenset()

    @property
    def shape(self) -> tuple:
        return self.type.shape


def in_memory(buffer: Value, roots: frozenset[Value] = frozenset()) -> Lazy:
    """The array in a buffer; its roots are those of the memory that it shares, if it isn't memory of its own."""
    reads = roots or frozenset((buffer,))
    return Lazy(buffer.type, lambda index: load(Expr(buffer), *index), buffer=buffer, reads=reads)


def all_reads(arrays: Iterable[Lazy]) -> frozenset[Value]:
    """The memory that something computed from these arrays is computed from."""
    return frozenset().union(*(a.reads for a in arrays))


def length(axis: int | Value) -> object:
    return Expr(axis) if isinstance(axis, Value) else axis


def loop(n: object, init: tuple, body: Callable[[Expr, tuple], tuple]) -> tuple:
    """A loop from 0 to n - 1: `body(i, carry)` gives the next carry; returns the last."""
    args = tuple(map(as_arg, init))
    carry = tuple(map(_like, args))
    inner = region(lambda i, *c: body(i, c), (Value(Type(INT64), "i"), *carry))
    return _add(for_, (as_arg(n), *args), (inner,), carry)


def branch(condition: object, init: tuple, body: Callable[[tuple], tuple]) -> tuple:
    """The carry after `body(carry)` if the condition holds, else as it is."""
    then = region(lambda: body(init), name="then")
    return _add(if_, (as_arg(condition),), (then, region(lambda: init, name="orelse")), tuple(map(as_arg, init)))


def _add(op, args: tuple[Arg, ...], regions: tuple, outs: tuple[Arg, ...]) -> tuple:
    node = Node(op, args, tuple(map(_like, outs)), {}, regions, current().loc)
    current().append(node)
    return tuple(map(Expr, node.outs))


def _like(arg: Arg) -> Value:
    return Value(Type(arg.type.dtype, arg.type.shape), getattr(arg, "name", None))


def nest(lengths: tuple, init: tuple, body: Callable[[tuple, tuple], tuple]) -> tuple:
    """Loops within loops, the last axis innermost."""

    def level(k: int, index: tuple, carry: tuple) -> tuple:
        if k == len(lengths):
            return body(index, carry)
        if isinstance(lengths[k], int) and lengths[k] == 1:
            return level(k + 1, (*index, 0), carry)
        return loop(lengths[k], carry, lambda i, inner: level(k + 1, (*index, i), inner))

    return level(0, (), init)


def allocate(type: Type, name: str | None = None) -> Expr:
    """New memory."""
    buffer = current().emit(empty, tuple(length(n) for n in type.shape), {"dtype": type.dtype})
    buffer.value.name = name
    return buffer


def write_all(buffer: Expr, source: Lazy) -> Expr:
    """Fill a buffer with the elements of an array."""
    lengths = tuple(length(n) for n in source.shape)
    (buffer,) = nest(lengths, (buffer,), lambda index, carry: (put(carry[0], source.at(index), index),))
    return buffer


def put(buffer: Expr, value: object, index: tuple) -> Expr:
    """One element written."""
    return store(buffer, cast(value, buffer.dtype), *index)


def cast(value: object, dtype) -> object:
    """A scalar in a dtype."""
    arg = as_arg(value)
    if arg.type.dtype == dtype and not arg.type.weak:
        return value
    if not isinstance(arg, Value):
        return dtype.type(arg.value)
    return value if arg.type.dtype == dtype else astype(value, dtype=dtype)


def element(arg: Arg) -> Lazy:
    """A scalar as an array without axes."""
    return Lazy(Type(arg.type.dtype, (), arg.type.weak), lambda index: as_expr(arg))
