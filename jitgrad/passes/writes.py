"""Writes that do more than they need: to a view, over a write that nobody has read, of a sum with what was there."""

from __future__ import annotations

from collections import Counter

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.index import add_at, getitem_, setitem
from jitgrad.ops.registry import UFUNCS
from jitgrad.passes.rename import renamed

_add, _subtract, _negative = UFUNCS[np.add], UFUNCS[np.subtract], UFUNCS[np.negative]


def direct_writes(block: Block) -> Block:
    """Rewrite writes to the least that they do.

    * `row = x[i]; row[j] = v; x[i] = row`, as which a write to a view is traced, is `x[i, j] = v`;
    * a write goes if the next one to the same place is the only reader of the array;
    * `x[i] = x[i] + v` is `add_at(x, v, i)`: that is linear in `x`, so that its reverse neither clears the cotangent
      nor needs what was overwritten.
    """
    return _Writes(block).rewritten(block)


class _Writes:
    def __init__(self, block: Block):
        self.maker: dict[Arg, Node] = {}
        self.uses: Counter[Arg] = Counter(block.results)
        for node in block.walk():
            self.maker.update(dict.fromkeys(node.outs, node))
            self.uses.update(node.args)
            for region in node.regions:
                self.uses.update(region.results)

    def rewritten(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            if node.regions:
                node = renamed(node, {}, tuple(map(self.rewritten, node.regions)))
            replaced = [node]
            if node.op is setitem and all(part[0] != "array" for part in node.attrs["pattern"]):
                *sums, node = self.to_the_base(node)
                if node.op is setitem:
                    node = self.without_the_lost(node)
                replaced = [*sums, *(self.as_additions(node) or [node])]
            nodes.extend(replaced)
            self.maker.update({o: n for n in replaced for o in n.outs})
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def to_the_base(self, node: Node) -> list[Node]:
        """A write of what an array has at a place, itself written to: the integers that this takes, then the write."""
        base, value, *_ = node.args
        inner = self.maker.get(value)
        view = self.maker.get(inner.args[0]) if inner is not None and inner.op in (setitem, add_at) else None
        if view is None or view.op is not getitem_ or view.args[0] is not base or not _same_place(view, node):
            return [node]
        if self.uses[value] > 1 or inner.out.type.dtype != node.out.type.dtype:
            return [node]
        sums: list[Node] = []
        place = _composed(view, inner, sums)
        if place is None:
            return [node]
        pattern, operands = place
        args = (base, inner.args[1], *operands)
        return [*sums, Node(inner.op, args, node.outs, {**node.attrs, "pattern": pattern}, (), node.loc)]

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
        terms = self.terms(node) if node.op is setitem else None
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


def _composed(view: Node, inner: Node, sums: list[Node]) -> tuple[tuple, list[Arg]] | None:
    """The place in an array of a place in a view of it; None if a part is of another kind than numbers and slices."""
    outer_parts, inner_parts = view.attrs["pattern"], list(inner.attrs["pattern"])
    if any(part[0] not in ("at", "slice") for part in (*outer_parts, *inner_parts)):
        return None
    pattern, operands = [], []

    def take(arg: Arg) -> int:
        operands.append(arg)
        return len(operands) - 1

    for part in outer_parts:
        if part[0] == "at":
            pattern.append(("at", take(view.args[1 + part[1]])))
            continue
        start, step, further = view.args[1 + part[1]], part[3], inner_parts.pop(0)
        if step != 1:
            return None
        first = _sum(start, inner.args[2 + further[1]], view, sums)
        if further[0] == "at":
            pattern.append(("at", take(first)))
        else:
            bounds = further[4] if len(further) > 4 and _is_zero(start) else None
            pattern.append(("slice", take(first), take(inner.args[2 + further[2]]), further[3], bounds))
    return tuple(pattern), operands


def _sum(a: Arg, b: Arg, near: Node, sums: list[Node]) -> Arg:
    if _is_zero(a) or _is_zero(b):
        return b if _is_zero(a) else a
    if isinstance(a, Const) and isinstance(b, Const):
        return Const.of(int(a.value) + int(b.value))
    total = Value(Type(INT64, (), weak=True))
    sums.append(Node(_add, (a, b), (total,), {}, (), near.loc))
    return total


def _is_zero(arg: Arg) -> bool:
    return isinstance(arg, Const) and arg.value == 0


def _same_place(a: Node, b: Node) -> bool:
    return a.attrs["pattern"] == b.attrs["pattern"] and _place(a) == _place(b)


def _place(node: Node) -> tuple[Arg, ...]:
    return node.args[1:] if node.op is getitem_ else node.args[2:]
