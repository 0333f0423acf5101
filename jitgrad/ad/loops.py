"""The reverse of a loop: a loop that goes back through the iterations.

The reversed body runs the body of the iteration again, from the state in which the iteration began, and then back. Of
that state, what the cotangents don't need is removed first; for the rest `residuals` decides where it comes from. A
number that is kept for each iteration is known at the end of the iteration as well: there the next one began. What
takes long to compute again is kept besides (`keep`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from jitgrad.ad.checkpoints import in_chunks
from jitgrad.ad.choices import Reversed, find_choices, find_state, with_notes
from jitgrad.ad.forward import name_after
from jitgrad.ad.keep import Kept, is_costly, is_worthwhile, ways_to_keep, with_kept
from jitgrad.ad.regions import active_captures, own_all, reach, reads, without_checks
from jitgrad.ad.residuals import Needs, Restored, find_needs, restore
from jitgrad.ad.stable import find_stable, with_rereads, without_rereads
from jitgrad.ad.sweep import REVERSES, Sweep
from jitgrad.ad.undo import Key, Path
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, substitute
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.flow import CHUNKED, add_node, carried, for_, if_, while_
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.rules import zeros_like
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current
from jitgrad.passes import SIMPLIFY, run
from jitgrad.passes.dce import dce
from jitgrad.passes.scratch import is_scratch


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop as its reverse sees it: counted, whatever it was.

    Attributes:
        node: the primal's node.
        count: how often the body runs (for a `while`, known after the loop).
        index: the number of the iteration, a param of the body or, in a `while`, new.
        params, body: the carried values at the start of an iteration, and the body.
        makers: the node that each value of the primal is made by.
        sparing: whether it is there to keep little.
    """

    node: Node
    count: Arg
    index: Value
    params: tuple[Value, ...]
    body: Block
    makers: dict[Value, Node]
    sparing: bool = False

    @property
    def init(self) -> tuple[Arg, ...]:
        return self.node.args[1:]


def _reverse_for(sweep: Sweep, node: Node) -> None:
    before: list[Node] = []
    chunked = bool(node.attrs.get(CHUNKED))
    if chunked:
        before, node = in_chunks(node, sweep.active)
        own_all([*before, node])
    (body,) = node.regions
    index, *params = body.params
    sweep.forward = [node]
    _reverse(sweep, Loop(node, node.args[0], index, tuple(params), body, sweep.makers, chunked))
    sweep.forward = [*before, *sweep.forward]


def _reverse_while(sweep: Sweep, node: Node) -> None:
    """The number of iterations becomes one more result of the loop."""
    test, body = node.regions
    count, before, tested = (Value(Type(INT64, (), weak=True), "trips") for _ in range(3))
    with building(Builder(parent=current(), region=True)) as builder:
        builder.own((before, *body.params))
        after = as_arg(Expr(before) + 1)
    counted = Block((*body.params, before), [*body.nodes, *builder.nodes], (*body.results, after), body.name)
    test = Block((*test.params, tested), test.nodes, test.results, test.name)
    current().own((count,))
    node = Node(while_, (*node.args, Const.of(0)), (*node.outs, count), node.attrs, (test, counted), node.loc)
    _reverse(sweep, Loop(node, count, Value(Type(INT64, (), weak=True), "step"), body.params, body, sweep.makers))


def _reverse(sweep: Sweep, loop: Loop) -> None:
    """Go back through the iterations, with the cotangents of what they hand on to each other.

    Scratch hands on nothing: each iteration starts with no cotangent of it.
    """
    useful = useful_carries(loop, sweep)
    if loop.node.op is for_:
        loop, chosen = _reverse_choices(sweep, loop, useful)
        useful = useful_carries(loop, sweep, chosen)
    useful = [k for k in useful if loop.node.outs[k] in sweep.bars or not is_scratch(loop.body, k, loop.makers)]
    if useful:
        _reverse_each(sweep, loop, useful)


