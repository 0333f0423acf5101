"""What passes that replace values by others have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.types import Type


def renamed(node: Node, env: Mapping[Arg, Arg], regions: tuple[Block, ...] | None = None) -> Node:
    """The node with its arguments replaced; with other regions, if they are given."""
    args = tuple(env.get(a, a) for a in node.args)
    return Node(node.op, args, node.outs, node.attrs, node.regions if regions is None else regions, node.loc)


def renamed_throughout(node: Node, env: Mapping[Arg, Arg]) -> Node:
    """The node with its arguments replaced, and those of the nodes in its regions."""
    return renamed(node, env, tuple(renamed_inside(region, env) for region in node.regions))


def renamed_inside(block: Block, env: Mapping[Arg, Arg]) -> Block:
    """The block with what its nodes read, and what it gives, replaced."""
    nodes = [renamed_throughout(node, env) for node in block.nodes]
    return Block(block.params, nodes, tuple(env.get(r, r) for r in block.results), block.name, block.notes)


def rename_lengths(block: Block, env: Mapping[Arg, Arg]) -> Block:
    """Let the types name the lengths that are left after a pass has replaced values by others."""

    def axis(n):
        while n in env:
            n = env[n]
        return int(n.value) if isinstance(n, Const) else n

    for value in _values(block):
        if any(n in env for n in value.type.shape):
            shape = tuple(axis(n) if isinstance(n, Value) else n for n in value.type.shape)
            value.type = Type(value.type.dtype, shape, value.type.weak)
    return block


def _values(block: Block) -> Iterator[Value]:
    """All that a block takes or makes, inside of regions too."""
    yield from block.params
    for node in block.walk():
        yield from node.outs
        for region in node.regions:
            yield from region.params
