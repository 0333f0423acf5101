"""Scratch that each iteration of a loop makes anew is made once, in front of the loop.

It is scratch if nothing of it is left when the iteration is over. Then the next may have the same memory, whatever is
in it: `empty` promises no content, and what is filled with zeros is filled in the iteration, as before. The loop
carries it.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, lengths
from jitgrad.ir.types import INT64, Type
from jitgrad.lower.lifetimes import Lifetimes
from jitgrad.ops.flow import if_
from jitgrad.ops.memory import empty
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.shape import axis_length

_maximum = UFUNCS[np.maximum]
_GROWS = (UFUNCS[np.add], UFUNCS[np.multiply], _maximum)


def allocated_once(block: Block) -> Block:
    """The lowered block with scratch made in front of the outermost loop for which its size is known."""
    makers = {out: node for node in block.walk() for out in node.outs}
    return _Allocations(makers).in_block(block)


class _Allocations:
    """Goes through the blocks of a program, inner ones first."""

    def __init__(self, makers: dict[Value, Node]):
        self.makers = makers

    def in_block(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            if node.regions:
                regions = tuple(map(self.in_block, node.regions))
                node = Node(node.op, node.args, node.outs, node.attrs, regions, node.loc)
                if node.op is not if_:
                    node = self.without_scratch(node, nodes)
            nodes.append(node)
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def without_scratch(self, loop: Node, before: list[Node]) -> Node:
        """The loop that carries its scratch; the nodes that make it are added to `before`."""
        body = loop.regions[-1]
        made = {*body.params, *(out for node in body.nodes for out in node.outs)}
        found = [n for n in body.nodes if n.op is empty and made.isdisjoint(n.args) and made.isdisjoint(lengths(n.out))]
        if not found:
            return loop
        buffers = Lifetimes(body)
        for node in found:
            if node.out not in buffers.shared and buffers.end[node.out] < len(body.nodes):
                before.extend(self.in_front(node))
                loop = _carrying(loop, node.out, before[-1].out, buffers.last[node.out])
        return loop

    def in_front(self, node: Node) -> list[Node]:
        """The allocation in front of the loop, where a length may be negative if there is no iteration."""
        nodes: list[Node] = []
        args: list[Arg] = []
        for arg in node.args:
            if not self.is_length(arg):
                length = Value(Type(INT64))
                nodes.append(Node(_maximum, (arg, Const(0, Type(INT64))), (length,), {}, (), node.loc))
                self.makers[length] = nodes[-1]
                arg = length
            args.append(arg)
        made = Value(node.out.type, node.out.name)
        return [*nodes, Node(empty, tuple(args), (made,), node.attrs, (), node.loc)]

    def is_length(self, arg: Arg) -> bool:
        """Whether a number is certainly not negative."""
        if isinstance(arg, Const):
            return arg.value >= 0
        node = self.makers.get(arg)
        if node is None or node.op not in _GROWS:
            return node is not None and node.op is axis_length
        return (any if node.op is _maximum else all)(map(self.is_length, node.args))


def _carrying(loop: Node, param: Value, init: Value, last: Value) -> Node:
    """A loop that carries, from `init` on, the buffer that its body has made as `param`."""
    *tests, body = loop.regions
    tested, out = (Value(param.type, param.name) for _ in range(2))
    nodes = [n for n in body.nodes if param not in n.outs]
    body = Block((*body.params, param), nodes, (*body.results, last), body.name, body.notes)
    tests = [Block((*t.params, tested), t.nodes, t.results, t.name, t.notes) for t in tests]
    return Node(loop.op, (*loop.args, init), (*loop.outs, out), loop.attrs, (*tests, body), loop.loc)
