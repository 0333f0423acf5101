"""Geometric series that a loop keeps are computed with four terms at a time.

A power that a loop multiplies by the same factor again and again waits for itself, and all that the loop does with it
waits with it. Where each term is stored anyway, as going back it is, the terms come first, in a loop of their own: four
series side by side, each by the fourth power of the factor. That a term is rounded otherwise than one by one, and not
more often, is the freedom that `np.prod` takes. The loop that is left reads the terms, and has lanes if nothing else in
it waits. Where the fourth power is too large or too small for a normal number, the terms come one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.lower.sums import waits
from jitgrad.ops.elementwise import where
from jitgrad.ops.flow import for_, for_loop
from jitgrad.ops.memory import load, store
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.shape import greatest
from jitgrad.ops.sums import Sums
from jitgrad.ops.symbolic import Builder, as_arg, as_expr, building, current
from jitgrad.passes.replacing import Replacer

_MULTIPLY = UFUNCS[np.multiply]


@dataclass(frozen=True, eq=False, slots=True)
class _Series:
    """A geometric series that a loop stores.

    Attributes:
        place: the number of the carried term.
        factor: from a term to the next.
        kept: the number of the carried buffer that takes the terms.
        write: what stores a term.
    """

    place: int
    factor: Arg
    kept: int
    write: Node


def series_first(block: Block) -> Block:
    """The lowered block, in which geometric series that innermost loops store are computed before these."""
    return _First(block).block(block) if any(node.op is for_ for node in block.walk()) else block


class _First(Replacer):
    """Puts the terms of a series in front of the loop that stores them."""

    def replaced(self, node: Node) -> list[Node]:
        series = self.series(node) if node.op is for_ and not node.attrs else None
        if series is None:
            return [node]
        start, buffer = (node.args[1 + k] for k in (series.place, series.kept))
        with building(Builder()) as builder:
            builder.loc = node.loc
            filled = as_arg(_terms(start, series.factor, buffer, as_expr(node.args[0])))
        return [*builder.nodes, _reading(node, series, filled)]

    def series(self, loop: Node) -> _Series | None:
        (body,) = loop.regions
        if any(node.regions for node in body.nodes):
            return None
        found = [s for k in range(len(loop.outs)) if (s := self.series_at(loop, k)) is not None]
        return found[0] if len(found) == 1 and _rest_has_lanes(body, found[0]) else None

    def series_at(self, loop: Node, k: int) -> _Series | None:
        (body,) = loop.regions
        term, step = body.params[1 + k], self.maker.get(body.results[k])
        if term.type.shape or not term.type.is_float or self.uses[loop.outs[k]]:
            return None
        if step not in body.nodes or step.op is not _MULTIPLY or step.args.count(term) != 1:
            return None
        if self.uses[step.out] > 1:  # the loop that is left would need it
            return None
        factor = step.args[1 - step.args.index(term)]
        inside = {*body.params, *(out for n in body.nodes for out in n.outs)}
        if factor in inside or factor.type.dtype != term.type.dtype:
            return None
        for write in body.nodes:
            if write.op is store and write.args[1:] == (term, body.params[0]) and write.args[0] in body.params:
                kept = body.params.index(write.args[0]) - 1
                if self.uses[write.args[0]] == self.uses[write.out] == 1 and body.results[kept] is write.out:
                    return _Series(k, factor, kept, write)
        return None


def _rest_has_lanes(body: Block, series: _Series) -> bool:
    """Whether nothing but the series keeps a loop from working on several numbers at once."""
    sums = Sums(body)
    return not any(
        not param.type.shape and sums.end_of(param, body) != k and waits(body.results[k], param, body)
        for k, param in enumerate(body.params[1:])
        if k != series.place
    )


def _terms(start: Arg, factor: Arg, buffer: Value, count: object) -> object:
    """The buffer filled with the terms of a series."""
    ratio = as_expr(factor)
    terms = [as_expr(start)]
    for _ in range(3):
        terms.append(terms[-1] * ratio)
    fourth = (ratio * ratio) * (ratio * ratio)
    limits = np.finfo(start.type.dtype)
    is_normal = np.logical_and(np.absolute(fourth) >= limits.tiny, np.absolute(fourth) <= limits.max)
    fours = current().emit(where, (is_normal, greatest(count, 0) // 4, 0), {})

    def four(k: object, filled: object, *terms: object) -> list:
        for j, term in enumerate(terms):
            filled = store(filled, term, 4 * k + j)
        return [filled, *(term * fourth for term in terms)]

    def one(k: object, filled: object, term: object) -> list:
        return [store(filled, term, first + k), term * ratio]

    filled, term, *_ = for_loop(fours, [buffer, *terms], four)
    first = 4 * fours
    return for_loop(count - first, [filled, term], one)[0]


def _reading(loop: Node, series: _Series, filled: Value) -> Node:
    """The loop that reads the terms, and neither computes nor stores them."""
    (body,) = loop.regions
    index, *params = body.params
    term, buffer = params[series.place], params[series.kept]
    read = Node(load, (buffer, index), (term,), {}, (), series.write.loc)
    nodes = [read, *(n for n in body.nodes if n is not series.write and body.results[series.place] not in n.outs)]
    init = [filled if k == series.kept else a for k, a in enumerate(loop.args[1:])]
    results = [buffer if k == series.kept else r for k, r in enumerate(body.results)]
    for slots in (init, results, params, outs := list(loop.outs)):
        del slots[series.place]
    region = Block((index, *params), nodes, tuple(results), body.name, body.notes)
    return Node(for_, (loop.args[0], *init), tuple(outs), loop.attrs, (region,), loop.loc)
