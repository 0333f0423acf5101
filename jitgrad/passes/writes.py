"""Writes that do more than they need: over a write that nobody has read, and of a sum with what was there."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ops.index import add_at, getitem_, setitem
from jitgrad.ops.registry import UFUNCS
from jitgrad.passes.replacing import Replacer

_add, _subtract, _negative = UFUNCS[np.add], UFUNCS[np.subtract], UFUNCS[np.negative]


def direct_writes(block: Block) -> Block:
    """Rewrite writes to the least that they do.

    * a write goes if the next one to the same place is the only reader of the array;
    * `x[i] = x[i] + v` is `add_at(x, v, i)`: that is linear in `x`, so that its reverse neither clears the cotangent
      nor needs what was overwritten.
    """
    return _Writes(block).block(block)


class _Writes(Replacer):
    def replaced(self, node: Node) -> list[Node]:
        if node.op is not setitem or any(part[0] == "array" for part in node.attrs["pattern"]):
            return [node]
        node = self.without_the_lost(node)
        return self.as_additions(node) or [node]

    def without_the_lost(self, node: Node) -> Node:
        """A write whose target is the last one's, which wrote to the same place and is read by nobody else."""
        before = self.maker.get(node.args[0])
        while before is not None and before.op is setitem and self.uses[before.out] == 1 and _same_place(before, node):
            node = Node(setitem, (before.args[0], *node.args[1:]), node.outs, node.attrs, (), node.loc)
            self.uses.subtract(before.args)
            before = self.maker.get(node.args[0])
        return node

    def as_additions(self, node: Node) -> list[Node] | None:
        """The nodes that add to an element, in the order of the sum, if a write stores that sum."""
        terms = self.terms(node)
        if not terms:
            return None
        target, _, *place = node.args
        out = []
        for k, (op, term) in enumerate(terms):
            if op is _subtract:
                negative = Value(term.type)
                out.append(Node(_negative, (term,), (negative,), {}, (), node.loc))
                term = negative
            result = node.out if k == len(terms) - 1 else Value(node.out.type, node.out.name)
            out.append(Node(add_at, (target, term, *place), (result,), node.attrs, (), node.loc))
            target = result
        return out

    def terms(self, node: Node) -> list | None:
        """What is added to the element, or subtracted, one after the other; None if it is no such sum.

        The sum is the user's, from left to right: another order would round otherwise. One that is used elsewhere, too,
        is better kept in a register.
        """
        terms, dtype, value = [], node.out.type.dtype, node.args[1]
        while isinstance(value, Value) and self.uses[value] == 1 and value.type.dtype == dtype:
            sum_ = self.maker.get(value)
            if sum_ is None:
                return None
            if sum_.op is getitem_:
                return terms[::-1] if sum_.args[0] is node.args[0] and _same_place(sum_, node) else None
            if sum_.op not in (_add, _subtract):
                return None
            left, right = sum_.args
            if sum_.op is _add and self.is_element(right, node) and not self.is_element(left, node):
                left, right = right, left
            if right.type.dtype != dtype or right.type.shape not in ((), value.type.shape):
                return None
            terms.append((sum_.op, right))
            value = left
        return None

    def is_element(self, arg: Arg, node: Node) -> bool:
        read = self.maker.get(arg)
        return read is not None and read.op is getitem_ and read.args[0] is node.args[0] and _same_place(read, node)


def _same_place(a: Node, b: Node) -> bool:
    return a.attrs["pattern"] == b.attrs["pattern"] and _place(a) == _place(b)


def _place(node: Node) -> tuple[Arg, ...]:
    return node.args[1:] if node.op is getitem_ else node.args[2:]
