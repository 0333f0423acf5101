"""Which values the derivative has to do with at all (Griewank & Walther, Evaluating Derivatives, 2008, ch. 6.2)."""

from __future__ import annotations

from collections.abc import Iterable

from jitgrad.ir.graph import Block, Value
from jitgrad.ops.rules import Constant


def varied(block: Block, inputs: Iterable[Value]) -> set[Value]:
    """The float values that depend on `inputs` through operations that have a derivative."""
    active = {v for v in inputs if v.type.is_float}
    for node in block.nodes:
        if not isinstance(node.op.rule, Constant) and any(a in active for a in node.args):
            active.update(o for o in node.outs if o.type.is_float)
    return active
