"""Which values are memory that is written to later."""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Value
from jitgrad.ops.elementwise import stop_gradient
from jitgrad.ops.flow import slots
from jitgrad.ops.shape import reshape_, transpose_
from jitgrad.passes.copies import DESTRUCTIVE

_VIEWS = (reshape_, transpose_, stop_gradient)


def written(block: Block) -> set[Arg]:
    """The values that a write may come to, now or in a loop or branch that they are handed to.

    Each wants memory of its own: to share it with another value, or with the next iteration of a loop, costs a copy.
    """
    found: set[Arg] = set()
    for node in reversed(list(block.walk())):
        if node.op in DESTRUCTIVE or (node.op in _VIEWS and node.out in found):
            found.add(node.args[0])
        if node.regions:
            for slot in slots(node):
                found.update((*slot.results, slot.init))
    return {v for v in found if isinstance(v, Value) and v.type.shape}
