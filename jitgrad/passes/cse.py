"""Common subexpressions."""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.types import Type


def cse(block: Block) -> Block:
    """Every operation without regions is done once for the same arguments.

    The name of the later value is kept if the earlier has none.
    """
    env: dict[Arg, Arg] = {}
    known: dict[tuple, tuple[Value, ...]] = {}
    nodes = []
    for node in block.nodes:
        args = tuple(env.get(a, a) for a in node.args)
        key = (node.op, args, tuple(sorted(node.attrs.items())))
        if not node.regions and key in known:
            for old, new in zip(node.outs, known[key], strict=True):
                env[old] = new
                new.name = new.name or old.name
            continue
        if not node.regions:
            known[key] = node.outs
        nodes.append(Node(node.op, args, node.outs, node.attrs, node.regions, node.loc))
    results = tuple(env.get(r, r) for r in block.results)
    return rename_lengths(Block(block.params, nodes, results, block.name, block.notes), env)


def rename_lengths(block: Block, env: dict[Arg, Arg]) -> Block:
    """Let the types name the lengths that are left after a pass has replaced values by others."""

    def axis(n):
        while n in env:
            n = env[n]
        return int(n.value) if isinstance(n, Const) else n

    for value in (*block.params, *(out for node in block.nodes for out in node.outs)):
        if any(n in env for n in value.type.shape):
            shape = tuple(axis(n) if isinstance(n, Value) else n for n in value.type.shape)
            value.type = Type(value.type.dtype, shape, value.type.weak)
    return block
