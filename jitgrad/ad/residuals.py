"""Where the reverse of a loop has the state from in which an iteration began.

Only what its cotangents still read once everything dead is removed has to be there. A carried value that never changes
is what the loop started from; an integer that grows by the same step is computed; anything else is kept, one entry an
iteration, in an array that is made before the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jitgrad.ad.regions import reads
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, substitute
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.create import uninitialized
from jitgrad.ops.flow import carried, for_, while_
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.symbolic import current

if TYPE_CHECKING:
    from jitgrad.ad.loops import Loop


def restore(loop: Loop, back: Block, env: dict[Value, Arg]) -> tuple[list[Node], list[Node]]:
    """Make the state at the start of an iteration known to the reversed body.

    Args:
        loop: the loop.
        back: its reversed body, which reads some of the carried values.
        env: extended by what stands for a carried value.

    Returns:
        The nodes that the primal has in place of the loop, and those that define carried values in front of the reversed
        body, which may read `loop.index`.
    """
    wanted = reads(back)
    prefix: list[Node] = []
    kept: list[int] = []
    for k, param in enumerate(loop.params):
        if param not in wanted:
            continue
        result, start = loop.body.results[k], loop.init[k]
        step = _step(loop, param, result)
        if result is param:
            env[param] = start
        elif step is not None:
            so_far = Value(Type(INT64, (), weak=True))
            prefix.append(Node(UFUNCS[np.multiply], (loop.index, step), (so_far,), {}, (), current().loc))
            prefix.append(Node(UFUNCS[np.add], (start, so_far), (param,), {}, (), current().loc))
        else:
            kept.append(k)
    if not kept:
        return [loop.node] if loop.node.op is while_ else [], prefix
    forward, states = _keep(loop, kept)
    for k, state in zip(kept, states, strict=True):
        prefix.append(_entry(state, loop.index, loop.params[k]))
    return forward, prefix


def _step(loop: Loop, param: Value, result: Arg) -> Arg | None:
    """By how much an integer grows in each iteration, if that is always the same."""
    if param.type.shape or param.type.dtype.kind != "i":
        return None
    made = {o: node for node in loop.body.nodes for o in node.outs}
    node = made.get(result)
    if node is None or node.op is not UFUNCS[np.add] or param not in node.args:
        return None
    (step,) = [a for a in node.args if a is not param] or (None,)
    return None if step is None or step in made or step in loop.params or step is loop.index else step


def _keep(loop: Loop, kept: list[int]) -> tuple[list[Node], list[Value]]:
    """The loop with arrays in which the carried values are kept as they are at the start of each iteration."""
    node = loop.node
    if node.op is while_ and not (isinstance(node.args[0], Const) and node.args[0].value < 0):
        return _keep_in_while(loop, kept)
    forward: list[Node] = []
    states = [_room(loop.params[k], loop.count, forward) for k in kept]
    inside, ends = carried(states), carried(states)
    stores = _stores(inside, loop.index, [loop.params[k] for k in kept])
    results = (*loop.body.results, *(s.out for s in stores))
    body = Block((loop.index, *loop.params, *inside), [*stores, *loop.body.nodes], results, loop.body.name)
    args = (loop.count, *loop.init[: len(loop.params)], *states)
    if node.op is for_:
        forward.append(Node(for_, args, (*node.outs, *ends), node.attrs, (body,), node.loc))
        return forward, list(ends)
    # How often a `while` runs is known when it has run; then it is run again, as a counted loop.
    outs = carried(args[1 : 1 + len(loop.params)])
    again = Node(for_, args, (*outs, *ends), node.attrs, (body,), node.loc)
    env: dict[Value, Arg] = {}
    current().extend(substitute(Block((), [*forward, again], ()), env).nodes)
    return [node], [env[e] for e in ends]


def _keep_in_while(loop: Loop, kept: list[int]) -> tuple[list[Node], list[Value]]:
    """A `while` that has a bound has room for so many iterations; the counter of iterations is its last carry."""
    node = loop.node
    test, body = node.regions
    forward: list[Node] = []
    states = [_room(loop.params[k], node.args[0], forward) for k in kept]
    inside, tested, ends = carried(states), carried(states), carried(states)
    stores = _stores(inside, body.params[-1], [loop.params[k] for k in kept])
    body = Block(
        (*body.params, *inside), [*stores, *body.nodes], (*body.results, *(s.out for s in stores)), body.name
    )
    test = Block((*test.params, *tested), test.nodes, test.results, test.name)
    node = Node(while_, (*node.args, *states), (*node.outs, *ends), node.attrs, (test, body), node.loc)
    return [*forward, node], list(ends)


def _room(value: Value, count: Arg, nodes: list[Node]) -> Value:
    """An array with an entry for each iteration; the node that makes it is added to `nodes`."""
    length = count if isinstance(count, Value) else int(count.value)
    name = f"{value.name}_steps" if value.name else None
    room = Value(Type(value.type.dtype, (length, *value.type.shape)), name)
    lengths = tuple(n if isinstance(n, Value) else Const.of(n) for n in value.type.shape)
    nodes.append(Node(uninitialized, (count, *lengths), (room,), {"dtype": value.type.dtype}, (), current().loc))
    return room


def _place(room: Value, index: Arg) -> tuple[tuple, dict]:
    """Operands and attributes of the index of an entry."""
    pattern: list[tuple] = [("at", 0)]
    operands: list[Arg] = [index]
    for n in room.type.shape[1:]:
        operands += [Const.of(0), n if isinstance(n, Value) else Const.of(n)]
        pattern.append(("slice", len(operands) - 2, len(operands) - 1, 1, (None, None)))
    return tuple(operands), {"pattern": tuple(pattern)}


def _entry(room: Value, index: Arg, out: Value) -> Node:
    operands, attrs = _place(room, index)
    return Node(getitem_, (room, *operands), (out,), attrs, (), current().loc)


def _stores(rooms: tuple[Value, ...], index: Arg, values: list[Value]) -> list[Node]:
    nodes = []
    for room, value in zip(rooms, values, strict=True):
        operands, attrs = _place(room, index)
        out = Value(room.type, room.name)
        nodes.append(Node(setitem, (room, value, *operands), (out,), attrs, (), current().loc))
    return nodes
