"""Which arrays of a compiled function are certainly in different memory.

LLVM sees pointers of which it knows nothing. Whether a write to one buffer leaves another as it was, it asks at run
time in front of each loop, or gives up. The function itself says it: memory that `np.empty` gives is no argument's,
and no other's that is in use.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba.core import ir, types

from jitgrad.runtime.scalars import writable

ARGUMENTS = "arguments"
UNKNOWN = "unknown"

# Statements that bind no variable. A function with any that is neither these nor an assignment isn't looked into.
_BINDS_NOTHING = (ir.Terminator, ir.Del, ir.SetItem, ir.StaticSetItem)
# What has memory: arrays, tuples that of all their items, and methods that of the array that they belong to.
_CARRIERS = (types.Array, types.BaseTuple, types.BoundFunction)
_VIEWS = frozenset(("reshape",))  # methods that give the same memory


def places(function: ir.FunctionIR, typemap: Mapping[str, types.Type]) -> dict[str, frozenset[str]]:
    """Where the memory of each array variable may come from.

    A place is a call of `np.empty` in the text, or `ARGUMENTS`, which may overlap each other. Two variables without a
    place in common are in different memory whenever both are in use. A variable that isn't in the result may be in any.
    """
    statements = [s for block in function.blocks.values() for s in block.body]
    if not all(isinstance(s, (ir.Assign, *_BINDS_NOTHING)) for s in statements):
        return {}
    found: dict[str, set[str]] = {}
    copies: list[tuple[str, str]] = []
    for target, value in ((s.target.name, s.value) for s in statements if isinstance(s, ir.Assign)):
        if isinstance(typemap[target], _CARRIERS):
            own, sources = _origin(target, value, typemap)
            found.setdefault(target, set()).update(own)
            copies.extend((target, source) for source in sources if isinstance(typemap[source], _CARRIERS))
    _spread(found, copies)
    return {name: frozenset(own) for name, own in found.items() if UNKNOWN not in own}


def _origin(target: str, value: object, typemap: Mapping[str, types.Type]) -> tuple[set[str], set[str]]:
    """The place that a value's memory comes from, and the variables whose memory it may be."""
    op = getattr(value, "op", None)
    if isinstance(value, ir.Arg):
        return {ARGUMENTS}, set()
    if isinstance(value, ir.Var):
        return set(), {value.name}
    if op == "cast" or (op == "getattr" and value.attr in _VIEWS):
        return set(), {value.value.name}
    if op in ("exhaust_iter", "static_getitem") and isinstance(typemap[value.value.name], types.BaseTuple):
        return set(), {value.value.name}
    if op == "build_tuple":
        return set(), {v.name for v in value.items}
    if op == "call":
        kind = typemap[value.func.name]
        if isinstance(kind, types.BoundFunction):
            return set(), {value.func.name}
        if isinstance(kind, types.Function) and kind.typing_key is np.empty:
            return {target}, set()
        if isinstance(kind, types.Function) and kind.typing_key is writable:
            return set(), {value.args[0].name}
    return {UNKNOWN}, set()


def _spread(found: dict[str, set[str]], copies: list[tuple[str, str]]) -> None:
    """Give each variable the places of those that it is assigned, until nothing changes."""
    changed = True
    while changed:
        changed = False
        for target, source in copies:
            more = found.get(source, {UNKNOWN}) - found[target]
            found[target] |= more
            changed |= bool(more)
