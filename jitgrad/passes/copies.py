"""Who may write where."""

from __future__ import annotations

from jitgrad.ir.graph import Block, Const, Node, Value, used
from jitgrad.ops.elementwise import stop_gradient
from jitgrad.ops.index import add_at, getitem_, setitem
from jitgrad.ops.shape import broadcast_to_, copy_, reshape_, transpose_

DESTRUCTIVE = (add_at, setitem)


def make_copies(block: Block) -> Block:
    """Put a copy in front of every write whose operand is not the writer's own.

    Afterwards `setitem` and `add_at` may overwrite their first argument: it was made by this block as fresh memory, and
    they are its only reader.
    """
    uses: dict[Value, int] = {}
    for node in block.nodes:
        for value in used(node):
            uses[value] = uses.get(value, 0) + 1
    for result in block.results:
        uses[result] = uses.get(result, 0) + 1
    maker = {out: node for node in block.nodes for out in node.outs}
    nodes = []
    for node in block.nodes:
        if node.op in DESTRUCTIVE:
            target = node.args[0]
            if not (_is_fresh(maker.get(target)) and uses[target] == 1):
                own = Value(node.out.type, node.out.name)
                nodes.append(Node(copy_, (target,), (own,), {}, (), node.loc))
                node = Node(node.op, (own, *node.args[1:]), node.outs, node.attrs, (), node.loc)
        nodes.append(node)
    for node in reversed(nodes):  # one buffer, one name
        if node.op in DESTRUCTIVE and isinstance(node.args[0], Value) and node.args[0].name is None:
            node.args[0].name = node.out.name
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _is_fresh(node: Node | None) -> bool:
    """Whether a node makes memory of its own. A param's is the caller's, and what only moves elements may share it."""
    if node is None or node.op in (reshape_, transpose_, getitem_, stop_gradient):
        return False
    return node.op is not broadcast_to_ or isinstance(node.args[0], Const)
