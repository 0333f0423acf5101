"""Loops that follow each other, over the same numbers, as one.

The lowering makes a loop for each array that it puts into memory. Where neighbours in a block run over the same
numbers, and each reads and writes only its own element of what the other one writes, they become one: what the first
has just computed is still in a register when the second asks for it (Kennedy & McKinley, Maximizing loop parallelism
and improving data locality via loop fusion and distribution, 1993). `forward` takes it from there.

Only loops without recurrences are joined: one that LLVM can't vectorise would keep it from vectorising the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement

from jitgrad.ir.graph import Arg, Block, Node, Value, lengths, used
from jitgrad.lower.buffers import Buffers
from jitgrad.lower.forward import forwarded
from jitgrad.ops.affine import Form, constant, form_of, possible, trips_of
from jitgrad.ops.flow import for_, if_
from jitgrad.ops.memory import empty, load, store
from jitgrad.ops.sums import Sums
from jitgrad.passes.rename import renamed, renamed_inside

LARGEST = 300  # nodes in a joined loop: beyond that, registers and compile time suffer

_REDUCE = frozenset(("product_step", "maximum", "minimum", "logical_and", "logical_or"))
INDEX, OTHER = "index", "other"  # what stands for the number of an iteration, and for that of another one
FAR = 12  # nodes back that a partner is looked for
MOST = 8  # places in a buffer that are told apart


def joined(block: Block) -> Block:
    """The lowered block with neighbouring loops as one, and without the memory that this makes needless."""
    if sum(node.op is for_ for node in block.walk()) > 1:
        block = _Joiner(block).block(block)
    return forwarded(block)


@dataclass(eq=False, slots=True)
class _Loop:
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


class _Joiner:
    def __init__(self, block: Block):
        self.buffers = Buffers(block)
        self.makers = {out: node for node in block.walk() for out in node.outs}

    def block(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            nodes.append(node)
            while nodes[-1].op is for_ and self.joined_with_earlier(nodes):
                pass
        nodes = [renamed(n, {}, tuple(self.block(r) for r in n.regions)) if n.regions else n for n in nodes]
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def joined_with_earlier(self, nodes: list[Node]) -> bool:
        """Join the last of the nodes with the last loop over the same numbers; what stands between moves aside."""
        place = self.partner(nodes)
        if place is None:
            return False
        first, second = (self.loop(n) for n in (nodes[place], nodes[-1]))
        if first is None or second is None or len(first.inside) + len(second.inside) > LARGEST:
            return False
        aside = self.aside(nodes[place + 1 : -1], first, second)
        if aside is None or not self.are_apart(first, second):
            return False
        both = self.merged(first.node, second.node)
        if both is None:
            return False
        before, after = aside
        nodes[place:] = [*before, both, *after]
        return True

    def partner(self, nodes: list[Node]) -> int | None:
        """The place of the last loop over the same numbers as the last node, with no check between."""
        for k in range(len(nodes) - 2, max(-1, len(nodes) - FAR), -1):
            if nodes[k].op.effect:
                return None
            if nodes[k].op is for_ and nodes[k].args[0] == nodes[-1].args[0]:
                return k
        return None

    def aside(self, between: list[Node], first: _Loop, second: _Loop) -> tuple[list[Node], list[Node]] | None:
        """What stands between two loops, to be done before both, or after them if it depends on the first.

        None if it may not move: if the second needs what is done after it, or they meet in memory.
        """
        late = set(first.node.outs)
        before: list[Node] = []
        after: list[Node] = []
        for node in between:
            read = {*used(node), *(n for o in node.outs for n in lengths(o))}
            if read.isdisjoint(late):
                before.append(node)
            else:
                late.update(node.outs)
                after.append(node)
        for loop, moved in ((first, before), (second, after)):
            for node in moved:
                met = self.met(node)
                if met is None or not (loop.written.isdisjoint(met[0]) and met[1].isdisjoint(loop.places)):
                    return None
        for node in before:  # they keep their order, but pass those that stay behind
            if node.op is not empty and any(o.type.shape for o in node.outs) and not self.pass_by(node, after):
                return None
        made = {o for node in after for o in node.outs} | {o for o in first.node.outs if not o.type.shape}
        return None if any(v in made for v in used(second.node)) else (before, after)

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

    def are_apart(self, first: _Loop, second: _Loop) -> bool:
        """Whether an iteration of either touches no more of what the other writes than its own part."""
        for buffer in (first.written | second.written) & first.places.keys() & second.places.keys():
            if not _are_own([first, second], buffer):
                return False
        for reader, writer in ((first, second), (second, first)):
            others = [v for v in used(reader.node) if self.buffers.of(v) in writer.written]
            if not set(others) <= {*first.node.args, *first.node.outs, *second.node.args, *reader.inside}:
                return False
        return True

    def loop(self, node: Node) -> _Loop | None:
        """A loop, if its iterations are independent but for sums."""
        (body,) = node.regions
        found = _Loop(node, trips_of(node.args[0], self.makers.get, lambda value: Form({value: 1})))
        carried = [k for k, param in enumerate(body.params[1:]) if not param.type.shape]
        if carried and not all(map(partial(self.is_reduction, body, Sums(body)), carried)):
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

    def touch(self, block: Block, index: dict[Value, str], found: _Loop) -> bool:
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

    def merged(self, first: Node, second: Node) -> Node | None:
        """The second done within the first, iteration by iteration."""
        (a,), (b,) = first.regions, second.regions
        slot = {out: k for k, out in enumerate(first.outs)}
        env: dict[Arg, Arg] = {b.params[0]: a.params[0]}
        earlier: dict[Arg, Arg] = {}  # what the first calls an array that the second writes to
        results, outs = list(a.results), list(first.outs)
        params, inits = list(a.params), list(first.args)
        ours = set(used(first))
        env.update(zip(first.outs, a.results, strict=True))
        for param, init in zip(b.params[1:], second.args[1:], strict=True):
            if init in slot:
                env[param] = a.results[slot[init]]
            else:
                params.append(param)
                inits.append(init)
                if init.type.shape and init in ours:
                    if init in first.args:
                        return None
                    earlier[init] = param
        if earlier:
            a = renamed_inside(a, earlier)
        rest = renamed_inside(Block((), b.nodes, b.results), env)
        for k, init in enumerate(second.args[1:]):
            if init in slot:
                results[slot[init]], outs[slot[init]] = rest.results[k], second.outs[k]
            else:
                results.append(rest.results[k])
                outs.append(second.outs[k])
        region = Block(tuple(params), [*a.nodes, *rest.nodes], tuple(results), a.name, a.notes)
        both = Node(for_, tuple(inits), tuple(outs), first.attrs, (region,), first.loc)
        self.makers.update((out, inner) for inner in (both, *region.walk()) for out in inner.outs)
        return both


def _are_own(loops: list[_Loop], buffer: Arg) -> bool:
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
