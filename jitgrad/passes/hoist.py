"""Checks first."""

from __future__ import annotations

from jitgrad.ir.graph import Block, Node, Value, used


def hoist_checks(block: Block) -> Block:
    """Move checks, and what they read, in front of everything else, in their order.

    An exception in compiled code leaks the arrays that are alive, so a check had better be done before any is made. The
    checks that depend on nothing but lengths thereby allocate nothing.
    """
    maker = {out: node for node in block.nodes for out in node.outs}
    wanted: set[Node] = set()

    def want(node: Node) -> None:
        stack = [node]
        while stack:
            node = stack.pop()
            if node not in wanted:
                wanted.add(node)
                stack.extend(maker[v] for v in _reads(node) if v in maker)

    checks = [node for node in block.nodes if node.op.effect]
    scalar = [node for node in checks if _is_scalar(node, maker)]
    for node in scalar:
        want(node)
    front = [node for node in block.nodes if node in wanted]
    back = [node for node in block.nodes if node not in wanted]
    return Block(block.params, front + back, block.results, block.name, block.notes)


def _reads(node: Node) -> list[Value]:
    return list(used(node))


def _is_scalar(node: Node, maker: dict[Value, Node]) -> bool:
    """Whether all that a node depends on are numbers (and the lengths of parameters)."""
    stack, seen = [node], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        for v in _reads(node):
            if v in maker:
                if v.type.shape:
                    return False
                stack.append(maker[v])
    return True
