"""What a loop does with the values that it carries: whether it only adds to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ops.flow import for_, if_
from jitgrad.ops.index import add_at
from jitgrad.ops.registry import UFUNCS

ADDS = (UFUNCS[np.add], UFUNCS[np.subtract], add_at)


@dataclass(frozen=True, slots=True)
class Use:
    """Where a value is read: by a node, as the argument at a place; or, if there is no node, as a result."""

    block: Block
    node: Node | None
    place: int


class Sums:
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

    def end_of(self, value: Value, block: Block, passed: list[Node] | None = None) -> int | None:
        """Which result of the block is `value` with all that is added to it; None if something else is done with it.

        Args:
            value: of the block's own.
            block: in which it is followed, and in the regions of its nodes.
            passed: takes the additions that are met.
        """
        passed = [] if passed is None else passed
        uses = self.uses.get(value, ())
        while uses:
            if len(uses) == 1 and uses[0].block is block:
                (use,) = uses
                if use.node is None:
                    return use.place
                following = self._added(use, passed)
            else:
                following = self._branched(uses, block, passed)
            uses = self.uses.get(following, ())
        return None

    def _added(self, use: Use, passed: list[Node]) -> Value | None:
        """What an addition makes of the value that it takes."""
        node, place = use.node, use.place
        if node.op in ADDS:
            passed.append(node)
            return node.out if place == 0 or node.op is UFUNCS[np.add] else None
        if node.op is for_ and place > 0:
            (body,) = node.regions
            return node.outs[place - 1] if self.end_of(body.params[place], body, passed) == place - 1 else None
        return None

    def _branched(self, uses: list[Use], block: Block, passed: list[Node]) -> Value | None:
        """The result of a branch each side of which adds to the value."""
        owners = {self.owner.get(use.block) for use in uses}
        if len(owners) != 1 or None in owners:
            return None
        ((node, home),) = owners
        if node.op is not if_ or home is not block or {use.block for use in uses} != set(node.regions):
            return None
        ends = set(self._ends(uses, passed))
        (end,) = ends if len(ends) == 1 else (None,)
        return None if end is None or len(uses) != len(node.regions) else node.outs[end]

    def _ends(self, uses: list[Use], passed: list[Node]) -> Iterator[int | None]:
        for use in uses:
            if use.node is None:
                yield use.place
            else:
                following = self._added(use, passed)
                yield None if following is None else self.end_of(following, use.block, passed)
