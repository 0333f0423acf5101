"""Where each operation of a block is written: as a statement, or inside of the expression that reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.ops.inplace import Memory

if TYPE_CHECKING:
    from jitgrad.codegen.statements import Writer

MAX_INLINE = 6  # operations in one expression: what one can read in a line


class Plan:
    """The plan for a block or region.

    Attributes:
        inlined: the values that stand where they are read, each with its node.
        own: the values that come to be in the block, or that a branch may do with as if they did.
        last_read: the number of the statement after which a value is not needed any more; what isn't there isn't
            needed at all, and results are needed at the end.
    """

    def __init__(self, block: Block, writer: Writer, memory: Memory, own: Iterable[Value], nested: bool):
        self.block = block
        self.own = {*block.params, *own, *(o for node in block.nodes for o in node.outs)}
        self.writer = writer
        self.memory = memory
        self.nested = nested
        self.inlined: dict[Value, Node] = {}
        self.last_read: dict[Arg, int] = {}
        self.end = len(block.nodes)
        self.number = {node: k for k, node in enumerate(block.nodes)}
        self.makers = {o: node for node in block.nodes for o in node.outs}
        self.readers: dict[Value, list[Node]] = {}
        self.writes: dict[Value, list[int]] = {}
        for k, node in enumerate(block.nodes):
            for value in used(node):
                self.readers.setdefault(value, []).append(node)
            for value in memory.written(node):
                for root in memory.roots(value):
                    self.writes.setdefault(root, []).append(k)
        self._place(self._wanted())

    def is_read_after(self, value: Value, k: int) -> bool:
        return self.last_read.get(value, -1) > k

    def is_free_after(self, value: Arg, node: Node) -> bool:
        """Whether the variable of a value is free for another use once a node has been written."""
        return value in self.own and value not in self.inlined and not self.is_read_after(value, self.number[node])

    def _wanted(self) -> set[Value]:
        """The values that may be inlined: of one reader, of which not too much comes together."""
        results = self.block.results
        weight: dict[Value, int] = {}
        wanted: set[Value] = set()
        for node in self.block.nodes:
            if len(node.outs) != 1 or node.op.effect or node.regions or not self.writer.inlinable(node):
                continue
            out = node.out
            total = 1 + sum(weight.get(a, 0) for a in node.args)
            if total <= MAX_INLINE and (self._for_reader(node) or self._for_result(out, results)):
                weight[out] = total
                wanted.add(out)
        return wanted

    def _for_reader(self, node: Node) -> bool:
        """Whether the value may stand in the expression of its reader; not inside of a region, which may run again."""
        mine = self.readers.get(node.out, ())
        if len(mine) != 1 or node.out in self.block.results or (node.out.name is not None and self.writer.keep_names):
            return False
        (reader,) = mine
        at_hand = not reader.regions or (reader.args.count(node.out) == 1 and self._once(node.out, reader))
        overwritten = not reader.regions and node.out in self.memory.written(reader)  # which takes a variable
        return at_hand and not overwritten and self.writer.fits_into(node, reader)

    def _once(self, value: Value, reader: Node) -> bool:
        return sum(v is value for v in used(reader)) == 1

    def _for_result(self, out: Value, results: tuple[Arg, ...]) -> bool:
        """Whether the value may stand where the results are given; those of a region have names of their own."""
        if out in self.readers or results.count(out) != 1:
            return False
        return self.nested or (not out.type.shape and not (out.name is not None and self.writer.keep_names))

    def _place(self, wanted: set[Value]) -> None:
        """Decide where each node stands: with its reader, unless its operands are overwritten before that."""
        place: dict[Node, int] = {}
        self.last_read.update(dict.fromkeys(self.block.results, self.end))
        for k in range(self.end - 1, -1, -1):
            node = self.block.nodes[k]
            place[node] = k
            out = node.outs[0] if len(node.outs) == 1 else None
            if out is not None and self.writer.always_inline(node):
                self.inlined[out] = node
                place[node] = max((place[r] for r in self.readers.get(out, ())), default=k)
                if out in self.last_read:
                    place[node] = max(place[node], self.last_read[out])
            elif out in wanted:
                target = place[self.readers[out][0]] if out in self.readers else self.end
                if not any(k < w < target for a in node.args for w in self._writes_to(a)) and not self._is_handed_on(k):
                    self.inlined[out] = node
                    place[node] = target
            for value in used(node):
                self.last_read[value] = max(self.last_read.get(value, -1), place[node])

    def _is_handed_on(self, k: int) -> bool:
        """Whether the next iteration reads what the k-th node computes, and something is written before it is done.

        LLVM vectorises a loop that reads what the last iteration has computed, if that is computed before what reads
        it is written.
        """
        out, params, results = self.block.nodes[k].out, self.block.params, self.block.results
        if out in self.readers or not (self.nested and params) or not self.writer.hands_on_early(out):
            return False
        param = params[results.index(out) - len(results)]
        own = param in self._operands(self.block.nodes[k])  # a sum, or the like
        return not own and any(w > k for writes in self.writes.values() for w in writes)

    def _operands(self, node: Node) -> Iterator[Arg]:
        """What an expression reads, with all that may stand inside of it."""
        for arg in node.args:
            yield arg
            inner = self.makers.get(arg)
            if inner is not None and not inner.regions:
                yield from self._operands(inner)

    def _writes_to(self, arg: Arg) -> list[int]:
        """The nodes that write to the memory of an operand."""
        if not arg.type.shape:
            return []
        return [w for root in self.memory.roots(arg) for w in self.writes.get(root, ())]


class Live:
    """The values of a block that are in variables, by when each is read for the last time."""

    def __init__(self, plan: Plan, values: Iterable[Value] = ()):
        self.plan = plan
        self.heap: list[tuple[int, int, Value]] = []
        self.count = 0
        self.add(values)

    def __iter__(self) -> Iterator[Value]:
        return (value for _, _, value in self.heap)

    def add(self, values: Iterable[Value]) -> None:
        for value in values:
            heappush(self.heap, (self.plan.last_read.get(value, -1), self.count, value))
            self.count += 1

    def ended(self, k: int) -> list[Value]:
        """Those that are read for the last time by node `k` or before, which are no longer among the live."""
        ended = []
        while self.heap and self.heap[0][0] <= k:
            ended.append(heappop(self.heap))
        return [value for _, _, value in sorted(ended, key=lambda entry: entry[1])]
