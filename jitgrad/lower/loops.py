"""What the loops of a lowered program touch, and whether two of them get in each other's way."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations_with_replacement

from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.lower.buffers import Buffers
from jitgrad.ops.affine import Form, constant, form_of, possible, trips_of
from jitgrad.ops.flow import for_, if_
from jitgrad.ops.memory import empty, load, store
from jitgrad.ops.sums import Sums

_REDUCE = frozenset(("product_step", "maximum", "minimum", "logical_and", "logical_or"))
INDEX, OTHER = "index", "other"  # what stands for the number of an iteration, and for that of another one
MOST = 8  # places in a buffer that are told apart


@dataclass(eq=False, slots=True)
class Loop:
    """A loop that may be joined with another.

    Attributes:
        node: the loop.
        places: of each buffer that it touches the places at which it does.
        written: the buffers that it writes to.
        inside: the values that are made in it.
        trips: how many iterations it has.
    """

    node: Node
    trips: Form
    places: dict[Arg, list[tuple[Form, ...]]] = field(default_factory=dict)
    written: set[Arg] = field(default_factory=set)
    inside: set[Value] = field(default_factory=set)


class Loops:
    """
    Attributes:
        buffers: which values are versions of one array.
        makers: the node that each value was made by.
        waits: params that hold what an iteration before has computed.
    """

    def __init__(self, block: Block):
        self.buffers = Buffers(block)
        self.makers = {out: node for node in block.walk() for out in node.outs}
        self.waits: set[Value] = set()

    def loop(self, node: Node) -> Loop | None:
        """A loop, if its iterations are independent but for sums."""
        (body,) = node.regions
        found = Loop(node, trips_of(node.args[0], self.makers.get, lambda value: Form({value: 1})))
        carried = [k for k, param in enumerate(body.params[1:]) if not param.type.shape]
        sums = Sums(body)
        if not all(body.params[1 + k] in self.waits or self.is_reduction(body, sums, k) for k in carried):
            return None
        found.inside.update(body.params)
        if not self.touch(body, {body.params[0]: INDEX}, found):
            return None
        for buffer in found.written:
            if not _are_own([found], buffer):
                return None
        return found

    def is_reduction(self, body: Block, sums: Sums, k: int) -> bool:
        """Whether a loop only takes the sum, or the product, or an extremum of something, in the k-th number."""
        param, last = body.params[1 + k], self.makers.get(body.results[k])
        if sums.end_of(param, body) == k:
            return True
        once = sum(a is param for node in body.walk() for a in node.args) == 1
        return once and last is not None and last.op.name in _REDUCE and last.args[0] is param

    def touch(self, block: Block, index: dict[Value, str], found: Loop) -> bool:
        """Note what the nodes of a block touch; False if there is one among them that can't be joined."""
        for node in block.nodes:
            found.inside.update(node.outs)
            if node.op.effect or (node.regions and node.op not in (for_, if_)):
                return False
            if node.op in (load, store):
                place = tuple(self.form(a, index) for a in node.args[1 if node.op is load else 2 :])
                buffer = self.buffers.of(node.args[0])
                found.places.setdefault(buffer, []).append(place)
                if node.op is store:
                    found.written.add(buffer)
            elif not node.regions and any(a.type.shape for a in (*node.args, *node.outs)):
                return False
            for region in node.regions:
                found.inside.update(region.params)
                if not self.touch(region, index, found):
                    return False
        return True

    def form(self, arg: Arg, index: dict[Value, str]) -> Form:
        return form_of(arg, self.makers.get, lambda value: Form({index.get(value, value): 1}))

    def are_apart(self, first: Loop, second: Loop) -> bool:
        """Whether an iteration of either touches no more of what the other writes than its own part."""
        for buffer in (first.written | second.written) & first.places.keys() & second.places.keys():
            if not _are_own([first, second], buffer):
                return False
        for reader, writer in ((first, second), (second, first)):
            others = [v for v in used(reader.node) if self.buffers.of(v) in writer.written]
            if not set(others) <= {*first.node.args, *first.node.outs, *second.node.args, *reader.inside}:
                return False
        return True

    def is_clear(self, node: Node, loop: Loop) -> bool:
        """Whether a load or store touches no element that the loop writes, and a store none that it touches."""
        buffer = self.buffers.of(node.args[0])
        if node.op is load and buffer not in loop.written:
            return True
        place = [self.form(a, {}) for a in node.args[1 if node.op is load else 2 :]]
        within = [Form({INDEX: 1}), loop.trips - constant(1) - Form({INDEX: 1})]
        return all(
            len(place) == len(other)
            and any(
                loop.inside.isdisjoint(b) and not possible(within, [a - b]) for a, b in zip(place, other, strict=True)
            )
            for other in loop.places.get(buffer, ())
        )

    def keeps_clear(self, node: Node, loop: Loop) -> bool:
        """Whether a node may change places with a loop, as far as memory goes."""
        if node.op in (load, store):
            return self.is_clear(node, loop)
        met = self.met(node)
        return met is not None and loop.written.isdisjoint(met[0]) and met[1].isdisjoint(loop.places)

    def pass_by(self, node: Node, others: list[Node]) -> bool:
        """Whether a node may change places with others, as far as memory goes."""
        read, written = self.met(node)
        return all(written.isdisjoint(r) and w.isdisjoint(read) for r, w in map(self.met, others))

    def met(self, node: Node) -> tuple[set[Arg], set[Arg]] | None:
        """The buffers that a node reads or writes, and those that it writes; None if that isn't all that it does."""
        touched: set[Arg] = set()
        written: set[Arg] = set()
        for inner in Block((), [node], ()).walk():
            if inner.op.effect or (inner.regions and inner.op not in (for_, if_)):
                return None
            if inner.op in (load, store):
                touched.add(self.buffers.of(inner.args[0]))
                if inner.op is store:
                    written.add(self.buffers.of(inner.args[0]))
            elif not inner.regions and inner.op is not empty and any(a.type.shape for a in (*inner.args, *inner.outs)):
                return None
        return touched, written

    def meet(self, first: Node, second: Node) -> bool:
        """Whether one of two loops writes to memory that the other touches."""
        (a, a_written), (b, b_written) = (self.met(node) or (set(), set()) for node in (first, second))
        return not (a.isdisjoint(b_written) and b.isdisjoint(a_written))

    def noted(self, nodes: list[Node], loop: Node) -> tuple[list[Node], Node]:
        """New nodes and a loop, after having noted what they make."""
        for node in Block((), [*nodes, loop], ()).walk():
            self.buffers.add(node)
            self.makers.update(dict.fromkeys(node.outs, node))
        return nodes, loop