def _reverse_choices(sweep: Sweep, loop: Loop, useful: list[int]) -> tuple[Loop, set[int]]:
    """Let the cotangents of what is chosen go to the last iteration in which it was; the loop that notes which."""
    found = []
    given = [k for k in useful if loop.node.outs[k] in sweep.bars]
    for choice in find_choices(loop, given, useful, sweep.active):
        inside = replace(loop, body=choice.body)
        captures, start, masked = _start(sweep, inside, choice.slots)
        ways = _Ways(sweep, inside, choice.slots, captures, start, masked, sweep.stored)
        body, masked = ways.body_back(sweep.kept)
        masked = masked[len(choice.slots) :]
        chosen = Reversed(choice, _simplified(body), dict(zip(captures, masked, strict=True)))
        if find_state(inside, chosen):
            found.append(chosen)
    if not found:
        return loop, set()
    loop, notes = with_notes(loop, found)
    sweep.forward = [loop.node]
    current().own(loop.node.outs)
    for chosen, outs in zip(found, notes, strict=True):
        _reverse_chosen(sweep, loop, chosen, *outs)
    return loop, {k for chosen in found for k in chosen.choice.slots}


def _reverse_chosen(sweep: Sweep, loop: Loop, chosen: Reversed, last: Value, *noted: Value) -> None:
    """Go back through the iteration in which something was chosen; what never was is what the loop began with."""
    slots, back = chosen.choice.slots, chosen.back
    heads = tuple(as_arg(sweep.bars[loop.node.outs[k]]) for k in slots)
    totals = tuple(as_arg(sweep.bars[x] if x in sweep.bars else zeros_like(Expr(x))) for x in chosen.captures)
    begun = [j for j, k in enumerate(slots) if loop.init[k] in sweep.active]
    none = (as_arg(zeros_like(as_expr(heads[j]))) for j in begun)
    env: dict[Value, Arg] = {loop.index: last, **chosen.known}
    env.update(zip(back.params, (*heads, *totals), strict=True))
    env.update((loop.params[k], value) for k, value in zip(chosen.noted, noted, strict=True))
    then = Block((), [*chosen.nodes, *back.nodes], (*back.results[len(heads) :], *none), "then")
    orelse = Block((), [], (*totals, *(heads[j] for j in begun)), "orelse")
    outs = carried([*chosen.captures, *(loop.init[slots[j]] for j in begun)])
    for out in outs:
        out.name = f"{out.name}_bar" if out.name else None
    ends = add_node(if_, (as_arg(Expr(last) >= 0),), (substitute(then, env), orelse), outs)
    sweep.bars.update(zip(chosen.captures, ends, strict=False))
    sweep.masked.update(x for x, masked in chosen.captures.items() if masked)
    for j, end in zip(begun, ends[len(totals) :], strict=True):
        start = loop.init[slots[j]]
        sweep.add(start, end)
        if chosen.choice.selects or loop.node.outs[slots[j]] in sweep.masked:
            sweep.masked.add(start)


def _start(sweep: Sweep, loop: Loop, useful: list[int]) -> tuple[list[Value], list, list[bool]]:
    """What the body captures that has a cotangent; the cotangents so far, and whether they are masked."""
    captures = active_captures(loop.body, [loop.body.results[k] for k in useful], sweep.active)
    of = (*(loop.node.outs[k] for k in useful), *captures)
    start = [sweep.bars.get(x) for x in of]
    start = [zeros_like(Expr(x)) if s is None else s for s, x in zip(start, of, strict=True)]
    for s, x in zip(start, of, strict=True):
        name_after(s, x, "bar")
    return captures, start, [x in sweep.masked for x in of]


