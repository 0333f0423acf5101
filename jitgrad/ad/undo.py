"""An array that a loop writes to element by element, walked back: what was overwritten is put back.

The loop keeps what each write overwrites, one entry an iteration. Going back, an iteration begins with the array as it
was at its end, and restores it as it was at its start. Arithmetic is never inverted, and what steers a write (a
condition or a place that was computed from floats or from arrays) is kept and not computed again, for it might come out
another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitgrad.ad.stable import accesses
from jitgrad.ir.graph import Arg, Block, Node, Value, lengths, substitute
from jitgrad.ops.flow import if_
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.symbolic import current

if TYPE_CHECKING:
    from jitgrad.ad.loops import Loop


@dataclass(eq=False, slots=True)
class Undo:
    """How one carried array is walked back.

    Attributes:
        slot: which of the carried values it is.
        writes: the nodes that write to it, in order, those in branches included.
        logged: for each value that is kept, by the node that needs it: its type is that of one entry.
        computed: the places and conditions that are computed again, of integers alone.
    """

    slot: int
    writes: list[Node]
    logged: list[tuple[Node, Value]] = field(default_factory=list)
    computed: list[Value] = field(default_factory=list)


def find_undo(loop: Loop, slot: int) -> Undo | None:
    """How the carried array may be walked back; None if an inner loop writes to it, or something else than elements."""
    found = accesses(loop.node, loop.body, loop.params, slot)
    if found is None or not found.writes or any(len(w.loops) > 1 for w in found.writes):
        return None
    undo = Undo(slot, [w.node for w in found.writes])
    inside = {o for node in loop.body.walk() for o in node.outs}
    makers = {o: node for node in loop.body.nodes for o in node.outs}
    for node in _steering(loop.body, set(undo.writes)):
        if node.op is not if_:
            old = Value(getitem_.infer((node.args[0], *node.args[2:]), **node.attrs), "overwritten")
            if any(n in inside for n in lengths(old)):
                return None
            undo.logged.append((node, old))
        for arg in node.args[2:] if node.op is not if_ else node.args:
            if arg not in inside:
                continue
            if _of_integers(arg, makers, loop, inside):
                undo.computed.append(arg)
            elif any(n in inside for n in lengths(arg)):
                return None
            else:
                undo.logged.append((node, arg))
    return undo


def _steering(block: Block, writes: set[Node]) -> Iterator[Node]:
    """The writes, and the branches that they are in."""
    for node in block.nodes:
        if node in writes:
            yield node
        elif node.op is if_ and any(n in writes for region in node.regions for n in region.walk()):
            yield node
            for region in node.regions:
                yield from _steering(region, writes)


def _of_integers(arg: Arg, makers: dict[Value, Node], loop: Loop, inside: set[Value]) -> bool:
    """Whether a value is computed of integers from outside of the body and the number of the iteration."""
    stack = [arg]
    while stack:
        value = stack.pop()
        if not isinstance(value, Value) or value is loop.index or value not in inside:
            if value in loop.params or value.type.dtype.kind not in "iub":
                return False
            continue
        node = makers.get(value)
        if node is None or node.regions or value.type.shape or node.op is getitem_:
            return False
        stack.extend(node.args)
    return True


def log_writes(body: Block, index: Arg, logs: dict[tuple[Node, Value], Value], store: Callable[..., Node]) -> Block:
    """The body with what it overwrites kept, at `index`, in the arrays that `logs` has for each entry.

    The arrays as they are after the iteration are put into `logs`. `store(array, value, index)` makes the node.
    """
    nodes: list[Node] = []
    by_node: dict[Node, list[Value]] = {}
    for node, value in logs:
        by_node.setdefault(node, []).append(value)
    for node in body.nodes:
        for value in by_node.get(node, ()):
            entry = value
            if value not in node.args:  # it is no place and no condition, but what the node overwrites
                entry = Value(value.type, value.name)
                nodes.append(Node(getitem_, (node.args[0], *node.args[2:]), (entry,), node.attrs, (), node.loc))
            nodes.append(store(logs[node, value], entry, index))
            logs[node, value] = nodes[-1].out
        inside = {n for region in node.regions for n in region.walk()} if node.op is if_ else set()
        keys = [key for key in logs if key[0] in inside]
        nodes.append(_log_branch(node, index, logs, keys, store) if keys else node)
    return Block(body.params, nodes, body.results, body.name)


def _log_branch(node: Node, index: Arg, logs: dict, keys: list[tuple[Node, Value]], store: Callable[..., Node]) -> Node:
    """A branch that also gives the arrays in which its regions have kept something."""
    regions = []
    for region in node.regions:
        inner = {key: logs[key] for key in keys}
        region = log_writes(region, index, inner, store)
        regions.append(Block((), region.nodes, (*region.results, *inner.values()), region.name))
    outs = tuple(Value(logs[key].type, logs[key].name) for key in keys)
    logs.update(zip(keys, outs, strict=True))
    return Node(if_, node.args, (*node.outs, *outs), node.attrs, tuple(regions), node.loc)


def put_back(undo: Undo, loop: Loop, end: Value, entries: dict[tuple[Node, Value], Value]) -> list[Node]:
    """Nodes that restore the array from the end of an iteration, `end`, to its start: the carried value itself.

    `entries` has what was kept.
    """
    again: dict[Value, Arg] = {}
    nodes = substitute(Block((), _slice(loop.body, undo.computed), ()), again).nodes
    walk = _Back(undo, entries, again)
    start = walk.back(loop.body.nodes, end, nodes)
    for node in reversed(nodes):
        if start in node.outs:  # the last one gives what the body starts from
            outs = tuple(loop.params[undo.slot] if o is start else o for o in node.outs)
            nodes[nodes.index(node)] = Node(node.op, node.args, outs, node.attrs, node.regions, node.loc)
            break
    return nodes


def _slice(body: Block, values: list[Value]) -> list[Node]:
    needed = set(values)
    nodes = []
    for node in reversed(body.nodes):
        if any(o in needed for o in node.outs):
            nodes.append(node)
            needed.update(a for a in node.args if isinstance(a, Value))
    return nodes[::-1]


class _Back:
    """The writes from the last to the first."""

    def __init__(self, undo: Undo, entries: dict[tuple[Node, Value], Value], again: dict[Value, Arg]):
        self.undo, self.entries, self.again = undo, entries, again
        self.writes = set(undo.writes)

    def back(self, nodes: list[Node], array: Value, out: list[Node]) -> Value:
        """Append the nodes that undo `nodes`; the array as it was before these."""
        for node in reversed(nodes):
            if node in self.writes:
                old = next(self.entries[n, v] for n, v in self.undo.logged if n is node and v not in node.args)
                places = tuple(self._again(node, a) for a in node.args[2:])
                restored = Value(array.type, array.name)
                out.append(Node(setitem, (array, old, *places), (restored,), node.attrs, (), current().loc))
                array = restored
            elif node.op is if_ and any(n in self.writes for region in node.regions for n in region.walk()):
                regions = []
                for region in node.regions:
                    inner: list[Node] = []
                    before = self.back(region.nodes, array, inner)
                    regions.append(Block((), inner, (before,), region.name))
                restored = Value(array.type, array.name)
                condition = self._again(node, node.args[0])
                out.append(Node(if_, (condition,), (restored,), {}, tuple(regions), current().loc))
                array = restored
        return array

    def _again(self, node: Node, arg: Arg) -> Arg:
        return self.entries.get((node, arg), self.again.get(arg, arg))
