"""Loops whose iterations may run in any order: all that they carry is added up, and read by nobody meanwhile.

Going back, a loop whose carries are sums only adds up cotangents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ops.flow import for_, if_
from jitgrad.ops.index import add_at
from jitgrad.ops.registry import UFUNCS
from jitgrad.passes.rename import renamed, renamed_inside

ADDS = (UFUNCS[np.add], UFUNCS[np.subtract], add_at)


def count_up(block: Block) -> Block:
    """Let reversed loops that may as well count up do so.

    Then they count as the primal does, and the elements that they read and write follow each other in memory. Sums that
    the user has written keep their order.
    """
    maker = {out: node for node in block.walk() for out in node.outs}
    return _counting_up(block, maker) if any(node.op is for_ for node in block.nodes) else block


def _counting_up(block: Block, maker: dict[Arg, Node]) -> Block:
    nodes = []
    for node in block.nodes:
        regions = tuple(_counting_up(region, maker) for region in node.regions)
        node = renamed(node, {}, regions) if regions else node
        nodes.append(_turned(node, maker) if node.op is for_ and node.loc.role == "adjoint" else node)
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _turned(node: Node, maker: dict[Arg, Node]) -> Node:
    (body,) = node.regions
    back = body.params[0]
    differences = [n for n in body.nodes if n.op is UFUNCS[np.subtract] and n.args[1] is back]
    reflections = [n for n in differences if _is_last(n.args[0], node.args[0], maker)]
    if not reflections or not orderless(body):
        return node
    index = Value(back.type, reflections[0].out.name)
    inside = renamed_inside(body, {n.out: index for n in reflections})
    turned = Node(reflections[0].op, (reflections[0].args[0], index), (back,), {}, (), reflections[0].loc)
    nodes = [turned, *(n for n in inside.nodes if not any(out in (r.out for r in reflections) for out in n.outs))]
    region = Block((index, *body.params[1:]), nodes, inside.results, body.name, body.notes)
    return Node(for_, node.args, node.outs, node.attrs, (region,), node.loc)


def _is_last(arg: Arg, count: Arg, maker: dict[Arg, Node]) -> bool:
    """Whether a number is that of the last of so many iterations."""
    if isinstance(arg, Const):
        return isinstance(count, Const) and arg.value == count.value - 1
    node = maker.get(arg)
    if node is None or node.op is not UFUNCS[np.subtract] or node.args[0] != count:
        return False
    return isinstance(node.args[1], Const) and node.args[1].value == 1


@dataclass(frozen=True, slots=True)
class Use:
    """Where a value is read: by a node, as the argument at a place; or, if there is no node, as a result."""

    block: Block
    node: Node | None
    place: int


def orderless(body: Block) -> bool:
    """Whether the iterations of a `for` may run in any order, but for the rounding of sums.

    So it is if each carried value is read once: to add something to it, here or by way of branches and inner loops that
    do nothing else with it. What is added then can't depend on anything that is carried.
    """
    sums = _Sums(body)
    return all(sums.end_of(param, body) == k for k, param in enumerate(body.params[1:]))


class _Sums:
    """Follows a carried value through the additions to it."""

    def __init__(self, body: Block):
        self.uses: dict[Arg, list[Use]] = {}
        self.owner: dict[Block, tuple[Node, Block]] = {}  # the node that a region belongs to, and the block that is in
        self._index(body)

    def _index(self, block: Block) -> None:
        for node in block.nodes:
            for place, arg in enumerate(node.args):
                self.uses.setdefault(arg, []).append(Use(block, node, place))
            for region in node.regions:
                self.owner[region] = node, block
                self._index(region)
        for place, result in enumerate(block.results):
            self.uses.setdefault(result, []).append(Use(block, None, place))

    def end_of(self, value: Value, block: Block) -> int | None:
        """Which result of the block is `value` with all that is added to it; None if something else is done with it."""
        uses = self.uses.get(value, ())
        while uses:
            if len(uses) == 1 and uses[0].block is block:
                (use,) = uses
                if use.node is None:
                    return use.place
                following = self._added(use)
            else:
                following = self._branched(uses, block)
            uses = self.uses.get(following, ())
        return None

    def _added(self, use: Use) -> Value | None:
        """What an addition makes of the value that it takes."""
        node, place = use.node, use.place
        if node.op in ADDS:
            return node.out if place == 0 or node.op is UFUNCS[np.add] else None
        if node.op is for_ and place > 0:
            (body,) = node.regions
            return node.outs[place - 1] if self.end_of(body.params[place], body) == place - 1 else None
        return None

    def _branched(self, uses: list[Use], block: Block) -> Value | None:
        """The result of a branch each side of which adds to the value."""
        owners = {self.owner.get(use.block) for use in uses}
        if len(owners) != 1 or None in owners:
            return None
        ((node, home),) = owners
        if node.op is not if_ or home is not block or {use.block for use in uses} != set(node.regions):
            return None
        ends = set(self._ends(uses))
        (end,) = ends if len(ends) == 1 else (None,)
        return None if end is None or len(uses) != len(node.regions) else node.outs[end]

    def _ends(self, uses: list[Use]) -> Iterator[int | None]:
        for use in uses:
            if use.node is None:
                yield use.place
            else:
                following = self._added(use)
                yield None if following is None else self.end_of(following, use.block)
