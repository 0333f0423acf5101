"""Derivatives of calls: each function gets functions of its own for its tangents, or for its cotangents.

Each is made once for what it is differentiated by, and so calls itself where the function does: recursion stays
recursion. What a function has for its reverse is said in `ad.records`.
"""

from __future__ import annotations

from jitgrad.ad.activity import depends, varied
from jitgrad.ad.forward import FORWARDS, Push, name_after
from jitgrad.ad.records import Tape, layout, read_record, read_records, recall, recorded, replay, without_effects
from jitgrad.ad.regions import own_all
from jitgrad.ad.sweep import REVERSES, Sweep
from jitgrad.ir.function import Function, callee
from jitgrad.ir.graph import Arg, Block, Node, Value, substitute
from jitgrad.ir.types import Type
from jitgrad.ops.flow import add_call, call_, carried
from jitgrad.ops.rules import zeros_like
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building
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
    """A call backward: of a function that has records they are made going forward, and begin in the first row."""
    tape: Tape = ()
    if layout(callee(node)) is not None:
        sweep.forward, tape = recorded(node)
        own_all(sweep.forward)
    _pull(sweep, callee(node), node.args, node.outs, tape)


def _reverse_recall(sweep: Sweep, node: Node) -> None:
    """A call inside of a reversed function, whose records are there: those of the calls in it begin in the next row."""
    *args, floats, ints, row = node.args
    sweep.forward = read_record(node)
    own_all(sweep.forward)
    _pull(sweep, node.attrs["function"], tuple(args), node.outs[:-1], (Expr(floats), Expr(ints), as_expr(row) + 1))


def _pull(sweep: Sweep, function: Function, args: tuple[Arg, ...], outs: tuple[Value, ...], tape: Tape) -> None:
    """Call the reversed function: cotangents of results in, those of arguments out."""
    given = tuple(k for k, out in enumerate(outs) if out in sweep.bars)
    active = [k for k, arg in enumerate(args) if arg in sweep.active]
    wanted = tuple(k for k in active if any((k, j) in depends(function) for j in given))
    if not wanted:
        return
    added = {k: args.index(args[k]) == k for k in _added_to(function, wanted)}
    sums = [sweep.bars.get(args[k]) if first else None for k, first in added.items()]
    sums = [zeros_like(Expr(args[k])) if s is None else s for k, s in zip(added, sums, strict=True)]
    heads = [sweep.bars[outs[k]] for k in given]
    params = function.block.params
    bars = tuple(Value(Type(params[k].type.dtype, args[k].type.shape, params[k].type.weak)) for k in wanted)
    derived = pulled(function, given, wanted)
    add_call(derived, (*args, *map(as_arg, (*tape, *heads, *sums))), bars)
    for k, bar in zip(wanted, bars, strict=True):
        if added.get(k):
            sweep.bars[args[k]] = Expr(bar)
            name_after(Expr(bar), args[k], "bar")
        else:
            sweep.add(args[k], Expr(bar))
        sweep.masked.add(args[k])


def _added_to(function: Function, wanted: tuple[int, ...]) -> list[int]:
    """The params whose cotangent is handed in and added to: arrays that are only read."""
    return [k for k in wanted if function.block.params[k].type.shape and k not in function.updates]


def pulled(function: Function, given: tuple[int, ...], wanted: tuple[int, ...]) -> Function:
    """The reversed function.

    It takes all that the function takes; its records, if it has any; the cotangents of the results in `given`; and the
    cotangents so far of those arrays among the params in `wanted` that it only reads. It gives the cotangents of the
    params in `wanted`.
    """
    key = ("vjp", given, wanted)
    if key in function.variants:
        return function.variants[key]
    derived = function.variants[key] = Function(f"{function.name}_vjp", loc=function.loc)
    block = without_effects(substitute(simplified(function), {})) if layout(function) is None else replay(function)
    inputs = [block.params[k] for k in wanted]
    heads = carried([block.results[k] for k in given])
    sums = {k: bar for k, bar in zip(wanted, carried(inputs), strict=True) if k in _added_to(function, wanted)}
    for bar, x in zip((*heads, *sums.values()), (*(block.results[k] for k in given), *(block.params[k] for k in sums)),
                      strict=True):  # fmt: skip
        bar.name = f"{x.name}_bar" if getattr(x, "name", None) else None
    makers = {o: node for node in block.walk() for o in node.outs}
    sweep = Sweep(varied(block, inputs), makers, {block.params[k]: Expr(bar) for k, bar in sums.items()})
    with building(Builder()) as builder:
        for k, head in zip(given, heads, strict=True):
            if block.results[k] in sweep.active:
                sweep.add(block.results[k], Expr(head))
                sweep.masked.add(block.results[k])  # as all cotangents that come out of calls are taken to be
        sweep.back(block.nodes)
        results = tuple(as_arg(sweep.bars[x]) if x in sweep.bars else as_arg(zeros_like(Expr(x))) for x in inputs)
    params = (*block.params, *heads, *sums.values())
    first = len(block.params)
    derived.updates = {first + len(heads) + j: wanted.index(k) for j, k in enumerate(sums)}
    for k, j in function.updates.items():
        if k in wanted and j in given:
            derived.updates[first + given.index(j)] = wanted.index(k)
    block = read_records(Block(params, [*sweep.forward, *builder.nodes], results, derived.name))
    derived.block = run(SIMPLIFY, substitute(block, {}))
    return derived


FORWARDS[call_] = _forward_call
REVERSES[call_] = _reverse_call
REVERSES[recall] = _reverse_recall
