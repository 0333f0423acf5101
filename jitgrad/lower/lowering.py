"""Each operation on arrays becomes loops, or a rule for elements that the loops of its readers call.

Fusion needs no pass of its own: a reader's loop asks for the elements of its operands, and an operand that is not in
memory computes them there and then.
"""

from __future__ import annotations

from collections.abc import Callable

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ir.types import Type
from jitgrad.lower.lazy import Lazy, allocate, element, in_memory, length, write_all
from jitgrad.lower.plan import buffers, is_lazy, only_ones_differ
from jitgrad.lower.scalars import scalar
from jitgrad.ops.memory import view
from jitgrad.ops.rules import is_one
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current

HANDLERS: dict[str, Callable[[Lowering, Node], None]] = {}


def lowers(*names: str) -> Callable:
    """Decorator: how the operations of these names are lowered."""

    def register(function: Callable) -> Callable:
        for name in names:
            HANDLERS[name] = function
        return function

    return register


def lower(block: Block) -> Block:
    """The same program over elements and buffers, whose results share no memory with anything."""
    return Lowering(block).run()


class Lowering:
    """The state of lowering a block: where each value is."""

    def __init__(self, block: Block):
        self.block = block
        self.chosen = buffers(block)
        self.arrays: dict[Value, Lazy] = {}
        self.scalars: dict[Value, object] = {}
        self.maker = {out: node for node in block.nodes for out in node.outs}
        self.name: str | None = None

    def run(self) -> Block:
        with building(Builder()) as builder:
            for node in self.block.nodes:
                builder.loc = node.loc
                self.visit(node)
            results = self.results()
        return Block(self.block.params, builder.nodes, results, self.block.name, self.block.notes)

    def visit(self, node: Node) -> None:
        handler = HANDLERS.get(node.op.name)
        if handler is not None:
            handler(self, node)
        elif is_lazy(node) and not node.out.type.shape:
            self.set_scalar(node.out, scalar(node, [self.scalar(a) for a in node.args]))
        elif is_lazy(node):
            self.define(node.out, self.elementwise(node))
        else:
            raise AssertionError(f"no lowering for {node.op.name}")

    # Reading operands.
    def scalar(self, arg: Arg) -> object:
        """A number, as an `Expr` or a Python number."""
        return self.scalars[arg] if arg in self.scalars else as_expr(arg)

    def array(self, arg: Arg) -> Lazy:
        """An array, or a number as an array without axes."""
        if arg in self.arrays:
            return self.arrays[arg]
        if arg.type.shape:  # a param, met for the first time: its lengths are known by now
            self.arrays[arg] = Lazy(self.type(arg.type), in_memory(arg).at, buffer=arg)
            return self.arrays[arg]
        number = self.scalar(arg)
        return element(as_arg(number))

    def memory(self, arg: Arg) -> Value:
        """The buffer that an operand is in, made now if it isn't in one."""
        found = self.array(arg)
        if found.buffer is None:
            found = self.arrays[arg] = self.into_memory(found, None)
        return found.buffer

    def lengths(self, shape: tuple) -> tuple:
        """The lengths of a shape as numbers or `Expr`s of the lowered program."""
        return tuple(self.scalar(n) if isinstance(n, Value) else n for n in shape)

    def type(self, type: Type) -> Type:
        """A type that names the lengths of the lowered program."""
        shape = tuple(as_arg(n) if not isinstance(n, int) else n for n in self.lengths(type.shape))
        return Type(type.dtype, tuple(n if isinstance(n, int | Value) else int(n.value) for n in shape))

    # Defining results.
    def set_scalar(self, out: Value, number: object) -> None:
        self.scalars[out] = number
        if isinstance(number, Expr) and number.value.name is None:
            number.value.name = out.name

    def define(self, out: Value, lazy: Lazy) -> None:
        """An array by its elements; put into memory if the plan says so."""
        if out in self.chosen and lazy.buffer is None:
            lazy = self.into_memory(lazy, out.name)
        self.arrays[out] = lazy

    def define_buffer(self, out: Value, buffer: Expr) -> None:
        buffer.value.name = buffer.value.name or out.name
        self.arrays[out] = in_memory(buffer.value)

    def into_memory(self, lazy: Lazy, name: str | None) -> Lazy:
        if lazy.viewed is not None:
            return in_memory(view(Expr(lazy.viewed), *(length(n) for n in lazy.shape)).value)
        buffer = write_all(allocate(lazy.type, name), lazy)
        return in_memory(buffer.value)

    def elementwise(self, node: Node) -> Lazy:
        """The elements of a broadcast operation; an element asked for twice in a loop body is computed once."""
        operands = [self.array(a) for a in node.args]
        type = self.type(node.out.type)
        seen: dict[tuple, tuple[Builder, object]] = {}

        def at(index: tuple) -> object:
            key = tuple(as_arg(i) for i in index)
            known = seen.get(key)
            if known is not None and known[0] is current():
                return known[1]
            result = scalar(node, [x.at(broadcast_index(x, index)) for x in operands])
            if isinstance(result, Expr) and result.value.name is None:
                result.value.name = node.out.name
            seen[key] = (current(), result)
            return result

        return Lazy(type, at)

    def results(self) -> tuple[Arg, ...]:
        """The results, each in memory that nothing else names."""
        given: set[Value] = {p for p in self.block.params if p.type.shape}
        out = []
        for result in self.block.results:
            if not result.type.shape:
                out.append(as_arg(self.scalar(result)))
                continue
            lazy = self.array(result)
            base = self.base(lazy.buffer)
            if base is None or base in given:
                lazy = in_memory(write_all(allocate(lazy.type, result.name), lazy).value)
                base = lazy.buffer
            given.add(base)
            out.append(lazy.buffer)
        return tuple(out)

    def base(self, buffer: Value | None) -> Value | None:
        """The memory behind a chain of views and loops."""
        makers = {o: n for n in current().nodes for o in n.outs}
        while buffer in makers and makers[buffer].op is view:
            buffer = makers[buffer].args[0]
        return buffer


def broadcast_index(x: Lazy, index: tuple) -> tuple:
    """The place in an operand that belongs to a place in the broadcast result."""
    own = index[len(index) - len(x.shape) :]
    return tuple(0 if is_one(n) else i for n, i in zip(x.shape, own, strict=True))


def reshaped(x: Lazy, out: Type) -> Lazy:
    """Another shape of the same elements: the same rule where only ones come or go, else the same memory."""
    if not only_ones_differ(x.shape, out.shape):
        return in_memory(view(Expr(x.buffer), *(length(n) for n in out.shape)).value)
    keep = [k for k, n in enumerate(x.shape) if not is_one(n)]

    def at(index: tuple) -> object:
        places: list[object] = [0] * len(x.shape)
        for k, i in zip(keep, (i for i, n in zip(index, out.shape, strict=True) if not is_one(n)), strict=True):
            places[k] = i
        return x.at(tuple(places))

    return Lazy(out, at, viewed=x.buffer if x.buffer is not None else x.viewed)
