"""What a branch has computed is handed on to a later branch that computes it again.

Going back through a branch takes up again what its way forward has computed, if that is no more than arithmetic. Where
both are in one iteration, on the same condition or on its opposite, it is there already: the earlier branch gives it as
one more result, of which nobody asks where the other side was taken.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, used
from jitgrad.ops.flow import if_
from jitgrad.ops.registry import UFUNCS
from jitgrad.passes.bounds import NOT
from jitgrad.passes.rename import renamed, renamed_inside

# Not worth a result by themselves.
_CHEAP = frozenset(UFUNCS[f] for f in (np.add, np.subtract, np.multiply, np.negative))


def handed_on(block: Block) -> Block:
    """The lowered block in which branches on one condition compute numbers once."""
    return _handed_on(block, {out: node for node in block.walk() for out in node.outs})


def _handed_on(block: Block, maker: dict[Arg, Node]) -> Block:
    nodes: list[Node] = []
    earlier: dict[Arg, list[tuple[int, bool]]] = {}  # by condition where branches stand, and if on the opposite of it
    for node in block.nodes:
        if node.regions:
            node = renamed(node, {}, tuple(_handed_on(region, maker) for region in node.regions))
        if node.op is if_:
            condition, flipped = _condition(node.args[0], maker)
            places = earlier.setdefault(condition, [])
            for place, other in places:
                nodes[place], node = _pair(nodes[place], node, flipped is not other)
            places.append((len(nodes), flipped))
        nodes.append(node)
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _condition(arg: Arg, maker: dict[Arg, Node]) -> tuple[Arg, bool]:
    """The condition that another one is, or is the opposite of."""
    flipped = False
    while (node := maker.get(arg)) is not None:
        if node.op.name in NOT and node.out.type.dtype.kind == "b":
            arg, flipped = node.args[0], not flipped
            continue
        given = [r.results[node.outs.index(arg)] for r in node.regions] if node.op is if_ else []
        outcomes = [r.value if isinstance(r, Const) else None for r in given]
        if outcomes not in ([True, False], [False, True]):
            break
        arg, flipped = node.args[0], flipped is outcomes[0]
    return arg, flipped


def _pair(first: Node, second: Node, crossed: bool) -> tuple[Node, Node]:
    """Two branches, of which the later takes from the earlier what that has computed.

    `crossed` says that they are on opposite conditions.
    """
    regions, later = list(first.regions), list(second.regions)
    outs = list(first.outs)
    for side in range(2):
        place = 1 - side if crossed else side
        same = _same(first, side, later[place])
        nodes = [node for node in later[place].nodes if not any(out in same for out in node.outs)]
        read = {value for node in nodes for value in used(node)} | set(later[place].results)
        env: dict[Arg, Arg] = {}
        for value in (v for v in same if v in read):
            env[value] = Value(value.type, value.name)
            outs.append(env[value])
            regions[side] = _giving(regions[side], same[value])
            regions[1 - side] = _giving(regions[1 - side], Const(value.type.dtype.type(0).item(), value.type))
        later[place] = renamed_inside(_with(later[place], nodes, later[place].results), env)
    return Node(if_, first.args, tuple(outs), first.attrs, tuple(regions), first.loc), renamed(second, {}, tuple(later))


def _with(region: Block, nodes: list[Node], results: tuple[Arg, ...]) -> Block:
    return Block(region.params, nodes, results, region.name, region.notes)


def _giving(region: Block, value: Arg) -> Block:
    return _with(region, region.nodes, (*region.results, value))


def _same(first: Node, side: int, later: Block) -> dict[Value, Value]:
    """What a later region computes of what a side of an earlier branch has computed, if any of it is worth keeping."""
    region = first.regions[side]
    known = {_key(node, {}): node.out for node in region.nodes if _is_number(node)}
    inside: dict[Arg, Arg] = dict(zip(first.outs, region.results, strict=True))
    found: dict[Value, Value] = {}
    for node in later.nodes:
        value = known.get(_key(node, inside)) if _is_number(node) else None
        if value is not None and value.type == node.out.type:
            found[node.out] = inside[node.out] = value
    return found if any(n.op not in _CHEAP for n in later.nodes if n.outs[:1] and n.outs[0] in found) else {}


def _is_number(node: Node) -> bool:
    return node.op.ufunc is not None and node.out.type.is_float and not node.out.type.shape


def _key(node: Node, env: dict[Arg, Arg]) -> tuple:
    return node.op, tuple(env.get(a, a) for a in node.args), tuple(sorted(node.attrs.items(), key=str))
