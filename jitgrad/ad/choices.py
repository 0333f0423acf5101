"""Loops that choose: what they carry is kept as it is, or replaced by a value that doesn't depend on it.

Of a running maximum, of the nearest of some points, of the last match, the result is the value of one iteration: the
last in which it was replaced. All of its cotangent goes there, or to what the loop started from if there was none. So
the primal notes the number of that iteration, and the reverse looks at it alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jitgrad.ad.regions import reach
from jitgrad.ad.residuals import evenly, without_content
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, reads
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.elementwise import where
from jitgrad.ops.flow import carried, if_
from jitgrad.passes.rename import renamed_throughout
from jitgrad.passes.scratch import written_before_read

if TYPE_CHECKING:
    from jitgrad.ad.loops import Loop

Outcomes = dict[Arg, bool]  # of conditions
Replaced = list[tuple[Outcomes, bool]]  # where a value is replaced, and whether a `where` has a part in it


@dataclass(eq=False, slots=True)
class Choice:
    """Carried values that are replaced in the same iterations.

    Attributes:
        body: the body of the loop as it is in these.
        slots: the numbers of the carried values.
        selects: a `where` is among what decides; so the cotangent of what is not chosen is masked.
    """

    body: Block
    slots: list[int] = field(default_factory=list)
    selects: bool = False


@dataclass(eq=False, slots=True)
class Reversed:
    """The reverse of the last iteration in which something was chosen.

    Attributes:
        choice: what.
        back: the body, run again and then back.
        captures: what it adds to the cotangents of, and whether each is then masked.
        nodes: those that make what `back` reads of the state at the start of the iteration.
        known: what stands for carried values.
        noted: the numbers of carried values that the primal has to note.
    """

    choice: Choice
    back: Block
    captures: dict[Value, bool]
    nodes: list[Node] = field(default_factory=list)
    known: dict[Value, Arg] = field(default_factory=dict)
    noted: list[int] = field(default_factory=list)


def find_choices(loop: Loop, given: list[int], useful: list[int], active: set[Value]) -> list[Choice]:
    """The choices among the carried values.

    Args:
        loop: the loop.
        given: the carried values whose last has a cotangent.
        useful: those, and all others that have any; none of them may depend on what is chosen.
        active: the values that depend on what is differentiated by.
    """
    found: dict[int, Choice] = {}
    groups: dict[frozenset, Choice] = {}
    for k in given:
        replaced, _ = _replaced(loop.body, loop.params[k], loop.body.results[k])
        if len(replaced) != 1:
            continue
        outcomes, selects = replaced[0]
        key = frozenset(outcomes.items())
        if key not in groups:
            groups[key] = Choice(_resolved(loop.body, outcomes))
        choice = groups[key]
        if not _depends_on_state(loop, choice.body, k, active):
            found[k] = choice
            choice.selects |= selects
    while True:
        rest = [loop.body.results[k] for k in useful if k not in found]
        reached = reach(loop.body, rest, active)
        hit = [k for k in found if loop.params[k] in reached]
        if not hit:
            break
        for k in hit:
            del found[k]
    for k, choice in found.items():
        choice.slots.append(k)
    return [choice for choice in groups.values() if choice.slots]


def _depends_on_state(loop: Loop, body: Block, k: int, active: set[Value]) -> bool:
    """Whether what a carried value is replaced by depends on what is carried, other than scratch."""
    result = body.results[k]
    reached = reach(body, [result], active)
    alone = Block(body.params, body.nodes, (result,), body.name)
    return any(p in reached and not (p.type.shape and written_before_read(alone, p, loop.makers)) for p in loop.params)


def _sides(block: Block, value: Arg) -> tuple[Arg, list[tuple[Block, Arg]]] | None:
    """The condition that a value depends on, and what it is if that holds and if not."""
    maker = next((node for node in block.nodes if value in node.outs), None)
    if maker is not None and maker.op is if_:
        place = maker.outs.index(value)
        return maker.args[0], [(region, region.results[place]) for region in maker.regions]
    if maker is not None and maker.op is where and _picks_numbers(maker):
        return maker.args[0], [(block, arg) for arg in maker.args[1:]]
    return None


def _picks_numbers(node: Node) -> bool:
    """Whether a `where` gives one of two numbers as it is."""
    return not node.out.type.shape and all(a.type.dtype == node.out.type.dtype for a in node.args[1:])


def _replaced(block: Block, param: Value, value: Arg) -> tuple[Replaced, bool]:
    """Under which outcomes of conditions `value` is not `param` as it is; and whether there are others."""
    if value is param:
        return [], True
    sides = _sides(block, value)
    if sides is None:
        return [({}, False)], False
    condition, insides = sides
    found: Replaced = []
    keeps = False
    for outcome, (inside, side) in zip((True, False), insides, strict=True):
        replaced, kept = _replaced(inside, param, side)
        keeps |= kept
        found += [({condition: outcome, **deeper}, selects or inside is block) for deeper, selects in replaced]
    return (found, True) if keeps else ([({}, False)], False)


def _resolved(block: Block, outcomes: Outcomes) -> Block:
    """The block, where conditions are known to come out so."""
    env: dict[Arg, Arg] = {}
    nodes: list[Node] = []

    def visit(inside: Iterable[Node]) -> None:
        for node in inside:
            outcome = outcomes.get(node.args[0]) if node.op is if_ or node.op is where else None
            if outcome is None or (node.op is where and not _picks_numbers(node)):
                nodes.append(renamed_throughout(node, env) if env else node)
                continue
            if node.op is if_:
                region = node.regions[0 if outcome else 1]
                visit(region.nodes)
                chosen = region.results
            else:
                chosen = (node.args[1 if outcome else 2],)
            env.update((o, env.get(c, c)) for o, c in zip(node.outs, chosen, strict=True))

    visit(block.nodes)
    return Block(block.params, nodes, tuple(env.get(r, r) for r in block.results), block.name)


def find_state(loop: Loop, chosen: Reversed) -> bool:
    """Find where the state comes from; not from copies of arrays, which would be made at each choice."""
    wanted = reads(chosen.back)
    for k, param in enumerate(loop.params):
        if param not in wanted:
            continue
        steady = evenly(loop, k)
        if loop.body.results[k] is param:
            chosen.known[param] = loop.init[k]
        elif steady is not None:
            chosen.nodes += steady
        elif not param.type.shape:
            chosen.noted.append(k)
        elif written_before_read(chosen.back, param, loop.makers):
            chosen.nodes.append(without_content(param, loop.node.loc))
        else:
            return False
    return True


def with_notes(loop: Loop, found: list[Reversed]) -> tuple[Loop, list[tuple[Value, ...]]]:
    """The loop that also gives, for each choice, the last iteration in which it was made (or -1), and what is noted."""
    node, body = loop.node, loop.body
    init: tuple[Arg, ...] = ()
    params: tuple[Value, ...] = ()
    after: tuple[Arg, ...] = ()
    outs: list[tuple[Value, ...]] = []
    for chosen in found:
        k = chosen.choice.slots[0]
        last = Value(Type(INT64, (), weak=True), f"last_{loop.params[k].name}" if loop.params[k].name else "last")
        now = (loop.index, *(loop.params[j] for j in chosen.noted))
        before = (last, *carried(now[1:]))
        body, results = _noting(body, body.results[k], loop.params[k], before, now)
        init += (Const.of(-1), *(loop.init[j] for j in chosen.noted))
        params, after = (*params, *before), (*after, *results)
        outs.append(carried(before))
    body = Block((*body.params, *params), body.nodes, (*body.results, *after), body.name)
    more = tuple(o for each in outs for o in each)
    node = Node(node.op, (*node.args, *init), (*node.outs, *more), node.attrs, (body,), node.loc)
    return replace(loop, node=node, params=(*loop.params, *params), body=body), outs


def _noting(
    block: Block, value: Arg, param: Value, before: tuple[Value, ...], now: tuple[Arg, ...]
) -> tuple[Block, tuple[Arg, ...]]:
    """The block that also makes what is noted after it: what was noted before where `param` is kept, else `now`."""
    replaced, keeps = _replaced(block, param, value)
    if not keeps or not replaced:
        return block, before if keeps else now
    condition, sides = _sides(block, value)
    outs = carried(before)
    node = next(node for node in block.nodes if value in node.outs)
    if node.op is if_:
        parts = [_noting(inside, side, param, before, now) for inside, side in sides]
        regions = tuple(Block((), b.nodes, (*b.results, *more), b.name) for b, more in parts)
        changed = replace(node, outs=(*node.outs, *outs), regions=regions)
        nodes = [changed if n is node else n for n in block.nodes]
    else:
        (_, chosen), (_, other) = sides
        block, then = _noting(block, chosen, param, before, now)
        block, orelse = _noting(block, other, param, before, now)
        each = zip(then, orelse, outs, strict=True)
        nodes = [*block.nodes, *(Node(where, (condition, a, b), (o,), {}, (), node.loc) for a, b, o in each)]
    return Block(block.params, nodes, block.results, block.name), outs
