"""Scratch that each iteration of a loop makes anew is made once, in front of the loop.

It is scratch if nothing of it is left when the iteration is over. Then the next may have the same memory, whatever is
in it: `empty` promises no content, and what is filled with zeros is filled in the iteration, as before. The loop
carries it.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, lengths
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.flow import if_
from jitgrad.ops.inplace import Memory, origin
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
        memory = Memory(body)
        for node in found:
            last = last_version(body, node.out, memory)
            if last is not None:
                before.extend(self.in_front(node))
                loop = _carrying(loop, node.out, before[-1].out, last)
        return loop

    def in_front(self, node: Node) -> list[Node]:
        """The allocation in front of the loop, where a length may be negative if there is no iteration."""
        nodes: list[Node] = []
        args: list[Arg] = []
        for arg in node.args:
            if not self.is_length(arg):
                length = Value(Type(INT64))
                nodes.append(Node(_maximum, (arg, Const(0, Type(INT64))), (length,), {}, (), node.loc))
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


def last_version(block: Block, buffer: Value, memory: Memory) -> Value | None:
    """What a buffer that a block makes is after it, if that is one thing, and in no result of the block."""
    version, roots = buffer, {buffer}  # a loop that writes to a buffer gives it a root of its own
    for node in block.nodes:
        written = [w for w in memory.written(node) if not roots.isdisjoint(memory.roots(w))]
        after = [o for o in node.outs if o.type.shape and o is not buffer and _may_be(o, version, node, roots, memory)]
        if not written and not after:
            continue
        if len(after) != 1 or written not in ([], [version]) or not _is(after[0], version, node):
            return None
        version = after[0]
        roots.add(version)
    given = (memory.roots(r) for r in block.results if r.type.shape)
    return version if all(map(roots.isdisjoint, given)) else None


def _is(out: Value, version: Value, node: Node) -> bool:
    """Whether a result of a node is certainly in the memory of a buffer."""
    return origin(out, Block((), [node], ())) is version


def _may_be(out: Value, version: Value, node: Node, roots: set[Value], memory: Memory) -> bool:
    return not roots.isdisjoint(memory.roots(out)) or _is(out, version, node)


def _carrying(loop: Node, param: Value, init: Value, last: Value) -> Node:
    """A loop that carries, from `init` on, the buffer that its body has made as `param`."""
    *tests, body = loop.regions
    tested, out = (Value(param.type, param.name) for _ in range(2))
    nodes = [n for n in body.nodes if param not in n.outs]
    body = Block((*body.params, param), nodes, (*body.results, last), body.name, body.notes)
    tests = [Block((*t.params, tested), t.nodes, t.results, t.name, t.notes) for t in tests]
    return Node(loop.op, (*loop.args, init), (*loop.outs, out), loop.attrs, (*tests, body), loop.loc)
