"""Which values of a lowered program may be in one buffer."""

from __future__ import annotations

from collections.abc import Iterable

from jitgrad.ir.function import callee
from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ops.flow import slots
from jitgrad.ops.memory import call_into, store, view


class Buffers:
    """Sets of values that may share memory: the versions of an array, all that a loop calls it, and views of it.

    Two values of different sets never share any, but for params of the program that overlap, which it only reads.
    """

    def __init__(self, block: Block):
        self._leader: dict[Arg, Arg] = {}
        for node in block.walk():
            self.add(node)

    def of(self, value: Arg) -> Arg:
        """What stands for the set that a value is in."""
        leader = self._leader
        while leader.get(value, value) is not value:
            leader[value] = leader.get(leader[value], leader[value])
            value = leader[value]
        return value

    def add(self, node: Node) -> None:
        """Note what a node makes."""
        if node.op in (store, view, call_into):
            self._unite((node.args[0], node.out))
        elif node.regions:
            for slot in slots(node):
                self._unite((slot.out, slot.init, *slot.params, *slot.results))
        elif callee(node) is not None:
            for k, j in callee(node).updates.items():
                self._unite((node.args[k], node.outs[j]))

    def _unite(self, values: Iterable[Arg | None]) -> None:
        arrays = [v for v in values if isinstance(v, Value) and v.type.shape]
        for value in arrays[1:]:
            self._leader[self.of(value)] = self.of(arrays[0])
