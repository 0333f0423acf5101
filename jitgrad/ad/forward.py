"""Forward mode: a block that computes tangents beside values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jitgrad.ad.activity import varied
from jitgrad.ir.graph import Arg, Block, Value
from jitgrad.ops.rules import zeros_like
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building


def jvp(block: Block, wrt: Sequence[int], outputs: Sequence[int]) -> Block:
    """The Jacobian-vector product.

    Args:
        block: the primal.
        wrt: which params have a tangent.
        outputs: which results a tangent is asked for.

    Returns:
        A block that takes the params of `block` and the tangents `x_dot` of those in `wrt`, and gives the results of
        `block` and the tangents of those in `outputs`.
    """
    inputs = [block.params[k] for k in wrt]
    seeds = {x: Value(x.type, f"{x.name}_dot") for x in inputs}
    dots: dict[Arg, object] = {x: Expr(seed) for x, seed in seeds.items()}
    active = varied(block, inputs)
    with building(Builder()) as builder:
        for node in block.nodes:
            builder.append(node)
            if not any(o in active for o in node.outs):
                continue
            builder.loc = replace(node.loc, role="tangent")
            args = tuple(as_expr(a) for a in node.args)
            outs = tuple(Expr(o) for o in node.outs)
            tangents = [dots.get(a) for a in node.args]
            results = node.op.rule.pushforward(node.op, tangents, outs, args, node.attrs)
            for out, dot in zip(node.outs, results, strict=True):
                if dot is not None and out in active:
                    dots[out] = dot
                    name_after(dot, out, "dot")
        tangents = []
        for k in outputs:
            result = block.results[k]
            dot = dots.get(result)
            tangents.append(as_arg(zeros_like(as_expr(result)) if dot is None else dot))
    params = (*block.params, *seeds.values())
    return Block(params, builder.nodes, (*block.results, *tangents), f"{block.name}_jvp")


def name_after(derivative: object, value: Value, suffix: str) -> None:
    """Call the derivative of `x` `x_dot` or `x_bar`, for whoever reads the generated source."""
    if isinstance(derivative, Expr) and derivative.value.name is None and value.name is not None:
        derivative.value.name = f"{value.name}_{suffix}"
