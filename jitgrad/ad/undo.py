"""An array that a loop writes to element by element, walked back: what was overwritten is put back.

The loop keeps what each write overwrites, one entry an iteration, also of loops inside of it. Going back, an iteration
begins with the array as it was at its end, and restores it as it was at its start. Arithmetic is never inverted, and
what steers a write (a condition or a place that was computed from floats or from arrays) is kept and not computed
again, for it might come out another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitgrad.ir.graph import Arg, Block, Node, Value, lengths, substitute
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.affine import ONE, Form, trips_of
from jitgrad.ops.flow import carried, for_, if_
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.shape import greatest
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current
from jitgrad.passes.accesses import accesses

if TYPE_CHECKING:
    from jitgrad.ad.loops import Loop

Path = tuple[Node, ...]  # the loops around a node, inside of the one that is reversed
Key = tuple[Node, Value]  # what is kept, and the node that needs it


@dataclass(eq=False, slots=True)
class Undo:
    """How one carried array is walked back.

    Attributes:
        slot: which of the carried values it is.
        writes: the nodes that write to it, those in branches and inner loops included.
        logged: what is kept: a value has the type of one entry; and in which loops it is kept.
        computed: by the loops that they are in, places, conditions and counts that are computed again, of integers.
    """

    slot: int
    writes: set[Node]
    logged: dict[Key, Path] = field(default_factory=dict)
    computed: dict[Path, list[Value]] = field(default_factory=dict)


def find_undo(loop: Loop, slot: int, steady: set[Value]) -> Undo | None:
    """How the carried array may be walked back; `steady` are the carried integers that are known without being kept.

    None if more than elements is done to it, or if a loop inside writes to it whose iterations have no known bound.
    """
    found = accesses(loop.node, loop.body, loop.params, slot)
    if found is None or not found.writes:
        return None
    undo = Undo(slot, {w.node for w in found.writes})
    levels = Levels(loop, steady)
    if any(levels.form(inner) is None for w in found.writes for inner in w.loops[1:]):
        return None
    for node, path in _steering(loop.body, undo.writes, ()):
        if node in undo.writes:
            old = Value(getitem_.infer((node.args[0], *node.args[2:]), **node.attrs), "overwritten")
            if any(n in levels.inside for n in lengths(old)):
                return None
            undo.logged[node, old] = path
        for arg in _controls(node, undo.writes):
            if arg not in levels.inside or arg in levels.indices:
                continue
            integers = levels.integers_of(arg)
            if integers is not None:
                for value, where in integers:
                    undo.computed.setdefault(where, []).append(value)
            elif any(n in levels.inside for n in lengths(arg)):
                return None
            else:
                undo.logged[node, arg] = path
    return undo


def _controls(node: Node, writes: set[Node]) -> tuple[Arg, ...]:
    """Where a node writes, whether, or how often."""
    return node.args[2:] if node in writes else node.args[:1]


def _steering(block: Block, writes: set[Node], path: Path) -> Iterator[tuple[Node, Path]]:
    """The writes, and the branches and loops that they are in."""
    for node in block.nodes:
        if node in writes:
            yield node, path
        elif _contains(node, writes):
            yield node, path
            for region in node.regions:
                yield from _steering(region, writes, (*path, node) if node.op is for_ else path)


def _contains(node: Node, nodes: set[Node]) -> bool:
    return any(n in nodes for region in node.regions for n in region.walk())


class Levels:
    """What is made in which of the loops in a loop."""

    def __init__(self, loop: Loop, steady: set[Value] = frozenset()):
        self.loop, self.steady = loop, steady
        self.inside = {loop.index, *loop.params}
        for node in loop.body.walk():
            self.inside.update(node.outs, *(region.params for region in node.regions))
        self.indices: dict[Value, Node] = {loop.index: loop.node}
        self.makers: dict[Value, tuple[Node, Path]] = {}
        self._note(loop.body, ())

    def _note(self, body: Block, path: Path, is_branch: bool = False) -> None:
        """Note what is made in each iteration; what only a branch makes is not computed again."""
        for node in body.nodes:
            if not is_branch:
                self.makers.update((o, (node, path)) for o in node.outs)
            if node.op is for_:
                self.indices[node.regions[0].params[0]] = node
                self._note(node.regions[0], (*path, node))
            elif node.op is if_:
                for region in node.regions:
                    self._note(region, path, is_branch=True)

    def integers_of(self, arg: Arg) -> list[tuple[Value, Path]] | None:
        """What a value is computed of, each with the loops in which it is made.

        None if that isn't all integers: indices, values from outside, and integers that grow evenly with the loop.
        """
        found: list[tuple[Value, Path]] = []
        stack = [arg]
        while stack:
            value = stack.pop()
            if value.type.dtype.kind not in "iub" or value.type.shape:
                return None
            if not isinstance(value, Value) or value in self.indices or value not in self.inside:
                continue
            if value in self.steady:
                found.append((value, ()))
                continue
            node, path = self.makers.get(value, (None, ()))
            if node is None or node.regions or node.op is getitem_:
                return None
            found.append((value, path))
            stack.extend(node.args)
        return found

    def form(self, inner: Node) -> Form | None:
        """The number of iterations of an inner loop, as a sum of indices and outer values; None if it is none."""
        if inner.op is not for_:
            return None
        makers = self.loop.makers

        def leaf(value: Value) -> Form:
            return Form({self.indices.get(value, value): 1})

        form = trips_of(inner.args[0], makers.get, leaf)
        return None if any(s in self.inside for s in form if isinstance(s, Value)) else form


def bounds(loop: Loop, count: Arg, paths: list[Path], nodes: list[Node]) -> dict[Node, Arg]:
    """The most iterations of each loop in `paths`; nodes that compute them are added to `nodes`.

    An index takes its largest value where it adds to the number, and 0 where it takes away from it.
    """
    levels = Levels(loop)
    found: dict[Node, Arg] = {loop.node: count}
    with building(Builder()) as builder:
        for inner in dict.fromkeys(n for path in paths for n in path):
            total: object = 0
            for symbol, c in levels.form(inner).items():
                if symbol == ONE:
                    total = total + int(c)
                elif isinstance(symbol, Value):
                    total = total + Expr(symbol) * int(c)
                elif c > 0:
                    total = total + (as_expr(found[symbol]) - 1) * int(c)
            found[inner] = as_arg(max(total, 0) if isinstance(total, int) else greatest(total, 0))
    nodes.extend(builder.nodes)
    return found


def log_writes(body: Block, index: tuple[Arg, ...], logs: dict[Key, Value], store: Callable[..., Node]) -> Block:
    """The body with what it overwrites kept, at `index`, in the arrays that `logs` has for each entry.

    A result of a node is kept as well if `logs` has it. The arrays as they are after the iteration are put into `logs`.
    `store(array, value, index)` makes the node.
    """
    nodes: list[Node] = []
    by_node: dict[Node, list[Value]] = {}
    for node, value in logs:
        by_node.setdefault(node, []).append(value)
    for node in body.nodes:
        for value in by_node.get(node, ()):
            if value in node.outs:
                continue
            entry = value
            if value not in node.args:  # it is no place and no condition, but what the node overwrites
                entry = Value(value.type, value.name)
                nodes.append(Node(getitem_, (node.args[0], *node.args[2:]), (entry,), node.attrs, (), node.loc))
            nodes.append(store(logs[node, value], entry, index))
            logs[node, value] = nodes[-1].out
        within = {n for region in node.regions for n in region.walk()} if node.op in (if_, for_) else set()
        keys = [key for key in logs if key[0] in within]
        nodes.append(_log_within(node, index, logs, keys, store) if keys else node)
        for value in by_node.get(node, ()):
            if value in node.outs:
                nodes.append(store(logs[node, value], value, index))
                logs[node, value] = nodes[-1].out
    return Block(body.params, nodes, body.results, body.name)


def _log_within(node: Node, index: tuple, logs: dict[Key, Value], keys: list[Key], store: Callable[..., Node]) -> Node:
    """A branch or loop that also gives the arrays in which its regions have kept something."""
    regions = []
    for region in node.regions:
        given = [logs[key] for key in keys]
        params = carried(given) if node.op is for_ else ()
        inner = dict(zip(keys, params or given, strict=True))
        place = (*index, region.params[0]) if node.op is for_ else index
        new = log_writes(region, place, inner, store)
        regions.append(Block((*region.params, *params), new.nodes, (*region.results, *inner.values()), region.name))
    outs = carried([logs[key] for key in keys])
    args = (*node.args, *(logs[key] for key in keys)) if node.op is for_ else node.args
    logs.update(zip(keys, outs, strict=True))
    return Node(node.op, args, (*node.outs, *outs), node.attrs, tuple(regions), node.loc)


def put_back(undo: Undo, loop: Loop, end: Value, rooms: dict[Key, Value], entry: Callable[..., Node]) -> list[Node]:
    """Nodes that restore the array from the end of an iteration, `end`, to its start: the carried value itself.

    `rooms` has where things were kept; `entry(array, index, value)` makes the node that reads one.
    """
    nodes: list[Node] = []
    start = _Back(undo, rooms, entry).level(loop.body, (), (loop.index,), {}, end, nodes)
    for k, node in enumerate(nodes):
        if start in node.outs:  # it gives what the body starts from
            outs = tuple(loop.params[undo.slot] if o is start else o for o in node.outs)
            nodes[k] = Node(node.op, node.args, outs, node.attrs, node.regions, node.loc)
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

    def __init__(self, undo: Undo, rooms: dict[Key, Value], entry: Callable[..., Node]):
        self.undo, self.rooms, self.entry = undo, rooms, entry

    def level(self, body: Block, path: Path, index: tuple, known: dict[Value, Arg], array: Value, out: list) -> Value:
        """Append the nodes that undo an iteration of a loop; the array as it was before it.

        `known` has what stands for values of the loops around.
        """
        again = dict(known)
        out.extend(substitute(Block((), _slice(body, self.undo.computed.get(path, [])), ()), again).nodes)
        entries: dict[Key, Arg] = {}
        for (node, value), where in self.undo.logged.items():
            if where == path:
                entries[node, value] = Value(value.type, value.name)
                out.append(self.entry(self.rooms[node, value], index, entries[node, value]))
        return self._nodes(body, path, index, again, entries, array, out)

    def _nodes(
        self, block: Block, path: Path, index: tuple, again: dict, entries: dict, array: Value, out: list
    ) -> Value:
        for node in reversed(block.nodes):
            restored = Value(array.type, array.name)
            first, *controls = (entries.get((node, a), again.get(a, a)) for a in node.args[:1] + node.args[2:])
            if node in self.undo.writes:
                old = next(e for (n, v), e in entries.items() if n is node and v not in node.args)
                out.append(Node(setitem, (array, old, *controls), (restored,), node.attrs, (), current().loc))
            elif not _contains(node, self.undo.writes):
                continue
            elif node.op is if_:
                regions = []
                for region in node.regions:
                    inner: list[Node] = []
                    before = self._nodes(region, path, index, again, entries, array, inner)
                    regions.append(Block((), inner, (before,), region.name))
                out.append(Node(if_, (first,), (restored,), {}, tuple(regions), current().loc))
            else:
                region = self._loop(node, first, path, index, again, array)
                out.append(Node(for_, (first, array), (restored,), {}, (region,), current().loc))
            array = restored
        return array

    def _loop(self, node: Node, count: Arg, path: Path, index: tuple, again: dict, array: Value) -> Block:
        """The body of an inner loop, backwards."""
        (body,) = node.regions
        step, inside = Value(Type(INT64, (), weak=True), "back"), Value(array.type, array.name)
        with building(Builder()) as builder:
            builder.loc = node.loc
            number = as_arg(as_expr(count) - 1 - Expr(step))
            nodes = builder.nodes
            known = again | {body.params[0]: number}
            before = self.level(body, (*path, node), (*index, number), known, inside, nodes)
        return Block((step, inside), nodes, (before,), body.name)
