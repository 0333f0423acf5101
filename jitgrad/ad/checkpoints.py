"""A long loop in chunks, so that what it keeps grows with the square root of the number of its iterations.

The loop over chunks keeps the state at the start of each; going back, a chunk is run again and keeps the state at each
of its iterations. There are as many chunks as iterations in one of them, which is the best for two levels (Griewank &
Walther, Evaluating Derivatives, 2008, ch. 12; each iteration runs once more than without).
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ir.types import INT64
from jitgrad.ops.elementwise import astype
from jitgrad.ops.flow import carried, for_
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.symbolic import Builder, as_arg, as_expr, building, current


def in_chunks(node: Node, active: set[Value]) -> tuple[list[Node], Node]:
    """The same loop as a loop over chunks, and the nodes that have to stand before it.

    `active` is extended by the values of the new loop that depend on what is differentiated by.
    """
    count, *init = node.args
    (body,) = node.regions
    with building(Builder(parent=current(), region=True)) as before:
        n = as_expr(count)
        size = astype(np.ceil(np.sqrt(astype(n, dtype=np.dtype(np.float64)))), dtype=INT64)
        size = np.maximum(size, 1)
        chunks = (n + size - 1) // size
    chunk, first = Value(body.params[0].type, "chunk"), Value(body.params[0].type)
    outer = carried(init)
    outs = carried(init)
    with building(Builder(parent=current(), region=True)) as builder:
        builder.own((chunk,))
        start = as_arg(as_expr(chunk) * size)
        trips = as_arg(np.minimum(size, n - as_expr(start)))
    # The loop's index counts from the start of the chunk.
    index = Node(UFUNCS[np.add], (start, first), (body.params[0],), {}, (), node.loc)
    inner = Block((first, *body.params[1:]), [index, *body.nodes], body.results, body.name)
    loop = Node(for_, (trips, *outer), outs, {}, (inner,), node.loc)
    region = Block((chunk, *outer), [*builder.nodes, loop], outs, "chunk")
    for param, a, b in zip(body.params[1:], outer, outs, strict=True):
        if param in active:
            active.update((a, b))
    args: tuple[Arg, ...] = (as_arg(chunks), *init)
    return before.nodes, Node(for_, args, node.outs, {}, (region,), node.loc)