def _reverse_each(sweep: Sweep, loop: Loop, useful: list[int]) -> None:
    """The reverse that goes through all iterations."""
    # In the primal the loop stays as it is; going back, what may be is read in the finished arrays.
    reads, stored = ({}, {}) if sweep.kept and sweep.kept.elements else find_stable(loop)
    primal, loop = loop, replace(loop, body=with_rereads(loop.body, reads))
    stored |= sweep.stored  # what outlives the outer loop is better than what outlives this one
    captures, start, masked = _start(sweep, loop, useful)
    ways = _Ways(sweep, loop, useful, captures, start, masked, stored)
    way = _best(ways, primal, {o for node in reads for o in node.outs} | stored.keys())
    state = restore(primal, way.needs, way.numbers)
    sweep.forward = state.forward or sweep.forward
    ends = _emit(loop, way.back, state, tuple(map(as_arg, start)))
    for x, end in zip(captures, ends[len(useful) :], strict=False):
        sweep.bars[x] = end
    for k, end, is_masked in zip(useful, ends, way.masked, strict=False):
        arg = loop.init[k]
        if arg in sweep.active:
            sweep.add(arg, end)
            if is_masked:
                sweep.masked.add(arg)
    sweep.masked.update(x for x, m in zip(captures, way.masked[len(useful) :], strict=True) if m)


def _best(ways: _Ways, primal: Loop, elsewhere: set[Value]) -> _Way:
    """The way that keeps what is worth it; loops in a loop that keeps nothing decide for themselves."""
    if ways.sweep.kept is not None:
        return ways.way(primal, ways.sweep.kept)
    if not primal.sparing and is_costly(primal):
        plain = ways.way(primal, Kept())
        for kept in ways_to_keep(primal, plain.needs, elsewhere):
            way = ways.way(primal, kept)
            if is_worthwhile(kept, way.back, way.needs, plain.needs):
                return replace(way, numbers=kept.read_by(way.back))
    return ways.way(primal, None)


