"""Which arrays of a compiled function are certainly in different memory.

LLVM sees pointers of which it knows nothing. Whether a write to one buffer leaves another as it was, it asks at run
time in front of each loop, or gives up. The function itself says it: memory that `np.empty` gives is no argument's,
and no other's that is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numba.core import ir, types

from jitgrad.runtime.scalars import writable

ARGUMENTS = "arguments"
UNKNOWN = "unknown"

# Statements that bind no variable. A function with any that is neither these nor an assignment isn't looked into.
_BINDS_NOTHING = (ir.Terminator, ir.Del, ir.SetItem, ir.StaticSetItem)
_SAME_MEMORY = frozenset(("reshape",))  # methods
_CARRIERS = (types.Array, types.BaseTuple)  # a tuple has the memory of all its items


def places(function: ir.FunctionIR, typemap: Mapping[str, types.Type]) -> dict[str, frozenset[str]]:
    """Where the memory of each array variable may come from, and of each tuple.

    A place is a call of `np.empty` in the text, or `ARGUMENTS`, which may overlap each other. Two variables without a
    place in common are in different memory whenever both are in use. A variable that isn't in the result may be in any.
    """
    statements = [s for block in function.blocks.values() for s in block.body]
    if not all(isinstance(s, (ir.Assign, *_BINDS_NOTHING)) for s in statements):
        return {}
    assigned = [(s.target.name, s.value) for s in statements if isinstance(s, ir.Assign)]
    receivers: dict[str, set[str]] = {}
    for target, value in assigned:
        if isinstance(value, ir.Expr) and value.op == "getattr" and value.attr in _SAME_MEMORY:
            receivers.setdefault(target, set()).add(value.value.name)
    found: dict[str, set[str]] = {}
    copies: list[tuple[str, str]] = []
    for target, value in assigned:
        if isinstance(typemap[target], _CARRIERS):
            place, sources = _origin(target, value, typemap, receivers)
            found.setdefault(target, set()).update(place)
            copies.extend((target, source) for source in sources if isinstance(typemap[source], _CARRIERS))
    _spread(found, copies)
    return {name: frozenset(p) for name, p in found.items() if UNKNOWN not in p}


def _origin(
    target: str, value: object, typemap: Mapping[str, types.Type], receivers: Mapping[str, set[str]]
) -> tuple[set[str], set[str]]:
    """The place that the memory of a value comes from, and the variables that it may be that of."""
    if isinstance(value, ir.Arg):
        return {ARGUMENTS}, set()
    if isinstance(value, ir.Var):
        return set(), {value.name}
    op = getattr(value, "op", None)
    of_tuple = op in ("exhaust_iter", "static_getitem") and isinstance(typemap[value.value.name], types.BaseTuple)
    if op == "cast" or of_tuple:
        return set(), {value.value.name}
    if op == "build_tuple":
        return set(), {v.name for v in value.items}
    if op == "phi":
        return set(), {v.name for v in value.incoming_values if v is not ir.UNDEFINED}
    if op == "call":
        function = _called(typemap[value.func.name])
        if function is np.empty:
            return {target}, set()
        if function is writable:
            return set(), {value.args[0].name}
        if value.func.name in receivers:
            return set(), receivers[value.func.name]
    return {UNKNOWN}, set()


def _called(type: types.Type) -> Callable | None:
    return type.typing_key if isinstance(type, types.Function) else None


def _spread(found: dict[str, set[str]], copies: list[tuple[str, str]]) -> None:
    """Give each variable the places of those that it is assigned, until nothing changes."""
    changed = True
    while changed:
        changed = False
        for target, source in copies:
            more = found.get(source, {UNKNOWN}) - found[target]
            found[target] |= more
            changed |= bool(more)
