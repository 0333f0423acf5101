"""Derivatives of calls: each function gets functions of its own for its tangents, or for its cotangents.

Each is made once for what it is differentiated by, and so calls itself where the function does: recursion stays
recursion. What a function has for its reverse is said in `ad.records`.
"""

from __future__ import annotations

from functools import partial

from jitgrad.ad.activity import depends, varied
from jitgrad.ad.forward import FORWARDS, Push
from jitgrad.ad.joint import NotLinear, joint
from jitgrad.ad.records import Tape, again, layout, read_record, read_records, recall, recorded, replay
from jitgrad.ad.regions import own_all
from jitgrad.ad.reversal import Pattern, Reversal, pull
from jitgrad.ad.sweep import REVERSES, Sweep
from jitgrad.ir.function import Function, callee
from jitgrad.ir.graph import Block, Node, Value, substitute
from jitgrad.ops.flow import add_call, call_, carried
from jitgrad.ops.symbolic import Builder, Expr, as_expr, building
from jitgrad.passes import SIMPLIFY, run
from jitgrad.passes.functions import simplified


def _forward_call(push: Push, node: Node) -> None:
    """A call that takes tangents beside values, and gives them."""
    function = callee(node)
    moving = tuple(k for k, arg in enumerate(node.args) if arg in push.active)
    derived = pushed(function, moving)
    targets = tangents_of(function, moving)
    outs = carried([node.outs[k] for k in targets])
    for k, dot in zip(targets, outs, strict=True):
        dot.name = f"{node.outs[k].name}_dot" if node.outs[k].name else None
    args = (*node.args, *(push.tangent(node.args[k]) for k in moving))
    add_call(derived, args, (*node.outs, *outs))
    push.dots.update((node.outs[k], Expr(dot)) for k, dot in zip(targets, outs, strict=True))


def tangents_of(function: Function, moving: tuple[int, ...]) -> list[int]:
    """The results that have a tangent if the given params have one."""
    return sorted({j for k, j in depends(function) if k in moving})


def pushed(function: Function, moving: tuple[int, ...]) -> Function:
    """The function that takes tangents of the given params beside them all, and gives those of results after these."""
    key = ("jvp", moving)
    if key in function.variants:
        return function.variants[key]
    derived = function.variants[key] = Function(f"{function.name}_jvp", loc=function.loc)
    block = simplified(function)
    inputs = [block.params[k] for k in moving]
    dots = tuple(Value(x.type, f"{x.name}_dot") for x in inputs)
    targets = tangents_of(function, moving)
    push = Push(varied(block, inputs), {x: Expr(dot) for x, dot in zip(inputs, dots, strict=True)})
    with building(Builder()) as builder:
        push.nodes(block.nodes)
        results = (*block.results, *(push.tangent(block.results[k]) for k in targets))
    derived.updates = dict(function.updates)
    for k, j in function.updates.items():
        if k in moving and j in targets:
            derived.updates[len(block.params) + moving.index(k)] = len(block.results) + targets.index(j)
    derived.block = run(SIMPLIFY, substitute(Block((*block.params, *dots), builder.nodes, results, derived.name), {}))
    return derived


def _reverse_call(sweep: Sweep, node: Node) -> None:
    """A call backward.

    Where cotangents can be added up while the function computes, that is done. Else, if the function has records, they
    are made going forward, and begin in the first row.
    """
    function = callee(node)
    try:
        pull(sweep, function, node.args, node.outs, partial(joint, function), first=carried(node.outs))
        return
    except NotLinear:
        pass
    tape: Tape = ()
    if layout(function) is not None:
        sweep.forward, tape = recorded(node)
        own_all(sweep.forward)
    pull(sweep, function, node.args, node.outs, partial(pulled, function), tape)


def _reverse_recall(sweep: Sweep, node: Node) -> None:
    """A call inside of a reversed function, whose records are there: those of the calls in it begin in the next row."""
    *args, floats, ints, row = node.args
    sweep.forward = read_record(node)
    own_all(sweep.forward)
    function, tape = node.attrs["function"], (Expr(floats), Expr(ints), as_expr(row) + 1)
    pull(sweep, function, tuple(args), node.outs[:-1], partial(pulled, function), tape)


def pulled(function: Function, pattern: Pattern) -> Function:
    """The reversed function; it has records or does the calls in its body again."""
    if pattern in function.variants:
        return function.variants[pattern]
    derived = function.variants[pattern] = Function(f"{function.name}_vjp", loc=function.loc)
    block = again(simplified(function)) if layout(function) is None else replay(function)
    reversal = Reversal(function, block, pattern)
    sweep = Sweep(varied(block, reversal.inputs), {o: node for node in block.walk() for o in node.outs})
    with building(Builder()) as builder:
        reversal.seed(sweep)
        sweep.back(block.nodes)
        results = reversal.ends(sweep)
    derived.updates = reversal.updates(0)
    block = read_records(Block(reversal.params, [*sweep.forward, *builder.nodes], results, derived.name))
    derived.block = run(SIMPLIFY, substitute(block, {}))
    return derived


FORWARDS[call_] = _forward_call
REVERSES[call_] = _reverse_call
REVERSES[recall] = _reverse_recall
