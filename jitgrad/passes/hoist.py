"""Checks first."""

from __future__ import annotations

from collections.abc import Iterator

from jitgrad.ir.function import callee, has_effect
from jitgrad.ir.graph import Block, Node, Value, used


def hoist_checks(block: Block) -> Block:
    """Move checks, and what they read, in front of everything else, in their order.

    An exception in compiled code leaks the arrays that are alive, so a check had better be done before any is made. The
    checks that depend on nothing but lengths thereby allocate nothing. Those in loops, branches and calls stay where they
    are, and no check moves in front of them: the first that fails is the one to be raised.
    """
    maker = {out: node for node in block.nodes for out in node.outs}
    wanted: set[Node] = set()

    def want(node: Node) -> None:
        stack = [node]
        while stack:
            node = stack.pop()
            if node not in wanted:
                wanted.add(node)
                stack.extend(maker[v] for v in used(node) if v in maker)

    for node in _movable(block):
        if _is_scalar(node, maker):
            want(node)
    front = [node for node in block.nodes if node in wanted]
    back = [node for node in block.nodes if node not in wanted]
    return Block(block.params, front + back, block.results, block.name, block.notes)


def _movable(block: Block) -> Iterator[Node]:
    """The checks up to the first that is in a region, or in a function that is called."""
    for node in block.nodes:
        if not node.op.effect and has_effect(node):
            return
        if node.op.effect:
            yield node


def _is_scalar(node: Node, maker: dict[Value, Node]) -> bool:
    """Whether all that a node depends on are numbers (and the lengths of parameters), computed without a loop."""
    stack, seen = [node], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.regions or callee(node) is not None:
            return False
        for v in used(node):
            if v in maker:
                if v.type.shape:
                    return False
                stack.append(maker[v])
    return True
