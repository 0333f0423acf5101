"""Evaluation of a block by NumPy, node by node: for explaining errors, and for tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value, used


def interpret(block: Block, values: list, effects_only: bool = False) -> Iterator[tuple[Node, tuple, dict]]:
    """Run a block without regions.

    Args:
        block: before lowering.
        values: what the params are.
        effects_only: run only what the effects (checks) depend on.

    Yields:
        Each effect before it is run, with the values of its arguments and all values so far.
    """
    env: dict[Value, object] = dict(zip(block.params, values, strict=True))
    wanted: set[Value] = set()
    if effects_only:
        for node in reversed(block.nodes):
            if node.op.effect or any(o in wanted for o in node.outs):
                wanted.update(used(node))
    for node in block.nodes:
        if effects_only and not node.op.effect and not any(o in wanted for o in node.outs):
            continue
        args = tuple(value_of(a, env) for a in node.args)
        if node.op.effect:
            yield node, args, env
        with np.errstate(all="ignore"):
            results = node.op.evaluate(*args, **node.attrs)
        env.update(zip(node.outs, results if isinstance(results, tuple) else (results,), strict=False))


def value_of(arg: Arg, env: dict[Value, object]) -> object:
    return env[arg] if isinstance(arg, Value) else arg.value
