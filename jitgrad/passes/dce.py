"""Dead-code elimination."""

from __future__ import annotations

from jitgrad.ir.function import has_effect
from jitgrad.ir.graph import Arg, Block, Node, Value, lengths
from jitgrad.ops.flow import Slot, slots


def dce(block: Block, keep_lengths: bool = True) -> Block:
    """Without the nodes whose results nobody reads, and without what loops and branches carry in vain. Effects stay.

    A value that a loop carries is alive if it is read after the loop, or by what makes another live one, an effect, or
    the test of a `while`.

    Args:
        block: any block.
        keep_lengths: count the lengths that the types of live values name as read: lowering needs them, the printer of
            the array form does not.
    """
    return _Liveness(block, keep_lengths).kept(block)


class _Liveness:
    """The live values and nodes of a block and its regions, found from the results and effects back."""

    def __init__(self, block: Block, keep_lengths: bool):
        self.keep_lengths = keep_lengths
        self.owner: dict[Node, Node | None] = {}  # the node whose region a node is in
        self.maker: dict[Value, Node] = {}
        self.slot: dict[Value, Slot] = {}
        self.live: set[Arg] = set()
        self.nodes: set[Node] = set()
        self.pending: list[Value] = []
        self.index(block, None)
        for result in block.results:
            self.read(result)
        for node in self.owner:
            if not node.regions and has_effect(node):
                self.need(node)
        while self.pending:
            self.follow(self.pending.pop())

    def index(self, block: Block, owner: Node | None) -> None:
        for node in block.nodes:
            self.owner[node] = owner
            self.maker.update(dict.fromkeys(node.outs, node))
            if node.regions:
                for slot in slots(node):
                    self.slot.update(dict.fromkeys((slot.out, *slot.params), slot))
                for region in node.regions:
                    self.maker.update(dict.fromkeys(region.params, node))
                    self.index(region, node)

    def read(self, arg: Arg | None) -> None:
        if isinstance(arg, Value) and arg not in self.live:
            self.live.add(arg)
            self.pending.append(arg)

    def follow(self, value: Value) -> None:
        """What is alive because a value is."""
        if self.keep_lengths:
            for axis in lengths(value):
                self.read(axis)
        if value in self.maker:
            self.need(self.maker[value])
        if value in self.slot:
            slot = self.slot[value]
            for arg in (slot.out, slot.init, *slot.results, *(slot.params if self.keep_lengths else ())):
                self.read(arg)

    def need(self, node: Node | None) -> None:
        """What is alive because a node is; of a loop or branch only what steers it, and what is around it."""
        if node is None or node in self.nodes:
            return
        self.nodes.add(node)
        for arg in node.args[:1] if node.regions else node.args:
            self.read(arg)
        for region in node.regions:
            if region.name == "test":
                self.read(region.results[0])
        if self.keep_lengths and not node.regions:
            for out in node.outs:
                for axis in lengths(out):
                    self.read(axis)
        self.need(self.owner[node])

    def kept(self, block: Block) -> Block:
        """The block with what is alive only."""
        nodes = [self.narrowed(n) if n.regions else n for n in block.nodes if n in self.nodes]
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def narrowed(self, node: Node) -> Node:
        """A loop or branch without its dead slots."""
        live = [slot.out in self.live for slot in slots(node)]

        def keep(values: tuple) -> tuple:
            """Of as many values as there are slots, and what may come before them, those that are alive."""
            before = len(values) - len(live)
            return (*values[:before], *(v for v, alive in zip(values[before:], live, strict=True) if alive))

        regions = []
        for region in node.regions:
            inner = self.kept(region)
            params = keep(inner.params) if inner.params else ()
            results = inner.results if region.name == "test" else keep(inner.results)
            regions.append(Block(params, inner.nodes, results, inner.name, inner.notes))
        args = node.args if len(node.args) == 1 else keep(node.args)
        return Node(node.op, args, keep(node.outs), node.attrs, tuple(regions), node.loc)
