"""Whose memory a value is in, what overwrites it, and how long the value is read.

Values never change, but memory is used again: `setitem` writes to that of its first operand, and a loop to that of an
array which it carries. What may be overwritten, and when, is asked by the pass that puts in copies, by lowering and by
the printers; all of them ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from jitgrad.ir.function import callee
from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.ir.text import block_text
from jitgrad.ir.verify import VerifyError
from jitgrad.ops.flow import if_, slots

# The result is in the memory of the first operand.
WRITES = frozenset(("setitem", "add_at", "store", "call_into"))
_VIEWS = frozenset(("reshape", "transpose", "broadcast_to", "stop_gradient", "view"))


def is_view(node: Node) -> bool:
    """Whether the result may share the memory of the first operand, without being written to."""
    if not node.args or not node.args[0].type.shape or not node.out.type.shape:
        return False
    if node.op.name == "getitem":
        return not any(part[0] == "array" for part in node.attrs["pattern"])
    return node.op.name in _VIEWS


class Memory:
    """The memory of each array of a block, regions included.

    An array is named by its roots: the values by which the memory that it may be in came to be. Arrays which have a
    root in common may share memory.
    """

    def __init__(self, block: Block | None = None):
        self._roots: dict[Arg, frozenset[Value]] = {}
        self._written: dict[Node, list[Value]] = {}
        if block is not None:
            self.add_block(block)

    def roots(self, value: Arg) -> frozenset[Value]:
        return self._roots.get(value) or frozenset((value,))

    def share(self, a: Arg, b: Arg) -> bool:
        return not self.roots(a).isdisjoint(self.roots(b))

    def set_roots(self, value: Value, roots: frozenset[Value]) -> None:
        self._roots[value] = roots

    def add_block(self, block: Block) -> None:
        for node in block.nodes:
            self.add(node)

    def add(self, node: Node) -> None:
        """Find the roots of what a node makes."""
        for region in node.regions:
            self.add_block(region)
        if node.regions:
            destroyed = self.destroyed(node) if node.op is not if_ else ()
            for out, roots in roots_after(node, destroyed, self.roots).items():
                self.set_roots(out, roots)
        elif callee(node) is not None:
            for k, j in callee(node).updates.items():
                self.set_roots(node.outs[j], self.roots(node.args[k]) | {node.outs[j]})
        elif node.op.name in WRITES or (len(node.outs) == 1 and is_view(node)):
            self.set_roots(node.out, self.roots(node.args[0]))

    def written(self, node: Node) -> list[Value]:
        """The values from outside of a node whose memory it writes to: nobody may read them after it."""
        if node.op.name in WRITES:
            return [node.args[0]]
        if callee(node) is not None:
            return [node.args[k] for k in callee(node).updates]
        if not node.regions:
            return []
        if node not in self._written:
            found = self._written_inside(node)
            if node.op is not if_:
                found += [node.args[k + 1] for k in self.destroyed(node)]
            self._written[node] = list(dict.fromkeys(found))
        return self._written[node]

    def _written_inside(self, node: Node) -> list[Value]:
        made = set(_made_inside(node))
        found = (v for region in node.regions for inner in region.nodes for v in self.written(inner))
        return [v for v in found if v not in made]

    def destroyed(self, node: Node) -> list[int]:
        """The slots of a loop whose array is written to, or goes on to a slot where it is."""
        body = node.regions[-1]
        params = body.params[len(body.params) - len(node.outs) :]
        hit = {v for inner in body.nodes for v in self.written(inner)}
        found = [k for k, p in enumerate(params) if p in hit]
        for k in found:  # grows
            roots = self.roots(body.results[k]) if body.results[k].type.shape else ()
            found += [j for j, p in enumerate(params) if p in roots and j not in found]
        return sorted(found)


def roots_after(
    node: Node, destroyed: Iterable[int], roots: Callable[[Arg], frozenset[Value]]
) -> dict[Value, frozenset[Value]]:
    """The roots of the arrays that a loop or branch gives: itself, and those of anything that it may have been.

    What goes round in a loop may come from any slot whose param it has been on the way. What comes out of a destroyed
    slot is known by no other name any more.
    """
    arrays = [slot for slot in slots(node) if slot.out.type.shape]
    found = {}
    for slot in arrays:
        sources = slot.results if slot.init is None else (slot.init, *slot.results)
        found[slot.out] = frozenset((slot.out,)).union(*map(roots, sources))
    start = {param: slot.out for slot in arrays for param in slot.params}
    while True:
        more = {
            out: own.union(*(found[start[root]] - {start[root]} for root in own if root in start))
            for out, own in found.items()
        }
        if more == found:
            return found | {node.outs[k]: frozenset((node.outs[k],)) for k in destroyed}
        found = more


class Scope:
    """A block or region, and where in it each value is read for the last time.

    Attributes:
        block: the block.
        parent: the scope around it, in which the region's node has the number `place`.
        repeats: the region may run more than once, or not at all.
        last: for each value the number of the last node that reads it; results are read after all nodes.
        made: the params, and what the nodes make.
    """

    def __init__(self, block: Block, parent: Scope | None = None, place: int = 0, repeats: bool = False):
        self.block = block
        self.parent = parent
        self.place = place
        self.repeats = repeats
        self.last: dict[Arg, int] = {}
        self.made = set(block.params)
        for k, node in enumerate(block.nodes):
            self.last.update(dict.fromkeys(used(node), k))
            self.made.update(node.outs)
            for value in _made_inside(node):
                self.last.pop(value, None)
        self.last.update(dict.fromkeys(block.results, len(block.nodes)))

    @property
    def end(self) -> int:
        return len(self.block.nodes)

    def read_after(self, value: Value, k: int) -> bool:
        """Whether a value is read after the k-th node, here, further out, or when this runs again."""
        scope: Scope | None = self
        while scope is not None:
            if scope.last.get(value, -1) > k:
                return True
            if value in scope.made:
                return False
            if scope.repeats and value in scope.last:
                return True
            k, scope = scope.place, scope.parent
        return False


def _made_inside(node: Node) -> Iterator[Value]:
    for region in node.regions:
        yield from region.params
        for inner in region.nodes:
            yield from inner.outs
            yield from _made_inside(inner)


def origin(result: Arg, region: Block) -> Arg:
    """The value from outside of the nodes of a region, or its param, in whose memory a result certainly is.

    A result that is in memory of its own, or in one of several, is its own origin.
    """
    maker = {o: node for node in region.nodes for o in node.outs}
    while result in maker:
        node = maker[result]
        if node.op.name in WRITES:
            result = node.args[0]
            continue
        if not node.regions:
            return result
        slot = next(s for s in slots(node) if s.out is result)
        if slot.init is None:
            found = {origin(r, b) for r, b in zip(slot.results, node.regions, strict=True)}
            if len(found) > 1:
                return result
            (result,) = found
        elif origin(slot.results[0], node.regions[-1]) is slot.params[-1]:
            result = slot.init
        else:
            return result
    return result


def read_inside(node: Node) -> set[Value]:
    """What the regions of a node read, and what they make and read."""
    reads = {v for region in node.regions for inner in region.nodes for v in used(inner)}
    return reads | {r for region in node.regions for r in region.results if isinstance(r, Value)}


def check_writes(block: Block, after: str) -> None:
    """Check that nothing is read once its memory has been overwritten.

    Raises:
        VerifyError: something is.
    """
    memory = Memory(block)

    def fail(value: Value, node: Node | None) -> None:
        where = f"{node.op.name}{node.outs}" if node else "a result"
        raise VerifyError(f"after {after}: {value!r} is read by {where}, but overwritten before\n{block_text(block)}")

    def visit(b: Block, known: set[Value], dead: set[Value]) -> None:
        known |= set(b.params)
        for node in b.nodes:
            for value in used(node):
                if value in dead:
                    fail(value, node)
            inside: set[Value] = set()
            for region in node.regions:
                before = set(dead)
                visit(region, set(known), before)
                inside |= before & known
            if node.regions and node.op is not if_:
                written = memory.written(node)
                for value in known & read_inside(node):
                    if any(memory.share(value, w) for w in written):
                        fail(value, node)
            dead |= inside
            for value in memory.written(node):
                dead |= {v for v in known if v.type.shape and memory.share(v, value)}
            known |= set(node.outs)
            dead -= set(node.outs)
        for result in b.results:
            if result in dead:
                fail(result, None)

    visit(block, set(), set())
