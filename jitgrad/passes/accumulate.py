"""Accumulation in place of addition."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ops.index import add_at
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.shape import broadcast_to_
from jitgrad.passes.replacing import Replacer


def accumulate(block: Block) -> Block:
    """Rewrite `a + add_at(zeros, g, i)` to `add_at(a, g, i)`, in loops and branches too.

    The adjoint of an index is zeros with `g` added at the index; where it meets another contribution, that one is the
    buffer to add into. In a loop that is the adjoint which the loop carries.
    """
    return _Accumulator(block).block(block)


class _Accumulator(Replacer):
    def replaced(self, node: Node) -> list[Node]:
        return self.added_in_place(node) or [node]

    def added_in_place(self, node: Node) -> list[Node] | None:
        if node.op is not UFUNCS[np.add] or not node.out.type.shape:
            return None
        left, right = node.args
        for chain, target in ((self.scatter(right), left), (self.scatter(left), right)):
            if chain is not None and _same_type(target, node.out):
                return _rebased(chain, target, node, self.maker)
        return None

    def scatter(self, arg: Arg) -> Node | None:
        """The node that made this, if it is the last of a chain of scatters into zeros that nobody else reads."""
        last = node = self.maker.get(arg)
        while node is not None and node.op is add_at and self.uses[node.out] == 1:
            node = self.maker.get(node.args[0])
        return last if last is not node and _is_zeros(node) else None


def _rebased(chain: Node, target: Arg, addition: Node, maker: dict) -> list[Node]:
    """The chain of scatters, starting from `target` instead of zeros, ending in the value of the addition."""
    links = []
    node = chain
    while node.op is add_at:
        links.append(node)
        node = maker[node.args[0]]
    links.reverse()
    out = []
    for k, link in enumerate(links):
        last = k == len(links) - 1
        value = addition.out if last else Value(link.out.type, link.out.name)
        out.append(Node(add_at, (target, *link.args[1:]), (value,), link.attrs, (), link.loc))
        target = value
    return out


def _is_zeros(node: Node | None) -> bool:
    return node is not None and node.op is broadcast_to_ and isinstance(node.args[0], Const) and node.args[0].value == 0


def _same_type(arg: Arg, value: Value) -> bool:
    return isinstance(arg, Value) and arg.type.dtype == value.type.dtype and arg.type.shape == value.type.shape
