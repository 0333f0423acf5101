"""From a call's arguments to the primal block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jitgrad.api.signature import Flat, LeafType, StaticLeaf
from jitgrad.api.structure import flatten, unflatten
from jitgrad.ir.graph import Block, Value
from jitgrad.ir.types import Type
from jitgrad.ops.control import check
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr, NeedStatic, as_arg, building, current
from jitgrad.trace import Guard, Hidden, Recursion, evaluate


@dataclass(frozen=True, slots=True)
class Primal:
    """A traced function.

    Attributes:
        block: its params are the run-time leaves of the arguments, then the hidden inputs, then captured arrays.
        leaves: for each leaf of the arguments its param; None for one that is static.
        structure: of the result.
        results: what each leaf of the result is called.
        hidden, guards: what the function read from outside.
        captured: arrays that came up while tracing.
        written: the leaves that the function writes to (its own copies of them).
    """

    block: Block
    leaves: list[Value | None]
    structure: tuple
    results: list[str]
    hidden: list[Hidden]
    guards: list[Guard]
    captured: list[np.ndarray]
    written: list[int]

    def sources(self) -> dict[str, list[Value]]:
        """The params by where their values come from at a call."""
        captured = self.block.params[len(self.block.params) - len(self.captured) :]
        return {"leaf": self.leaves, "hidden": [h.value for h in self.hidden], "captured": list(captured)}


ASSUMED = "a derived length had been one when this was compiled"


def trace(
    function: Callable,
    flat: Flat,
    types: list[LeafType],
    static: frozenset[int],
    ones: frozenset[str],
    boundscheck: bool = True,
) -> Primal:
    """Trace a function for arguments of these types, of which the leaves in `static` are what they are.

    `ones` describes derived lengths that are one, and `boundscheck` says whether indices are checked (see `Builder`).

    Raises:
        StaticLeaf: with the leaf that has to become static.
        TraceError, UnsupportedError: what the function does can't be compiled.
    """
    recursive: frozenset = frozenset()
    while True:
        builder = Builder(checking=True, ones=ones, boundscheck=boundscheck)
        with building(builder):
            values = [
                None if k in static else parameter(name, type)
                for k, (name, type) in enumerate(zip(flat.names, types, strict=True))
            ]
        try:
            return traced(function, flat, values, builder, recursive)
        except Recursion as found:
            recursive |= {found.place}
        except NeedStatic as need:
            for k, value in enumerate(values):
                if value is need.value:
                    raise StaticLeaf(k) from need
            raise


def traced(
    function: Callable,
    flat: Flat,
    values: list[Value | None],
    builder: Builder,
    recursive: frozenset = frozenset(),
) -> Primal:
    """Evaluate the function on given values; a leaf without one is what it is.

    `recursive` says where functions are called that call themselves at run time.
    """
    leaves = [leaf if value is None else Expr(value) for leaf, value in zip(flat.leaves, values, strict=True)]
    parts = [unflatten(s, iter(_take(leaves, flat, k))) for k, s in enumerate(flat.structures)]
    split = len(parts) - len(flat.keywords)
    kwargs = dict(zip(flat.keywords, parts[split:], strict=True))
    found = evaluate(function, tuple(parts[:split]), kwargs, builder, recursive)
    results, names, structure = flatten(found.result, "result", _is_result)
    with building(builder):
        outs = tuple(as_arg(r) for r in results)
    with building(builder):
        for value in builder.assumed():
            current().emit(check, (Expr(value) == 1,), {"message": ASSUMED, "where": ""})
    captured = [] if builder.parent is not None else builder.captured
    params = [v for v in values if v is not None] + [h.value for h in found.hidden] + [v for v, _ in captured]
    name = getattr(function, "__name__", "function")
    block = Block(tuple(params), builder.nodes, outs, name if name.isidentifier() else "function")
    written = [k for k, v in enumerate(values) if any(v is w for w in found.written)]
    arrays = [_as_compiled(a) for _, a in captured]
    return Primal(block, values, structure, names, found.hidden, found.guards, arrays, written)


def _as_compiled(array: np.ndarray) -> np.ndarray:
    """An array as compiled code takes it, so that no call has to convert it."""
    return array if array.flags.c_contiguous and array.flags.writeable else np.array(array, order="C")


def _take(leaves: list, flat: Flat, k: int) -> list:
    return [leaves[j] for j in list(flat.groups.values())[k]]


def _is_result(x: object, name: str) -> bool:
    return isinstance(x, Expr | float | int | np.generic | np.ndarray)


def parameter(name: str, type: LeafType) -> Value:
    """A param of the block under construction, with the lengths of its axes.

    An axis of length one is checked to be that at run time: what broadcasts was decided by it.
    """
    value = Value(Type(type.dtype, (1,) * len(type.ones), type.weak), name)
    shape: list[int | Value] = []
    for k, one in enumerate(type.ones):
        length = current().emit(axis_length, (value,), {"axis": k})
        length.value.name = f"{name}_n" if len(type.ones) == 1 else f"{name}_n{k}"
        if one:
            attrs = {"message": f"axis {k} of {name!r} had length one when this was compiled", "where": ""}
            current().emit(check, (length == 1,), attrs)
        shape.append(1 if one else length.value)
    value.type = Type(type.dtype, tuple(shape), type.weak)
    return value
