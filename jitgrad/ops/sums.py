"""What a loop does with the values that it carries: whether it only adds to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ops.flow import for_, if_
from jitgrad.ops.index import add_at
from jitgrad.ops.memory import sum_step
from jitgrad.ops.registry import UFUNCS

ADDS = (UFUNCS[np.add], UFUNCS[np.subtract], add_at, sum_step)


@dataclass(frozen=True, slots=True)
class Use:
    """Where a value is read: by a node, as the argument at a place; or, if there is no node, as a result."""

    block: Block
    node: Node | None
    place: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A node that a sum comes by.

    Attributes:
        node: an addition or a branch.
        total: the sum so far.
        place: which argument of the addition that is, or which result of the branch the sum is after it.
    """

    node: Node
    total: Arg
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

    def end_of(self, value: Value, block: Block, passed: list[Passed] | None = None) -> int | None:
        """Which result of the block is `value` with all that is added to it; None if something else is done with it.

        Args:
            value: of the block's own.
            block: in which it is followed, and in the regions of its nodes.
            passed: takes the additions and branches that are met.
        """
        passed = [] if passed is None else passed
        while uses := self._inside(value, block):
            if len(uses) == 1 and uses[0].block is block:
                (use,) = uses
                if use.node is None:
                    return use.place
                value = self._added(use, passed)
            else:
                value = self._branched(value, uses, block, passed)
        return None

    def _inside(self, value: Value | None, block: Block) -> list[Use]:
        """The uses of a value in a block and the regions of its nodes."""
        return [use for use in self.uses.get(value, ()) if use.block is block or self._holder(use.block, block)]

    def _holder(self, inner: Block, block: Block) -> Node | None:
        """The node of the block in whose regions an inner block is; None if it is in none."""
        node, home = self.owner.get(inner, (None, None))
        return node if node is None or home is block else self._holder(home, block)

    def _added(self, use: Use, passed: list[Passed]) -> Value | None:
        """What an addition makes of the value that it takes."""
        node, place = use.node, use.place
        if node.op in ADDS:
            passed.append(Passed(node, node.args[place], place))
            return node.out if place == 0 or node.op in (UFUNCS[np.add], sum_step) else None
        if node.op is for_ and place > 0:
            (body,) = node.regions
            return node.outs[place - 1] if self.end_of(body.params[place], body, passed) == place - 1 else None
        return None

    def _branched(self, value: Value, uses: list[Use], block: Block, passed: list[Passed]) -> Value | None:
        """The result of a branch each side of which adds to the value."""
        holders = {self._holder(use.block, block) for use in uses}
        (node,) = holders if len(holders) == 1 else (None,)
        if node is None or node.op is not if_:
            return None
        ends = {self.end_of(value, region, passed) for region in node.regions}
        (end,) = ends if len(ends) == 1 else (None,)
        if end is None:
            return None
        passed.append(Passed(node, value, end))
        return node.outs[end]
