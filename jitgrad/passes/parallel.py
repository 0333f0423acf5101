"""Loops whose iterations are independent, shared out among threads.

A loop of the program, in no other loop, is cut into as many parts as there are threads, if all that it carries are
sums, and arrays of which each iteration reads and writes only its own part. A thread adds up into memory of its own,
and what the threads have found is added in their order: no two write to the same place, and the same number of threads
gives the same bits.

An exception has no way out of a thread. What a loop checks is checked by a loop in front; one that calls functions, or
asks for Ctrl-C as a `while` does, has one thread.

What a thread does is a function of its own, so that it is compiled as any other; the loop over the threads is another,
which calls the first as it is where there is too little to do for more than one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jitgrad.ir.function import Function, has_effect
from jitgrad.ir.graph import Arg, Block, Node, Value, reads, substitute
from jitgrad.ir.op import Op
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.flow import PARALLEL, add_call, branch, call_, carried, for_, for_loop, if_, while_
from jitgrad.ops.index import add_at, setitem
from jitgrad.ops.rules import Constant
from jitgrad.ops.shape import broadcast_to_, greatest, least
from jitgrad.ops.sums import Sums
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, as_length, building, current
from jitgrad.passes.accesses import own_axis
from jitgrad.passes.dce import dce
from jitgrad.passes.rename import rename_lengths, renamed, renamed_throughout

# How many threads compiled code may use. What is run by Python has one.
thread_count = Op("thread_count", lambda args: Type(INT64), lambda: 1, Constant())

_SUM, _OWN = "sum", "own"

# How many elements an iteration without loops, or many of them, must compute for each thread: starting threads takes
# some 20 microseconds.
GRAIN = 16384


def shared_out(block: Block) -> tuple[Block, list[Function]]:
    """The block with its loops shared out among threads, and the functions that this has made."""
    makers = {out: node for node in block.walk() for out in node.outs}
    made: list[Function] = []
    env: dict[Arg, Arg] = {}
    return rename_lengths(_in_block(block, makers, env, made), env), made


def _in_block(block: Block, makers: dict[Value, Node], env: dict[Arg, Arg], made: list[Function]) -> Block:
    """The block, or a branch in it, with its loops shared out; `env` is what stands for their results."""
    nodes: list[Node] = []
    for node in block.nodes:
        if node.op is if_:
            nodes.append(renamed(node, env, tuple(_in_block(r, makers, env, made) for r in node.regions)))
            continue
        node = renamed_throughout(node, env)
        kinds = _kinds(node, makers) if node.op is for_ else None
        checks = _checks(node) if kinds else None
        if not kinds or checks is None:
            nodes.append(node)
            continue
        nodes += checks
        with building(Builder()) as builder:
            builder.loc = node.loc
            outs = _shared(node, kinds, made)
        nodes.extend(builder.nodes)
        env.update(zip(node.outs, map(as_arg, outs), strict=True))
    results = tuple(env.get(r, r) for r in block.results)
    return Block(block.params, nodes, results, block.name, block.notes)


def _kinds(node: Node, makers: dict[Value, Node]) -> list[str] | None:
    """What each carried value of a loop is; None where iterations depend on each other."""
    (body,) = node.regions
    sums = Sums(body)
    kinds = []
    for k, param in enumerate(body.params[1:]):
        if sums.end_of(param, body) == k and param.type.is_float:
            kinds.append(_SUM)
        elif param.type.shape and own_axis(node, k, makers) is not None:
            kinds.append(_OWN)
        else:
            return None
    return kinds


def _checks(node: Node) -> list[Node] | None:
    """A loop that does what another checks, if that checks anything; None if it may raise in other ways.

    The same if what is checked depends on what the loop carries, or on floats: their last bit may be another in the
    second loop.
    """
    (body,) = node.regions
    if any(inner.op in (while_, call_) for inner in body.walk()):
        return None
    if not has_effect(node):
        return []
    alone = dce(substitute(Block(body.params[:1], body.nodes, ()), {p: p for p in body.params[1:]}))
    if any(p in reads(alone) for p in body.params[1:]) or any(o.type.is_float for n in alone.walk() for o in n.outs):
        return None
    return [Node(for_, node.args[:1], (), {}, (alone,), node.loc)]


def _unchecked(nodes: list[Node]) -> list[Node]:
    """Nodes without the checks among them."""
    return [
        renamed(n, {}, tuple(Block(r.params, _unchecked(r.nodes), r.results, r.name, r.notes) for r in n.regions))
        for n in nodes
        if not n.op.effect
    ]


def _shared(node: Node, kinds: list[str], made: list[Function]) -> list:
    """The results of a loop that is shared out."""
    threads = _threads_for(as_expr(node.args[0]), node.regions[0])
    partial = []
    for kind, init in zip(kinds, node.args[1:], strict=True):
        shape = (as_arg(threads), *init.type.shape)
        zero = init.type.dtype.type(0)
        partial.append(current().emit(broadcast_to_, (zero, *shape), {}) if kind == _SUM else as_expr(init))
    ends = _on_threads(node, kinds, threads, partial, made)
    outs = []
    for kind, init, end in zip(kinds, node.args[1:], ends, strict=True):
        outs.append(as_expr(init) + np.sum(end, axis=0) if kind == _SUM else end)
    return outs


def _threads_for(count: object, body: Block) -> object:
    """How many threads share so many iterations."""
    threads = least(current().emit(thread_count, (), {}), greatest(count, 1))
    if any(inner.regions for inner in body.nodes):
        return threads
    computed = (out for node in body.nodes for out in node.outs if node.op not in (setitem, add_at))
    shape = max((out.type.shape for out in computed), key=len, default=())
    elements = math.prod(map(as_length, shape), start=count)
    return least(threads, greatest(elements // GRAIN, 1))


def _on_threads(node: Node, kinds: list[str], threads: object, partial: Sequence, made: list[Function]) -> tuple:
    """The loop over the threads, as a function."""
    part = _part(node, kinds)
    free = _close(part)
    number = Value(Type(INT64, (), weak=True), "threads")
    arrays = [_array(kind, init, number) for kind, init in zip(kinds, node.args[1:], strict=True)]
    with building(Builder()) as builder:
        builder.loc = node.loc

        def body(thread: object, *carry: object) -> tuple:
            return _called(part, (thread, Expr(number), *carry, *map(as_expr, free)))

        def all_threads() -> tuple:
            ends = for_loop(Expr(number), arrays, body, "thread")
            current().nodes[-1].attrs[PARALLEL] = True
            return ends

        results = branch(Expr(number) == 1, lambda: body(0, *map(Expr, arrays)), all_threads)
    updates = {1 + k: k for k in range(len(kinds))}
    block = Block((number, *arrays), builder.nodes, tuple(map(as_arg, results)))
    whole = Function(f"{part.name}_on_threads", block, updates, loc=node.loc, threaded=True)
    more = _close(whole)
    made += [part, whole]
    return _called(whole, (threads, *partial, *map(as_expr, more)))


def _array(kind: str, init: Arg, threads: Value) -> Value:
    """The param for an array that the threads fill: one sum for each, or the array of which each has a part."""
    shape = (threads, *init.type.shape) if kind == _SUM else init.type.shape
    return Value(Type(init.type.dtype, shape), getattr(init, "name", None))


def _called(function: Function, args: tuple) -> tuple:
    """A call; an array that the function updates comes back in the shape in which it was given."""
    args = tuple(map(as_arg, args))
    outs = carried([args[k] for k in function.updates])
    return add_call(function, args, outs)


def _part(node: Node, kinds: list[str]) -> Function:
    """What one thread does: its part of the iterations, into its part of the arrays of sums."""
    (body,) = node.regions
    thread, threads = (Value(Type(INT64, (), weak=True), name) for name in ("thread", "threads"))
    inits = node.args[1:]
    arrays = [_array(kind, init, threads) for kind, init in zip(kinds, inits, strict=True)]
    with building(Builder()) as builder:
        builder.loc = node.loc
        count = as_expr(node.args[0])
        first = Expr(thread) * count // Expr(threads)
        trips = (Expr(thread) + 1) * count // Expr(threads) - first
        start = []
        for kind, init, array in zip(kinds, inits, arrays, strict=True):
            zero = init.type.dtype.type(0)
            fresh = current().emit(broadcast_to_, (zero, *init.type.shape), {}) if init.type.shape else zero
            start.append(fresh if kind == _SUM else Expr(array))

        def iteration(i: object, *carry: object) -> tuple:
            env = {body.params[0]: as_arg(i + first), **dict(zip(body.params[1:], map(as_arg, carry), strict=True))}
            copy = substitute(Block((), _unchecked(body.nodes), body.results), env)
            current().extend(copy.nodes)
            return copy.results

        ends = for_loop(trips, start, iteration, body.params[0].name or "i")
        results = []
        for kind, array, end in zip(kinds, arrays, ends, strict=True):
            results.append(as_arg(_put(Expr(array), end, Expr(thread)) if kind == _SUM else end))
    updates = {2 + k: k for k in range(len(kinds))}
    name = f"part_of_line_{node.loc.line}"
    block = Block((thread, threads, *arrays), builder.nodes, tuple(results), name)
    return Function(name, block, updates, loc=node.loc, threaded=True)


def _put(array: Expr, value: object, thread: Expr) -> Expr:
    """The array with what one thread has found."""
    operands, pattern = [thread], [("at", 0)]
    for n in as_arg(array).type.shape[1:]:
        pattern.append(("slice", len(operands), len(operands) + 1, 1, (None, None)))
        operands += [0, as_expr(n) if isinstance(n, Value) else n]
    return setitem(array, value, *operands, pattern=tuple(pattern))


def _close(function: Function) -> list[Value]:
    """Give a function params for what it reads from around; those values."""
    block = function.block
    free = list(reads(block))
    env: dict[Value, Arg] = {v: Value(v.type, v.name) for v in free}
    env.update((p, p) for p in block.params)
    function.block = substitute(Block((*block.params, *free), block.nodes, block.results, block.name), env)
    return free
