"""Additions to neighbours: each element is written once, when all that it gets is known.

The reverse of a stencil adds to `x_bar[i - 1]`, `x_bar[i]` and `x_bar[i + 1]`. Each element is then read and written
in three iterations that follow each other, which LLVM must do one by one. What an iteration adds to the elements that
later ones come by waits in variables instead, and the element that comes by for the last time gets it all at once;
what is left after the last iteration is added then. The sums are the same but for their order. LLVM vectorises that:
a variable that holds what was computed an iteration ago is a shifted vector.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, used
from jitgrad.ir.types import Type
from jitgrad.ops.affine import ONE, Form, form_of
from jitgrad.ops.flow import PARALLEL, branch, for_
from jitgrad.ops.index import add_at
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building
from jitgrad.passes.rename import renamed

MOST = 8  # variables that wait


@dataclass(frozen=True, slots=True)
class _Addition:
    """An addition to an element, `steps` iterations before the last of those that come by that element."""

    node: Node
    steps: int

    @property
    def term(self) -> Arg:
        return self.node.args[1]


def delay_additions(block: Block) -> Block:
    """Let reversed loops add to each element of an array once, where they add to neighbours."""
    nodes: list[Node] = []
    for node in block.nodes:
        if node.regions:
            node = renamed(node, {}, tuple(map(delay_additions, node.regions)))
        nodes += _delayed(node) if node.op is for_ and PARALLEL not in node.attrs else [node]
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _delayed(node: Node) -> list[Node]:
    """The nodes that stand for a loop."""
    after: list[Node] = []
    for k in range(len(node.outs)):
        found = _additions(node, k)
        if found:
            node, more = _rewritten(node, k, found)
            after += more
    return [node, *after]


def _additions(node: Node, k: int) -> list[_Addition]:
    """Additions to neighbours in the k-th array that a loop carries, if the loop does nothing to it but add."""
    (body,) = node.regions
    chain = _chain(body, k)
    makers = {o: inner for inner in body.nodes for o in inner.outs}
    made = {*body.params, *makers}
    groups: dict[tuple, list[tuple[int, Node]]] = {}
    for inner in chain:
        key, place = _place(inner, body.params[0], makers, made) or (None, 0)
        if key is not None and inner.loc.role == "adjoint":
            groups.setdefault(key, []).append((place, inner))
    for group in groups.values():
        first = min(place for place, _ in group)
        found = [_Addition(inner, place - first) for place, inner in group]
        waiting: dict[Arg, int] = {}
        for a in found:
            waiting[a.term] = max(a.steps, waiting.get(a.term, 0))
        if 0 < sum(waiting.values()) <= MOST:
            return found
    return []


def _chain(body: Block, k: int) -> list[Node]:
    """The additions of numbers that lead from a param to its result, if nothing else reads the array meanwhile."""
    readers: dict[Value, list[Node]] = {}
    for inner in body.nodes:
        for value in used(inner):
            readers.setdefault(value, []).append(inner)
    version, chain = body.params[1 + k], []
    while version is not body.results[k]:
        own = readers.get(version, [])
        if len(own) != 1 or version in body.results or not _is_addition(own[0], version):
            return []
        chain.append(own[0])
        version = own[0].out
    return chain if body.results.count(version) == 1 and version not in readers else []


def _is_addition(node: Node, array: Value) -> bool:
    if node.op is not add_at or node.args[0] is not array or any(part[0] != "at" for part in node.attrs["pattern"]):
        return False
    term = node.args[1].type
    return not term.shape and term.dtype == array.type.dtype and term.is_float and len(node.args) == 2 + array.type.ndim


def _place(node: Node, index: Value, makers: dict[Value, Node], made: set[Value]) -> tuple[tuple, int] | None:
    """What the places of an addition have in common with those of its neighbours, and which of these it is.

    Each iteration goes on by one, on one axis, from a lower number of these to a higher one or the other way round; the
    number is that of the iteration which comes by the same element, but for a constant.
    """
    forms = [form_of(node.args[2 + part[1]], makers.get, lambda v: Form({v: 1})) for part in node.attrs["pattern"]]
    moving = [f for f in forms if index in f]
    if len(moving) != 1 or abs(moving[0][index]) != 1 or any(s in made for f in forms for s in f if s is not index):
        return None
    (move,) = moving
    rest = [frozenset((s, c) for s, c in f.items() if f is not move or s != ONE) for f in forms]
    return tuple(rest), move[index] * move.get(ONE, 0)


def _rewritten(node: Node, k: int, additions: list[_Addition]) -> tuple[Node, list[Node]]:
    """The loop with its additions delayed, and what comes after it."""
    (body,) = node.regions
    waits: dict[Arg, list[Value]] = {}  # of each term, what it was an iteration ago, two iterations ago, ...
    for a in additions:
        held = waits.setdefault(a.term, [])
        held += [Value(Type(a.term.type.dtype), "waits") for _ in range(a.steps - len(held))]
    params = [v for held in waits.values() for v in held]
    results = [r for term, held in waits.items() for r in [term, *held][: len(held)]]
    nodes = _merged(body, additions, waits)
    region = Block((*body.params, *params), nodes, (*body.results, *results), body.name, body.notes)
    zeros = [Const(v.type.dtype.type(0), v.type) for v in params]
    before = Value(node.outs[k].type, node.outs[k].name)
    outs = [Value(v.type, v.name) for v in params]
    loop_outs = (*node.outs[:k], before, *node.outs[k + 1 :], *outs)
    loop = Node(for_, (*node.args, *zeros), loop_outs, node.attrs, (region,), node.loc)
    after = dict(zip(params, outs, strict=True))
    left = {term: [after[v] for v in held] for term, held in waits.items()}
    return loop, _remainder(node, before, node.outs[k], additions, left)


def _last(additions: list[_Addition]) -> Node:
    """The addition to the element that is complete then."""
    return next(a.node for a in additions if not a.steps)


def _merged(body: Block, additions: list[_Addition], waits: dict[Arg, list[Value]]) -> list[Node]:
    """The nodes of the body, with one addition, where the last one stands, in place of several."""
    ours, last = {a.node for a in additions}, _last(additions)
    final = next(n for n in reversed(body.nodes) if n in ours)
    arrays: dict[Arg, Arg] = {}
    nodes: list[Node] = []
    for inner in body.nodes:
        if inner is final:
            terms = (a.term if not a.steps else waits[a.term][a.steps - 1] for a in additions)
            with building(Builder()) as builder:
                builder.loc = inner.loc
                total = as_arg(_sum(map(as_expr, terms)))
            nodes += builder.nodes
            args = (arrays.get(inner.args[0], inner.args[0]), total, *last.args[2:])
            nodes.append(Node(add_at, args, inner.outs, last.attrs, (), inner.loc))
        elif inner in ours:
            arrays[inner.out] = arrays.get(inner.args[0], inner.args[0])
        else:
            nodes.append(renamed(inner, arrays) if not inner.regions else inner)
    return nodes


def _sum(terms: Iterable[object]) -> object:
    return reduce(operator.add, terms)


def _remainder(
    node: Node, before: Value, out: Value, additions: list[_Addition], left: dict[Arg, list[Value]]
) -> list[Node]:
    """The additions that are left after the last iteration, if there was one.

    They go to elements between those that iterations have come by, so the indices are in range.
    """
    (body,) = node.regions
    last, count = _last(additions), as_expr(node.args[0])
    makers = {o: inner for inner in body.nodes for o in inner.outs}

    def add() -> Sequence:
        array = as_expr(before)
        for k in range(1, max(a.steps for a in additions) + 1):
            terms = [left[a.term][a.steps - k] for a in additions if a.steps >= k]
            place = [_at(arg, body.params[0], count - 1 + k, makers) for arg in last.args[2:]]
            array = add_at(array, _sum(map(as_expr, terms)), *place, **last.attrs)
        return [array]

    with building(Builder()) as builder:
        builder.loc = last.loc
        if isinstance(count, Expr):
            branch(count > 0, add, lambda: [as_expr(before)])
        else:
            add()
    *nodes, end = builder.nodes
    return [*nodes, Node(end.op, end.args, (out,), end.attrs, end.regions, end.loc)]


def _at(arg: Arg, index: Value, number: object, makers: dict[Value, Node]) -> object:
    """An affine integer of a loop's body, for an iteration of a given number."""
    form = form_of(arg, makers.get, lambda v: Form({v: 1}))
    total: object = form.get(ONE, 0)
    for symbol, c in form.items():
        if symbol != ONE:
            value = number if symbol is index else as_expr(symbol)
            total = total + value if c == 1 else total - value if c == -1 else total + value * c
    return total
