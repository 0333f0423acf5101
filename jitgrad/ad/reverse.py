"""Reverse mode: a block that computes values, then cotangents by walking the same nodes back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jitgrad.ad import branches, calls, loops  # they fill in how loops, branches and calls are reversed
from jitgrad.ad.activity import varied
from jitgrad.ad.sweep import Sweep
from jitgrad.ir.graph import Arg, Block, Const, Value
from jitgrad.ops.create import full
from jitgrad.ops.elementwise import astype
from jitgrad.ops.rules import zeros_like
from jitgrad.ops.symbolic import Builder, Expr, as_arg, building, current

__all__ = ["branches", "calls", "loops", "vjp"]


def vjp(block: Block, wrt: Sequence[int], heads: Sequence[tuple[int, Arg]]) -> Block:
    """The vector-Jacobian product.

    Args:
        block: the primal.
        wrt: the params whose cotangents are asked for.
        heads: pairs of a result's number and its head gradient: a value of the result's type or of no axes (then it
            stands for every element), or a constant.

    Returns:
        A block that takes the params of `block` and the heads that are values, and gives the results of `block` and
        the cotangents of the params in `wrt`. The primal's nodes come first; loops among them also keep what the
        adjoint reads again: these, and the other values that it reads, are the residuals.
    """
    inputs = [block.params[k] for k in wrt]
    params = (*block.params, *dict.fromkeys(h for _, h in heads if isinstance(h, Value)))
    sweep = Sweep(varied(block, inputs), {o: node for node in block.walk() for o in node.outs})
    with building(Builder()) as builder:
        for k, head in heads:
            result = block.results[k]
            if result in sweep.active:
                sweep.add(result, _seed(head, Expr(result)))
        sweep.back(block.nodes)
        cotangents = tuple(as_arg(sweep.bars[x]) if x in sweep.bars else as_arg(zeros_like(Expr(x))) for x in inputs)
    return Block(params, [*sweep.forward, *builder.nodes], (*block.results, *cotangents), f"{block.name}_vjp")


def _seed(head: Arg, result: Expr) -> object:
    """The head gradient in the result's shape; without axes it stands for every element."""
    if isinstance(head, Const):
        return full(result.shape, head.value, result.dtype) if result.ndim else astype_node(head, result)
    return Expr(head) if head.type.ndim == result.ndim else np.broadcast_to(Expr(head), result.shape)


def astype_node(head: Const, result: Expr) -> object:
    """A constant as a value: what reads it may ask for more than a Python number has."""
    return current().emit(astype, (head,), {"dtype": result.dtype})
