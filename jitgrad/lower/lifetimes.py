"""The memory that a block allocates: which arrays are in it, and until when they are read."""

from __future__ import annotations

from collections.abc import Iterable

from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.ops.flow import slots
from jitgrad.ops.inplace import WRITES, origin, read_inside
from jitgrad.ops.memory import empty


class Lifetimes:
    """The buffers that the nodes of a lowered block make, each named by what `empty` gives; and those that it owns.

    Attributes:
        last: the last version of each.
        end: the number of the last node that reads any version of it; results are read after all nodes.
        shared: those that may have two names at a time, and from which node on.
    """

    def __init__(self, block: Block, owned: Iterable[Value] = ()):
        self._base: dict[Arg, Value] = {}
        self.last: dict[Value, Value] = {}
        self.end: dict[Value, int] = {}
        self.shared: dict[Value, int] = {}
        self._at = -1
        for param in owned:
            self._begin(param, -1)
        for k, node in enumerate(block.nodes):
            self._at = k
            self._read(used(node), k)
            self._add(node, k)
        self._read(block.results, len(block.nodes))

    def base(self, array: Arg) -> Value | None:
        """The buffer that an array is in, if the block has made it."""
        return self._base.get(array)

    def is_over(self, array: Arg, k: int, handed_on: bool = False) -> bool:
        """Whether the k-th node is the last to read the buffer that an array is in, by its last name.

        If it is `handed_on`, what the node makes may be in that buffer.
        """
        base = self._base.get(array)
        if base is None or self.end[base] != k or self.last[base] is not array:
            return False
        return base not in self.shared or (handed_on and self.shared[base] == k)

    def _read(self, values: Iterable[Arg], k: int) -> None:
        self.end.update((self._base[v], k) for v in values if v in self._base)

    def _add(self, node: Node, k: int) -> None:
        if node.op is empty:
            self._begin(node.out, k)
        elif node.op.name in WRITES:
            self._follow(node.args[0], node.out)
        elif node.regions:
            self._add_regions(node)
        elif any(o.type.shape for o in node.outs):
            self._share(node.args)

    def _begin(self, buffer: Value, k: int) -> None:
        self._base[buffer] = self.last[buffer] = buffer
        self.end[buffer] = k

    def _follow(self, version: Arg, following: Value) -> None:
        """Note that a buffer goes by another name from now on."""
        base = self._base.get(version)
        if base is not None:
            if self.last[base] is not version:
                self.shared.setdefault(base, self._at)
            self._base[following] = base
            self.last[base] = following

    def _share(self, values: Iterable[Arg]) -> None:
        for value in values:
            if value in self._base:
                self.shared.setdefault(self._base[value], self._at)

    def _add_regions(self, node: Node) -> None:
        written = dict.fromkeys(v for region in node.regions for v in _may_write(region) if v in self._base)
        bodies = [r for r in node.regions if r.name != "test"]
        for slot in slots(node):
            if not slot.out.type.shape:
                continue
            origins = {origin(r, body) for r, body in zip(slot.results, bodies, strict=True)}
            if slot.params and origins == {slot.params[-1]}:
                self._follow(slot.init, slot.out)
            elif not slot.params and len(origins) == 1 and origins <= self._base.keys():
                (version,) = origins
                self._follow(version, slot.out)
                written.pop(version, None)
            elif slot.params and all(_is_new(o, bodies[0]) for o in origins):
                self._share([slot.init])
            else:
                self._share((*node.args, *read_inside(node)))
        self._share(written)


def _is_new(array: Arg, body: Block) -> bool:
    """Whether an array is in memory that a body makes."""
    return any(node.op is empty and array is node.out for node in body.nodes)


def _may_write(region: Block) -> Iterable[Arg]:
    """What the nodes of a region write to, or hand to a loop that may."""
    for node in region.nodes:
        if node.op.name in WRITES:
            yield node.args[0]
        elif node.regions:
            yield from (a for a in node.args if a.type.shape)
            for inner in node.regions:
                yield from _may_write(inner)
        elif node.op.name == "call":
            yield from node.args
