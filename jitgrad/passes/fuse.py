"""One pass over the iterations where there were two: the primal and its reverse together.

A loop whose carries are sums needs nothing of what it carries to be reversed: the reverse runs the body again, from the
number of the iteration alone, and adds up cotangents, whose order is free. Then both are one loop, which runs the body
once. What an inner loop keeps for its reverse lives for one iteration of the outer one (Griewank & Walther, Evaluating
Derivatives, 2008, ch. 12, call it joint reversal).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from jitgrad.ir.function import has_effect
from jitgrad.ir.graph import Arg, Block, Node, Value, lengths, used
from jitgrad.ops.flow import for_, if_
from jitgrad.ops.inplace import Memory
from jitgrad.passes.invariants import Harmless
from jitgrad.passes.merge import Flow, Merge, flow_of, overwritten
from jitgrad.passes.numbering import Table
from jitgrad.passes.orderless import orderless
from jitgrad.passes.rename import rename_lengths, renamed, renamed_inside
from jitgrad.passes.seeds import as_factor, scaled_slots, with_one

TRIES = 4  # how many partners of a loop are looked at
# Operations that only move elements, and those that cost about as much.
_MOVES = frozenset(("getitem", "astype", "broadcast_to", "reshape", "transpose", "stop_gradient"))
_CHEAP = _MOVES | {
    "add", "subtract", "multiply", "negative", "square", "absolute", "sign", "maximum", "minimum", "where",
    "strong_multiply",
}  # fmt: skip


def fuse(block: Block) -> Block:
    """Do a loop or branch within an earlier one over the same numbers, or on the same condition, if that saves work.

    * The second depends on nothing that the first makes, and all that it does depend on can be done before the first.
    * It costs no copies: the second reads nothing that the first has overwritten, in any iteration.

    Outer loops first. What both compute is computed once; inner loops that then stand in one body are fused in turn.
    """
    if sum(node.op in (for_, if_) for node in block.walk()) < 2:
        return block
    fuser = _Fuser(block)
    block = fuser.block(block)
    return rename_lengths(renamed_inside(block, fuser.env), fuser.env) if fuser.env else block


class _Fuser:
    """Goes through the blocks of a program, outer ones first.

    Attributes:
        table: which values are equal.
        memory: whose memory each array is in.
        harmless: what can be done in any case.
        env: what stands for values that are gone.
    """

    def __init__(self, block: Block):
        self.table = Table()
        self.memory = Memory(block)
        self.harmless = Harmless(block)
        self.env: dict[Arg, Arg] = {}

    def block(self, block: Block) -> Block:
        self.table.forget(block.params)
        nodes = _Level(self, block).fused()
        nodes = [renamed(n, {}, tuple(map(self.block, n.regions))) if n.regions else n for n in nodes]
        return Block(block.params, nodes, block.results, block.name, block.notes)


@dataclass(eq=False, slots=True)
class _Group:
    """A loop or branch, and all that is done within it by now.

    Attributes:
        flow: the node, and what it computes.
        place: where it stands in its block.
        bits: the numbers of the nodes in it, as a set of bits.
        after: those of the nodes that it depends on, its own included.
    """

    flow: Flow
    place: int
    bits: int
    after: int


class _Level:
    """The nodes of one block.

    Attributes:
        nodes: at each place the node that stood there; if that is done within an earlier one, what is left of it.
        maker, place: of each value the node that makes it, and where that stands.
        after: of each value the loops and branches that it depends on.
        groups: all loops and branches; `grown` are those that are several in one.
        partners: by what they compute, the loops and branches that may be done together.
        gone: the arrays that are overwritten in the block.
        effects: how many nodes before each place have an effect.
    """

    def __init__(self, fuser: _Fuser, block: Block):
        self.fuser, self.table = fuser, fuser.table
        self.nodes: list[list[Node]] = [[node] for node in block.nodes]
        self.gone = overwritten(block, fuser.memory)
        self.maker: dict[Arg, Node] = {}
        self.place: dict[Value, int] = {}
        self.after: dict[Value, int] = {}
        self.count = 0
        self.grown: list[_Group] = []
        self.partners: dict[tuple, dict[_Group, None]] = {}
        self.effects = [0]

    def fused(self) -> list[Node]:
        for place, (node,) in enumerate(self.nodes):
            after = self.dependences(node)
            self.place.update(dict.fromkeys(node.outs, place))
            self.effects.append(self.effects[-1] + has_effect(node))
            self.table.number(node)
            self.maker.update(dict.fromkeys(node.outs, node))
            if node.op is for_ or node.op is if_:
                bit, self.count = 1 << self.count, self.count + 1
                self.visit(_Group(self.flow(node), place, bit, self.closed(after | bit)))
                after |= bit
            self.after.update(dict.fromkeys(node.outs, after))
        return self.ordered() if self.grown else [node for (node,) in self.nodes]

    def dependences(self, node: Node) -> int:
        """The loops and branches that a node depends on, but for what follows from some being done together."""
        after = 0
        for value in self.needs(node):
            after |= self.after.get(value, 0)
        return after

    def flow(self, node: Node) -> Flow:
        return flow_of(node, self.table, self.fuser.memory)

    def needs(self, node: Node) -> Iterator[Value]:
        """What a node reads, with the lengths of all that it makes."""
        for value in (*used(node), *_lengths_inside(node)):
            yield self.fuser.env.get(value, value)

    def closed(self, after: int) -> int:
        """What is depended on, with what that depends on since it is done together with other nodes."""
        for group in self.grown:
            if after & group.bits:
                after |= group.after
        return after

    def visit(self, second: _Group) -> None:
        """Do a node within an earlier one if that is right and pays, else note it for later ones."""
        # The user's own loops stay apart if all that they share is what they read, and add up in their own order.
        adjoint = second.flow.node.loc.role == "adjoint"
        for first in self.candidates(second):
            merge = self.merge(second, first)
            if merge is not None and any(adjoint or node.op.name not in _MOVES for node in merge.shared):
                return self.replace(first, second, merge)
        if adjoint and second.flow.node.op is for_ and orderless(second.flow.node.regions[0]):
            for first in self.candidates(second):
                if self.with_one(second, first):
                    return None
        return self.register(second)

    def merge(self, second: _Group, first: _Group) -> Merge | None:
        """What becomes of two nodes, if they may be done together."""
        merge = Merge(self.table, first.flow, second.flow, self.gone) if self.may_move(second, first) else None
        return None if merge is None or merge.node is None else merge

    def with_one(self, second: _Group, first: _Group) -> bool:
        """Do a loop within an earlier one that makes the number by which all is multiplied that the second adds up."""
        node = second.flow.node
        reads = dict.fromkeys(v for v in self.needs(node) if v in self.after)
        late = [v for v in reads if self.closed(self.after[v]) & first.bits]
        if len(late) != 1 or late[0] in node.args or late[0].type.shape or not late[0].type.is_float:
            return False
        node, seed, before = as_factor(node, late[0])
        scaled = scaled_slots(node, seed, self.maker)
        if scaled is None:
            return False
        loop, scaling = with_one(node, seed, scaled)
        after = self.closed(self.dependences(loop) | second.bits)
        unit = _Group(self.flow(loop), second.place, second.bits, after)
        merge = self.merge(unit, first)
        if merge is None or all(node.op.name in _CHEAP for node in merge.shared):
            return False  # it would cost more to go through the results once more
        self.replace(first, unit, merge)
        self.nodes[second.place] = [*before, *scaling]
        self.place.update((out, second.place) for each in self.nodes[second.place] for out in each.outs)
        return True

    def signature(self, node: Node) -> tuple:
        """What two nodes must have in common: how often or whether they run."""
        return node.op, self.table.token(node.args[0]), tuple(sorted(node.attrs.items()))

    def keys(self, flow: Flow) -> Iterator[tuple]:
        """What makes a node worth being looked at with another: what they have in common."""
        signature = self.signature(flow.node)
        for k, region in enumerate(flow.regions):
            for token, value in region.made.items():
                if value.type.is_float:
                    yield signature, k, token
        for out in flow.node.outs:
            if out.type.is_float:
                yield signature, "result", self.table.token(out)

    def register(self, group: _Group) -> None:
        for key in self.keys(group.flow):
            self.partners.setdefault(key, {})[group] = None

    def candidates(self, second: _Group) -> list[_Group]:
        """The nodes that have most in common with a later one."""
        found = Counter(g for key in self.keys(second.flow) for g in self.partners.get(key, ()))
        return sorted(found, key=lambda g: (-found[g], -g.place))[:TRIES]

    def may_move(self, second: _Group, first: _Group) -> bool:
        """Whether the second, and what it depends on, may be done in front of all that comes after the first."""
        if second.after & first.bits or self.effects[second.place] != self.effects[first.place + 1]:
            return False
        return not has_effect(first.flow.node) or all(map(self.fuser.harmless.is_, self.between(second, first)))

    def between(self, second: _Group, first: _Group) -> list[Node]:
        """The nodes after the first that the second depends on."""
        found: dict[int, None] = {}
        pending = [second.flow.node]
        while pending:
            for value in self.needs(pending.pop()):
                place = self.place.get(value, -1)
                if place > first.place and place not in found:
                    found[place] = None
                    pending += self.nodes[place]
        return [node for place in found for node in self.nodes[place]]

    def replace(self, first: _Group, second: _Group, merge: Merge) -> None:
        """Let the first do the second too."""
        self.fuser.env.update(merge.env)
        self.nodes[first.place], self.nodes[second.place] = [merge.node], []
        for out in second.flow.node.outs:
            self.place[out] = first.place
            if out in merge.env:
                self.table.tokens[out] = self.table.token(merge.env[out])
        if first not in self.grown:
            self.grown.append(first)
        first.bits |= second.bits
        first.after |= self.closed(first.after) | second.after
        for group in self.grown:
            if group.after & first.bits:
                group.after |= first.after
        first.flow = self.flow(merge.node)
        self.register(first)

    def ordered(self) -> list[Node]:
        """The nodes in an order in which each comes after those that it depends on, and else as they were."""
        out: list[Node] = []
        done: set[int] = set()
        for start in range(len(self.nodes)):
            pending = [start]
            while pending:
                place = pending[-1]
                needs = (v for node in self.nodes[place] for v in self.needs(node))
                wanted = {self.place.get(v, place) for v in needs} - {place} - done
                if place in done:
                    pending.pop()
                elif wanted:
                    pending.extend(sorted(wanted, reverse=True))
                else:
                    done.add(pending.pop())
                    out += self.nodes[place]
        return out


def _lengths_inside(node: Node) -> Iterator[Value]:
    """The lengths of what a node and its regions make."""
    for out in node.outs:
        yield from lengths(out)
    for region in node.regions:
        for param in region.params:
            yield from lengths(param)
        for inner in region.nodes:
            yield from _lengths_inside(inner)
