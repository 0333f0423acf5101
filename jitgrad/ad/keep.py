"""Numbers that a loop keeps for its reverse, since to compute them again would take longer.

A loop that has to keep state goes back only when it has gone forward to its end, so all that an iteration computes of
that state is computed twice; and in loops in loops, where each level runs its body again, more often than that. So such
a loop also keeps what elementary functions gave, in its own body and in loops inside: then the reverse has only
arithmetic to do again. It reads elements of arrays from what is kept, too, if thereby no array has to be walked back.

It keeps them in no more loops than it would keep state in anyway, and no more than `MOST` times as much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitgrad.ad.residuals import Needs, entry
from jitgrad.ad.undo import Key, Levels, Path
from jitgrad.ir.graph import Block, Node, Value, reads
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.flow import for_
from jitgrad.ops.index import add_at, getitem_, setitem

if TYPE_CHECKING:
    from jitgrad.ad.loops import Loop

MOST = 8
_TRIPS = 8  # what an inner loop is taken to have, to weigh what is kept in it against what is kept around it

# Of some ten arithmetic operations or more each.
COSTLY = frozenset((
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "logaddexp2", "power", "cbrt", "hypot",
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh", "arccosh",
    "arctanh", "sinc", "erf", "erfc", "zeta", "lgamma", "digamma",
))  # fmt: skip


@dataclass(eq=False, slots=True)
class Kept:
    """Numbers that are kept.

    Attributes:
        reads: the node that reads each again.
        rooms: the array that each is kept in, and its key and loops, as a `Needs` has them.
        elements: whether elements of arrays are among them, so that no array need be there.
    """

    reads: dict[Value, Node] = field(default_factory=dict)
    rooms: dict[Value, tuple[Key, Path]] = field(default_factory=dict)
    elements: bool = False

    def read_by(self, back: Block) -> dict[Value, tuple[Key, Path]]:
        """Those of the arrays that a reversed body reads."""
        wanted = reads(back)
        return {room: place for room, place in self.rooms.items() if room in wanted}


def is_costly(loop: Loop) -> bool:
    """Whether there is anything in a loop whose result might be worth keeping."""
    counted = loop.node.op is for_
    return counted and any(n.op.name in COSTLY and not n.out.type.shape for n, _ in _outside_branches(loop.body))


def ways_to_keep(loop: Loop, needs: Needs, elsewhere: set[Value]) -> Iterator[Kept]:
    """What the loop might keep, the best first.

    Args:
        loop: the loop.
        needs: the state that its reverse needs if it keeps no more.
        elsewhere: numbers that are in arrays already.
    """
    if not needs.paths:
        return
    levels = Levels(loop)
    spans = [_span(levels, path) for path in needs.paths]
    elsewhere = elsewhere | {r for r in loop.body.results if isinstance(r, Value)}
    found = [(n, path) for n, path in _outside_branches(loop.body) if _is_within(_span(levels, path), spans)]
    numbers = [(n, o, p) for n, p in found for o in n.outs if o.type.is_float and not o.type.shape]
    numbers = [(n, o, p) for n, o, p in numbers if o not in elsewhere]
    costly = [(n, o, p) for n, o, p in numbers if n.op.name in COSTLY or n.op is for_]
    elements = [(n, o, p) for n, o, p in numbers if n.op is getitem_ and _is_carried(n.args[0], levels)]
    if any(path for _, _, path in elements):  # else there is no loop that would have to be run again for them
        yield _keeping(loop, [*costly, *elements], True)
    yield _keeping(loop, costly, False)


def is_worthwhile(kept: Kept, back: Block, needs: Needs, otherwise: Needs) -> bool:
    """Whether the reversed body `back` makes good use of what is kept, and would not need much less without it."""
    paths = [path for _, path in kept.read_by(back).values()]
    if not paths or (kept.elements and needs.arrays):
        return False
    return _weight([*paths, *needs.paths]) <= MOST * _weight(otherwise.paths)


def with_kept(nodes: Iterable[Node], kept: Kept) -> list[Node]:
    """The nodes with what is kept read again."""
    out = []
    for node in nodes:
        again = [kept.reads[o] for o in node.outs if o in kept.reads]
        if len(again) < len(node.outs):
            regions = tuple(Block(r.params, with_kept(r.nodes, kept), r.results, r.name, r.notes) for r in node.regions)
            outs = tuple(Value(o.type, o.name) if o in kept.reads else o for o in node.outs)
            out.append(Node(node.op, node.args, outs, node.attrs, regions, node.loc))
        elif not again:
            out.append(node)
        out += again
    return out


def _keeping(loop: Loop, numbers: list[tuple[Node, Value, Path]], elements: bool) -> Kept:
    kept = Kept(elements=elements)
    for node, value, path in numbers:
        index = (loop.index, *(inner.regions[0].params[0] for inner in path))
        room = Value(Type(value.type.dtype, tuple(Value(Type(INT64)) for _ in index)), value.name)
        kept.reads[value] = entry(room, index, value)
        kept.rooms[room] = ((node, value), path)
    return kept


def _outside_branches(body: Block, path: Path = ()) -> Iterator[tuple[Node, Path]]:
    for node in body.nodes:
        yield node, path
        if node.op is for_:
            yield from _outside_branches(node.regions[0], (*path, node))


def _is_carried(array: Value, levels: Levels) -> bool:
    """Whether an array is handed on from iteration to iteration, and written to."""
    while array in levels.makers and levels.makers[array][0].op in (setitem, add_at):
        array = levels.makers[array][0].args[0]
    made = levels.makers[array][0] if array in levels.makers else None
    return array in levels.inside and (made is None or bool(made.regions))


def _span(levels: Levels, path: Path) -> Counter | None:
    """The numbers of iterations of some loops; None if one is not known in front."""
    forms = [levels.form(inner) for inner in path]
    return None if None in forms else Counter(frozenset(form.items()) for form in forms)


def _is_within(span: Counter | None, spans: list[Counter | None]) -> bool:
    return span is not None and any(span <= other for other in spans if other is not None)


def _weight(paths: list[Path]) -> int:
    return sum(_TRIPS ** len(path) for path in paths)
