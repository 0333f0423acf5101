"""Arrays that exist as a rule for their elements, until someone needs them in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.elementwise import astype
from jitgrad.ops.flow import for_
from jitgrad.ops.memory import empty, load, store, when
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current


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
    """

    type: Type
    at: Callable[[tuple], object]
    buffer: Value | None = None
    transposed: Value | None = None
    viewed: Value | None = None

    @property
    def shape(self) -> tuple:
        return self.type.shape


def in_memory(buffer: Value) -> Lazy:
    """The array in a buffer."""
    return Lazy(buffer.type, lambda index: load(Expr(buffer), *index), buffer=buffer)


def length(axis: int | Value) -> object:
    return Expr(axis) if isinstance(axis, Value) else axis


def loop(n: object, init: tuple, body: Callable[[Expr, tuple], tuple]) -> tuple:
    """A loop from 0 to n - 1: `body(i, carry)` gives the next carry; returns the last."""
    i = Value(Type(INT64), "i")
    return _region(for_, n, (i,), init, lambda carry: body(Expr(i), carry))


def branch(condition: object, init: tuple, body: Callable[[tuple], tuple]) -> tuple:
    """The carry after `body(carry)` if the condition holds, else as it is."""
    return _region(when, condition, (), init, body)


def _region(op, control: object, params: tuple, init: tuple, body: Callable[[tuple], tuple]) -> tuple:
    outer = current()
    builder = Builder(parent=outer)
    args = (as_arg(control), *(as_arg(x) for x in init))
    carry = tuple(Value(Type(a.type.dtype, a.type.shape), getattr(a, "name", None)) for a in args[1:])
    with building(builder):
        results = tuple(as_arg(a) for a in body(tuple(Expr(c) for c in carry)))
    outs = tuple(Value(c.type, c.name) for c in carry)
    region = Block((*params, *carry), builder.nodes, results)
    outer.append(Node(op, args, outs, {}, (region,), outer.loc))
    return tuple(Expr(o) for o in outs)


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
