"""Numbers for computations, so that equal ones are found though they stand in different loops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jitgrad.ir.graph import Arg, Block, Node, Value, used
from jitgrad.ops.flow import for_, if_, while_


@dataclass(frozen=True, slots=True)
class Numbered:
    """What the nodes of a region compute.

    Attributes:
        tokens: of the values that the region makes, those of inner regions not included.
        made: the first value that has a token.
        effects: the effects of the region, by what they do.
        results: tokens of the results.
    """

    tokens: dict[Value, object]
    made: dict[object, Value]
    effects: set[tuple]
    results: tuple


class Table:
    """Tokens of values: two values that have the same are equal, wherever both are known.

    Each result of a loop or branch has a token of its own, which says how that one is computed. So a loop that gives
    more than another is seen to give the same among it.

    Attributes:
        tokens: what stands for a value; itself, if nothing does.
    """

    def __init__(self) -> None:
        self.ids: dict[tuple, int] = {}
        self.tokens: dict[Arg, object] = {}
        self.depth = 0

    def token(self, arg: Arg) -> object:
        return self.tokens.get(arg, arg)

    def key(self, node: Node) -> tuple:
        """What a node without regions does."""
        return node.op, tuple(map(self.token, node.args)), tuple(sorted(node.attrs.items()))

    def forget(self, values: Iterable[Value]) -> None:
        """Let values stand for themselves."""
        for value in values:
            self.tokens.pop(value, None)

    def region(self, region: Block, given: dict[Value, object]) -> Numbered:
        """Number the nodes of a region; `given` are tokens of values in it."""
        self.forget(region.params)
        self.tokens.update(given)
        tokens: dict[Value, object] = {}
        for node in region.nodes:
            if not any(out in given for out in node.outs):
                self.number(node)
                tokens.update((out, self.token(out)) for out in node.outs)
        made = {token: value for value, token in reversed(tokens.items())}
        effects = {self.key(node) for node in region.nodes if node.op.effect}
        return Numbered(tokens, made, effects, tuple(map(self.token, region.results)))

    def number(self, node: Node) -> None:
        """Give tokens to what a node makes."""
        if node.op is if_:
            self._branch(node)
        elif node.op is for_ or node.op is while_:
            self._loop(node)
        elif node.regions:
            self.forget(node.outs)
        else:
            self._give(self.key(node), node.outs)

    def _give(self, key: tuple, outs: Iterable[Value]) -> None:
        number = self.ids.setdefault(key, len(self.ids))
        self.tokens.update((out, (number, k)) for k, out in enumerate(outs))

    def _branch(self, node: Node) -> None:
        for region in node.regions:
            for inner in region.nodes:
                self.number(inner)
        for out, *results in zip(node.outs, *(r.results for r in node.regions), strict=True):
            self._give((if_, self.token(node.args[0]), *map(self.token, results)), (out,))

    def _loop(self, node: Node) -> None:
        """Number each result by what the slots do that it depends on."""
        self.depth += 1
        if node.op is for_:
            self.tokens[node.regions[0].params[0]] = "index", self.depth
        reads = self._reads(node)
        for region in node.regions:
            for inner in region.nodes:
                if not reads[inner]:
                    self.number(inner)
        for slots in dict.fromkeys(_closed(node, reads)):
            self._slice(node, slots, reads)
        self.depth -= 1

    def _reads(self, node: Node) -> dict[Node | Value, int]:
        """The slots that the nodes in a loop, and what they make, depend on, as bits."""
        reads: dict[Node | Value, int] = {}
        for region in node.regions:
            params = region.params[len(region.params) - len(node.outs) :]
            reads.update((p, 1 << k) for k, p in enumerate(params))
            for inner in region.nodes:
                found = 0
                for value in used(inner):
                    found |= reads.get(value, 0)
                reads[inner] = found
                reads.update(dict.fromkeys(inner.outs, found))
        return reads

    def _slice(self, node: Node, slots: int, reads: dict[Node | Value, int]) -> None:
        """Number the results whose slots are these, by a loop of these alone."""
        places = [k for k in range(len(node.outs)) if slots >> k & 1]
        results: list[object] = []
        for region in node.regions:
            first = len(region.params) - len(node.outs)
            self.tokens.update((region.params[first + k], ("carry", self.depth, j)) for j, k in enumerate(places))
            for inner in region.nodes:
                if reads[inner] and not reads[inner] & ~slots:
                    self.number(inner)
            if region.name == "test":
                results.append(self.token(region.results[0]))
            else:
                results += [self.token(region.results[k]) for k in places]
        starts = tuple((self.token(node.args[k + 1]), node.outs[k].type.dtype, node.outs[k].type.weak) for k in places)
        key = (node.op, self.token(node.args[0]), tuple(sorted(node.attrs.items())), starts, tuple(results))
        number = self.ids.setdefault(key, len(self.ids))
        closed = _closed(node, reads)
        self.tokens.update((node.outs[k], (number, j)) for j, k in enumerate(places) if closed[k] == slots)


def _closed(node: Node, reads: dict[Node | Value, int]) -> list[int]:
    """For each slot of a loop those that it depends on, itself included, in all iterations; as bits."""
    always = sum(reads.get(r.results[0], 0) for r in node.regions if r.name == "test")
    direct = [1 << k | always | reads.get(r, 0) for k, r in enumerate(node.regions[-1].results)]
    closed = list(direct)
    for _ in closed:
        before = list(closed)
        for k, bits in enumerate(before):
            for j, other in enumerate(direct):
                if bits >> j & 1:
                    closed[k] |= other
        if closed == before:
            break
    return closed
