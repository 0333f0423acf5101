"""Stretches of a loop in which nothing is chosen are skipped.

A running maximum, with where it was found, waits in each iteration for the one before. But it seldom changes: whether
it does anywhere in the next `STRETCH` iterations is a sum of comparisons with what it is now, which LLVM spreads over
vector lanes. Only a stretch in which it does is gone through as it was written. Whatever the comparison is, and
whatever it says of NaNs: where it is false for what is carried into a stretch, all of the stretch carries just that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value, defined, substitute
from jitgrad.ops.affine import Form, form_of
from jitgrad.ops.elementwise import where
from jitgrad.ops.flow import branch, for_, for_loop, if_
from jitgrad.ops.memory import load
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.shape import greatest
from jitgrad.ops.symbolic import Builder, as_arg, as_expr, building, current
from jitgrad.passes.rename import renamed

STRETCH = 128  # iterations; loops of fewer are as they were

# What is done twice for each element, at worst.
_ARITHMETIC = (np.add, np.subtract, np.multiply, np.negative, np.absolute, np.maximum, np.minimum)
_COMPARISONS = (np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal)
_LOGIC = (np.logical_and, np.logical_or, np.logical_not)
_CHEAP = frozenset(UFUNCS[f] for f in (*_ARITHMETIC, *_COMPARISONS, *_LOGIC))


@dataclass(frozen=True, eq=False, slots=True)
class _Choice:
    """What a loop does if a condition has an outcome, and else does nothing.

    Attributes:
        condition: computed by nodes of the body.
        outcome: for which of its outcomes what is carried changes.
        nodes: those that the condition is computed by.
    """

    condition: Arg
    outcome: bool
    nodes: list[Node]


def skipping(block: Block) -> Block:
    """The lowered block in which loops that choose skip stretches without a choice."""
    return _Skipping(block).block(block) if any(node.op is for_ for node in block.walk()) else block


class _Skipping:
    """Puts loops over stretches in the place of loops that choose; not of those in others, where each starts anew."""

    def __init__(self, block: Block):
        self.maker = {out: node for node in block.walk() for out in node.outs}

    def block(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            if node.op is if_:
                node = renamed(node, {}, tuple(map(self.block, node.regions)))
            nodes += self.replaced(node)
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def replaced(self, node: Node) -> list[Node]:
        choice = _choice(node) if node.op is for_ and not node.attrs else None
        if choice is None or not all(map(self._is_near(node.regions[0]), choice.nodes)):
            return [node]
        count, *init = node.args
        (body,) = node.regions
        with building(Builder()) as builder:
            builder.loc = node.loc
            stretches = greatest(as_expr(count), 0) // STRETCH
            before = _loop(stretches, init, lambda k, *carry: _stretch(body, choice, k * STRETCH, carry), body.params)
            first = stretches * STRETCH
            rest = as_arg(as_expr(count) - first)
        return [*builder.nodes, _from(node, as_arg(first), rest, tuple(map(as_arg, before)))]

    def _is_near(self, body: Block) -> Callable[[Node], bool]:
        """Whether a node is no load, or one of the same element as in the iteration before, or of the one after it."""
        index = body.params[0]
        varying = {*body.params, *defined(body)} - {index}

        def near(node: Node) -> bool:
            if node.op is not load:
                return True
            *others, last = (form_of(a, self.maker.get, lambda value: Form({value: 1})) for a in node.args[1:])
            return (
                all(varying.isdisjoint(form) for form in (*others, last))
                and not any(index in form for form in others)
                and last.get(index, 1) == 1
            )

        return near


def _choice(loop: Node) -> _Choice | None:
    """The choice that is all that a loop over numbers does."""
    (body,) = loop.regions
    params = body.params[1:]
    branches = [node for node in body.nodes if node.regions]
    if len(branches) != 1 or branches[0].op is not if_ or any(n.op.effect for n in body.nodes):
        return None
    if not any(p.type.is_float for p in params) or any(p.type.shape for p in params):
        return None
    (chosen,) = branches
    for outcome, other in zip((True, False), reversed(chosen.regions), strict=True):
        kept = dict(zip(chosen.outs, other.results, strict=True))
        if not other.nodes and all(kept.get(r, r) is p for r, p in zip(body.results, params, strict=True)):
            nodes = _made_by(chosen.args[0], body)
            compared = any(a in params for node in nodes or () for a in node.args)  # else it may be chosen often
            return _Choice(chosen.args[0], outcome, nodes) if compared else None
    return None


def _made_by(condition: Arg, body: Block) -> list[Node] | None:
    """The nodes by which a condition is computed; None if they are too much to do twice."""
    wanted: set[Arg] = {condition}
    nodes: list[Node] = []
    for node in reversed(body.nodes):
        if not wanted.isdisjoint(node.outs):
            if node.op is not load and node.op is not where and node.op not in _CHEAP:
                return None
            wanted.update(node.args)
            nodes.append(node)
    return nodes[::-1] if any(node.op is load for node in nodes) else None


def _stretch(body: Block, choice: _Choice, first: object, carry: tuple) -> tuple:
    """A stretch of iterations, which is gone through if something is chosen in it."""

    def count(k: object, chosen: object) -> tuple:
        test = Block(body.params, choice.nodes, (choice.condition,))
        (condition,) = _copied(test, first + k, carry)
        one, zero = (1, 0) if choice.outcome else (0, 1)
        return (chosen + current().emit(where, (condition, one, zero), {}),)

    index = body.params[0]
    (chosen,) = _loop(STRETCH, (0,), count, (index, Value(index.type, "chosen")))

    def as_written() -> tuple:
        return _loop(STRETCH, carry, lambda k, *now: _copied(body, first + k, now), body.params)

    return branch(chosen > 0, as_written, lambda: carry)


def _loop(count: object, init: Sequence, build: Callable[..., tuple], like: Sequence[Value]) -> tuple:
    """A loop whose index and carried values have the names of these."""
    outs = for_loop(count, init, build, like[0].name or "k")
    node = current().nodes[-1]
    for out, param, value in zip(node.outs, node.regions[0].params[1:], like[1:], strict=True):
        out.name = param.name = value.name
    return outs


def _copied(body: Block, index: object, carry: tuple) -> tuple:
    """What an iteration does; its results."""
    env: dict[Value, Arg] = dict(zip(body.params, map(as_arg, (index, *carry)), strict=True))
    copy = substitute(Block((), body.nodes, body.results), env)
    current().extend(copy.nodes)
    return tuple(map(as_expr, copy.results))


def _from(loop: Node, first: Arg, count: Arg, init: tuple[Arg, ...]) -> Node:
    """The iterations of a loop from one on."""
    (body,) = loop.regions
    index, *params = body.params
    step = Value(index.type, index.name)
    shift = Node(UFUNCS[np.add], (first, step), (index,), {}, (), loop.loc)
    region = Block((step, *params), [shift, *body.nodes], body.results, body.name, body.notes)
    return Node(for_, (count, *init), loop.outs, loop.attrs, (region,), loop.loc)