@dataclass(frozen=True, slots=True)
class _Way:
    """A reversed body, what it needs of the state, which cotangents are masked, and where it reads what is kept."""

    back: Block
    needs: Needs
    masked: list[bool]
    numbers: dict[Value, tuple[Key, Path]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Ways:
    """The ways to reverse the body of a loop, which differ in what is kept.

    Attributes:
        sweep: that of the block which the loop is in.
        loop: the loop.
        useful: its carried values that have cotangents, and `captures` the values around it that have.
        start: the cotangents of both, and `masked` whether they are.
        stored: values that are read in arrays.
    """

    sweep: Sweep
    loop: Loop
    useful: list[int]
    captures: list[Value]
    start: list
    masked: list[bool]
    stored: dict[Value, tuple[Value, Node]]

    def way(self, primal: Loop, kept: Kept | None) -> _Way:
        body, masked = self.body_back(kept)
        back, ends = _with_known_ends(self.loop, self.useful, body)
        return _Way(back, find_needs(primal, back, ends), masked)

    def body_back(self, kept: Kept | None) -> tuple[Block, list[bool]]:
        """The body, run again and then back: it takes cotangents, and reads the carried values as they were."""
        loop, useful, captures = self.loop, self.useful, self.captures
        bars = carried([as_arg(s) for s in self.start])
        names = [loop.params[k] for k in useful] + captures
        for bar, x in zip(bars, names, strict=True):
            bar.name = f"{x.name}_bar" if x.name is not None else bar.name
        inner = self._inner(bars, kept)
        with building(Builder(parent=current(), region=True)) as builder:
            builder.own((*bars, loop.index, *loop.params))
            own_all(loop.body.nodes)
            for k, bar, is_masked in zip(useful, bars, self.masked, strict=False):
                result = loop.body.results[k]
                if result in inner.active:
                    inner.add(result, Expr(bar))
                    if is_masked:
                        inner.masked.add(result)
            inner.back(loop.body.nodes)
            of = (*(loop.params[k] for k in useful), *captures)
            results = tuple(as_arg(inner.bars[x] if x in inner.bars else zeros_like(Expr(x))) for x in of)
        again = without_checks(inner.forward)
        again = with_kept(again, kept) if kept else again
        return without_rereads(Block(bars, [*again, *builder.nodes], results)), [x in inner.masked for x in of]

    def _inner(self, bars: tuple[Value, ...], kept: Kept | None) -> Sweep:
        """The sweep of the body."""
        count = len(self.useful)
        totals = dict(zip(self.captures, map(Expr, bars[count:]), strict=True))
        masked = [x for x, m in zip(self.captures, self.masked[count:], strict=True) if m]
        inner = self.sweep.inner(totals, masked, self.stored)
        inner.kept = kept
        return inner


def _emit(loop: Loop, back: Block, state: Restored, start: tuple[Arg, ...]) -> tuple:
    """The reversed loop; what its cotangents are in the end."""
    step = Value(Type(INT64, (), weak=True), "back")
    with building(Builder(parent=current(), region=True)) as builder:
        builder.own((step,))
        last = as_arg(as_expr(loop.count) - 1)
        builder.append(Node(UFUNCS[np.subtract], (last, step), (loop.index,), {}, (), builder.loc))
    params = (step, *back.params, *(param for _, param, _ in state.walked))
    results = (*back.results, *(result for _, _, result in state.walked))
    region = substitute(Block(params, [*builder.nodes, *state.prefix, *back.nodes], results), state.known)
    init = (*start, *(first for first, _, _ in state.walked))
    return add_node(for_, (loop.count, *init), (region,), carried(init))


def useful_carries(loop: Loop, sweep: Sweep, done: Collection[int] = ()) -> list[int]:
    """The carried values that the cotangents go through: those that results with a cotangent depend on.

    The cotangents of the results `done` have gone elsewhere.
    """
    found = {k for k, o in enumerate(loop.node.outs) if o in sweep.bars and k not in done}
    while True:
        reached = reach(loop.body, [loop.body.results[k] for k in sorted(found)], sweep.active)
        more = found | {k for k, p in enumerate(loop.params) if p in reached}
        if more == found:
            return [k for k in sorted(found) if loop.params[k] in sweep.active]
        found = more


def _simplified(body: Block) -> Block:
    return run(SIMPLIFY, substitute(body, {}), nested=True)


def _with_known_ends(loop: Loop, useful: list[int], body: Block) -> tuple[Block, list[int]]:
    """The reversed body, simplified, and which of the carried numbers it reads as they are after the iteration.

    Those are the ones that it doesn't compute again. Only what is kept anyway is known: what the body would read at the
    start of the iteration, if it did compute them again. And only of what has cotangents: those go from iteration to
    iteration already, while a loop without that order might count up, and run within another.
    """

    def kept(block: Block, among: list[int]) -> list[int]:
        wanted = reads(block)
        return [k for k in among if loop.params[k] in wanted]

    made = {o for node in body.nodes for o in node.outs}
    numbers = kept(dce(body), [k for k in useful if _is_end(loop.params[k], loop.body.results[k], made)])
    back = _simplified(_not_computing(body, [loop.body.results[k] for k in numbers]))
    if kept(back, numbers) != numbers:
        plain = _simplified(body)
        numbers = kept(plain, numbers)
        back = _simplified(_not_computing(body, [loop.body.results[k] for k in numbers])) if numbers else plain
    wanted = reads(back)
    return back, [k for k in numbers if loop.body.results[k] in wanted]


def _is_end(param: Value, result: Arg, made: set[Value]) -> bool:
    same = param.type.dtype == result.type.dtype
    return not param.type.shape and param.type.is_float and same and result in made


def _not_computing(body: Block, values: list[Arg]) -> Block:
    """The body with these values from outside: what computes them goes by other names, which nothing reads."""
    nodes = []
    for node in body.nodes:
        if any(o in values for o in node.outs):
            outs = tuple(Value(o.type, o.name) if o in values else o for o in node.outs)
            node = Node(node.op, node.args, outs, node.attrs, node.regions, node.loc)
        nodes.append(node)
    return Block(body.params, nodes, body.results, body.name)


REVERSES[for_] = _reverse_for
REVERSES[while_] = _reverse_while
