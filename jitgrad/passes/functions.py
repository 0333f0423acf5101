"""Passes over a whole program: a block and the functions that it calls."""

from __future__ import annotations

from collections.abc import Mapping

from jitgrad.ir.function import Function, callee, functions
from jitgrad.ir.graph import Block, Node
from jitgrad.passes.copies import make_copies
from jitgrad.passes.parallel import shared_out
from jitgrad.passes.pipeline import FINISH, SIMPLIFY, Passes, run
from jitgrad.passes.row_loops import by_rows

_SIMPLE = "simplified"


def optimise(block: Block, parallel: bool = False) -> Block:
    """The program after all passes; the same results, with less work.

    The functions that it calls may be called by others, too: it gets functions of its own.

    Args:
        block: any program.
        parallel: share out its loops among threads.
    """
    block = run(SIMPLIFY, block)
    own = {f: Function(f.name, updates=f.updates, loc=f.loc) for f in functions(block)}
    for function, new in own.items():
        new.block = calling(run(_finish(function), simplified(function)), own)
    if not parallel:
        return calling(run(FINISH, block), own)
    block, parts = shared_out(by_rows(run([step for step in FINISH if step[0] is not make_copies], block)))
    for part in parts:
        part.block = make_copies(calling(part.block, own | {p: p for p in parts}), part)
    return make_copies(calling(block, own | {p: p for p in parts}))


def _finish(function: Function) -> Passes:
    def make_own_copies(block: Block) -> Block:
        return make_copies(block, function)

    return [(make_own_copies if each is make_copies else each, why) for each, why in FINISH]


def simplified(function: Function) -> Block:
    """The block of a function, simplified when it is first asked for."""
    if _SIMPLE not in function.variants:
        function.variants[_SIMPLE] = True
        function.block = run(SIMPLIFY, function.block)
    return function.block


def calling(block: Block, others: Mapping[Function, Function]) -> Block:
    """The block with other functions in the place of those that it calls."""
    nodes = []
    for node in block.nodes:
        regions = tuple(calling(region, others) for region in node.regions)
        function = callee(node)
        attrs = node.attrs if function is None else {**node.attrs, "function": others[function]}
        nodes.append(Node(node.op, node.args, node.outs, attrs, regions, node.loc))
    return Block(block.params, nodes, block.results, block.name, block.notes)
