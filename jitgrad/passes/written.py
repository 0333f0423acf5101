"""Which values are memory that is written to later."""

from __future__ import annotations

from jitgrad.ir.function import callee
from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ops.create import uninitialized
from jitgrad.ops.elementwise import stop_gradient
from jitgrad.ops.flow import slots
from jitgrad.ops.shape import broadcast_to_, copy_, reshape_, transpose_
from jitgrad.passes.copies import DESTRUCTIVE

_VIEWS = (reshape_, transpose_, stop_gradient)


def written(block: Block) -> set[Arg]:
    """The values that a write may come to, now or in a loop, branch or call that they are handed to.

    Each wants memory of its own: to share it with another value, or with the next iteration of a loop, costs a copy.
    """
    found: set[Arg] = set()
    for node in reversed(list(block.walk())):
        if node.op in DESTRUCTIVE or (node.op in _VIEWS and node.out in found):
            found.add(node.args[0])
        if callee(node) is not None:
            found.update(node.args[k] for k in callee(node).updates)
        if node.regions:
            for slot in slots(node):
                found.update((*slot.results, slot.init))
    return {v for v in found if isinstance(v, Value) and v.type.shape}


def makes_memory(node: Node, written: set[Arg]) -> bool:
    """Whether a node does nothing but make memory for a later write, so that two of them are two."""
    fresh = node.op in (copy_, uninitialized) or (node.op is broadcast_to_ and isinstance(node.args[0], Const))
    return fresh and node.out in written
