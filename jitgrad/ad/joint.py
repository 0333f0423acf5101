"""Functions that add up cotangents while they compute, in one recursion with no records.

That can be done where the results of the calls in a function are only multiplied by what doesn't depend on them, and
added up: then the cotangent of what a call gives is known before the call. Loops with such calls in them only add up,
too, so their cotangents are the same in each iteration, and are added up in the loop itself.

To find out, the body is put together from what it computes and from its reverse, where each call gives both, and loops
and branches with calls in them do; if no order of all this exists, there is no such function.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from jitgrad.ad.activity import varied
from jitgrad.ad.loops import Loop, useful_carries
from jitgrad.ad.regions import active_captures, own_all
from jitgrad.ad.reversal import Pattern, Reversal, pull
from jitgrad.ad.sweep import Sweep
from jitgrad.ir.function import Function, callee, group_of
from jitgrad.ir.graph import Arg, Block, Node, Value, substitute
from jitgrad.ops.flow import carried, if_
from jitgrad.ops.rules import zeros_like
from jitgrad.ops.symbolic import Builder, Expr, as_arg, building, current
from jitgrad.passes import SIMPLIFY, run
from jitgrad.passes.functions import simplified
from jitgrad.passes.joined import in_order


class NotLinear(Exception):
    """The cotangent of what a call gives isn't known before the call."""


def joint(function: Function, pattern: Pattern, around: list | None = None) -> Function:
    """The function that gives its results, and the cotangents of some params.

    Args:
        function: the function.
        pattern: what it is reversed for.
        around: the functions and patterns for which this one is made, with all that have been made for them.

    Raises:
        NotLinear: there is none.
    """
    key = ("joint", pattern)
    if key in function.variants:
        if function.variants[key] is None:
            raise NotLinear
        return function.variants[key]
    made = [] if around is None else around
    made.append((function, key))
    derived = Function(f"{function.name}_and_vjp", includes=function, loc=function.loc)
    function.variants[key] = derived
    try:
        _build(derived, function, pattern, made)
    except NotLinear:
        for other, its in made:
            other.variants[its] = None
        raise
    return derived


def _build(derived: Function, function: Function, pattern: Pattern, made: list) -> None:
    block = substitute(simplified(function), {})
    reversal = Reversal(function, block, pattern)
    makers = {o: node for node in block.walk() for o in node.outs}
    sweep = _Joint(varied(block, reversal.inputs), makers, group_of(function), made)
    with building(Builder()) as builder:
        reversal.seed(sweep)
        sweep.back(block.nodes)
        results = (*block.results, *reversal.ends(sweep))
    nodes = _ordered([*sweep.forward, *builder.nodes])
    derived.updates = {**function.updates, **reversal.updates(len(block.results))}
    derived.block = run(SIMPLIFY, substitute(Block(reversal.params, nodes, results, derived.name), {}))


def _ordered(nodes: list[Node]) -> list[Node]:
    found = in_order(nodes)
    if found is None:
        raise NotLinear
    return found


