"""Loops that only clear arrays, or copy others into them, as single statements.

To Numba and LLVM a nest of loops costs some thirty milliseconds, a block of memory that is cleared or copied one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ops.flow import PARALLEL, for_
from jitgrad.ops.memory import load, store
from jitgrad.ops.shape import axis_length

Lengths = Mapping[tuple[Arg, int], Value]


def known_lengths(block: Block) -> Lengths:
    """The numbers that are asked of arrays for their lengths, by array and axis."""
    return {(n.args[0], n.attrs["axis"]): n.out for n in block.nodes if n.op is axis_length}


def whole(node: Node, lengths: Lengths) -> list[tuple[int, Value | None]] | None:
    """What a nest of loops does, if it clears whole arrays or copies others into them, and nothing else.

    Returns:
        For each of its stores, in their order, the slot of the array that is written to, and the array that is copied,
        or None if zeros are stored.
    """
    counts: list[Arg] = []
    index: list[Value] = []
    while node.op is for_ and not node.attrs.get(PARALLEL) and len(node.outs):
        (body,) = node.regions
        counts.append(node.args[0])
        index.append(body.params[0])
        inner = body.nodes[0] if len(body.nodes) == 1 else None
        if inner is None or inner.op is not for_:
            return _stores(body, counts, index, lengths)
        if inner.args[1:] != body.params[1:] or body.results != inner.outs:
            return None
        node = inner
    return None


def _stores(
    body: Block, counts: list[Arg], index: list[Value], lengths: Lengths
) -> list[tuple[int, Value | None]] | None:
    arrays = body.params[1:]
    loads = {node.out: node for node in body.nodes if node.op is load}
    stores = [node for node in body.nodes if node.op is store]
    if len(loads) + len(stores) != len(body.nodes) or len(stores) != len(arrays):
        return None
    found: list[tuple[int, Value | None]] = []
    for node in stores:
        array, value, *place = node.args
        if array not in arrays or body.results[arrays.index(array)] is not node.out:
            return None
        source = loads[value].args[0] if value in loads else None
        if source is None and not _is_zero(value):
            return None
        if source is not None and (source in arrays or source.type.dtype != array.type.dtype):
            return None
        places = [(array, place), *([] if source is None else [(source, loads[value].args[1:])])]
        if not all(_is_whole(_shape(x, lengths), p, counts, index) for x, p in places):
            return None
        found.append((arrays.index(array), source))
    return found


def _is_zero(value: Arg) -> bool:
    return isinstance(value, Const) and value.value == 0 and not np.signbit(value.value)


def _shape(array: Value, lengths: Lengths) -> tuple:
    return tuple(lengths.get((array, axis), n) for axis, n in enumerate(array.type.shape))


def _is_whole(shape: tuple, place: tuple[Arg, ...], counts: list[Arg], index: list[Value]) -> bool:
    """Whether loops go over all elements of an array, in the order in which they are in memory."""
    axes = [(n, i) for n, i in zip(shape, place, strict=True) if not (_is(n, 1) and isinstance(i, Const))]
    loops = list(zip(counts, index, strict=True))
    return len(axes) == len(loops) and all(
        i is own and (n is count or (isinstance(count, Const) and _is(n, count.value)))
        for (n, i), (count, own) in zip(axes, loops, strict=True)
    )


def _is(axis: int | Value, length: int) -> bool:
    return isinstance(axis, int) and axis == length
