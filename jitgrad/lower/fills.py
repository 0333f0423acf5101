"""What is filled first and then gone through is filled while it is gone through; with zeros, or as a copy.

A cotangent begins as an array of zeros, and the loop that adds to it often comes by each of its rows in an iteration of
its own. Then the iteration fills its row, and where it adds to an element once, nothing is left of the zero: the
element is stored as it is.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value, substitute, used
from jitgrad.ops.flow import for_, slots
from jitgrad.ops.inplace import Memory
from jitgrad.ops.memory import load, store
from jitgrad.ops.registry import UFUNCS
from jitgrad.passes.orderless import is_last

_subtract = UFUNCS[np.subtract]


def filled_on_the_way(block: Block) -> Block:
    """The lowered block in which loops fill what they go through; `forward` finds what this makes needless."""
    if not any(filler(node) is not None for node in block.walk()):
        return block
    return _with_fills(block, {out: node for node in block.walk() for out in node.outs})


def filler(node: Node) -> Node | None:
    """What a loop that only fills a buffer does: the load of an element of another, else the store of a value."""
    if node.op is not for_ or len(node.outs) != 1:
        return None
    (body,) = node.regions
    *loads, last = body.nodes or [node]
    if last.op not in (store, for_) or (last.op is for_ and loads) or body.results != (last.out,):
        return None
    param = body.params[1]
    if last.op is for_:
        return filler(last) if last.args[1:] == (param,) and last.args[0] not in body.params else None
    value, *place = last.args[1:]
    if last.args[0] is not param or (loads and [n.outs for n in loads] != [(value,)]):
        return None
    read = loads[0] if loads else None
    if read is None:
        return last
    return read if read.op is load and read.args[0] is not param and list(read.args[1:]) == place else None


def _with_fills(block: Block, makers: dict[Value, Node]) -> Block:
    readers: dict[Value, list[Node]] = {}
    for node in block.nodes:
        for value in used(node):
            readers.setdefault(value, []).append(node)
    memory = Memory(block) if any(map(filler, block.nodes)) else None
    fills: dict[Value, tuple[Node, int]] = {}  # by what they give; with where they stand
    nodes: list[Node] = []
    done: set[Node] = set()
    for k, node in enumerate(block.nodes):
        loop = node
        for fill, place in [fills[a] for a in node.args if a in fills] if node.op is for_ else ():
            since = block.nodes[place + 1 : k + 1]
            alone = len(readers[fill.out]) == 1 and _stays(filler(fill), since, memory)
            row = _row(loop, fill, makers) if alone else None
            if row is not None:
                loop = _filling(loop, fill, row)
                done.add(fill)
        nodes.append(loop)
        if filler(loop) is not None and loop.out not in block.results:
            fills[loop.out] = (loop, k)
    kept = [n for n in nodes if n not in done]
    nodes = [
        Node(n.op, n.args, n.outs, n.attrs, tuple(_with_fills(r, makers) for r in n.regions), n.loc) if n.regions else n
        for n in kept
    ]
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _stays(fill: Node, nodes: list[Node], memory: Memory) -> bool:
    """Whether what a buffer is filled with is not overwritten by any of the nodes."""
    return fill.op is store or not any(memory.share(fill.args[0], w) for n in nodes for w in memory.written(n))


def _row(loop: Node, fill: Node, makers: dict[Value, Node]) -> Value | None:
    """The row of a filled buffer that an iteration of a loop keeps to, if all iterations together come by all rows."""
    if loop.args[0] != fill.args[0]:
        return None
    (body,) = loop.regions
    index = body.params[0]
    param = body.params[loop.args.index(fill.out)]
    axes = _axes(fill.regions[0], fill.regions[0].params[0], fill.regions[0].params[1])
    backward = (n.out for n in body.nodes if n.op is _subtract and n.args[1] is index)
    for row in (index, *(v for v in backward if is_last(makers[v].args[0], loop.args[0], makers))):
        before = body.nodes[: _after(row, body)]
        if axes & _axes(body, row, param) and not any(param in used(n) for n in before):
            return row
    return None


def _after(row: Value, body: Block) -> int:
    """Where in a body its row is known."""
    return next((k + 1 for k, n in enumerate(body.nodes) if row in n.outs), 0)


def _axes(body: Block, row: Value, param: Value) -> set[int]:
    """The axes along which all accesses to a carried buffer are at `row`."""
    versions: set[Arg] = {param}
    axes = set(range(param.type.ndim))

    def visit(block: Block) -> None:
        for node in block.nodes:
            if node.op is load or node.op is store:
                if node.args[0] in versions:
                    place = node.args[1:] if node.op is load else node.args[2:]
                    axes.intersection_update(k for k, i in enumerate(place) if i is row)
                    versions.update(o for o in node.outs if o.type.shape)
            elif node.regions:
                for slot in slots(node):
                    if slot.init in versions or any(r in versions for r in slot.results):
                        versions.update((slot.out, *slot.params))
                for region in node.regions:
                    visit(region)
                versions.update(s.out for s in slots(node) if any(r in versions for r in s.results))
            elif any(a in versions for a in node.args):
                axes.clear()

    visit(body)
    others = [r for k, r in enumerate(body.results) if body.params[k + 1] is not param]
    return set() if any(r in versions for r in others) else axes


def _filling(loop: Node, fill: Node, row: Value) -> Node:
    """The loop that fills a row of a buffer before it does anything else with it."""
    (body,), (filling,) = loop.regions, fill.regions
    place = loop.args.index(fill.out)
    param = Value(fill.out.type, fill.out.name)
    filled = body.params[place]
    env = {filling.params[0]: row, filling.params[1]: param}
    *loads, last = substitute(Block((), filling.nodes, ()), env).nodes
    last = Node(last.op, last.args, (filled,), last.attrs, last.regions, last.loc)
    at = _after(row, body)
    nodes = [*body.nodes[:at], *loads, last, *body.nodes[at:]]
    args = (*loop.args[:place], fill.args[1], *loop.args[place + 1 :])
    params = (*body.params[:place], param, *body.params[place + 1 :])
    region = Block(params, nodes, body.results, body.name, body.notes)
    return Node(for_, args, loop.outs, loop.attrs, (region,), loop.loc)
