"""An array that is computed element by element from one that nobody reads any more takes its memory.

Each iteration reads its own element before it writes it, so none is lost that is read later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.lower.lifetimes import Lifetimes
from jitgrad.ops.flow import for_, slots
from jitgrad.ops.memory import empty, load, store


def in_place(block: Block, owned: Iterable[Value] = ()) -> Block:
    """The lowered block in which arrays take the memory of those that they are computed from.

    `owned` are arrays that the block is given for good: params that come to it in memory which nobody else reads.
    """
    lifetimes = Lifetimes(block, owned)
    nodes: list[Node] = []
    for k, node in enumerate(block.nodes):
        if node.regions:
            reads = Counter(used(node))
            given = [s for s in slots(node) if s.init is not None and reads[s.init] == 1 and node.op is for_]
            params = [s.params[0] for s in given if s.out.type.shape and lifetimes.is_over(s.init, k, handed_on=True)]
            regions = tuple(in_place(region, params) for region in node.regions)
            node = Node(node.op, node.args, node.outs, node.attrs, regions, node.loc)
        nodes.append(node)
    block = Block(block.params, nodes, block.results, block.name, block.notes)
    return _with_less(block, owned) if any(node.op is empty for node in nodes) else block


def _with_less(block: Block, owned: Iterable[Value]) -> Block:
    """The block without the allocations that aren't needed."""
    buffers = Lifetimes(block, owned)
    uses = Counter(v for node in block.nodes for v in used(node))
    uses.update(block.results)
    made = {node.out for node in block.nodes if node.op is empty}
    needless: set[Value] = set()
    nodes: list[Node] = []
    for k, node in enumerate(block.nodes):
        for new in [a for a in node.args if a in made and uses[a] == 1] if node.op is for_ else ():
            old = next((s for s in _sources(node, new) if buffers.is_over(s, k)), None)
            if old is not None and new not in buffers.shared and buffers.base(old) is not new:
                needless.add(new)
                node = _taking_over(node, new, old, old)
        nodes.append(node)
    nodes = [node for node in nodes if not (node.op is empty and node.out in needless)]
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _innermost(loop: Node, buffer: Arg) -> tuple[Block, int, tuple[Value, ...]]:
    """Through loops that do nothing but carry a buffer: the body inside, the buffer's number there, and the indices."""
    (body,) = loop.regions
    place = loop.args.index(buffer)
    if len(body.nodes) == 1 and body.nodes[0].op is for_ and body.nodes[0].args[1:].count(body.params[place]) == 1:
        inner, number, indices = _innermost(body.nodes[0], body.params[place])
        return inner, number, (body.params[0], *indices)
    return body, place, (body.params[0],)


def _sources(loop: Node, new: Arg) -> list[Value]:
    """The arrays of which a loop reads but the element in the place of the one that it makes, before it is made."""
    body, place, indices = _innermost(loop, new)
    param, result = body.params[place], body.results[place - 1]
    at = next((k for k, n in enumerate(body.nodes) if n.op is store and n.args[0] is param), None)
    if at is None or body.nodes[at].args[2:] != indices or body.nodes[at].out is not result:
        return []
    inside = Counter(v for node in body.nodes for v in used(node)) + Counter(body.results)
    if inside[param] != 1 or inside[result] != 1:
        return []
    reads = Counter(n.args[0] for n in body.nodes[:at] if n.op is load and n.args[1:] == indices)
    everywhere = Counter(used(loop))
    return [old for old, count in reads.items() if everywhere[old] == count and old.type == new.type]


def _taking_over(loop: Node, new: Arg, start: Arg, old: Value) -> Node:
    """The loop that begins with `start` in the place of `new`, and reads what it reads of `old` there."""
    (body,) = loop.regions
    place = loop.args.index(new)
    param = body.params[place]
    nodes = []
    for node in body.nodes:
        if node.op is for_ and param in node.args:
            node = _taking_over(node, param, param, old)
        elif old in node.args:
            node = Node(node.op, (param, *node.args[1:]), node.outs, node.attrs, (), node.loc)
        nodes.append(node)
    args = (*loop.args[:place], start, *loop.args[place + 1 :])
    region = Block(body.params, nodes, body.results, body.name, body.notes)
    return Node(for_, args, loop.outs, loop.attrs, (region,), loop.loc)