class _Joint(Sweep):
    """A sweep in which what calls the function, or another of its group, goes forward and backward at once."""

    def __init__(
        self,
        active: set[Value],
        makers: dict[Value, Node],
        group: list[Function],
        made: list,
        bars: dict[Value, object] | None = None,
    ):
        super().__init__(active, makers, bars)
        self.group, self.made = group, made

    def inner(self, bars: dict[Value, object], masked: Iterable[Value], stored: dict | None = None) -> Sweep:
        sweep = _Joint(self.active, self.makers, self.group, self.made, bars)
        sweep.masked, sweep.inside = set(masked), True
        sweep.stored = self.stored if stored is None else stored
        sweep.kept = self.kept
        return sweep

    def reverse(self, node: Node) -> None:
        if callee(node) in self.group:
            self._call(node)
        elif not any(callee(n) in self.group for region in node.regions for n in region.walk()):
            super().reverse(node)
        elif node.op is if_:
            self._branch(node)
        else:
            self._loop(node)

    def _call(self, node: Node) -> None:
        function = callee(node)
        reversed_for = partial(joint, function, around=self.made)
        if pull(self, function, node.args, node.outs, reversed_for, first=node.outs):
            self.forward = []

    def _branch(self, node: Node) -> None:
        """Both regions give cotangents beside what they give."""
        bars = {k: self.bars[o] for k, o in enumerate(node.outs) if o in self.bars}
        captures: dict[Value, None] = {}
        for region in node.regions:
            captures |= dict.fromkeys(active_captures(region, [region.results[k] for k in bars], self.active))
        totals = {x: self.bars[x] for x in captures if x in self.bars}
        regions = []
        for region in node.regions:
            with building(Builder(parent=current(), region=True)) as builder:
                inner = self.inner(dict(totals), captures)
                nodes, ends = self._through(inner, region, dict(bars), list(captures), builder)
            regions.append(Block(region.params, nodes, (*region.results, *ends), region.name))
        self._add(node, node.args, tuple(regions), list(captures))

    def _loop(self, node: Node) -> None:
        """The loop adds up cotangents beside what it carries, which are sums."""
        *tests, body = node.regions
        params = body.params[len(body.params) - len(node.outs) :]
        loop = Loop(node, node.args[0], body.params[0], params, body, self.makers)
        useful = useful_carries(loop, self)
        if any(node.outs[k] not in self.bars for k in useful):
            raise NotLinear
        seeds = {k: self.bars[node.outs[k]] for k in useful}
        captures = active_captures(body, [body.results[k] for k in useful], self.active)
        starts = tuple(as_arg(self.bars[x] if x in self.bars else zeros_like(Expr(x))) for x in captures)
        totals = carried(starts)
        with building(Builder(parent=current(), region=True)) as builder:
            builder.own((*body.params, *totals))
            inner = self.inner(dict(zip(captures, map(Expr, totals), strict=True)), captures)
            nodes, ends = self._through(inner, body, dict(seeds), captures, builder)
            if any(as_arg(inner.bars.get(params[k], 0)) != as_arg(seed) for k, seed in seeds.items()):
                raise NotLinear  # not a sum
        regions = [Block((*t.params, *carried(starts)), t.nodes, t.results, t.name) for t in tests]
        regions.append(Block((*body.params, *totals), nodes, (*body.results, *ends), body.name))
        self._add(node, (*node.args, *starts), tuple(regions), captures)
        for k, seed in seeds.items():
            init = node.args[k + 1]
            if init in self.active:
                self.add(init, seed)
                self.masked.add(init)

    def _through(
        self, inner: Sweep, region: Block, bars: dict[int, object], captures: list[Value], builder: Builder
    ) -> tuple[list[Node], tuple[Arg, ...]]:
        """The nodes of a region with their reverse, and the cotangents of what it captures."""
        own_all(region.nodes)
        for k, bar in bars.items():
            if region.results[k] in self.active:
                inner.add(region.results[k], bar)
                inner.masked.add(region.results[k])
        inner.back(region.nodes)
        ends = tuple(as_arg(inner.bars[x] if x in inner.bars else zeros_like(Expr(x))) for x in captures)
        return _ordered([*inner.forward, *builder.nodes]), ends

    def _add(self, node: Node, args: tuple[Arg, ...], regions: tuple[Block, ...], captures: list[Value]) -> None:
        ends = carried(captures)
        for end, x in zip(ends, captures, strict=True):
            end.name = f"{x.name}_bar" if x.name else None
        loc = replace(node.loc, role="adjoint")
        current().append(Node(node.op, args, (*node.outs, *ends), node.attrs, regions, loc))
        self.bars.update((x, Expr(end)) for x, end in zip(captures, ends, strict=True))
        self.masked.update(captures)
        self.forward = []
