"""Dead-code elimination."""

from __future__ import annotations

from jitgrad.ir.graph import Block, Value, lengths, used


def dce(block: Block, keep_lengths: bool = True) -> Block:
    """Without the nodes whose results nobody reads. Effects stay.

    Args:
        block: any block.
        keep_lengths: count the lengths that the types of live values name as read: lowering needs them, the printer of
            the array form does not.
    """
    live: set[Value] = {r for r in block.results if isinstance(r, Value)}
    if keep_lengths:
        for value in [*live]:
            live.update(lengths(value))
    nodes = []
    for node in reversed(block.nodes):
        if not (node.op.effect or any(o in live for o in node.outs)):
            continue
        nodes.append(node)
        reads = list(used(node))
        live.update(reads)
        if keep_lengths:
            for value in (*reads, *node.outs):
                live.update(lengths(value))
    return Block(block.params, nodes[::-1], block.results, block.name, block.notes)
