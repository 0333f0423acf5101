"""Which values the derivative has to do with at all (Griewank & Walther, Evaluating Derivatives, 2008, ch. 6.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jitgrad.ad.records import recall
from jitgrad.ir.function import Function, functions
from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ops.flow import call_, slots
from jitgrad.ops.rules import Constant


def varied(block: Block, inputs: Iterable[Value]) -> set[Value]:
    """The float values that depend on `inputs` through operations that have a derivative, those of regions included.

    What a loop carries depends on what it starts from and on what the body makes of it; a branch's result on what
    either region gives.
    """
    readers: dict[Arg, list[Value]] = {}
    for node in block.walk():
        for source, target in _dependences(node):
            readers.setdefault(source, []).append(target)
    pending = [v for v in inputs if v.type.is_float]
    active = set(pending)
    while pending:
        for target in readers.get(pending.pop(), ()):
            if target.type.is_float and target not in active:
                active.add(target)
                pending.append(target)
    return active


def _dependences(node: Node) -> Iterator[tuple[Arg, Value]]:
    """Pairs of what is read and what is made of it."""
    if node.op in (call_, recall):
        for k, j in depends(node.attrs["function"]):
            if isinstance(node.args[k], Value):
                yield node.args[k], node.outs[j]
    elif node.regions:
        for slot in slots(node):
            for source in (slot.init, *slot.results):
                if isinstance(source, Value):
                    for target in (*slot.params, slot.out):
                        yield source, target
    elif not isinstance(node.op.rule, Constant):
        for source in node.args:
            for target in node.outs:
                yield source, target


_DEPENDS = "depends"


def depends(function: Function) -> frozenset[tuple[int, int]]:
    """Which results of a function depend on which of its params: pairs of their numbers.

    A function that calls itself is looked at until nothing new is found.
    """
    if _DEPENDS not in function.variants:
        group = [f for f in functions(Block((), function.block.nodes, ())) if _DEPENDS not in f.variants]
        group = list(dict.fromkeys((*group, function)))
        for f in group:
            f.variants[_DEPENDS] = frozenset()
        found = True
        while found:
            found = False
            for f in group:
                pairs = frozenset(_pairs(f.block))
                found = found or pairs != f.variants[_DEPENDS]
                f.variants[_DEPENDS] = pairs
    return function.variants[_DEPENDS]


def _pairs(block: Block) -> Iterator[tuple[int, int]]:
    for k, param in enumerate(block.params):
        if param.type.is_float:
            active = varied(block, [param])
            yield from ((k, j) for j, result in enumerate(block.results) if result in active)
