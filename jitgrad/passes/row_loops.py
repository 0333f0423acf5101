"""Array operations as loops over rows, so that threads can share them out.

Operations that treat each row of some arrays alike, a row being what is at one place on the first axis, become one loop
over the rows. What others read of their results is written row by row, and sums over the rows are carried.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.ops.create import uninitialized
from jitgrad.ops.elementwise import astype
from jitgrad.ops.flow import for_loop, if_
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.reduce import sum_
from jitgrad.ops.shape import broadcast_to_, copy_
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, as_length, building, current
from jitgrad.passes.batch import ELEMENTWISE, REDUCTIONS
from jitgrad.passes.rename import renamed


def by_rows(block: Block) -> Block:
    """The block with loops over rows in place of operations on whole arrays."""
    users: dict[Value, set[Node]] = {}
    for node in block.nodes:
        for value in used(node):
            users.setdefault(value, set()).add(node)
    nodes: list[Node] = []
    groups: dict[Arg, _Group] = {}

    def close(those: Iterable[_Group]) -> None:
        for group in list(those):
            nodes.extend(group.loop(users, block.results))
            del groups[group.count]

    for node in block.nodes:
        if node.op is if_:
            node = renamed(node, {}, tuple(map(by_rows, node.regions)))
        count = _row_count(node)
        known = groups.get(count)
        close(g for g in groups.values() if not g.made.isdisjoint(used(node)) and (g is not known or not g.takes(node)))
        if count is None:
            nodes.append(node)
        else:
            groups.setdefault(count, _Group(count)).add(node)
    close(groups.values())
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _row_count(node: Node) -> Arg | None:
    """The number of rows of what is computed row by row; None for other operations."""
    if len(node.outs) != 1 or node.op.effect or node.regions:
        return None
    shape = node.args[0].type.shape if node.op.name in REDUCTIONS else node.out.type.shape
    if not shape or not isinstance(shape[0], Value):
        return None
    if node.op.ufunc is not None or node.op in ELEMENTWISE or node.op is broadcast_to_:
        return shape[0]
    sums = node.op is sum_ and not node.attrs["keepdims"]
    if node.op.name in REDUCTIONS and (sums or 0 not in node.attrs["axis"]):
        return shape[0]
    return None


class _Group:
    """Operations on as many rows.

    Attributes:
        made: what they compute.
        totals: their sums over all rows.
    """

    def __init__(self, count: Value):
        self.count = count
        self.nodes: list[Node] = []
        self.made: set[Value] = set()
        self.totals: set[Value] = set()

    def takes(self, node: Node) -> bool:
        """Whether an operation reads nothing of this group but rows, each at its own place."""
        shape = (node.args[0] if node.op.name in REDUCTIONS else node.out).type.shape
        mine = [a for a in node.args if a in self.made]
        return all(a not in self.totals and a.type.ndim == len(shape) for a in mine)

    def add(self, node: Node) -> None:
        self.nodes.append(node)
        self.made.add(node.out)
        if node.op.name in REDUCTIONS and 0 in node.attrs["axis"]:
            self.totals.add(node.out)

    def loop(self, users: dict[Value, set[Node]], results: tuple[Arg, ...]) -> list[Node]:
        """These operations as a loop, or as they are if nothing is computed in them."""
        if all(n.op in (broadcast_to_, copy_) for n in self.nodes):
            return self.nodes
        mine = set(self.nodes)
        kept = [n.out for n in self.nodes if n.out in results or not users.get(n.out, set()) <= mine]
        with building(Builder()) as builder:
            builder.loc = self.nodes[0].loc
            start = [self._start(value) for value in kept]

            def iteration(i: Expr, *carry: Expr) -> list:
                rows = _Rows(i)
                for node in self.nodes:
                    rows.compute(node)
                return [
                    c + rows.env[v] if v in self.totals else rows.written(c, rows.env[v])
                    for v, c in zip(kept, carry, strict=True)
                ]

            for_loop(Expr(self.count), start, iteration)
        (made,) = (n for n in builder.nodes if n.regions)
        named = Node(made.op, made.args, tuple(kept), made.attrs, made.regions, made.loc)
        return [named if n is made else n for n in builder.nodes]

    def _start(self, value: Value) -> object:
        shape, zero = value.type.shape, value.type.dtype.type(0)
        if value not in self.totals:
            return current().emit(uninitialized, shape, {"dtype": value.type.dtype})
        return current().emit(broadcast_to_, (zero, *shape), {}) if shape else zero


class _Rows:
    """The operations of a group in one row; `env` has what they give there."""

    def __init__(self, index: Expr):
        self.index = index
        self.env: dict[Value, object] = {}

    def compute(self, node: Node) -> None:
        current().loc = node.loc
        self.env[node.out] = self.row_of(node)

    def row_of(self, node: Node) -> object:
        if node.op is broadcast_to_:
            (x, *shape) = node.args
            row = self.operand(x, len(shape))
            row = current().emit(broadcast_to_, (row, *shape[1:]), {}) if shape[1:] else row
        elif node.op is copy_:
            row = self.operand(node.args[0], node.out.type.ndim)
        elif node.op.name in REDUCTIONS:
            row = self.operand(node.args[0], node.args[0].type.ndim)
            axes = tuple(a - 1 for a in node.attrs["axis"] if a)
            row = node.op(row, axis=axes, keepdims=node.attrs["keepdims"]) if axes else row
        else:
            row = node.op(*(self.operand(a, node.out.type.ndim) for a in node.args), **node.attrs)
        return _strong(row, node.out.type.dtype)

    def operand(self, arg: Arg, ndim: int) -> object:
        """An operand in this row of what has so many axes."""
        if arg.type.ndim < ndim:  # along each row; in an operation of fewer axes it may have rows itself
            return as_expr(arg)
        if arg in self.env:
            return self.env[arg]
        operands, pattern = _at(0 if arg.type.shape[0] == 1 else self.index, arg)
        return self.env.setdefault(arg, getitem_(as_expr(arg), *operands, pattern=pattern))

    def written(self, array: Expr, row: object) -> Expr:
        operands, pattern = _at(self.index, as_arg(array))
        return setitem(array, row, *operands, pattern=pattern)


def _at(place: object, array: Arg) -> tuple[list, tuple]:
    """The index of a row."""
    operands, pattern = [place], [("at", 0)]
    for n in array.type.shape[1:]:
        pattern.append(("slice", len(operands), len(operands) + 1, 1, (None, None)))
        operands += [0, as_length(n)]
    return operands, tuple(pattern)


def _strong(row: object, dtype: np.dtype) -> object:
    """A row in the dtype that the array had; a number in it is no longer weak."""
    if not isinstance(row, Expr):
        return dtype.type(row)
    return astype(row, dtype=dtype) if row.dtype != dtype or row.type.weak else row
