"""Elements of a written array that may be read again after the loop, since no later iteration writes them.

Recurrences along an array, tables of dynamic programming, triangular solves, Cholesky and LU write each element for the
last time before it is read for the last time. Then the reverse needs nothing but the finished array.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ops.affine import Form, constant, form_of, possible, trips_of
from jitgrad.ops.flow import for_, while_
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.registry import UFUNCS
from jitgrad.passes.accesses import Access, accesses, reread

if TYPE_CHECKING:
    from jitgrad.ad.loops import Loop


def find_stable(loop: Loop) -> tuple[dict[Node, Value], dict[Value, tuple[Value, Node]]]:
    """The reads that may be done after the loop.

    Returns:
        For each such `getitem`, the array to read in. And for values that are stored as an element for good, the array
        and the node that stores them.
    """
    reads: dict[Node, Value] = {}
    stored: dict[Value, tuple[Value, Node]] = {}
    for k, param in enumerate(loop.params):
        if not param.type.shape or loop.body.results[k] is param:
            continue
        found = accesses(loop.node, loop.body, loop.params, k)
        if found is None or not found.writes:
            continue
        final, order = loop.node.outs[k], _Order(loop)
        for access in found.reads:
            if not any(order.may_follow(write, access) for write in found.writes):
                reads[access.node] = final
        for access in found.writes:
            value = access.node.args[1]
            for_good = access.node.op is setitem and _is_element(access, value)
            if for_good and not any(order.may_follow(write, access) for write in found.writes):
                stored[value] = (final, access.node)
    return reads, stored


def _is_element(access: Access, value: Arg) -> bool:
    """Whether a write stores one number that was made beside it, as it is."""
    if not isinstance(value, Value) or value.type.dtype != access.node.out.type.dtype:
        return False
    at = all(part[0] == "at" for part in access.node.attrs["pattern"])
    return at and any(value in n.outs for n in access.block.nodes)


_OPPOSITE = {
    "less": "greater_equal", "less_equal": "greater", "greater": "less_equal", "greater_equal": "less",
    "equal": "not_equal", "not_equal": "equal",
}  # fmt: skip
MOST_CASES = 8


class _Order:
    """Whether one access may come after another, to the same element."""

    def __init__(self, loop: Loop):
        self.loop = loop
        inside = {o: node for node in loop.body.walk() for o in node.outs}
        self.makers = loop.makers | inside
        self.inside = set(inside) | set(loop.params) | {loop.index}
        # The number of an iteration, and integers that grow with it: (start, step, loop).
        self.numbers: dict[Value, Node] = {loop.index: loop.node}
        self.growing: dict[Value, tuple[Arg, int, Node]] = {}
        self._note(loop.node, loop.body, loop.params, loop.init)
        for node in loop.body.walk():
            for region in node.regions:
                params = region.params[1:] if node.op is for_ else region.params
                self.inside.update(region.params)
                if node.op is for_:
                    self.numbers[region.params[0]] = node
                if node.op in (for_, while_) and region.name != "test":
                    self._note(node, region, params, node.args[1:])

    def _note(self, node: Node, body: Block, params: tuple, init: tuple) -> None:
        for param, result, start in zip(params, body.results, init, strict=False):
            grown = self.makers.get(result)
            if param.type.dtype.kind == "i" and grown is not None and grown.op is _ADD and param in grown.args:
                steps = [a.value for a in grown.args if isinstance(a, Const)]
                if steps and any(grown is n for n in body.nodes):
                    self.growing[param] = (start, int(steps[0]), node)

    def may_follow(self, later: Access, earlier: Access) -> bool:
        """Whether `later` may touch an element after `earlier` has."""
        cases = product(self._guards(later, "later"), self._guards(earlier, "earlier"))
        return any(self._may_follow(later, earlier, [*a, *b]) for a, b in cases)

    def _may_follow(self, later: Access, earlier: Access, guards: list[Form]) -> bool:
        bounds = [*guards, *self._bounds(later, "later"), *self._bounds(earlier, "earlier")]
        same = self._same_element(later, earlier, bounds)
        level_equal: list[Form] = []
        for node, other in zip(later.loops, earlier.loops, strict=False):
            if node is not other:
                break
            after = Form({("later", node): 1}) - Form({("earlier", node): 1})
            if possible([*bounds, after - constant(1)], [*same, *level_equal]):
                return True
            level_equal.append(after)
        return later.order > earlier.order and possible(bounds, [*same, *level_equal])

    def _guards(self, access: Access, side: str) -> list[list[Form]]:
        """The cases in which an access is reached: of each, what is not negative. An inequality makes two cases."""
        cases: list[list[Form]] = [[]]
        for condition, outcome in access.guards:
            node = self.makers.get(condition)
            if node is None or any(a.type.dtype.kind != "i" for a in node.args):
                continue
            name = node.op.name if outcome else _OPPOSITE.get(node.op.name)
            if name not in _OPPOSITE:
                continue
            a, b = (self._form(arg, side) for arg in node.args)
            more, less = a - b, b - a
            holds = {
                "less": [[less - constant(1)]], "less_equal": [[less]], "greater": [[more - constant(1)]],
                "greater_equal": [[more]], "equal": [[more, less]],
                "not_equal": [[less - constant(1)], [more - constant(1)]],
            }[name]  # fmt: skip
            if len(cases) * len(holds) <= MOST_CASES:
                cases = [[*case, *new] for case in cases for new in holds]
        return cases

    def _leaf(self, side: str):
        def leaf(value: Value) -> Form:
            if value in self.numbers:
                return Form({(side, self.numbers[value]): 1})
            if value in self.growing:
                start, step, node = self.growing[value]
                return self._form(start, side) + Form({(side, node): step})
            return Form({(side, value) if value in self.inside else value: 1})

        return leaf

    def _form(self, arg: Arg, side: str) -> Form:
        return form_of(arg, self.makers.get, self._leaf(side))

    def _bounds(self, access: Access, side: str) -> list[Form]:
        out = []
        for node in access.loops:
            number = Form({(side, node): 1})
            out.append(number)
            if node.op is for_:
                trips = trips_of(node.args[0], self.makers.get, self._leaf(side))
                out.append(trips - number - constant(1))
        return out

    def _same_element(self, a: Access, b: Access, bounds: list[Form]) -> list[Form]:
        """Equations between the subscripts; a slice brings in a number of its own, with its bounds."""
        out = []
        sides = [self._subscripts(a, "later", bounds), self._subscripts(b, "earlier", bounds)]
        for x, y in zip(*sides, strict=False):
            if x is not None and y is not None:
                out.append(x - y)
        return out

    def _subscripts(self, access: Access, side: str, bounds: list[Form]) -> list[Form | None]:
        out: list[Form | None] = []
        for part in access.node.attrs["pattern"]:
            if part[0] == "at":
                out.append(self._form(access.operands[part[1]], side))
            elif part[0] == "slice":
                place = Form({(side, access.node, len(out)): 1})
                length = trips_of(access.operands[part[2]], self.makers.get, self._leaf(side))
                bounds += [place, length - place - constant(1)]
                out.append(self._form(access.operands[part[1]], side) + place.times(part[3]))
            elif part[0] == "array":
                out.append(None)
        return out


_ADD = UFUNCS[next(u for u in UFUNCS if u.__name__ == "add")]


def with_rereads(block: Block, reads: dict[Node, Value]) -> Block:
    """The block with the given reads done in the finished array."""
    nodes = []
    for node in block.nodes:
        if node in reads:
            args = (node.args[0], reads[node], *node.args[1:])
            node = Node(reread, args, node.outs, node.attrs, (), node.loc)
        elif node.regions:
            regions = tuple(with_rereads(r, reads) for r in node.regions)
            node = Node(node.op, node.args, node.outs, node.attrs, regions, node.loc)
        nodes.append(node)
    return Block(block.params, nodes, block.results, block.name)


def without_rereads(block: Block) -> Block:
    """The block with ordinary reads again."""
    nodes = []
    for node in block.nodes:
        if node.op is reread:
            node = Node(getitem_, node.args[1:], node.outs, node.attrs, (), node.loc)
        elif node.regions:
            regions = tuple(without_rereads(r) for r in node.regions)
            node = Node(node.op, node.args, node.outs, node.attrs, regions, node.loc)
        nodes.append(node)
    return Block(block.params, nodes, block.results, block.name)
