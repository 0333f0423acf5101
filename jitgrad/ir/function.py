"""Functions of a program: blocks with a name that nodes call, from inside of the block too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jitgrad.ir.graph import UNKNOWN, Arg, Block, Loc, Node, Value, defined, reads, substitute


@dataclass(eq=False, slots=True)
class Function:
    """A block that is called; it reads nothing but its params.

    Lengths in the types of its results are lengths of its params, integer params, or other results.

    Attributes:
        name: what the user calls it.
        block: what it does; None as long as it is under construction.
        updates: the arrays that it may write to: the number of the param, and of the result that the array comes back
            as. A caller that reads the array later passes a copy.
        includes: a function whose results are its first, computed of its first arguments.
        loc: where it is defined.
        threaded: it is no function of the user's, but a part of the program that runs on threads. It never calls
            itself.
        variants: what has been made of it, by what and for what: each is made once, and so may call itself.
    """

    name: str
    block: Block | None = None
    updates: dict[int, int] = field(default_factory=dict)
    includes: Function | None = None
    loc: Loc = UNKNOWN
    threaded: bool = False
    variants: dict[object, object] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.name


def callee(node: Node) -> Function | None:
    """The function that a node calls."""
    return node.attrs.get("function") if node.op.name == "call" else None


def called(block: Block) -> dict[Function, None]:
    """The functions that are called in a block, in the order in which they are met."""
    return {f: None for node in block.walk() if (f := callee(node)) is not None}


def components(block: Block) -> list[list[Function]]:
    """All functions that a block needs, in groups that call each other; a group comes after those that it calls.

    Tarjan, Depth-first search and linear graph algorithms, 1972.
    """
    numbers: dict[Function, int] = {}
    lowest: dict[Function, int] = {}
    stack: list[Function] = []
    groups: list[list[Function]] = []

    def visit(function: Function) -> None:
        numbers[function] = lowest[function] = len(numbers)
        stack.append(function)
        for other in called(function.block) if function.block is not None else ():
            if other not in numbers:
                visit(other)
                lowest[function] = min(lowest[function], lowest[other])
            elif other in stack:
                lowest[function] = min(lowest[function], numbers[other])
        if lowest[function] == numbers[function]:
            first = stack.index(function)
            groups.append(stack[first:])
            del stack[first:]

    for function in called(block):
        if function not in numbers:
            visit(function)
    return groups


def functions(block: Block) -> list[Function]:
    """All functions that a block needs, those that are called first."""
    return [function for group in components(block) for function in group]


def group_of(function: Function) -> list[Function]:
    """The functions that the function calls and that call it, however far around; itself included."""
    return next((group for group in components(function.block) if function in group), [function])


def has_effect(node: Node) -> bool:
    """Whether a node must stay though nobody reads its results: it, or something in it, checks something."""
    if node.op.effect or (not node.regions and callee(node) is None):
        return node.op.effect
    called = (f.block for f in functions(Block((), [node], ())) if f.block is not None)
    return any(inner.op.effect for block in (*node.regions, *called) for inner in block.walk())


def close(group: list[Function]) -> dict[Function, list[Value]]:
    """Give functions params for all that they read from around, and hand it on where they call each other.

    Returns:
        For each function the values from around that it takes after its arguments.
    """
    made = {f: set(f.block.params) | set(defined(f.block)) for f in group}
    free = {f: dict(reads(f.block)) for f in group}
    calls = {f: [g for g in called(f.block) if g in made] for f in group}
    grows = True
    while grows:
        grows = False
        for caller in group:
            for other in calls[caller]:
                new = [v for v in free[other] if v not in made[caller] and v not in free[caller]]
                free[caller].update(dict.fromkeys(new))
                grows = grows or bool(new)
    captured = {f: list(free[f]) for f in group}
    for function in group:
        block = function.block
        params = tuple(Value(v.type, v.name) for v in captured[function])
        nodes = _handing_on(block, captured).nodes
        block = Block((*block.params, *captured[function]), nodes, block.results, block.name)
        env: dict[Value, Arg] = dict(zip(captured[function], params, strict=True))
        function.block = substitute(block, env)
    return captured


def _handing_on(block: Block, captured: Mapping[Function, list[Value]]) -> Block:
    """The block with calls that take what their functions have captured."""
    nodes = []
    for node in block.nodes:
        regions = tuple(_handing_on(region, captured) for region in node.regions)
        more = captured.get(callee(node), ()) if callee(node) is not None else ()
        nodes.append(Node(node.op, (*node.args, *more), node.outs, node.attrs, regions, node.loc))
    return Block(block.params, nodes, block.results, block.name)
