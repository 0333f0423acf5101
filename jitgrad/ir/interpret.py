"""Evaluation of a block by NumPy, node by node: what a program means, for tests, and for what is found out about it."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.function import callee
from jitgrad.ir.graph import Arg, Block, Node, Value


def outputs(block: Block, values: list) -> tuple:
    """What a block gives for these values of its params.

    Raises:
        The error of the first check that doesn't hold.
    """
    with np.errstate(all="ignore"):
        return _call_block(block, tuple(values))


def _call_block(block: Block, values: tuple) -> tuple:
    env: dict[Value, object] = dict(zip(block.params, values, strict=True))
    _run(block.nodes, env)
    return tuple(_value_of(r, env) for r in block.results)


def _run(nodes: list[Node], env: dict[Value, object]) -> None:
    for node in nodes:
        args = tuple(_value_of(a, env) for a in node.args)
        if node.op.name in _FLOW:
            results = _FLOW[node.op.name](node, args, env)
        else:
            results = node.op.evaluate(*args, **node.attrs)
        results = results if isinstance(results, tuple) else (results,)
        # Python's numbers where the program has numbers of a dtype, and the other way round, would promote otherwise.
        env.update(zip(node.outs, map(_as_typed, results, node.outs), strict=False))


def _as_typed(x: object, out: Value) -> object:
    if out.type.shape or out.type.dtype.kind == "b":
        return x
    return np.asarray(x).item() if out.type.weak else out.type.dtype.type(x)


def _region(region: Block, values: tuple, env: dict) -> tuple:
    env.update(zip(region.params, map(_as_typed, values, region.params), strict=True))
    _run(region.nodes, env)
    return tuple(_value_of(r, env) for r in region.results)


def _for(node: Node, args: tuple, env: dict) -> tuple:
    n, *carry = args
    for i in range(n):
        carry = _region(node.regions[0], (i, *carry), env)
    return tuple(carry)


def _while(node: Node, args: tuple, env: dict) -> tuple:
    test, body = node.regions
    carry = args[1:]
    while _region(test, carry, env)[0]:
        carry = _region(body, carry, env)
    return tuple(carry)


def _if(node: Node, args: tuple, env: dict) -> tuple:
    return _region(node.regions[0 if args[0] else 1], (), env)


def _call(node: Node, args: tuple, env: dict) -> tuple:
    return _call_block(callee(node).block, args)


_FLOW = {"for": _for, "while": _while, "if": _if, "call": _call}


def _value_of(arg: Arg, env: dict[Value, object]) -> object:
    return env[arg] if isinstance(arg, Value) else arg.value
