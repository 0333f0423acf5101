"""Numbers for computations, so that equal ones are found though they stand in different loops."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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

    def number(self, node: Node, wanted: Collection[Value] = ()) -> None:
        """Give tokens to what a node makes; of a loop or branch only to the wanted results, if any are named."""
        if node.op is if_:
            self._branch(node, wanted or node.outs)
        elif node.op is for_ or node.op is while_:
            self._loop(node, wanted or node.outs)
        elif node.regions:
            self.forget(node.outs)
        else:
            self._give(self.key(node), node.outs)

    def _give(self, key: tuple, outs: Iterable[Value]) -> None:
        number = self.ids.setdefault(key, len(self.ids))
        self.tokens.update((out, (number, k)) for k, out in enumerate(outs))

    def _branch(self, node: Node, wanted: Collection[Value]) -> None:
        places = [k for k, out in enumerate(node.outs) if out in wanted]
        for region in node.regions:
            for inner, outs in _needed(region, [region.results[k] for k in places]):
                self.number(inner, outs)
        for k in places:
            out, results = node.outs[k], [self.token(region.results[k]) for region in node.regions]
            self._give((if_, self.token(node.args[0]), out.type.dtype, out.type.weak, *results), (out,))

    def _loop(self, node: Node, wanted: Collection[Value]) -> None:
        """Number each result by what the slots do that it depends on."""
        self.depth += 1
        if node.op is for_:
            self.tokens[node.regions[0].params[0]] = "index", self.depth
        reads = _Reads()
        closed = reads.loop(node)
        done: set[Value] = set()
        for slots in dict.fromkeys(closed[k] for k, out in enumerate(node.outs) if out in wanted):
            places = [k for k in range(len(node.outs)) if slots >> k & 1]
            number = self._slice(node, places, reads, done)
            self.tokens.update((node.outs[k], (number, j)) for j, k in enumerate(places) if closed[k] == slots)
        self.depth -= 1

    def _slice(self, node: Node, places: list[int], reads: _Reads, done: set[Value]) -> int:
        """The number of a loop with only some of its slots; `done` are values that don't depend on any."""
        results: list[object] = []
        for region in node.regions:
            params = _carried(node, region)
            self.forget(params)
            self.tokens.update((params[k], ("carry", self.depth, j)) for j, k in enumerate(places))
            gives = region.results if region.name == "test" else [region.results[k] for k in places]
            for inner, outs in _needed(region, gives):
                new = [out for out in outs if out not in done]
                if new:
                    self.number(inner, new)
                    done.update(out for out in new if not reads.of(out))
            results += map(self.token, gives)
        starts = tuple((self.token(node.args[k + 1]), node.outs[k].type.dtype, node.outs[k].type.weak) for k in places)
        key = (node.op, self.token(node.args[0]), tuple(sorted(node.attrs.items())), starts, tuple(results))
        return self.ids.setdefault(key, len(self.ids))


def _carried(node: Node, region: Block) -> tuple[Value, ...]:
    """The params of a region of a loop that are carried."""
    return region.params[len(region.params) - len(node.outs) :]


def _needed(block: Block, results: Iterable[Arg]) -> list[tuple[Node, list[Value]]]:
    """The nodes that results of a block may depend on, each with those of what it makes that they do."""
    live = set(results)
    found = []
    for node in reversed(block.nodes):
        wanted = [out for out in node.outs if out in live]
        if wanted:
            found.append((node, wanted))
            live.update(used(node))
    return found[::-1]


class _Reads:
    """The slots of a loop that the values in it depend on, as bits; those of inner loops have bits of their own."""

    def __init__(self) -> None:
        self.bits: dict[Arg, int] = {}
        self.count = 0

    def of(self, arg: Arg) -> int:
        return self.bits.get(arg, 0)

    def loop(self, node: Node) -> list[int]:
        """For each slot those that it depends on in all iterations, itself included; and what is around the loop."""
        first, n = self.count, len(node.outs)
        self.count += n
        always = 0
        for region in node.regions:
            self.bits.update((p, 1 << first + k) for k, p in enumerate(_carried(node, region)))
            self.block(region)
            always |= self.of(region.results[0]) if region.name == "test" else 0
        closed = [1 << first + k | always | self.of(r) for k, r in enumerate(node.regions[-1].results)]
        while True:
            before = list(closed)
            for k in range(n):
                for j in range(n):
                    closed[k] |= before[j] if closed[k] >> first + j & 1 else 0
            if closed == before:
                return closed

    def block(self, block: Block) -> None:
        for node in block.nodes:
            if node.op is for_ or node.op is while_:
                self._inner(node)
                continue
            for region in node.regions:
                self.block(region)
            reads = 0
            for arg in node.args:
                reads |= self.of(arg)
            for k, out in enumerate(node.outs):
                self.bits[out] = reads
                for region in node.regions:
                    self.bits[out] |= self.of(region.results[k])

    def _inner(self, node: Node) -> None:
        first = self.count
        own = (1 << len(node.outs)) - 1 << first
        for out, closed in zip(node.outs, self.loop(node), strict=True):
            self.bits[out] = self.of(node.args[0]) | closed & ~own
            for k, start in enumerate(node.args[1:]):
                self.bits[out] |= self.of(start) if closed >> first + k & 1 else 0