def _are_own(loops: list[Loop], buffer: Arg) -> bool:
    """Whether no two iterations are at the same place of a buffer."""
    places = {tuple(frozenset(form.items()) for form in place) for loop in loops for place in loop.places[buffer]}
    inside = {v for loop in loops for v in loop.inside}
    if len({len(place) for place in places}) != 1 or len(places) > MOST:  # views of it in several shapes, or too many
        return False
    forms = [tuple(map(Form, place)) for place in places]
    pairs = combinations_with_replacement(forms, 2)
    return all(any(_differ(x, y, loops[0].trips, inside) for x, y in zip(a, b, strict=True)) for a, b in pairs)


def _differ(a: Form, b: Form, trips: Form, inside: set[Value]) -> bool:
    """Whether two numbers on an axis are two in any two iterations."""
    if not (inside.isdisjoint(a) and inside.isdisjoint(b)):
        return False
    if a == b:
        return bool(a.get(INDEX))
    b = Form((OTHER if symbol == INDEX else symbol, c) for symbol, c in b.items())
    ahead = Form({OTHER: 1, INDEX: -1}) - constant(1)
    last = trips - constant(1)
    within = [Form({INDEX: 1}), Form({OTHER: 1}), last - Form({INDEX: 1}), last - Form({OTHER: 1})]
    behind = Form({OTHER: -1, INDEX: 1}) - constant(1)
    return not any(possible([order, *within], [a - b]) for order in (ahead, behind))
