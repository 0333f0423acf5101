"""Lowering of loops and branches: the same, over numbers and buffers.

What a region takes and gives is in memory: an array that is made anew in each iteration is a buffer whose name goes on
to the next, and an array that is written to is one buffer all the way. Which of them a loop may write to has been
settled before (`passes.copies`).
"""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ir.types import INT64, Type
from jitgrad.lower.lazy import cast
from jitgrad.lower.lowering import Lowering, lowers
from jitgrad.ops.flow import PARALLEL, if_
from jitgrad.ops.inplace import Scope, roots_after
from jitgrad.ops.symbolic import Builder, Expr, as_arg, building, current


@lowers("for")
def _for(self: Lowering, node: Node) -> None:
    (body,) = node.regions
    count = as_arg(self.scalar(node.args[0]))
    args = given(self, node.args[1:])
    index = Value(Type(INT64), body.params[0].name)
    region = _region(self, body, (index, *_carry(self, body.params[1:])), repeats=True)
    _finish(self, node, (count, *args), (region,))


@lowers("while")
def _while(self: Lowering, node: Node) -> None:
    bound = as_arg(self.scalar(node.args[0]))
    args = given(self, node.args[1:])
    regions = tuple(_region(self, r, _carry(self, r.params), repeats=True) for r in node.regions)
    _finish(self, node, (bound, *args), regions)


@lowers("if")
def _if(self: Lowering, node: Node) -> None:
    condition = as_arg(self.scalar(node.args[0]))
    _finish(self, node, (condition,), tuple(_region(self, r, (), repeats=False) for r in node.regions))


def _carry(self: Lowering, params: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(Value(self.type(Type(p.type.dtype, p.type.shape)), p.name) for p in params)


def given(self: Lowering, values: tuple[Arg, ...]) -> tuple[Arg, ...]:
    """What is handed on from one iteration to the next: numbers in their dtype, and buffers."""
    return tuple(self.memory(v) if v.type.shape else as_arg(cast(self.scalar(v), v.type.dtype)) for v in values)


def _region(self: Lowering, region: Block, params: tuple[Value, ...], repeats: bool) -> Block:
    """A region over buffers. What it puts into memory for itself is forgotten after it."""
    arrays, scope, place = self.arrays, self.scope, self.place
    self.arrays, self.scope = arrays.new_child(), Scope(region, scope, place, repeats)
    with building(Builder(parent=current(), region=True)) as builder:
        builder.own(params)
        for old, new in zip(region.params, params, strict=True):
            if new.type.shape:
                self.define_buffer(old, Expr(new))
            else:
                self.set_scalar(old, Expr(new))
        self.visit_block(region)
        results = given(self, region.results)
    self.arrays, self.scope, self.place = arrays, scope, place
    return Block(params, builder.nodes, results, region.name)


def _finish(self: Lowering, node: Node, args: tuple[Arg, ...], regions: tuple[Block, ...]) -> None:
    outs = _carry(self, node.outs)
    attrs = {PARALLEL: True} if node.attrs.get(PARALLEL) else {}
    lowered = Node(node.op, args, outs, attrs, regions, node.loc)
    current().append(lowered)
    roots = roots_after(lowered, self.sharing.destroyed(node) if node.op is not if_ else (), self.roots)
    for old, new in zip(node.outs, outs, strict=True):
        if new.type.shape:
            self.arrays[old] = self.shared(new, roots[new])
        else:
            self.set_scalar(old, Expr(new))
