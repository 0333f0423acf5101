"""Where the reverse of a loop has the state from in which an iteration began.

Only what its cotangents still read once everything dead is removed has to be there. A carried value that never changes
is what the loop started from; an integer that grows by the same step is computed; scratch that is filled before it is
read needs no content; of an array that is written to element by element, what is overwritten is kept; of anything else,
the value itself, one entry an iteration, in an array that is made before the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.ad.regions import reads, without_checks
from jitgrad.ad.undo import Key, Path, Undo, bounds, find_undo, log_writes, put_back
from jitgrad.ir.graph import Arg, Block, Const, Loc, Node, Value, substitute
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.create import uninitialized
from jitgrad.ops.flow import carried, for_, while_
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.symbolic import current
from jitgrad.passes.scratch import written_before_read

if TYPE_CHECKING:
    from jitgrad.ad.loops import Loop

# Why a value is kept and not computed again, for the table of residuals.
CARRIED = "an iteration makes it of the last, and the way back from the next is not known"
OVERWRITTEN = "it is overwritten here, and put back before what was computed of it is differentiated"
LONG = "to compute it again takes longer, and the loop has to keep as much in any case"
STEERS = "it decides what is written where; computed again, it might come out another way"


@dataclass(slots=True)
class Restored:
    """The state at the start of an iteration, for the reversed body.

    Attributes:
        forward: the nodes that the primal has in place of the loop; empty if it stays as it is.
        prefix: nodes that define carried values in front of the reversed body, and may read `loop.index`.
        known: carried values that something from outside stands for.
        walked: what the reversed loop carries itself, arrays and the numbers of the iteration it was in last: where
            they start, and the param and result of its body.
    """

    forward: list[Node] = field(default_factory=list)
    prefix: list[Node] = field(default_factory=list)
    known: dict[Value, Arg] = field(default_factory=dict)
    walked: list[tuple[Arg, Value, Value]] = field(default_factory=list)


@dataclass(slots=True)
class Needs:
    """What a reversed body reads of the state at the start of an iteration, by where that comes from.

    Attributes:
        nodes: those that compute or make what isn't kept.
        known: what stands for values that never change.
        kept: the numbers of the carried values that are kept.
        undos: how the arrays that are walked back are.
        ends: the carried numbers that it reads as they are at the end of the iteration.
    """

    nodes: list[Node] = field(default_factory=list)
    known: dict[Value, Arg] = field(default_factory=dict)
    kept: list[Value] = field(default_factory=list)
    undos: list[Undo] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        """For each entry that is kept, the loops in which it is."""
        return [() for _ in self.kept] + [path for undo in self.undos for path in undo.logged.values()]

    @property
    def arrays(self) -> bool:
        """Whether the content of an array is among what has to be there."""
        return bool(self.undos) or any(param.type.shape for param in self.kept)


def find_needs(loop: Loop, back: Block, ends: list[int]) -> Needs:
    """What the reversed body `back` needs, which reads the carried numbers `ends` as they are after the iteration."""
    wanted = reads(back) | dict.fromkeys(loop.params[k] for k in ends)
    needs = Needs(ends=ends)
    steady = {p: evenly(loop, k) for k, p in enumerate(loop.params)}
    steady = {param: nodes for param, nodes in steady.items() if nodes is not None}
    for k, param in enumerate(loop.params):
        if param not in wanted or param in steady:
            continue
        if loop.body.results[k] is param:
            needs.known[param] = loop.init[k]
        elif param.type.shape and written_before_read(back, param, loop.makers):
            needs.nodes.append(without_content(param, loop.node.loc))
        elif param.type.shape and (undo := find_undo(loop, k, set(steady))) is not None:
            needs.undos.append(undo)
            wanted |= dict.fromkeys(v for values in undo.computed.values() for v in values)
        else:
            needs.kept.append(param)
    needs.nodes += [node for param, nodes in steady.items() if param in wanted for node in nodes]
    return needs


def restore(loop: Loop, needs: Needs, numbers: dict[Value, tuple[Key, Path]]) -> Restored:
    """Make what a reversed body needs known to it.

    Args:
        loop: the primal's loop.
        needs: what of the state.
        numbers: the arrays in which it reads numbers that are kept besides: the key and the loops of each.
    """
    state = Restored(prefix=needs.nodes, known=needs.known)
    if needs.kept or needs.undos or numbers:
        _Keeper(loop, needs, numbers).run(state)
    elif loop.node.op is while_:
        state.forward = [loop.node]
    return state


def evenly(loop: Loop, k: int) -> list[Node] | None:
    """Nodes that compute a carried integer of the number of the iteration, if it grows by the same step in each."""
    param, start = loop.params[k], loop.init[k]
    made = {o: node for node in loop.body.nodes for o in node.outs}
    node = made.get(loop.body.results[k])
    if param.type.shape or param.type.dtype.kind != "i" or node is None or node.op is not UFUNCS[np.add]:
        return None
    steps = [a for a in node.args if a is not param]
    if len(steps) != 1 or steps[0] in made or steps[0] in loop.params or steps[0] is loop.index:
        return None
    so_far = Value(Type(INT64, (), weak=True))
    loc = current().loc
    return [
        Node(UFUNCS[np.multiply], (loop.index, steps[0]), (so_far,), {}, (), loc),
        Node(UFUNCS[np.add], (start, so_far), (param,), {}, (), loc),
    ]


class _Keeper:
    """Makes a loop keep, in arrays with an entry for each iteration, the state at its start or what it overwrites."""

    def __init__(self, loop: Loop, needs: Needs, numbers: dict[Value, tuple[Key, Path]]):
        self.loop, self.kept, self.undos, self.ends = loop, needs.kept, needs.undos, needs.ends
        self.numbers = {key: room for room, (key, _) in numbers.items()}
        self.logged = {key: path for undo in needs.undos for key, path in undo.logged.items()} | dict(numbers.values())
        self.entries = [*needs.kept, *(value for _, value in self.logged)]
        self.paths: list[Path] = [() for _ in needs.kept] + list(self.logged.values())
        makers = {o: node for node in loop.body.nodes for o in node.outs}
        results = dict(zip(loop.params, loop.body.results, strict=False))
        self.reasons = [(CARRIED, makers.get(results[param], loop.node).loc) for param in needs.kept]
        self.names = [param.name for param in needs.kept]
        self.names += [_name(node, value) for node, value in self.logged]
        self.reasons += [(_reason(node, value), node.loc) for node, value in self.logged]

    def run(self, state: Restored) -> None:
        loop, node = self.loop, self.loop.node
        bounded = node.op is while_ and not (isinstance(node.args[0], Const) and node.args[0].value < 0)
        finals = node.outs
        if bounded:
            ends = self._in_while(state)
        elif node.op is for_:
            again, ends = self._counted(node.outs)
            state.forward = again
        else:  # how often a `while` runs is known when it has run; then it is run again, as a counted loop
            state.forward = [node]
            again, ends = self._counted(carried(node.args[1 : 1 + len(loop.params)]))
            env: dict[Value, Arg] = {}
            current().extend(substitute(Block((), without_checks(again), ()), env).nodes)
            ends = [env[e] for e in ends]
            finals = tuple(env[o] for o in again[-1].outs)
        for param, end in zip(self.entries[: len(self.kept)], ends, strict=False):
            state.prefix.append(entry(end, (loop.index,), param))
        for k in self.ends:
            state.walked.append((finals[k], loop.body.results[k], loop.params[k]))
        rooms = dict(zip(self.logged, ends[len(self.kept) :], strict=True))
        state.known |= {room: rooms[key] for key, room in self.numbers.items()}
        for undo in self.undos:
            end = Value(finals[undo.slot].type, finals[undo.slot].name)
            state.prefix.extend(put_back(undo, loop, end, rooms, entry))
            state.walked.append((finals[undo.slot], end, loop.params[undo.slot]))

    def _rooms(self, count: Arg, nodes: list[Node]) -> list[Value]:
        most = bounds(self.loop, count, self.paths, nodes)
        dims = [(count, *(most[n] for n in path)) for path in self.paths]
        return [_room(*each, nodes) for each in zip(self.entries, self.names, dims, self.reasons, strict=True)]

    def _body(self, body: Block, index: Arg, rooms: tuple[Value, ...]) -> tuple[list[Node], tuple[Value, ...]]:
        """The nodes of the body that also keep; and the rooms after it."""
        kept = [_store(r, v, (index,)) for r, v in zip(rooms, self.entries[: len(self.kept)], strict=False)]
        logs = dict(zip(self.logged, rooms[len(self.kept) :], strict=True))
        body = log_writes(body, (index,), logs, _store)
        return [*kept, *body.nodes], (*(n.out for n in kept), *logs.values())

    def _counted(self, outs: tuple[Value, ...]) -> tuple[list[Node], list[Value]]:
        loop = self.loop
        nodes: list[Node] = []
        rooms = self._rooms(loop.count, nodes)
        inside, ends = carried(rooms), carried(rooms)
        body, after = self._body(loop.body, loop.index, inside)
        results = (*loop.body.results, *after)
        block = Block((loop.index, *loop.params, *inside), body, results, loop.body.name)
        args = (loop.count, *loop.init[: len(loop.params)], *rooms)
        nodes.append(Node(for_, args, (*outs, *ends), loop.node.attrs, (block,), loop.node.loc))
        return nodes, list(ends)

    def _in_while(self, state: Restored) -> list[Value]:
        """A `while` that has a bound has room for so many iterations; the counter of iterations is its last carry."""
        node = self.loop.node
        test, body = node.regions
        rooms = self._rooms(node.args[0], state.forward)
        inside, tested, ends = carried(rooms), carried(rooms), carried(rooms)
        nodes, after = self._body(body, body.params[-1], inside)
        body = Block((*body.params, *inside), nodes, (*body.results, *after), body.name)
        test = Block((*test.params, *tested), test.nodes, test.results, test.name)
        regions, outs = (test, body), (*node.outs, *ends)
        state.forward.append(Node(while_, (*node.args, *rooms), outs, node.attrs, regions, node.loc))
        return list(ends)


def _reason(node: Node, value: Value) -> str:
    if value in node.outs:
        return LONG
    return STEERS if value in node.args else OVERWRITTEN


def _name(node: Node, value: Value) -> str | None:
    """What a kept value is called: as the user does, or after the array that it is an element of, or the function."""
    if value.name or value not in node.outs:
        return value.name
    return node.args[0].name if node.op is getitem_ else node.op.name


def without_content(out: Value, loc: Loc, keeps: str = "") -> Node:
    """The node that makes an array of any content; `keeps` says why, if it is for what the reverse needs."""
    lengths = tuple(n if isinstance(n, Value) else Const.of(n) for n in out.type.shape)
    return Node(uninitialized, lengths, (out,), {"dtype": out.type.dtype, "keeps": keeps}, (), loc)


def _room(value: Value, name: str | None, counts: tuple[Arg, ...], why: tuple[str, Loc], nodes: list[Node]) -> Value:
    """An array with an entry for each iteration; the node that makes it is added to `nodes`."""
    dims = tuple(n if isinstance(n, Value) else int(n.value) for n in counts)
    room = Value(Type(value.type.dtype, (*dims, *value.type.shape)), f"{name}_steps" if name else None)
    nodes.append(without_content(room, why[1], why[0]))
    return room


def _place(room: Value, index: tuple[Arg, ...]) -> tuple[tuple, dict]:
    """Operands and attributes of the index of an entry."""
    pattern: list[tuple] = [("at", k) for k in range(len(index))]
    operands: list[Arg] = list(index)
    for n in room.type.shape[len(index) :]:
        operands += [Const.of(0), n if isinstance(n, Value) else Const.of(n)]
        pattern.append(("slice", len(operands) - 2, len(operands) - 1, 1, (None, None)))
    return tuple(operands), {"pattern": tuple(pattern)}


def entry(room: Value, index: tuple[Arg, ...], out: Value) -> Node:
    """The node that reads an entry."""
    operands, attrs = _place(room, index)
    return Node(getitem_, (room, *operands), (out,), attrs, (), current().loc)


def _store(room: Value, value: Value, index: tuple[Arg, ...]) -> Node:
    operands, attrs = _place(room, index)
    return Node(setitem, (room, value, *operands), (Value(room.type, room.name),), attrs, (), current().loc)
