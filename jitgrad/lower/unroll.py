"""Short loops written out, where that makes the places known at which they touch small arrays."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, substitute
from jitgrad.ops.flow import PARALLEL, for_, if_
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.symbolic import Builder, as_arg, as_expr, building
from jitgrad.passes.rename import renamed

MOST_TRIPS = 16
LARGEST = 100  # nodes that a loop may become

_MINIMUM = UFUNCS[np.minimum]


class Short:
    """The loops of a block that may be written out.

    Attributes:
        trips: by the index of such a loop, the most iterations that it can have.
    """

    def __init__(self, block: Block):
        self.makers = {out: node for node in block.walk() for out in node.outs}
        self.trips: dict[Value, int] = {}
        self._size(block)

    def _size(self, block: Block) -> int:
        """How many nodes a block has, with the loops that may be written out."""
        total = 0
        for node in block.nodes:
            size = sum(map(self._size, node.regions))
            most = self._most(node) if node.op is for_ and not node.attrs.get(PARALLEL) else None
            if most is not None and 0 < most <= MOST_TRIPS and most * size <= LARGEST:
                self.trips[node.regions[0].params[0]] = most
                size *= most
            total += 1 + size
        return total

    def _most(self, loop: Node) -> int | None:
        """The most iterations of a loop, if a number is known: `minimum(n, 3)` are at most three."""
        count = loop.args[0]
        node = self.makers.get(count)
        numbers = [count] if node is None or node.op is not _MINIMUM else node.args
        return min((int(n.value) for n in numbers if isinstance(n, Const)), default=None)


def written_out(block: Block, trips: dict[Value, int], env: dict[Arg, Arg] | None = None) -> Block:
    """The block with the loops of these indices written out; `env` is what stands for what they have given."""
    env = {} if env is None else env
    nodes: list[Node] = []
    for node in block.nodes:
        regions = tuple(written_out(region, trips, env) for region in node.regions)
        node = renamed(node, env, regions)
        most = trips.get(node.regions[0].params[0]) if node.op is for_ else None
        if most is None:
            nodes.append(node)
        else:
            nodes += _iterations(node, most, env)
    return Block(block.params, nodes, tuple(env.get(r, r) for r in block.results), block.name, block.notes)


def _iterations(loop: Node, most: int, env: dict[Arg, Arg]) -> list[Node]:
    """What a loop does; each iteration in a branch if their number isn't known."""
    (body,) = loop.regions
    nodes: list[Node] = []
    values: tuple[Arg, ...] = loop.args[1:]
    for k in range(most):
        index = Const(k, body.params[0].type)
        inside = dict(zip(body.params, (index, *values), strict=True))
        if isinstance(loop.args[0], Const):
            step = substitute(Block((), body.nodes, body.results), inside)
            nodes += step.nodes
            values = step.results
        else:
            nodes += _guarded(loop, k, substitute(Block((), body.nodes, body.results), inside), values)
            values = nodes[-1].outs
    env.update(zip(loop.outs, values, strict=True))
    return nodes


def _guarded(loop: Node, k: int, step: Block, values: tuple[Arg, ...]) -> list[Node]:
    """An iteration, if there are more than k."""
    with building(Builder()) as builder:
        builder.loc = loop.loc
        some = as_arg(as_expr(loop.args[0]) > k)
    outs = tuple(Value(o.type, o.name) for o in loop.outs)
    regions = (Block((), step.nodes, step.results, "then"), Block((), [], values, "orelse"))
    return [*builder.nodes, Node(if_, (some,), outs, {}, regions, loop.loc)]
