"""Evaluation of a block by NumPy, node by node: for explaining errors, and for tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jitgrad.ir.function import callee, has_effect
from jitgrad.ir.graph import Arg, Block, Node, Value, used


def interpret(block: Block, values: list, effects_only: bool = False) -> Iterator[tuple[Node, tuple, dict]]:
    """Run a block.

    Args:
        block: before lowering.
        values: what the params are.
        effects_only: run only what the effects (checks) depend on.

    Yields:
        Each effect before it is run, with the values of its arguments and all values so far.
    """
    env: dict[Value, object] = dict(zip(block.params, values, strict=True))
    nodes = [n for n in block.nodes if n in _wanted(block)] if effects_only else block.nodes
    with np.errstate(all="ignore"):
        yield from _run(nodes, env)


def outputs(block: Block, values: list) -> tuple:
    """What a block gives for these values of its params."""
    env: dict[Value, object] = dict(zip(block.params, values, strict=True))
    with np.errstate(all="ignore"):
        for _ in _run(block.nodes, env):
            pass
    return tuple(value_of(r, env) for r in block.results)


def _wanted(block: Block) -> set[Node]:
    """The nodes that are effects, and those that they depend on."""
    needed: set[Value] = set()
    wanted: set[Node] = set()
    for node in reversed(block.nodes):
        if has_effect(node) or any(o in needed for o in node.outs):
            wanted.add(node)
            needed.update(used(node))
    return wanted


def _run(nodes: list[Node], env: dict[Value, object]) -> Iterator[tuple[Node, tuple, dict]]:
    for node in nodes:
        args = tuple(value_of(a, env) for a in node.args)
        if node.op.effect:
            yield node, args, env
        if node.op.name in _FLOW:
            results = yield from _FLOW[node.op.name](node, args, env)
        else:
            results = node.op.evaluate(*args, **node.attrs)
        results = results if isinstance(results, tuple) else (results,)
        # Python's numbers where the program has numbers of a dtype, and the other way round, would promote otherwise.
        env.update(zip(node.outs, map(_as_typed, results, node.outs), strict=False))


def _as_typed(x: object, out: Value) -> object:
    if out.type.shape or out.type.dtype.kind == "b":
        return x
    return np.asarray(x).item() if out.type.weak else out.type.dtype.type(x)


def _block(region: Block, values: tuple, env: dict) -> Iterator:
    env.update(zip(region.params, map(_as_typed, values, region.params), strict=True))
    yield from _run(region.nodes, env)
    return tuple(value_of(r, env) for r in region.results)


def _for(node: Node, args: tuple, env: dict) -> Iterator:
    n, *carry = args
    for i in range(n):
        carry = yield from _block(node.regions[0], (i, *carry), env)
    return tuple(carry)


def _while(node: Node, args: tuple, env: dict) -> Iterator:
    test, body = node.regions
    carry = args[1:]
    while True:
        (go,) = yield from _block(test, carry, env)
        if not go:
            return tuple(carry)
        carry = yield from _block(body, carry, env)


def _if(node: Node, args: tuple, env: dict) -> Iterator:
    return (yield from _block(node.regions[0 if args[0] else 1], (), env))


def _call(node: Node, args: tuple, env: dict) -> Iterator:
    return (yield from _block(callee(node).block, args, {}))


_FLOW = {"for": _for, "while": _while, "if": _if, "call": _call}


def value_of(arg: Arg, env: dict[Value, object]) -> object:
    return env[arg] if isinstance(arg, Value) else arg.value
