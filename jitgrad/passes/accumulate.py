"""Accumulation in place of addition."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, used
from jitgrad.ops.index import add_at
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.shape import broadcast_to_


def accumulate(block: Block) -> Block:
    """Rewrite `a + add_at(zeros, g, i)` to `add_at(a, g, i)`.

    The adjoint of an index is zeros with `g` added at the index; where it meets another contribution, that one is the
    buffer to add into.
    """
    maker = {out: node for node in block.nodes for out in node.outs}
    uses: dict[Value, int] = {}  # what is made below has one reader
    for node in block.nodes:
        for value in used(node):
            uses[value] = uses.get(value, 0) + 1
    for result in block.results:
        uses[result] = uses.get(result, 0) + 1

    def scatter(arg: Arg) -> Node | None:
        node = maker.get(arg)
        if node is None or node.op is not add_at or uses.get(arg, 1) > 1:
            return None
        base = node
        while base.op is add_at:  # a chain of scatters ends in zeros
            if base is not node and uses.get(base.out, 1) > 1:
                return None
            base = maker.get(base.args[0])
            if base is None:
                return None
        return node if _is_zeros(base) else None

    nodes: list[Node] = []
    for node in block.nodes:
        if node.op is UFUNCS[np.add] and len(node.args) == 2 and node.out.type.shape:
            left, right = node.args
            chain = scatter(right)
            target = left
            if chain is None or not _same_type(left, node.out):
                chain, target = scatter(left), right
            if chain is not None and _same_type(target, node.out):
                replaced = _rebased(chain, target, node, maker)
                nodes.extend(replaced)
                maker.update({o: n for n in replaced for o in n.outs})
                continue
        nodes.append(node)
    return Block(block.params, nodes, block.results, block.name, block.notes)


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
