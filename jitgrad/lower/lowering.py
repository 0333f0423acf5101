"""Each operation on arrays becomes loops, or a rule for elements that the loops of its readers call.

Fusion needs no pass of its own: a reader's loop asks for the elements of its operands, and an operand that is not in
memory computes them there and then.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from jitgrad.ir import verify
from jitgrad.ir.function import Function, functions
from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ir.types import Type
from jitgrad.lower.lazy import Lazy, all_reads, allocate, element, in_memory, length, write_all
from jitgrad.lower.pipeline import improved
from jitgrad.lower.plan import buffers, is_lazy
from jitgrad.lower.scalars import scalar
from jitgrad.ops.flow import if_
from jitgrad.ops.inplace import Memory, Scope, check_writes, read_inside
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
    block = Lowering(block).run()
    if verify.ENABLED:
        for each in (block, *(function.block for function in functions(block))):
            verify.verify(each, "lower")
    return block


class Lowering:
    """The state of lowering a block: where each value is.

    Attributes:
        block: the whole program.
        scope: the block or region that is being lowered, and `place`, the number of its node.
        sharing: which arrays share memory, and which nodes write to it.
        chosen: the arrays that get memory though their elements could be computed where they are read.
        arrays: the arrays by their elements. What a region puts into memory for itself isn't there outside of it.
        scalars: the numbers.
        functions: of each function that is called, the lowered one.
        updates: if the block is a function's, which params come back as which results.
        stack: if the block is a function's, where the stack of the program begins.
    """

    def __init__(
        self,
        block: Block,
        functions: dict[Function, Function] | None = None,
        updates: Mapping[int, int] = MappingProxyType({}),
    ):
        self.block = block
        self.functions = {} if functions is None else functions
        self.updates = updates
        self.stack: Value | None = None
        self.scope = Scope(block)
        self.place = 0
        self.sharing = Memory(block)
        self.chosen = buffers(block)
        self.arrays: ChainMap[Value, Lazy] = ChainMap()
        self.scalars: dict[Value, object] = {}
        self._roots: dict[Value, frozenset[Value]] = {}

    def run(self, first: Callable[[], None] = lambda: None) -> Block:
        """The lowered block, in which what `first` does comes first."""
        with building(Builder()) as builder:
            first()
            self.visit_block(self.block)
            results = self.results()
        block = Block(self.block.params, builder.nodes, results, self.block.name, self.block.notes)
        block = improved(block)
        if verify.ENABLED:
            check_writes(block, "lower")
        return block

    def visit_block(self, block: Block) -> None:
        for k, node in enumerate(block.nodes):
            current().loc = node.loc
            self.place = k
            self.settle(node)
            self.visit(node)

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

    def settle(self, node: Node) -> None:
        """Before a node that writes to memory: compute what is to be computed from it, and read later."""
        written = self.written(node)
        if not written:
            return
        inside = read_inside(node) if node.regions and node.op is not if_ else ()
        for value, lazy in list(self.arrays.items()):
            if not lazy.reads.isdisjoint(written) and (value in inside or self.scope.read_after(value, self.place)):
                self.arrays[value] = self.fresh(lazy, value.name)

    def written(self, node: Node) -> frozenset[Value]:
        """The memory that a node writes to, of what is in memory already."""
        return all_reads(self.array(v) for v in self.sharing.written(node) if self.array(v).buffer is not None)

    # Reading operands.
    def scalar(self, arg: Arg) -> object:
        """A number, as an `Expr` or a Python number."""
        return self.scalars[arg] if arg in self.scalars else as_expr(arg)

    def array(self, arg: Arg) -> Lazy:
        """An array, or a number as an array without axes."""
        if arg in self.arrays:
            return self.arrays[arg]
        if arg.type.shape:  # a param, met for the first time: its lengths are known by now
            self.arrays[arg] = replace(in_memory(arg), type=self.type(arg.type))
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
            return self.view(lazy, lazy.type)
        return self.fresh(lazy, name)

    def view(self, lazy: Lazy, type: Type) -> Lazy:
        """The same memory in another shape."""
        buffer = lazy.buffer if lazy.buffer is not None else lazy.viewed
        return self.shared(view(Expr(buffer), *(length(n) for n in type.shape)).value, lazy.reads)

    def shared(self, buffer: Value, roots: frozenset[Value]) -> Lazy:
        """The array in memory that others may share."""
        self._roots[buffer] = roots
        return in_memory(buffer, roots)

    def roots(self, buffer: Value) -> frozenset[Value]:
        return self._roots.get(buffer) or frozenset((buffer,))

    def fresh(self, lazy: Lazy, name: str | None) -> Lazy:
        """The array in memory of its own."""
        return in_memory(write_all(allocate(lazy.type, name), lazy).value)

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

        return Lazy(type, at, reads=all_reads(operands))

    def results(self) -> tuple[Arg, ...]:
        """The results, each in memory that nothing else names."""
        given: set[Value] = {p for p in self.block.params if p.type.shape}
        own = {result: self.block.params[k] for k, result in self.updates.items()}
        out = []
        for k, result in enumerate(self.block.results):
            if not result.type.shape:
                out.append(as_arg(self.scalar(result)))
                continue
            lazy = self.array(result)
            base = self.base(lazy.buffer)
            if base is None or (base in given and base is not own.get(k)):
                lazy = self.fresh(lazy, result.name)
                base = lazy.buffer
            given.add(base)
            out.append(lazy.buffer)
        return tuple(out)

    def base(self, buffer: Value | None) -> Value | None:
        """The memory behind a chain of views."""
        makers = {o: n for n in current().nodes for o in n.outs}
        while buffer in makers and makers[buffer].op is view:
            buffer = makers[buffer].args[0]
        return buffer


def broadcast_index(x: Lazy, index: tuple) -> tuple:
    """The place in an operand that belongs to a place in the broadcast result."""
    own = index[len(index) - len(x.shape) :]
    return tuple(0 if is_one(n) else i for n, i in zip(x.shape, own, strict=True))


def with_ones(x: Lazy, out: Type) -> Lazy:
    """The same elements with other axes of length one."""
    keep = [k for k, n in enumerate(x.shape) if not is_one(n)]

    def at(index: tuple) -> object:
        places: list[object] = [0] * len(x.shape)
        for k, i in zip(keep, (i for i, n in zip(index, out.shape, strict=True) if not is_one(n)), strict=True):
            places[k] = i
        return x.at(tuple(places))

    return Lazy(out, at, viewed=x.buffer if x.buffer is not None else x.viewed, reads=x.reads)
