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

from jitgrad.ir.graph import Arg, Block, Node, Value, lengths, used
from jitgrad.lower.buffers import Buffers
from jitgrad.lower.forward import forwarded
from jitgrad.ops.affine import Form, form_of
from jitgrad.ops.flow import for_, if_
from jitgrad.ops.memory import empty, load, store
from jitgrad.ops.sums import Sums
from jitgrad.passes.rename import renamed, renamed_inside

LARGEST = 300  # nodes in a joined loop: beyond that, registers and compile time suffer

_REDUCE = frozenset(("product_step", "maximum", "minimum", "logical_and", "logical_or"))
INDEX = "index"  # what stands for the number of an iteration


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
    """

    node: Node
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
        """Join the last of the nodes with the last loop before it, if that may be; what stands between moves aside."""
        place = next((k for k in range(len(nodes) - 2, -1, -1) if nodes[k].regions or nodes[k].op.effect), None)
        if place is None or nodes[place].op is not for_ or nodes[place].args[0] != nodes[-1].args[0]:
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

    def aside(self, between: list[Node], first: _Loop, second: _Loop) -> tuple[list[Node], list[Node]] | None:
        """What stands between two loops, to be done before both, or after them if it depends on the first.

        It makes memory, or numbers, which the second doesn't read if they depend on the first. None if it may not move.
        """
        late = set(first.node.outs)
        before: list[Node] = []
        after: list[Node] = []
        for node in between:
            if node.op is not empty and any(o.type.shape for o in node.outs):
                return None
            if any(a in late for a in (*node.args, *(n for o in node.outs for n in lengths(o)))):
                late.update(node.outs)
                after.append(node)
            else:
                before.append(node)
        for loop, moved in ((first, before), (second, after)):
            if any(node.op is load and self.buffers.of(node.args[0]) in loop.written for node in moved):
                return None
        made = {o for node in after for o in node.outs} | {o for o in first.node.outs if not o.type.shape}
        return None if any(v in made for v in used(second.node)) else (before, after)

    def are_apart(self, first: _Loop, second: _Loop) -> bool:
        """Whether an iteration of either touches no more of what the other writes than its own part."""
        for buffer in (first.written | second.written) & first.places.keys() & second.places.keys():
            if not _has_own_axis([first, second], buffer):
                return False
        for reader, writer in ((first, second), (second, first)):
            others = [v for v in used(reader.node) if self.buffers.of(v) in writer.written]
            if not set(others) <= {*first.node.args, *first.node.outs, *second.node.args, *reader.inside}:
                return False
        return True

    def loop(self, node: Node) -> _Loop | None:
        """A loop, if its iterations are independent but for sums."""
        (body,) = node.regions
        found = _Loop(node)
        carried = [k for k, param in enumerate(body.params[1:]) if not param.type.shape]
        if carried and not all(map(partial(self.is_reduction, body, Sums(body)), carried)):
            return None
        found.inside.update(body.params)
        if not self.touch(body, {body.params[0]: INDEX}, found):
            return None
        for buffer in found.written:
            if not _has_own_axis([found], buffer):
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


def _has_own_axis(loops: list[_Loop], buffer: Arg) -> bool:
    """Whether all places have one axis on which they are one number, and that differs between iterations."""
    places = [place for loop in loops for place in loop.places[buffer]]
    inside = {v for loop in loops for v in loop.inside}
    return any(
        axis[0].get(INDEX) in (1, -1) and all(form == axis[0] for form in axis) and inside.isdisjoint(axis[0])
        for axis in zip(*places, strict=True)
    )
