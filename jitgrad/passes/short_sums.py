"""Independent iterations whose sums are too short for vectors, a block of them at once.

A convolution written as loops sums up five by five products for each element of its result. LLVM vectorises the
innermost loop, of five iterations, and such vectors are never full. An outermost loop whose iterations only add up is
done in blocks of 32 then, each statement for a whole block: vectors are full whatever the inner loops are.

That pays if the inner loops are short, and there are enough iterations, which is known when the program runs: the loop
stays as it was besides, in the other side of a branch. It does not pay for arrays of which an iteration reads each
element once: they are copied, so that the iterations of a block are neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np

from jitgrad.ir.function import has_effect
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, defined, substitute
from jitgrad.ops.affine import Form, form_of
from jitgrad.ops.flow import carried, for_, if_, while_
from jitgrad.ops.index import getitem_
from jitgrad.ops.sums import Sums
from jitgrad.ops.symbolic import Builder, as_arg, as_expr, building
from jitgrad.passes.batch import Refused
from jitgrad.passes.copies import make_copies
from jitgrad.passes.dce import dce
from jitgrad.passes.interchange import KEPT, SUM, TOTAL, in_blocks
from jitgrad.passes.rename import renamed, renamed_throughout

ENOUGH = 8  # iterations of the outermost loop
SHORT = 32  # iterations of an inner loop


def short_sums_at_once(block: Block) -> Block:
    """Do the iterations of outermost loops in blocks, where the sums in them are short."""
    makers = {out: node for node in block.walk() for out in node.outs}
    env: dict[Arg, Arg] = {}
    changed = _changed(block, makers, env)
    return make_copies(dce(changed)) if env else block


def _changed(block: Block, makers: dict[Value, Node], env: dict[Arg, Arg]) -> Block:
    nodes: list[Node] = []
    for node in block.nodes:
        if node.op is if_:
            nodes.append(renamed(node, env, tuple(_changed(r, makers, env) for r in node.regions)))
        else:
            node = renamed_throughout(node, env)
            nodes += (_at_once(node, makers, env) if node.op is for_ else None) or [node]
    results = tuple(env.get(r, r) for r in block.results)
    return Block(block.params, nodes, results, block.name, block.notes)


def _at_once(node: Node, makers: dict[Value, Node], env: dict[Arg, Arg]) -> list[Node] | None:
    """What stands for a loop; None if it stays."""
    kinds, trips = _kinds(node), _short(node)
    known = [n.value for n in node.args[:1] if isinstance(n, Const)]
    if not kinds or not trips or any(n < ENOUGH for n in known) or has_effect(node) or not _rereads(node, makers):
        return None
    copy = substitute(Block((), [node], node.outs), {})
    with building(Builder()) as builder:
        builder.loc = node.loc
        conditions = (as_expr(node.args[0]) >= ENOUGH, *(as_expr(n) < SHORT for n in trips))
        pays = as_arg(reduce(np.logical_and, conditions))
        try:
            with building(Builder(parent=builder)) as inside:
                inside.loc = node.loc
                found = tuple(map(as_arg, in_blocks(node, kinds)))
        except Refused:
            return None
    outs = carried(node.outs)
    env.update(zip(node.outs, outs, strict=True))
    regions = (Block((), inside.nodes, found, "then"), Block((), copy.nodes, copy.results, "orelse"))
    return [*builder.nodes, Node(if_, (pays,), outs, {}, regions, node.loc)]


def _kinds(node: Node) -> list[str]:
    """What each carried value of a loop is; empty if iterations depend on each other, or nothing is carried."""
    (body,) = node.regions
    sums = Sums(body)
    kinds = []
    for k, param in enumerate(body.params[1:]):
        if body.results[k] is param:
            kinds.append(KEPT)
        elif param.type.is_float and sums.end_of(param, body) == k:
            kinds.append(TOTAL if param.type.shape else SUM)
        else:
            return []
    return kinds


def _short(node: Node) -> list[Arg]:
    """The numbers of iterations of the innermost loops, if these sum up numbers, one at least in other inner loops."""
    inside = defined(Block((), [node], ()))
    trips: dict[Arg, None] = {}
    deepest = 0
    for loop, depth in _innermost(node.regions[0], 1):
        (body,) = loop.regions
        sums = Sums(body)
        if loop.args[0] in inside:
            return []
        trips[loop.args[0]] = None
        if any(not p.type.shape and sums.end_of(p, body) == k for k, p in enumerate(body.params[1:])):
            deepest = max(deepest, depth)
    return list(trips) if deepest > 1 else []


def _innermost(block: Block, depth: int) -> Iterator[tuple[Node, int]]:
    """The loops that have no others in them, and how many are around each, itself included."""
    for node in block.nodes:
        if node.op is for_ and not any(n.op in (for_, while_) for n in node.regions[0].walk()):
            yield node, depth
        for region in node.regions:
            yield from _innermost(region, depth + (node.op is for_))


def _rereads(node: Node, makers: dict[Value, Node]) -> bool:
    """Whether an iteration reads the elements of arrays with a part for it more than once, as far as loops tell."""
    (body,) = node.regions
    made = {*body.params, *defined(body)}

    def read(block: Block, depth: int) -> bool:
        for inner in block.nodes:
            x = inner.args[0] if inner.op is getitem_ else None
            if x is not None and x not in made and 1 < x.type.ndim > depth:
                parts = [inner.args[1 + part[1]] for part in inner.attrs["pattern"] if part[0] == "at"]
                if any(_counts(part, body.params[0], makers) for part in parts):
                    return False
            if not all(read(region, depth + (inner.op is for_)) for region in inner.regions):
                return False
        return True

    return read(body, 0)


def _counts(arg: Arg, index: Value, makers: dict[Value, Node]) -> bool:
    """Whether a number grows with the index of a loop."""
    return index in form_of(arg, makers.get, lambda value: Form({value: 1}))
