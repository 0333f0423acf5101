"""Loops whose iterations may run in any order: what they carry is added up, or each has a part of its own.

Going back, a loop whose carries are sums only adds up cotangents; one that goes through an array element by element
reads and clears its cotangent element by element.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.function import has_effect
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, defined
from jitgrad.ops.affine import Form, form_of
from jitgrad.ops.flow import for_
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.sums import Sums
from jitgrad.passes.accesses import Access, accesses
from jitgrad.passes.rename import renamed, renamed_inside


def count_up(block: Block) -> Block:
    """Let reversed loops that may as well count up do so.

    Then they count as the primal does, and the elements that they read and write follow each other in memory. Loops
    that the user has written are not turned round.
    """
    maker = {out: node for node in block.walk() for out in node.outs}
    return _counting_up(block, maker) if any(node.op is for_ for node in block.nodes) else block


def _counting_up(block: Block, maker: dict[Arg, Node]) -> Block:
    nodes = []
    for node in block.nodes:
        regions = tuple(_counting_up(region, maker) for region in node.regions)
        node = renamed(node, {}, regions) if regions else node
        nodes.append(_turned(node, maker) if node.op is for_ and node.loc.role == "adjoint" else node)
    return Block(block.params, nodes, block.results, block.name, block.notes)


def _turned(node: Node, maker: dict[Arg, Node]) -> Node:
    (body,) = node.regions
    back = body.params[0]
    differences = [n for n in body.nodes if n.op is UFUNCS[np.subtract] and n.args[1] is back]
    reflections = [n for n in differences if is_last(n.args[0], node.args[0], maker)]
    if not reflections or has_effect(node) or not all(_in_any_order(node, k, maker) for k in range(len(node.outs))):
        return node
    index = Value(back.type, reflections[0].out.name)
    inside = renamed_inside(body, {n.out: index for n in reflections})
    turned = Node(reflections[0].op, (reflections[0].args[0], index), (back,), {}, (), reflections[0].loc)
    nodes = [turned, *(n for n in inside.nodes if not any(out in (r.out for r in reflections) for out in n.outs))]
    region = Block((index, *body.params[1:]), nodes, inside.results, body.name, body.notes)
    return Node(for_, node.args, node.outs, node.attrs, (region,), node.loc)


def is_last(arg: Arg, count: Arg, maker: dict[Arg, Node]) -> bool:
    """Whether a number is that of the last of so many iterations."""
    if isinstance(arg, Const):
        return isinstance(count, Const) and arg.value == count.value - 1
    node = maker.get(arg)
    if node is None or node.op is not UFUNCS[np.subtract] or node.args[0] != count:
        return False
    return isinstance(node.args[1], Const) and node.args[1].value == 1


def _in_any_order(node: Node, k: int, maker: dict[Arg, Node]) -> bool:
    """Whether the k-th carried value allows any order: it is a sum, or an array with a part for each iteration."""
    (body,) = node.regions
    index, *params = body.params
    if Sums(body).end_of(params[k], body) == k:
        return True
    found = accesses(node, body, tuple(params), k) if params[k].type.shape else None
    if found is None or found.elsewhere:
        return False
    made = {*params, *defined(body)}

    def form(arg: Arg) -> Form:
        return form_of(arg, maker.get, lambda value: Form({value: 1}))

    def own(access: Access) -> set[tuple]:
        """The axes along which an access is at a number that differs from iteration to iteration, with that number."""
        pattern = access.node.attrs["pattern"]
        if any(part[0] not in ("at", "slice") for part in pattern):
            return set()
        forms = {axis: form(access.operands[part[1]]) for axis, part in enumerate(pattern) if part[0] == "at"}
        return {
            (axis, frozenset(f.items())) for axis, f in forms.items() if f.get(index) in (1, -1) and made.isdisjoint(f)
        }

    each = [own(access) for access in (*found.reads, *found.writes)]
    return not each or bool(set.intersection(*each))


def orderless(body: Block) -> bool:
    """Whether the iterations of a `for` may run in any order, but for the rounding of sums.

    So it is if each carried value is read once: to add something to it, here or by way of branches and inner loops that
    do nothing else with it. What is added then can't depend on anything that is carried.
    """
    sums = Sums(body)
    return all(sums.end_of(param, body) == k for k, param in enumerate(body.params[1:]))
