"""A derivative in two parts: what can be computed before the head gradient is known, and the rest."""

from __future__ import annotations

from collections.abc import Iterator

from jitgrad.ir.graph import Block, Node, Value, lengths, used


def split(block: Block, late: set[Value], outputs: int) -> tuple[Block, Block]:
    """Split at the params that are known later.

    Args:
        block: simplified, before `make_copies`.
        late: the params that the first part doesn't have.
        outputs: how many of the results, from the first on, belong to the first part.

    Returns:
        The first block gives its outputs and the residuals: what the second reads of it. The second takes the
        residuals, in this order, and the late params.
    """
    depends = set(late)
    early, later = [], []
    for node in block.nodes:
        if any(v in depends for v in used(node)):
            depends.update(node.outs)
            later.append(node)
        else:
            early.append(node)
    depends.update(v for node in later for region in node.regions for v in _made(region))
    needed = dict.fromkeys(v for v in _reads(later, block.results[outputs:], late) if v not in depends)
    first_params = tuple(p for p in block.params if p not in late)
    second_params = tuple(p for p in block.params if p in late)
    first = Block(first_params, early, (*block.results[:outputs], *needed), f"{block.name}_forward")
    second = Block((*needed, *second_params), later, block.results[outputs:], f"{block.name}_pullback")
    return first, second


def _made(region: Block) -> Iterator[Value]:
    """What a region takes and makes, regions in it included."""
    yield from region.params
    for node in region.nodes:
        yield from node.outs
        for inner in node.regions:
            yield from _made(inner)


def _reads(nodes: list[Node], results: tuple, late: set[Value]) -> Iterator[Value]:
    """Everything the second part reads, the lengths of what it computes with included."""
    values = (v for node in nodes for v in (*used(node), *node.outs))
    inside = (v for node in nodes for region in node.regions for v in _made(region))
    for value in (*values, *inside, *results, *late):
        if isinstance(value, Value):
            yield value
            yield from lengths(value)
