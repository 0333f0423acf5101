"""Loops that follow each other, over the same numbers, as one.

The lowering makes a loop for each array that it puts into memory. Where neighbours in a block run over the same
numbers, and each reads and writes only its own element of what the other one writes, they become one: what the first
has just computed is still in a register when the second asks for it (Kennedy & McKinley, Maximizing loop parallelism
and improving data locality via loop fusion and distribution, 1993). `forward` takes it from there.

Loops that run over the same numbers but for one do so once their ends are peeled off (`ends`), and what an iteration
finds where the one before it has been waits in a number (`waits`). Other recurrences aren't joined: a loop that LLVM
can't vectorise would keep it from vectorising the other.
"""

from __future__ import annotations

from dataclasses import replace

from jitgrad.ir.graph import Arg, Block, Node, lengths, used
from jitgrad.lower.ends import is_short, without_first, without_last
from jitgrad.lower.forward import forwarded
from jitgrad.lower.loops import Loop
from jitgrad.lower.waits import Waiting
from jitgrad.ops.affine import ONE, Form
from jitgrad.ops.control import check
from jitgrad.ops.flow import PARALLEL, for_
from jitgrad.ops.memory import empty, load, store
from jitgrad.passes.rename import renamed, renamed_inside, renamed_throughout

LARGEST = 300  # nodes in a joined loop: beyond that, registers and compile time suffer
FAR = 12  # nodes back that a partner is looked for


def joined(block: Block) -> Block:
    """The lowered block with neighbouring loops as one, and without the memory that this makes needless."""
    if sum(node.op is for_ for node in block.walk()) > 1:
        block = _Joiner(block).block(block)
    return forwarded(block)


