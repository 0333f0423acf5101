"""Loops that do nothing but check, and check the same each time."""

from __future__ import annotations

from jitgrad.ir.graph import Block, Node, used
from jitgrad.ops.flow import for_, if_
from jitgrad.ops.symbolic import Builder, as_arg, as_expr, building
from jitgrad.passes.rename import renamed


def checked_once(block: Block) -> Block:
    """Do what a loop does once, if nothing comes of it, and no iteration differs from another.

    It is what is left in a derivative of the primal's loops, where the sums that they made are not asked for.
    """
    nodes: list[Node] = []
    for node in block.nodes:
        if node.regions:
            node = renamed(node, {}, tuple(map(checked_once, node.regions)))
        nodes += _once(node) if node.op is for_ and _repeats(node) else [node]
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _repeats(loop: Node) -> bool:
    """Whether all iterations of a loop do the same, and hand nothing on."""
    (body,) = loop.regions
    return not loop.outs and not any(body.params[0] in used(node) for node in body.nodes)


def _once(loop: Node) -> list[Node]:
    """The body of a loop, if there is an iteration."""
    with building(Builder()) as builder:
        builder.loc = loop.loc
        some = as_arg(as_expr(loop.args[0]) > 0)
    (body,) = loop.regions
    regions = (Block((), body.nodes, (), "then"), Block((), [], (), "orelse"))
    return [*builder.nodes, Node(if_, (some,), (), {}, regions, loop.loc)]
