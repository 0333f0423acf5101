"""Two loops over the same numbers, or two branches on the same condition, as one."""

from __future__ import annotations

from dataclasses import dataclass

from jitgrad.ir.function import has_effect
from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.ops.flow import for_
from jitgrad.ops.inplace import Memory
from jitgrad.passes.numbering import Numbered, Table
from jitgrad.passes.rename import renamed_throughout

INDEX = "index"  # what stands for the number of an iteration


@dataclass(frozen=True, eq=False, slots=True)
class Flow:
    """A `for` or an `if`, and what its regions compute.

    Attributes:
        node: the node.
        regions: what each region computes.
        gone: for each region the arrays that have been overwritten when it is done.
    """

    node: Node
    regions: list[Numbered]
    gone: list[set[Value]]


def flow_of(node: Node, table: Table, memory: Memory) -> Flow:
    """A node with what its regions compute; `memory` knows whose memory each array is in."""
    given = {node.regions[0].params[0]: INDEX} if node.op is for_ else {}
    regions = [table.region(region, given) for region in node.regions]
    return Flow(node, regions, [overwritten(region, memory) for region in node.regions])


class Merge:
    """What becomes of two nodes when the second is done within the first.

    Args:
        table: what is known about the block that they are in.
        first, second: the nodes.
        gone: the arrays of that block that are overwritten in it.

    Attributes:
        node: both in one, if that costs no copies; its results are those of the first, then those that the second adds.
        env: what stands for values of the second.
        shared: what is done once in place of twice.
    """

    def __init__(self, table: Table, first: Flow, second: Flow, gone: set[Value]):
        self.table, self.first, self.second = table, first, second
        self.env: dict[Arg, Arg] = {}
        self.shared: list[Node] = []
        self.node: Node | None = None
        one, two = first.node, second.node
        self.is_loop = two.op is for_
        if self.is_loop and any(a.type.shape and a in set(used(one)) for a in two.args):
            return  # the second may write to what it starts from
        known = {table.token(o): j for j, o in enumerate(one.outs) if o not in gone}
        same = {k: known[table.token(o)] for k, o in enumerate(two.outs) if o not in gone and table.token(o) in known}
        theirs = second.regions
        if self.is_loop:
            ours, params = one.regions[0].params, two.regions[0].params
            given = {params[k + 1]: ours[j + 1] for k, j in same.items()}
            self.env = {params[0]: ours[0], **given}
            theirs = [table.region(two.regions[0], {params[0]: INDEX, **given})]
        self._build(theirs, same)

    def _build(self, theirs: list[Numbered], same: dict[int, int]) -> None:
        first, second = self.first.node, self.second.node
        kept = [k for k in range(len(second.outs)) if k not in same]
        regions = []
        for k, (a, b) in enumerate(zip(first.regions, second.regions, strict=True)):
            gone = self.first.gone[k] | self.second.gone[k]
            rest = self._rest(b, self.first.regions[k], theirs[k], gone)
            results = [self.env.get(b.results[j], b.results[j]) for j in kept]
            params = [b.params[j + 1] for j in kept] if self.is_loop else []
            if any(has_effect(node) for node in rest) or _is_harmful(a, rest, results):
                return
            regions.append(Block((*a.params, *params), [*a.nodes, *rest], (*a.results, *results), a.name, a.notes))
        self.shared += [second] if any(second.outs[k].type.is_float for k in same) else []
        self.env.update((second.outs[k], first.outs[j]) for k, j in same.items())
        inits = [second.args[k + 1] for k in kept] if self.is_loop else []
        outs = (*first.outs, *(second.outs[k] for k in kept))
        for out, param in zip(second.outs, second.regions[0].params[1:], strict=self.is_loop):
            out.name = out.name or param.name
        self.node = Node(first.op, (*first.args, *inits), outs, first.attrs, tuple(regions), first.loc)

    def _rest(self, region: Block, ours: Numbered, theirs: Numbered, gone: set[Value]) -> list[Node]:
        """The nodes of a region of the second that do more than those of the first.

        Arrays that are gone in the end are made by each for itself.
        """
        rest = []
        for node in region.nodes:
            if node.op.effect and self.table.key(node) in ours.effects:
                continue
            for out in node.outs:
                known = ours.made.get(theirs.tokens.get(out))
                if known is not None and out not in gone and known not in gone:
                    self.env[out] = known
                    self.shared += [node] if out.type.is_float else []
            checks = bool(node.regions) and has_effect(node)
            if checks or not node.outs or any(out not in self.env for out in node.outs):
                rest.append(renamed_throughout(node, self.env))
        return rest


def _is_harmful(region: Block, rest: list[Node], results: list[Arg]) -> bool:
    """Whether it would cost copies to do the rest, and give its results, after what a region does.

    So it would if the rest reads what the region has overwritten by then, or writes to, or gives once more, what is the
    region's.
    """
    memory = Memory(Block((), [*region.nodes, *rest], ()))
    arrays = {v for v in (*region.params, *(o for n in region.nodes for o in n.outs)) if v.type.shape}
    if any(r in arrays for r in results):
        return True
    owned = {root for v in arrays for root in memory.roots(v)}
    if any(not owned.isdisjoint(memory.roots(w)) for node in rest for w in memory.written(node)):
        return True
    reads = {v for node in rest for v in used(node)}
    return not reads.isdisjoint(overwritten(region, memory))


def overwritten(block: Block, memory: Memory) -> set[Value]:
    """The arrays whose memory has been written to when a block has run: what they were is no more."""
    found: set[Value] = set()
    alive: dict[Value, set[Value]] = {}
    for param in block.params:
        alive.setdefault(param, set()).add(param)
    for node in block.nodes:
        for value in memory.written(node):
            found.add(value)
            for root in memory.roots(value):
                found |= alive.pop(root, set())
        for out in node.outs:
            for root in memory.roots(out) if out.type.shape else ():
                alive.setdefault(root, set()).add(out)
    return found
