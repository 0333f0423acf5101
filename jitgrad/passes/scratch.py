"""Arrays whose content doesn't matter, since all of it is overwritten before any of it is read."""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.ops.affine import Form, constant, form_of, trips_of
from jitgrad.ops.flow import for_
from jitgrad.ops.index import setitem
from jitgrad.passes.accesses import Access, accesses


def written_before_read(block: Block, array: Value, makers: dict[Value, Node]) -> bool:
    """Whether the block writes every element of an array before it reads one.

    It is recognised where parts of the first axis, one by one or in loops, join to the whole of it. `makers` has the
    nodes of the blocks around.
    """
    return _Writes(block, array, makers).all_written()


def is_scratch(body: Block, k: int, makers: dict[Value, Node]) -> bool:
    """Whether each iteration of a loop writes the whole of the k-th carried array before it reads any of it."""
    first = len(body.params) - len(body.results)
    others = Block(body.params, body.nodes, (*body.results[:k], *body.results[k + 1 :]))
    return bool(body.params[first + k].type.shape) and written_before_read(others, body.params[first + k], makers)


class _Writes:
    def __init__(self, block: Block, array: Value, makers: dict[Value, Node]):
        self.block = block
        self.array = array
        self.makers = makers | {o: node for node in block.walk() for o in node.outs}
        self.parts: list[tuple[Form, Form]] = []  # of the first axis: first, and one after the last

    def all_written(self) -> bool:
        version, versions = self.array, {self.array}
        unread = False  # what is in it now may be anything, and must not be read any more
        for node in self.block.nodes:
            if not any(v in versions for v in used(node)):
                continue
            if version not in node.args:
                return False
            if self._fills_first(node, version, versions):
                unread = True
            elif not self._writes_only(node, version, versions):
                return False
            version = node.outs[node.args[1:].index(version)] if node.op is for_ else node.out
            if not unread and self._joined():
                return self._read_once(versions)
            versions.add(version)
        return unread and self._read_once(versions)

    def _read_once(self, versions: set[Value]) -> bool:
        """Whether nothing reads these versions, which aren't written in full, but what writes on to them."""
        reads = [v for node in self.block.nodes for v in used(node) if v in versions]
        last = [v for v in versions if v not in reads]  # which is what is left in the end, and read by nobody
        return len(reads) + len(last) == len(versions) and not any(r in versions for r in self.block.results)

    def _fills_first(self, node: Node, version: Value, versions: set[Value]) -> bool:
        """Whether each iteration of a loop writes the whole array before it reads any of it."""
        if node.op is not for_ or not self._has_alone(node, version, versions):
            return False
        (body,) = node.regions
        slot = node.args[1:].index(version)
        results = (*body.results[:slot], *body.results[slot + 1 :])  # what it is called in the next iteration is fine
        inner = Block(body.params, body.nodes, results)
        return _Writes(inner, body.params[1 + slot], self.makers).all_written()

    def _has_alone(self, node: Node, version: Value, versions: set[Value]) -> bool:
        """Whether a node reads this version of the array at one place, and no other version."""
        reads = list(used(node))
        return reads.count(version) == 1 and not any(v in versions for v in reads if v is not version)

    def _writes_only(self, node: Node, version: Value, versions: set[Value]) -> bool:
        """Whether a node does nothing but write to the last version of the array."""
        if not self._has_alone(node, version, versions):
            return False
        if node.op is setitem and node.args[0] is version:
            return self._note(Access(node, node.args[2:], (), (), 0, self.block))
        if node.op is not for_ or version is node.args[0]:
            return False
        (body,) = node.regions
        found = accesses(node, body, body.params[1:], node.args[1:].index(version))
        if found is None or found.reads or found.elsewhere or any(w.node.op is not setitem for w in found.writes):
            return False
        return any([self._note(write) for write in found.writes if not write.guards])

    def _note(self, access: Access) -> bool:
        """Note which part of the first axis a write covers in all of the others."""
        loops = set(access.loops)
        part = None
        for axis, entry in enumerate(access.node.attrs["pattern"]):
            if entry[0] not in ("at", "slice"):
                return False
            if entry[0] == "at":
                first = self._form(access.operands[entry[1]], access)
                loop = next((n for n in access.loops if first.get(n) == 1), None)
                count = constant(1) if loop is None else trips_of(loop.args[0], self.makers.get, self._leaf(access))
                loops.discard(loop)
                first = first if loop is None else first - Form({loop: 1})
            else:
                first = self._form(access.operands[entry[1]], access)
                count = trips_of(access.operands[entry[2]], self.makers.get, self._leaf(access))
                if entry[3] != 1:
                    return False
            if any(isinstance(symbol, Node) for symbol in (*first, *count)):
                return False
            if axis and (first or count != self._length(axis)):
                return False
            part = part or (first, first + count)
        if part is None or loops:  # a loop that picks no element may run no time
            return False
        self.parts.append(part)
        return True

    def _joined(self) -> bool:
        """Whether the parts make up the whole axis."""
        end, parts = constant(0), list(self.parts)
        while end != self._length(0):
            part = next((p for p in parts if p[0] == end and p[1] != end), None)
            if part is None:
                return False
            parts.remove(part)
            end = part[1]
        return True

    def _length(self, axis: int) -> Form:
        n = self.array.type.shape[axis]
        return constant(n) if isinstance(n, int) else form_of(n, self.makers.get, lambda value: Form({value: 1}))

    def _form(self, arg: Arg, access: Access) -> Form:
        return form_of(arg, self.makers.get, self._leaf(access))

    def _leaf(self, access: Access):
        numbers = {n.regions[0].params[0]: n for n in access.loops if n.op is for_}
        return lambda value: Form({numbers.get(value, value): 1})
