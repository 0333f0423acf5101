"""Loops that occur again and again become functions.

A Python loop that was unrolled while tracing leaves the same loop nests once for each of its steps. Numba takes some 30
milliseconds for a loop, and one for a call, so a nest that a long program contains several times is compiled once.
"""

from __future__ import annotations

from dataclasses import dataclass

from jitgrad.ir.function import called
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, substitute, used
from jitgrad.ir.types import INT64
from jitgrad.ops.flow import for_, slots
from jitgrad.ops.inplace import origin

LONG = 24  # loop nests; a shorter program stays one function, which reads better


@dataclass(frozen=True, slots=True)
class Outlined:
    """A loop nest as a function of its own.

    `block` takes what the nest reads and gives its carried numbers; `arguments` are what is passed for its params, and
    `results` the values that its results stand for.
    """

    block: Block
    arguments: tuple[Arg, ...]
    results: tuple[Value, ...]


def outline(node: Node) -> Outlined:
    """Cut a loop nest out of its program. Equal nests give blocks that print the same."""
    constants: dict[Const, Value] = {}
    node = _lift(node, constants)
    inside = {out for n in Block((), [node], ()).walk() for out in n.outs}
    inside |= {p for n in Block((), [node], ()).walk() for r in n.regions for p in r.params}
    free = tuple(dict.fromkeys(v for v in used(node) if v not in inside))
    results = tuple(o for o in node.outs if not o.type.shape)
    block = substitute(Block(free, [node], results, "loop"), {})
    for value in _values(block):
        value.name = None  # names would tell apart what is the same
    lifted = {value: const for const, value in constants.items()}
    return Outlined(block, tuple(lifted.get(v, v) for v in free), results)


def _lift(node: Node, constants: dict[Const, Value]) -> Node:
    """Integers other than 0, 1 and -1 become arguments: the number of the step, where a slice begins."""

    def arg(a: Arg) -> Arg:
        if not isinstance(a, Const) or a.type.dtype != INT64 or a.value in (0, 1, -1):
            return a
        return constants.setdefault(a, Value(a.type))

    regions = tuple(
        Block(r.params, [_lift(n, constants) for n in r.nodes], tuple(map(arg, r.results)), r.name)
        for r in node.regions
    )
    return Node(node.op, tuple(map(arg, node.args)), node.outs, node.attrs, regions, node.loc)


def _values(block: Block):
    yield from block.params
    for node in block.walk():
        yield from node.outs
        for region in node.regions:
            yield from region.params


def nests(block: Block) -> list[Node]:
    """The outermost loops of a program that leave each array where it is, and call no function."""
    loops = (node for node in block.nodes if node.op is for_ and _in_place(node))
    return [node for node in loops if not called(Block((), [node], ()))]


def _in_place(node: Node) -> bool:
    (body,) = node.regions
    return all(origin(s.results[0], body) is s.params[0] for s in slots(node) if s.out.type.shape)
