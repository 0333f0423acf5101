"""The reverse of a branch: a branch on the same condition, over the cotangents of what its regions read."""

from __future__ import annotations

from jitgrad.ad.regions import active_captures, own_all, without_checks
from jitgrad.ad.sweep import REVERSES, Sweep
from jitgrad.ir.graph import Block, Node, Value, substitute
from jitgrad.ops.flow import add_node, carried, if_
from jitgrad.ops.rules import zeros_like
from jitgrad.ops.symbolic import Builder, Expr, as_arg, building, current


def _reverse_if(sweep: Sweep, node: Node) -> None:
    """Each region is run again and then back, with the cotangents so far as they stand around it.

    A region gives the cotangents with its own contribution, so that they are added to in place.
    """
    bars = {k: sweep.bars[o] for k, o in enumerate(node.outs) if o in sweep.bars}
    captures: dict[Value, None] = {}
    for region in node.regions:
        captures |= dict.fromkeys(active_captures(region, [region.results[k] for k in bars], sweep.active))
    totals = {x: sweep.bars[x] for x in captures if x in sweep.bars}
    masked = {x for x in captures if x in sweep.masked}
    regions = []
    for region in node.regions:
        with building(Builder(parent=current(), region=True)) as builder:
            own_all(region.nodes)
            inner = sweep.inner(dict(totals), masked)
            for k, bar in bars.items():
                if region.results[k] in sweep.active:
                    inner.add(region.results[k], bar)
                    if node.outs[k] in sweep.masked:
                        inner.masked.add(region.results[k])
            inner.back(region.nodes)
            results = tuple(as_arg(inner.bars[x] if x in inner.bars else zeros_like(Expr(x))) for x in captures)
        sweep.masked |= inner.masked & captures.keys()
        regions.append(
            substitute(Block((), [*without_checks(inner.forward), *builder.nodes], results, region.name), {})
        )
    if captures:
        ends = carried(list(captures))
        for end, x in zip(ends, captures, strict=True):
            end.name = f"{x.name}_bar" if x.name else None
        outs = add_node(if_, (node.args[0],), tuple(regions), ends)
        sweep.bars.update(zip(captures, outs, strict=True))


REVERSES[if_] = _reverse_if
