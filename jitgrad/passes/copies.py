"""Who may write where.

A write takes over the memory of the array that it changes, if that array is *owned*: it was made here as fresh memory,
and nothing reads it later. Otherwise the write gets a copy. A loop that writes to an array which it carries takes over
what it starts from, and what its body gives for the next iteration, in the same way; a loop that only makes new arrays
takes over nothing.

This is the only place where copies come from that the user hasn't asked for. After it no value is read once its memory
has been written to, and the later stages write in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jitgrad.ir import verify as checker
from jitgrad.ir.function import Function, callee
from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ops.flow import call_, if_, slots
from jitgrad.ops.index import add_at, setitem
from jitgrad.ops.inplace import Memory, Scope, check_writes, is_view, read_inside, roots_after
from jitgrad.ops.shape import broadcast_to_, copy_

DESTRUCTIVE = (add_at, setitem)


def make_copies(block: Block, function: Function | None = None) -> Block:
    """Put a copy in front of every write whose operand is not the writer's own.

    Afterwards `setitem`, `add_at`, and loops, branches and calls with these in them may overwrite what they are given.

    Args:
        block: any block.
        function: the function whose block it is, if it is one's: this may say that it updates arrays of its callers.
    """
    ownership = _Ownership()
    scope = Scope(block)
    if function is not None:
        ownership.owned.update(block.params[k] for k in function.updates)
    ownership.visit_block(scope)
    ownership.give(block)
    if function is not None:
        ownership.give_all(scope)
    block = ownership.copies.apply(block)
    for node in reversed(list(block.walk())):  # one buffer, one name
        if node.op in DESTRUCTIVE and isinstance(node.args[0], Value) and node.args[0].name is None:
            node.args[0].name = node.out.name
    if checker.ENABLED:
        check_writes(block, "make_copies")
    return block


class _Copies:
    """Where copies are wanted."""

    def __init__(self) -> None:
        self.operands: set[tuple[Node, int]] = set()
        self.results: set[tuple[Block, int]] = set()
        self.values: set[Value] = set()

    def apply(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            args = tuple(
                _copy(nodes, a, node, node.outs[min(k, len(node.outs)) - 1].name) if (node, k) in self.operands else a
                for k, a in enumerate(node.args)
            )
            regions = tuple(map(self.apply, node.regions))
            outs = tuple(Value(o.type, o.name) if o in self.values else o for o in node.outs)
            nodes.append(Node(node.op, args, outs, node.attrs, regions, node.loc))
            for raw, out in zip(outs, node.outs, strict=True):
                if raw is not out:
                    nodes.append(Node(copy_, (raw,), (out,), {}, (), node.loc))
        last = nodes[-1] if nodes else None
        results = tuple(
            _copy(nodes, r, last, r.name) if (block, k) in self.results else r for k, r in enumerate(block.results)
        )
        return Block(block.params, nodes, results, block.name, block.notes)


def _copy(nodes: list[Node], x: Arg, near: Node | None, name: str | None) -> Value:
    own = Value(x.type, name)
    nodes.append(Node(copy_, (x,), (own,), {}, (), near.loc) if near else Node(copy_, (x,), (own,)))
    return own


class _Ownership:
    """Goes through a program in its order, and notes which arrays are owned and where copies are wanted.

    Attributes:
        owned: the arrays whose memory nobody but the program, and in it only values with the same roots, knows of.
        taken: the roots of arrays whose memory is written to.
    """

    def __init__(self) -> None:
        self.memory = Memory()
        self.copies = _Copies()
        self.owned: set[Arg] = set()
        self.taken: set[Value] = set()
        self.sharing: dict[Value, list[Value]] = {}
        self.maker: dict[Value, Node] = {}

    def visit_block(self, scope: Scope) -> None:
        for param in scope.block.params:
            self.define(param, frozenset((param,)))
        for k, node in enumerate(scope.block.nodes):
            self.visit(node, scope, k)

    def visit(self, node: Node, scope: Scope, k: int) -> None:
        self.maker.update(dict.fromkeys(node.outs, node))
        if node.op in DESTRUCTIVE:
            x = node.args[0]
            roots = self.memory.roots(x)
            if not self.take(x, scope, k):
                self.copies.operands.add((node, 0))
                roots = frozenset((node.out,))
            self.define(node.out, roots, owned=True)
        elif node.op is if_:
            self.branch(node, scope, k)
        elif node.op is call_:
            self.call(node, scope, k)
        elif node.regions:
            self.loop(node, scope, k)
        else:
            for out in node.outs:
                if out.type.shape:
                    view = is_view(node)
                    fresh = not view and (node.op is not broadcast_to_ or isinstance(node.args[0], Const))
                    self.define(out, self.memory.roots(node.args[0]) if view else frozenset((out,)), fresh)

    def define(self, value: Value, roots: frozenset[Value], owned: bool = False) -> None:
        if value.type.shape:
            self.memory.set_roots(value, roots)
            for root in roots:
                self.sharing.setdefault(root, []).append(value)
            if owned:
                self.owned.add(value)

    # Taking over memory.
    def take(self, x: Arg, scope: Scope, k: int, others: Iterable[Arg] = ()) -> bool:
        """Let the k-th node write to the memory of x, if it may; what shows a part of it and is read later is copied.

        `others` are what the node reads beside.
        """
        others = set(others)
        if not self.movable(x, scope, k, others, views=True):
            return False
        roots = self.memory.roots(x)
        for view in list(self._relatives(x)):
            if view in others or scope.read_after(view, k):
                self.copies.values.add(view)
                self.memory.set_roots(view, frozenset((view,)))
                self.owned.add(view)
        for root in roots:  # what is written to often has as many versions, which nobody asks for any more
            self.sharing[root] = [
                v for v in self.sharing.get(root, ()) if v not in scope.made or scope.read_after(v, k)
            ]
        self.taken |= roots
        return True

    def movable(self, x: Arg, scope: Scope, k: int, others: Iterable[Arg] = (), views: bool = False) -> bool:
        """Whether the k-th node may have the memory of x for its own.

        With `views` there may be views that are read later.
        """
        if x not in self.owned or x in others or scope.read_after(x, k):
            return False
        if not all(_at_hand(root, scope) for root in self.memory.roots(x)):
            return False
        read = [v for v in self._relatives(x) if v in others or scope.read_after(v, k)]
        return all(views and v not in self.owned and v in self.maker for v in read)

    def _relatives(self, x: Arg) -> Iterator[Value]:
        """The other values in the memory of x."""
        for root in self.memory.roots(x):
            for value in self.sharing.get(root, ()):
                if value is not x and root in self.memory.roots(value):
                    yield value

    # Calls and regions.
    def call(self, node: Node, scope: Scope, k: int) -> None:
        """A function takes over the arrays that it updates; what it gives is nobody else's."""
        sources: dict[int, Arg] = {}
        for j, result in callee(node).updates.items():
            others = {a for i, a in enumerate(node.args) if i != j and (node, i) not in self.copies.operands}
            if self.take(node.args[j], scope, k, others):
                sources[result] = node.args[j]
            else:
                self.copies.operands.add((node, j))
        for j, out in enumerate(node.outs):
            roots = self.memory.roots(sources[j]) if j in sources else ()
            self.define(out, frozenset((out, *roots)), owned=True)

    def branch(self, node: Node, scope: Scope, k: int) -> None:
        """A result is owned if what each region gives is, and is given once."""
        inner = [Scope(region, scope, k) for region in node.regions]
        for s in inner:
            self.visit_block(s)
        roots = self._roots_outside(node, (), scope)
        for slot in slots(node):
            if slot.out.type.shape:
                owned = all(
                    self.movable(r, s, s.end) and self._once(r, s.block.results)
                    for r, s in zip(slot.results, inner, strict=True)
                )
                self.define(slot.out, roots[slot.out], owned)

    def loop(self, node: Node, scope: Scope, k: int) -> None:
        inner = [Scope(region, scope, k, repeats=True) for region in node.regions]
        body = inner[-1]
        # Those of an array that the body doesn't write to aren't owned, but then nothing is taken.
        params = body.block.params[len(body.block.params) - len(node.outs) :]
        self.owned.update(p for p in params if p.type.shape)
        for s in inner:
            self.visit_block(s)
        destroyed = self._destroyed(params, body)
        self._own_results(destroyed, body)
        captured = read_inside(node)
        self._own_init(node, destroyed, captured, scope, k)
        moved = self._moved(node, destroyed, captured, params, (scope, k), body)
        roots = self._roots_outside(node, destroyed, scope)
        for j, out in enumerate(node.outs):
            if out.type.shape:
                self.define(out, roots[out], j in destroyed or j in moved)

    def _destroyed(self, params: tuple[Value, ...], body: Scope) -> list[int]:
        """The slots whose memory is written to in the body, now or in a later iteration."""
        results = body.block.results
        found = [j for j, p in enumerate(params) if p in self.taken]
        for j in found:  # grows
            if self.movable(results[j], body, body.end):
                roots = self.memory.roots(results[j])
                found += [i for i, p in enumerate(params) if p in roots and i not in found]
        return sorted(found)

    def _own_results(self, destroyed: list[int], body: Scope) -> None:
        """Memory that is written to in the next iteration is given to one slot only."""
        results = body.block.results
        given: set[Value] = set()
        for j in destroyed:
            roots = self.memory.roots(results[j])
            if self.movable(results[j], body, body.end) and given.isdisjoint(roots):
                given |= roots
                self.taken |= roots
            else:
                self.copies.results.add((body.block, j))
        for j, result in enumerate(results):
            if j not in destroyed and result.type.shape and not given.isdisjoint(self.memory.roots(result)):
                self.copies.results.add((body.block, j))

    def _own_init(self, node: Node, destroyed: list[int], captured: set[Value], scope: Scope, k: int) -> None:
        for j in destroyed:
            others = {a for i, a in enumerate(node.args) if i != j + 1 and (node, i) not in self.copies.operands}
            if not self.take(node.args[j + 1], scope, k, captured | others):
                self.copies.operands.add((node, j + 1))

    def _moved(self, node: Node, destroyed: list[int], captured: set[Value], params: tuple, at: tuple, body: Scope
               ) -> set[int]:  # fmt: skip
        """The slots that aren't written to, but whose arrays belong to nobody else either."""
        results = body.block.results
        moved = {
            j
            for j, init in enumerate(node.args[1:])
            if init.type.shape
            and j not in destroyed
            and self.movable(init, *at, [*captured, *node.args[1 : j + 1], *node.args[j + 2 :]])
            and (
                (body.block, j) in self.copies.results
                or (self.movable(results[j], body, body.end) and self._once(results[j], results))
            )
        }
        while True:
            strange = {p for j, p in enumerate(params) if j not in moved and j not in destroyed}
            left = {
                j
                for j in moved
                if (body.block, j) in self.copies.results or strange.isdisjoint(self.memory.roots(results[j]))
            }
            if left == moved:
                return moved
            moved = left

    def _once(self, x: Arg, results: tuple[Arg, ...]) -> bool:
        return sum(r.type.shape != () and self.memory.share(x, r) for r in results) == 1

    def _roots_outside(self, node: Node, destroyed: Iterable[int], scope: Scope) -> dict[Value, frozenset[Value]]:
        return {
            out: frozenset(r for r in roots if r is out or _visible(r, scope))
            for out, roots in roots_after(node, destroyed, self.memory.roots).items()
        }

    def give(self, block: Block) -> None:
        """What a loop or branch has handed through is not given to the caller as if it were new."""
        for k, result in enumerate(block.results):
            base = result
            while base in self.maker and is_view(self.maker[base]):
                base = self.maker[base].args[0]
            if base in self.maker and self.maker[base].regions and base.type.shape and base not in self.owned:
                self.copies.results.add((block, k))

    def give_all(self, scope: Scope) -> None:
        """The arrays that a function gives belong to its caller, each to nobody else."""
        results = scope.block.results
        for k, result in enumerate(results):
            if result.type.shape and not (self.movable(result, scope, scope.end) and self._once(result, results)):
                self.copies.results.add((scope.block, k))


def _at_hand(root: Value, scope: Scope) -> bool:
    """Whether what runs here runs once for each time that the memory comes to be."""
    inner: Scope | None = scope
    while inner is not None and root not in inner.made:
        if inner.repeats:
            return False
        inner = inner.parent
    return inner is not None


def _visible(root: Value, scope: Scope | None) -> bool:
    while scope is not None and root not in scope.made:
        scope = scope.parent
    return scope is not None
