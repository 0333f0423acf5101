"""Calls that give what another call gives, and more."""

from __future__ import annotations

from collections.abc import Iterable

from jitgrad.ir.function import callee
from jitgrad.ir.graph import Arg, Block, Node, Value, lengths, used
from jitgrad.passes.rename import renamed, renamed_inside


def join_calls(block: Block) -> Block:
    """Leave out a call whose results another one gives besides, if that can be done in its place.

    A function that adds up cotangents while it computes its results is called for these, too.
    """
    if not any(n.op.name == "call" and callee(n).includes is not None for n in block.walk()):
        return block
    nodes = [renamed(node, {}, tuple(map(join_calls, node.regions))) if node.regions else node for node in block.nodes]
    env: dict[Arg, Arg] = {}
    for more in [n for n in nodes if callee(n) is not None and callee(n).includes is not None]:
        known = _included(more, nodes)
        given = {} if known is None else dict(zip(known.outs, more.outs, strict=False))
        order = None if known is None else in_order([renamed_deep(n, given) for n in nodes if n is not known])
        if order is not None:
            nodes = order
            env |= given
    results = tuple(env.get(r, r) for r in block.results)
    return Block(block.params, nodes, results, block.name, block.notes)


def _included(more: Node, nodes: list[Node]) -> Node | None:
    """The call whose results a call gives besides."""
    function = callee(more).includes
    for node in nodes:
        if callee(node) is function and node.args == more.args[: len(node.args)]:
            return node
    return None


def renamed_deep(node: Node, env: dict[Arg, Arg]) -> Node:
    regions = tuple(renamed_inside(region, env) for region in node.regions)
    return renamed(node, env, regions)


def in_order(nodes: Iterable[Node]) -> list[Node] | None:
    """The nodes in an order in which each comes after those that it depends on, else as they were; None if there is
    none."""
    nodes = list(nodes)
    if any(arg in node.outs for node in nodes for arg in node.args):  # a call that would take what it gives
        return None
    place = {out: k for k, node in enumerate(nodes) for out in node.outs}
    needs = [sorted({place[v] for v in _reads(node) if v in place and place[v] != k}) for k, node in enumerate(nodes)]
    out: list[Node] = []
    done: set[int] = set()
    for start in range(len(nodes)):
        pending, open_ = [start], set()
        while pending:
            k = pending[-1]
            missing = [j for j in needs[k] if j not in done]
            if k in done:
                pending.pop()
            elif not missing:
                done.add(pending.pop())
                open_.discard(k)
                out.append(nodes[k])
            elif any(j in open_ for j in missing):
                return None
            else:
                open_.add(k)
                pending += reversed(missing)
    return out


def _reads(node: Node) -> Iterable[Value]:
    """What a node and its regions read, with the lengths of what they make."""
    yield from used(node)
    for inner in Block((), [node], ()).walk():
        for out in inner.outs:
            yield from lengths(out)
        for region in inner.regions:
            for param in region.params:
                yield from lengths(param)