class _Joiner(Waiting):
    def block(self, block: Block) -> Block:
        nodes: list[Node] = []
        with self.bounds.forgetting():
            for node in block.nodes:
                nodes.append(node)
                self.learn(node)
                while nodes[-1].op is for_ and (self.joined_with_earlier(nodes) or self.joined_but_for_ends(nodes)):
                    pass
        for k, node in enumerate(nodes):
            self.learn(node)
            if node.regions:
                nodes[k] = renamed(node, {}, tuple(self.region(node, region) for region in node.regions))
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def region(self, node: Node, region: Block) -> Block:
        with self.bounds.inside(node, region):
            return self.block(region)

    def learn(self, node: Node) -> None:
        """What a check has made certain for what comes after it."""
        if node.op is check:
            self.bounds.learn(node.args[0])

    def joined_with_earlier(self, nodes: list[Node]) -> bool:
        """Join the last of the nodes with the last loop over the same numbers; what stands between moves aside."""
        place = self.partner(nodes)
        found = None if place is None else self.pair(nodes[place], nodes[place + 1 : -1], nodes[-1])
        if found is None:
            return False
        nodes[place:] = found
        return True

    def joined_but_for_ends(self, nodes: list[Node]) -> bool:
        """Join the last of the nodes with the last loop that has an iteration more or less, which is done apart."""
        place, more = self.partner_but_for_ends(nodes) or (None, 0)
        if place is None:
            return False
        first, between, second = nodes[place], nodes[place + 1 : -1], nodes[-1]
        longer, count = (second, first.args[0]) if more > 0 else (first, second.args[0])
        if not is_short(longer) or not self.meet(first, second):
            return False
        head, rest = self.noted(*without_first(longer, count))
        if more < 0:
            found = self.pair(rest, between, second)
            found = found and [*head, *found]
        else:
            found = self.pair(first, between, rest, head)
            if found is None and (ends := without_last(longer, count)) is not None:
                tail, rest = self.noted(*reversed(ends))
                found = self.pair(first, between, rest)
                found = found and [*found, *tail]
        if found is None:
            return False
        nodes[place:] = found
        return True

    def pair(self, first: Node, between: list[Node], second: Node, head: list[Node] = ()) -> list[Node] | None:
        """Two loops over the same numbers as one, with what stands between aside; `head`, the first iteration of what
        the second was, comes before both."""
        a, b = self.loop(first), self.loop(second)
        if a is None or b is None or len(a.inside) + len(b.inside) > LARGEST:
            return None
        a, kept = self.keeping(a, b.written)
        between = [self.unhindered(node, a) for node in between]  # what they find the head hasn't written yet
        head, first, second = self.moved(head, a, second)
        a, b = replace(a, node=first), self.loop(second)
        b, init = self.handed_on(a, b)
        aside = self.aside([*between, *(self.unhindered(node, a) for node in (*head, *init))], a, b)
        if aside is None or not self.are_apart(a, b):
            return None
        both = self.merged(a.node, b.node)
        before, after = aside
        ends = {init: out for init, out in zip(b.node.args[1:], b.node.outs, strict=True) if out.type.shape}
        after = [renamed_throughout(node, ends) for node in after]  # of what the second writes elsewhere
        return None if both is None else [*kept, *before, both, *after]

    def partner(self, nodes: list[Node]) -> int | None:
        """The place of the last loop over the same numbers as the last node, with no check between."""
        for k in range(len(nodes) - 2, max(-1, len(nodes) - FAR), -1):
            if nodes[k].op.effect:
                return None
            if nodes[k].op is for_ and nodes[k].args[0] == nodes[-1].args[0]:
                return k
        return None

    def partner_but_for_ends(self, nodes: list[Node]) -> tuple[int, int] | None:
        """The place of the last loop before the last node, and how many iterations more that has: one or -1."""
        for k in range(len(nodes) - 2, max(-1, len(nodes) - FAR), -1):
            if nodes[k].op.effect:
                return None
            if nodes[k].op is for_:
                if nodes[k].attrs.get(PARALLEL) or nodes[-1].attrs.get(PARALLEL):
                    return None
                first, second = self.trips(nodes[k]), self.trips(nodes[-1])
                more = (second - first).get(ONE, 0) if (second - first).keys() == {ONE} else 0
                shorter = first if more > 0 else second
                return (k, more) if abs(more) == 1 and self.bounds.is_certain(shorter) else None
        return None

    def trips(self, loop: Node) -> Form:
        """How many iterations a loop has; of max(n, 0), n where it is certain."""
        count = self.bounds.form(self.bounds.unclamped(loop.args[0]))
        return count if self.bounds.is_certain(count) else self.bounds.form(loop.args[0])

    def moved(self, head: list[Node], first: Loop, second: Node) -> tuple[list[Node], Node, Node]:
        """Nodes between two loops so that they come before both, as far as they touch no element that the first writes;
        with the loops."""
        outs, inits = first.node.outs, list(first.node.args[1:])
        late: dict[Arg, int] = {out: k for k, out in enumerate(outs) if out.type.shape}
        latest: dict[Arg, Arg] = {}  # what the first is to read, and
        env: dict[Arg, Arg] = {}  # the second
        nodes: list[Node] = []
        for node in head:
            if node.op in (load, store) and self.is_clear(node, first):
                slot = late.get(node.args[0])
                if slot is not None:
                    node = renamed(node, {node.args[0]: inits[slot]})
                if node.op is store and slot is None:
                    latest |= {
                        old: node.out for old in (*(k for k, v in latest.items() if v is node.args[0]), node.args[0])
                    }
                elif node.op is store:
                    inits[slot] = node.out
                    late[node.out] = slot
                    env[node.out] = outs[slot]
            nodes.append(node)
        loop = first.node
        loop = Node(for_, (loop.args[0], *inits), outs, loop.attrs, loop.regions, loop.loc)
        if latest:
            _, loop = self.noted([], renamed_throughout(loop, latest))
        return nodes, loop, renamed_throughout(second, env) if env else second

    def unhindered(self, node: Node, loop: Loop) -> Node:
        """A load from an array after a loop that hasn't written that element, as one from what it was before."""
        if node.op is not load or node.args[0] not in loop.node.outs or not self.is_clear(node, loop):
            return node
        return renamed(node, dict(zip(loop.node.outs, loop.node.args[1:], strict=True)))

    def aside(self, between: list[Node], first: Loop, second: Loop) -> tuple[list[Node], list[Node]] | None:
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
                if not self.keeps_clear(node, loop):
                    return None
        seen = set(used(first.node))
        for node in before:  # they keep their order, but pass those that stay behind
            if node.op is store and node.args[0] in seen:  # the first would read what is no more
                return None
            if node.op is not empty and any(o.type.shape for o in node.outs) and not self.pass_by(node, after):
                return None
        made = {o for node in after for o in node.outs} | {o for o in first.node.outs if not o.type.shape}
        return None if any(v in made for v in used(second.node)) else (before, after)

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
