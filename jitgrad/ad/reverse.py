"""Reverse mode: a block that computes values, then cotangents by walking the same nodes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jitgrad.ad.activity import varied
from jitgrad.ad.forward import name_after
from jitgrad.ir.graph import Arg, Block, Const, Value
from jitgrad.ops.create import full
from jitgrad.ops.elementwise import astype
from jitgrad.ops.rules import add, is_masked, zeros_like
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current


def vjp(block: Block, wrt: Sequence[int], heads: Sequence[tuple[int, Arg]]) -> Block:
    """The vector-Jacobian product.

    Args:
        block: the primal.
        wrt: the params whose cotangents are asked for.
        heads: pairs of a result's number and its head gradient: a value of the result's type or of no axes (then it
            stands for every element), or a constant.

    Returns:
        A block that takes the params of `block` and the heads that are values, and gives the results of `block` and
        the cotangents of the params in `wrt`. The primal's nodes come first, as they are; what they compute that the
        adjoint reads again are the residuals.
    """
    inputs = [block.params[k] for k in wrt]
    params = (*block.params, *dict.fromkeys(h for _, h in heads if isinstance(h, Value)))
    active = varied(block, inputs)
    bars: dict[Value, object] = {}
    masked: set[Value] = set()
    with building(Builder()) as builder:
        builder.extend(block.nodes)
        for k, head in heads:
            result = block.results[k]
            if result in active:
                bars[result] = add(bars.get(result), _seed(head, Expr(result)))
        for node in reversed(block.nodes):
            if not any(o in bars for o in node.outs):
                continue
            builder.loc = replace(node.loc, role="adjoint")
            wanted = [a in active for a in node.args]
            was_masked = any(o in masked for o in node.outs)
            args = tuple(as_expr(a) for a in node.args)
            outs = tuple(Expr(o) for o in node.outs)
            cotangents = [bars.get(o) for o in node.outs]
            contributions = node.op.rule.pullback(node.op, cotangents, outs, args, node.attrs, wanted, was_masked)
            for arg, bar in zip(node.args, contributions, strict=True):
                if bar is None:
                    continue
                bars[arg] = add(bars.get(arg), bar)
                name_after(bars[arg], arg, "bar")
                if is_masked(node.op, was_masked):
                    masked.add(arg)
        cotangents = tuple(as_arg(bars[x]) if x in bars else as_arg(zeros_like(Expr(x))) for x in inputs)
    return Block(params, builder.nodes, (*block.results, *cotangents), f"{block.name}_vjp")


def _seed(head: Arg, result: Expr) -> object:
    """The head gradient in the result's shape; without axes it stands for every element."""
    if isinstance(head, Const):
        return full(result.shape, head.value, result.dtype) if result.ndim else astype_node(head, result)
    return Expr(head) if head.type.ndim == result.ndim else np.broadcast_to(Expr(head), result.shape)


def astype_node(head: Const, result: Expr) -> object:
    """A constant as a value: what reads it may ask for more than a Python number has."""
    return current().emit(astype, (head,), {"dtype": result.dtype})
