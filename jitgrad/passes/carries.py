"""What loops carry, and branches give, without changing it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.types import Type
from jitgrad.ops.flow import Slot, slots


def copies_among_carries(block: Block) -> dict[Value, Arg]:
    """What stands for values that loops and branches hand on.

    * a loop that gives back what it was given, in every iteration: what it started from
    * a branch both of whose sides give the same: that
    * slots of one loop that start from the same and do the same, slots of one branch that give the same: the first
    """
    nodes = [node for node in block.walk() if node.regions]
    env: dict[Value, Arg] = {}
    if nodes:
        _unchanged(nodes, env)
        for node in reversed(nodes):  # inner ones first
            _merge(node, env)
    return {value: _resolve(value, env) for value in env}


def typed_as(arg: Arg, value: Value) -> Arg | None:
    """What may stand for `value`: the argument if it has its type, a constant with its type, else None."""
    have, want = arg.type, value.type
    if have == want:
        return arg
    if isinstance(arg, Const) and have.dtype == want.dtype and not want.shape:
        number = arg.value.item() if isinstance(arg.value, np.generic) else arg.value
        return Const(number if want.weak else want.dtype.type(number), Type(want.dtype, (), want.weak))
    return None


def _resolve(arg: Arg | None, env: dict[Value, Arg]) -> Arg | None:
    while arg in env:
        arg = env[arg]
    return arg


def _unchanged(nodes: list[Node], env: dict[Value, Arg]) -> None:
    """Suppose that no slot changes anything, and take it back where that is not so, until nothing is left to take back.

    To begin with the best lets loops in loops prove each other: what the inner one hands on, the outer one does.
    """
    supposed = []
    for node in nodes:
        for slot in slots(node):
            source = slot.init if slot.params else slot.results[0]
            values = (*slot.params, slot.out)
            stands = [typed_as(source, v) for v in values]
            if None not in stands:
                env.update(zip(values, stands, strict=True))
                supposed.append(slot)
    wrong: Iterable[Slot] = supposed
    while wrong:
        wrong = [slot for slot in supposed if not _holds(slot, env)]
        for slot in wrong:
            for value in (*slot.params, slot.out):
                del env[value]
        supposed = [slot for slot in supposed if slot.out in env]


def _holds(slot: Slot, env: dict[Value, Arg]) -> bool:
    out = _resolve(slot.out, env)
    return all(_resolve(r, env) == out for r in slot.results)


def _merge(node: Node, env: dict[Value, Arg]) -> None:
    """Slots that can't be told apart: split by what they start from, then by what becomes of them, until that is
    stable."""
    left = [slot for slot in slots(node) if slot.out not in env]
    group: dict[Value, object] = {}
    own = {param: slot.out for slot in left for param in slot.params}
    keys = [(*(v.type for v in (slot.out, *slot.params)), _resolve(slot.init, env)) for slot in left]
    count = 0
    while True:
        numbers: dict[tuple, int] = {}
        group = {slot.out: numbers.setdefault(key, len(numbers)) for slot, key in zip(left, keys, strict=True)}
        if len(numbers) == count:
            break
        count = len(numbers)
        results = [tuple(_resolve(r, env) for r in slot.results) for slot in left]
        becomes = [tuple(group[own[r]] if r in own else r for r in rs) for rs in results]
        keys = [(group[slot.out], *rest) for slot, rest in zip(left, becomes, strict=True)]
    first: dict[object, Slot] = {}
    for slot in left:
        leader = first.setdefault(group[slot.out], slot)
        if leader is not slot:
            env.update(zip((*slot.params, slot.out), (*leader.params, leader.out), strict=True))
