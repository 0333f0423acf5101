"""Loops whose iterations are independent, moved inside of the loops that they contain.

Two kinds gain by it, and are taken:

* a loop in a loop, whose own inner loops are triangular: these are short, and start anew in each of its iterations.
  With the iterations innermost, each statement runs along contiguous memory, whatever the inner loops are;
* a loop that does much which is the same in each iteration amid what is not: the directions of a Jacobian, above all,
  with the primal in each. That is then done once for a block of `BLOCK` iterations.

Arrays that the inner loops made for themselves get an axis more, and those that are read at the loop's index are copied
with that axis last (Allen & Kennedy, Optimizing Compilers for Modern Architectures, 2002, ch. 5: scalar expansion and
loop interchange).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, defined, lengths, substitute, used
from jitgrad.ops.create import uninitialized
from jitgrad.ops.flow import carried, for_, for_loop, if_, while_
from jitgrad.ops.shape import broadcast_to_, least
from jitgrad.ops.sums import Sums
from jitgrad.ops.symbolic import Builder, as_arg, as_expr, building, current
from jitgrad.passes.accesses import own_axis
from jitgrad.passes.batch import SHARED, Batch, Refused
from jitgrad.passes.decide import decide
from jitgrad.passes.rename import rename_lengths, renamed, renamed_throughout
from jitgrad.passes.scratch import is_scratch
from jitgrad.passes.simplify import simplify

BLOCK = 32  # iterations done at once where their number has no bound

_LOOPS = (for_, while_)

KEPT, SUM, TOTAL, ROWS, SCRATCH = "kept", "sum", "total", "rows", "scratch"


def interchange(block: Block) -> Block:
    """Do the iterations of loops at once where that pays and is possible.

    If there may be none, the loop around stays as it was besides, in the other side of a branch; where that is certain,
    no branch is left.
    """
    if not any(node.op is for_ for node in block.nodes):
        return block
    changed, env = _Interchanger(block).run()
    return simplify(decide(rename_lengths(changed, env))) if env else block


class _Interchanger:
    """Goes through a program.

    Attributes:
        env: what stands for values that are no more.
        counts: the numbers of iterations that are done at once in the loop which is looked at, but in no other one.
        inside: what is made in that loop.
    """

    def __init__(self, block: Block):
        self.program = block
        self.makers = {out: node for node in block.walk() for out in node.outs}
        self.env: dict[Arg, Arg] = {}
        self.counts: dict[Value, None] = {}
        self.inside: set[Value] = set()

    def run(self) -> tuple[Block, dict[Arg, Arg]]:
        return self.block(self.program, ()), self.env

    def block(self, block: Block, around: tuple[Node, ...]) -> Block:
        nodes = []
        for node in block.nodes:
            is_outermost = node.op in _LOOPS and not any(n.op in _LOOPS for n in around)
            nodes += (self.outermost if is_outermost else self.changed)(node, block, around)
        results = tuple(self.env.get(r, r) for r in block.results)
        return Block(block.params, nodes, results, block.name, block.notes)

    def outermost(self, node: Node, block: Block, around: tuple[Node, ...]) -> list[Node]:
        """What becomes of a loop in no other one.

        It stays as it is besides, for when there are no iterations to be done at once: then what all of them read has
        not been checked.
        """
        self.counts, self.inside = {}, {*defined(Block((), [node], ()))}
        before = renamed_throughout(node, self.env)
        nodes = self.changed(node, block, around)
        if not self.counts:
            return nodes
        (after,) = nodes
        outs = carried(node.outs)
        copy = substitute(Block((), [before], before.outs), {})
        regions = (Block((), [after], after.outs, "then"), Block((), copy.nodes, copy.results, "orelse"))
        with building(Builder()) as builder:
            builder.loc = node.loc
            some = reduce(np.logical_and, (as_expr(self.env.get(n, n)) > 0 for n in self.counts))
        self.env.update(zip(node.outs, outs, strict=True))
        return [*builder.nodes, Node(if_, (as_arg(some),), outs, {}, regions, node.loc)]

    def changed(self, node: Node, block: Block, around: tuple[Node, ...]) -> list[Node]:
        """What becomes of a node."""
        done = self.done_at_once(node, block, around) if node.op is for_ else None
        if done is not None:
            return [renamed_throughout(n, self.env) for n in done]
        return [renamed(node, self.env, tuple(self.block(region, (*around, node)) for region in node.regions))]

    def done_at_once(self, node: Node, block: Block, around: tuple[Node, ...]) -> list[Node] | None:
        """The nodes in place of a loop; None if it stays."""
        nested = bool(around) and around[-1].op is for_
        triangular = nested and node.args[0] not in self.inside and _is_triangular(node, self.makers)
        if not triangular and not _repeats_itself(node):
            return None
        kinds = [self.kind(node, block, around, k) for k in range(len(node.outs))]
        if None in kinds:
            return None
        with building(Builder()) as builder:
            builder.loc = node.loc
            try:
                if triangular:
                    outs = _at_once(node, kinds, node.args[0], Const.of(0), node.args[1:])
                else:
                    outs = in_blocks(node, kinds)
            except Refused:
                return None
        if triangular and isinstance(node.args[0], Value):
            self.counts[node.args[0]] = None
        self.env.update(zip(node.outs, map(as_arg, outs), strict=True))
        return builder.nodes

    def kind(self, node: Node, block: Block, around: tuple[Node, ...], k: int) -> str | None:
        """What becomes of the k-th carried value, a kind of the above; None where iterations depend on each other."""
        (body,) = node.regions
        param, result = body.params[1 + k], body.results[k]
        if result is param:
            return KEPT
        if Sums(body).end_of(param, body) == k:
            # Of an array there would be one for each iteration, anew in each of the outer loop. And a Python number
            # that is summed up by NumPy isn't one, until the outer loop hands it on.
            read = any(node.outs[k] in used(n) for n in block.nodes)
            return None if around and (param.type.shape or (param.type.weak and read)) else SUM
        if not param.type.shape:
            return None
        if own_axis(node, k, self.makers) is not None:
            return ROWS
        if is_scratch(body, k, self.makers) and self.is_unread(node.outs[k], block, around):
            return SCRATCH
        return None

    def is_unread(self, value: Value, block: Block, around: tuple[Node, ...]) -> bool:
        """Whether nobody reads what is left in scratch: at most, it is handed on to where it is scratch again."""
        if any(value in used(node) for node in block.nodes):
            return False
        if value not in block.results:
            return True
        if not around or around[-1].op is not for_ or block.results.count(value) > 1:
            return False
        outer, k = around[-1], block.results.index(value)
        if not is_scratch(block, k, self.makers):
            return False
        home = next(r for r in (self.program, *(r for n in self.program.walk() for r in n.regions)) if outer in r.nodes)
        return self.is_unread(outer.outs[k], home, around[:-1])


def in_blocks(node: Node, kinds: list[str]) -> tuple:
    """A loop over blocks of iterations, each block at once."""
    count = as_expr(node.args[0])

    def build(b: object, *carry: object) -> Sequence:
        start = b * BLOCK
        lanes = as_arg(least(count - start, BLOCK))
        return _at_once(node, kinds, lanes, as_arg(start), tuple(map(as_arg, carry)))

    return for_loop((count + (BLOCK - 1)) // BLOCK, node.args[1:], build, "block")


def _at_once(node: Node, kinds: list[str], count: Arg, start: Arg, init: Sequence[Arg]) -> list:
    """All iterations from `start` on; what the loop carries after them."""
    (body,) = node.regions
    batch = Batch(count, start)
    batch.set_index(body.params[0], start)
    for param, kind, before in zip(body.params[1:], kinds, init, strict=True):
        shape = (*param.type.shape, count)
        if kind == SUM:
            zeros = current().emit(broadcast_to_, (param.type.dtype.type(0), *shape), {})
            batch.set(param, zeros, lanes=True)
        elif kind == SCRATCH:
            batch.set(param, current().emit(uninitialized, shape, {"dtype": param.type.dtype}), lanes=True)
        else:
            batch.set(param, before, lanes=False)
    makers = {out: n for n in body.walk() for out in n.outs}
    for k, (param, kind) in enumerate(zip(body.params[1:], kinds, strict=True)):
        if kind == ROWS:
            batch.rows[param] = own_axis(node, k, makers)
        elif kind == TOTAL:
            batch.rows[param] = SHARED
    batch.run(body.nodes)
    outs = []
    for result, kind, before in zip(body.results, kinds, init, strict=True):
        if kind == SUM:
            outs.append(as_expr(before) + np.sum(batch.spread(result), axis=-1))
        else:
            outs.append(before if kind in (KEPT, SCRATCH) else batch.get(result))
    return outs


def _is_triangular(node: Node, makers: dict[Value, Node]) -> bool:
    """Whether a loop has loops whose length depends on the index of a loop around them, itself within it."""
    inner = [n for n in node.regions[0].walk() if n.op is for_]
    indices = {n.regions[0].params[0] for n in inner}
    return any(_depends(n.args[0], indices, makers) for n in inner)


def _depends(arg: Arg, values: set[Value], makers: dict[Value, Node]) -> bool:
    stack, seen = [arg], set()
    while stack:
        value = stack.pop()
        if value in values:
            return True
        node = makers.get(value)
        if node is not None and value not in seen:
            seen.add(value)
            stack.extend(a for a in node.args if isinstance(a, Value))
    return False


def _repeats_itself(node: Node) -> bool:
    """Whether loops within a loop compute arrays that are the same in each iteration beside some that are not."""
    (body,) = node.regions
    varying = _varying(body)
    for inner in body.walk():
        if inner.op is for_:
            arrays = [r for r, p in zip(inner.regions[0].results, inner.regions[0].params[1:], strict=True)
                      if p.type.shape and r is not p]  # fmt: skip
            if len({r in varying for r in arrays}) == 2:
                return True
    return False


def _varying(body: Block) -> set[Value]:
    """The values of a loop's body that may differ between iterations."""
    varying: set[Value] = {body.params[0]}
    varying.update(p for p, r in zip(body.params[1:], body.results, strict=True) if p is not r)
    before = -1
    while len(varying) > before:
        before = len(varying)
        _spread(body, varying)
    return varying


def _spread(block: Block, varying: set[Value]) -> None:
    for node in block.nodes:
        if not node.regions:
            if any(a in varying for a in (*node.args, *(n for o in node.outs for n in lengths(o)))):
                varying.update(node.outs)
            continue
        whole = node.args[0] in varying
        for region in node.regions:
            carried = () if node.op is if_ else region.params[len(region.params) - len(node.outs) :]
            if whole:
                varying.update(region.params)
            for k, param in enumerate(carried):
                if node.args[len(node.args) - len(node.outs) + k] in varying:
                    varying.add(param)
            _spread(region, varying)
            if region.name == "test" and any(r in varying for r in region.results):
                varying.update(node.outs)
            elif region.name != "test":
                for k, r in enumerate(region.results):
                    if whole or r in varying:
                        varying.add(node.outs[k])
                        if carried:
                            varying.add(carried[k])
