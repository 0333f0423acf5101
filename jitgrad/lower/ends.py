"""Loops that may be joined but for an iteration at an end.

A stencil runs over `n - 1` numbers, and what goes before and after it over `n`. With the first or the last iteration of
the longer loop done apart they run over the same numbers.
"""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, substitute
from jitgrad.ops.flow import for_
from jitgrad.ops.symbolic import Builder, Expr, as_arg, building
from jitgrad.passes.rename import renamed_throughout

LARGEST = 60  # nodes in an iteration that is done apart


def without_first(loop: Node, count: Arg) -> tuple[list[Node], Node]:
    """The first iteration, and the loop over the `count` others."""
    (body,) = loop.regions
    start = dict(zip(body.params, (Const(0, body.params[0].type), *loop.args[1:]), strict=True))
    first = substitute(Block((), body.nodes, body.results), start)
    with building(Builder()) as builder:
        builder.loc = loop.loc
        number = Value(body.params[0].type, "k")
        index = as_arg(Expr(number) + 1)
    inside = {body.params[0]: index, **{p: Value(p.type, p.name) for p in body.params[1:]}}
    rest = substitute(Block((), body.nodes, body.results), inside)
    params = (number, *(inside[p] for p in body.params[1:]))
    region = Block(params, [*builder.nodes, *rest.nodes], rest.results, body.name, body.notes)
    return first.nodes, Node(for_, (count, *first.results), loop.outs, loop.attrs, (region,), loop.loc)


def without_last(loop: Node, count: Arg) -> tuple[Node, list[Node]] | None:
    """The loop over the first `count` numbers, and the last iteration, which gives what the loop has given."""
    (body,) = loop.regions
    before = tuple(Value(o.type, o.name) for o in loop.outs)
    shorter = Node(for_, (count, *loop.args[1:]), before, loop.attrs, loop.regions, loop.loc)
    last = substitute(Block((), body.nodes, body.results), dict(zip(body.params, (count, *before), strict=True)))
    names = dict(zip(last.results, loop.outs, strict=True))
    if len(names) < len(loop.outs) or not names.keys() <= {o for node in last.nodes for o in node.outs}:
        return None
    nodes = [renamed_throughout(node, names) for node in last.nodes]
    nodes = [Node(n.op, n.args, tuple(names.get(o, o) for o in n.outs), n.attrs, n.regions, n.loc) for n in nodes]
    return shorter, nodes


def is_short(loop: Node) -> bool:
    """Whether an iteration of a loop may as well be done apart."""
    (body,) = loop.regions
    return sum(1 for _ in body.walk()) <= LARGEST and not any(node.regions for node in body.nodes)
