"""The nodes of a loop's body for all iterations at once: each value gets a last axis, a *lane* for each iteration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, substitute, used
from jitgrad.ops.create import iota, uninitialized
from jitgrad.ops.elementwise import astype, stop_gradient, where
from jitgrad.ops.flow import branch, for_, for_loop, if_, region
from jitgrad.ops.index import add_at, array_axes, getitem_, setitem
from jitgrad.ops.join import concatenate_
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.rules import strong_multiply
from jitgrad.ops.shape import array_, broadcast_to_, copy_, greatest, least, reshape_, transpose_
from jitgrad.ops.symbolic import as_arg, as_expr, building, current

# What treats each element alike, besides NumPy's ufuncs; what treats each place on the other axes alike.
ELEMENTWISE = (where, strong_multiply, astype, stop_gradient, copy_)
REDUCTIONS = frozenset(("sum", "prod", "max", "min", "any", "all"))
_WHOLE = (None, None)  # the bounds of `:`
SHARED = -1  # in place of the axis of rows


class Refused(Exception):
    """The iterations can't be done at once."""


class Batch:
    """Nodes for all lanes.

    Attributes:
        count: how many lanes there are.
        first: what counts them in the first lane.
        env: what stands for a value of the body.
        lanes: the values that have a lane axis.
        starts: integers that differ by one from lane to lane, with what they are in the first.
        rows: arrays of which each lane reads and writes the part at its own place on one axis, with that axis. They
            have no lane axis: that one is it. `SHARED` in its place: all lanes add to the same elements, and do nothing
            else with them.
    """

    def __init__(self, count: Arg, first: Arg):
        self.count = count
        self.first = first
        self.env: dict[Value, Arg] = {}
        self.lanes: set[Value] = set()
        self.starts: dict[Value, Arg] = {}
        self.rows: dict[Value, int] = {}
        self.top = current()
        self._turned: dict[tuple, Value] = {}
        self._wide: dict[Node, list[bool]] = {}

    def set(self, value: Value, new: object, lanes: bool) -> None:
        stands = self.env[value] = as_arg(new)
        if isinstance(stands, Value) and stands.name is None:
            stands.name = value.name
        (self.lanes.add if lanes else self.lanes.discard)(value)

    def set_index(self, value: Value, start: Arg) -> None:
        """Let an integer count the lanes, from `start` on."""
        number = current().emit(iota, (self.count,), {})
        self.set(value, number if start == Const.of(0) else number + as_expr(start), lanes=True)
        self.starts[value] = start

    def get(self, arg: Arg) -> object:
        return as_expr(self.env.get(arg, arg) if isinstance(arg, Value) else arg)

    def run(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            current().loc = node.loc
            self.visit(node)

    def visit(self, node: Node) -> None:
        if node.op in (getitem_, setitem, add_at) and node.args[0] in self.rows:
            (self.add_up if self.rows[node.args[0]] == SHARED else self.at_own_place)(node)
        elif not any(v in self.lanes or v in self.rows for v in used(node)):
            self.once(node)
        elif node.op in (for_, if_):
            (self.loop if node.op is for_ else self.fork)(node)
        elif node.op is getitem_:
            self.read(node)
        elif node.op in (setitem, add_at):
            self.write(node)
        elif len(node.outs) != 1 or node.op.effect:
            raise Refused
        else:
            self.set(node.out, self.computed(node), lanes=True)
            self.find_start(node)

    def once(self, node: Node) -> None:
        """What is the same in every lane is done once."""
        copy = substitute(Block((), [node], ()), self.env)
        current().extend(copy.nodes)

    def computed(self, node: Node) -> object:
        """Operations that treat each element, or each place on the other axes, alike."""
        if node.op.ufunc is not None or node.op in ELEMENTWISE:
            out = node.op(*map(self.operand, node.args), **node.attrs)
            return out if out.dtype == node.out.type.dtype else astype(out, dtype=node.out.type.dtype)
        if node.op is array_:
            rows = [reshape_(self.spread(a), 1, as_expr(self.count)) for a in node.args]
            return reshape_(concatenate_(*rows, axis=0), *node.attrs["shape"], as_expr(self.count))
        x = self.spread(node.args[0])
        if node.op.name in REDUCTIONS:
            return node.op(x, **node.attrs)
        if node.op is transpose_:
            return transpose_(x, axes=(*node.attrs["axes"], x.ndim - 1))
        if node.op in (reshape_, broadcast_to_) and not any(n in self.lanes for n in node.args[1:]):
            return node.op(x, *map(self.get, node.args[1:]), as_expr(self.count))
        raise Refused

    def operand(self, arg: Arg) -> object:
        """An operand of an elementwise operation, shaped so that broadcasting does the rest."""
        x = self.get(arg)
        if arg in self.rows:
            raise Refused
        return x if arg in self.lanes or not arg.type.shape else reshape_(x, *x.shape, 1)

    def spread(self, arg: Arg) -> object:
        """A value with a lane axis, also if it is the same in all lanes."""
        if arg in self.rows:
            raise Refused
        x = self.get(arg)
        if arg in self.lanes:
            return x
        maker = current().maker(x) if isinstance(arg, Value) else None
        shape = (*as_arg(x).type.shape, self.count)
        if maker is not None and maker.op is uninitialized:
            return current().emit(uninitialized, shape, maker.attrs)
        if maker is not None and maker.op is broadcast_to_ and not maker.args[0].type.shape:
            return current().emit(broadcast_to_, (maker.args[0], *shape), {})
        if not arg.type.shape:
            x = x if isinstance(arg, Value) else arg.type.dtype.type(arg.value)
            return current().emit(broadcast_to_, (x, *shape), {})
        return current().emit(broadcast_to_, (reshape_(x, *x.shape, 1), *shape), {})

    def find_start(self, node: Node) -> None:
        """Note an integer that is that of another one, and something that is the same in all lanes."""
        for arg, other in (node.args, node.args[::-1]) if len(node.args) == 2 else ():
            first = node.op is UFUNCS[np.add] or (node.op is UFUNCS[np.subtract] and arg is node.args[0])
            if first and arg in self.starts and other not in self.lanes:
                self.starts[node.out] = as_arg(node.op(as_expr(self.starts[arg]), self.get(other)))

    # Indices

    def places(self, node: Node) -> list[int]:
        """The parts of an index that differ between lanes; each must be a number."""
        operands = node.args[1 if node.op is getitem_ else 2 :]
        found = []
        for k, part in enumerate(node.attrs["pattern"]):
            if any(operands[j] in self.lanes for j in part[1:3] if isinstance(j, int)):
                if part[0] != "at":
                    raise Refused
                found.append(k)
        return found

    def index(self, node: Node, replace: Callable[[int, tuple, list], tuple | None]) -> tuple[tuple, list]:
        """The pattern and operands of an index; `replace` may put others for a part, or leave it out by None."""
        operands = node.args[1 if node.op is getitem_ else 2 :]
        pattern, new = [], []
        for k, part in enumerate(node.attrs["pattern"]):
            entry = replace(k, part, new)
            if entry is part:
                own = [j for j in part[1:3] if isinstance(j, int)]
                entry = (part[0], *range(len(new), len(new) + len(own)), *part[1 + len(own) :])
                new.extend(self.get(operands[j]) for j in own)
            if entry is not None:
                pattern.append(entry)
        return tuple(pattern), new

    def all_lanes(self, pattern: tuple, operands: list) -> tuple[tuple, list]:
        """The index with `:` for the lane axis."""
        lane = ("slice", len(operands), len(operands) + 1, 1, _WHOLE)
        return (*pattern, lane), [*operands, 0, as_expr(self.count)]

    def own_place(self, node: Node, axis: int) -> tuple[tuple, list]:
        """The index with the lanes' part of an axis in place of one number on it."""
        number = node.args[(1 if node.op is getitem_ else 2) + node.attrs["pattern"][axis][1]]
        if number not in self.starts:
            raise Refused

        def replace(k: int, part: tuple, operands: list) -> tuple:
            if k != axis:
                return part
            operands += [as_expr(self.starts[number]), as_expr(self.count)]
            return ("slice", len(operands) - 2, len(operands) - 1, 1, None)

        return self.index(node, replace)

    def read(self, node: Node) -> None:
        x, places = node.args[0], self.places(node)
        if not places:
            pattern, operands = self.all_lanes(*self.index(node, lambda k, part, new: part))
            self.set(node.out, getitem_(self.get(x), *operands, pattern=pattern), lanes=True)
        elif x in self.lanes:
            self.set(node.out, self.gathered(self.get(x), node, places, own=True), lanes=True)
        elif len(places) == 1 and node.args[1 + node.attrs["pattern"][places[0]][1]] in self.starts:
            self.set(node.out, self.turned_read(node, places[0]), lanes=True)
        else:
            self.set(node.out, self.gathered(self.get(x), node, places, own=False), lanes=True)

    def turned_read(self, node: Node, axis: int) -> object:
        """Elements of neighbouring lanes, from a copy in which they are neighbours."""
        x, pattern = node.args[0], node.attrs["pattern"]
        if any(part[0] not in ("at", "slice") for part in pattern):
            raise Refused
        start = self.starts[node.args[1 + pattern[axis][1]]]
        turned, start = self.turned(x, axis, start)
        pattern, operands = self.index(node, lambda k, part, new: None if k == axis else part)
        lane = ("slice", len(operands), len(operands) + 1, 1, None)
        return getitem_(turned, *operands, as_expr(start), as_expr(self.count), pattern=(*pattern, lane))

    def turned(self, x: Value, axis: int, start: Arg) -> tuple[object, Arg]:
        """A copy of an array with an axis moved to the end, and where in it the lanes begin.

        If these are all that there are, the copy is of the whole array, else of their part. It is made in front of the
        loops within, so both must be known there.
        """
        last = x.type.ndim - 1
        source = self.env.get(x, x)
        if axis == last:
            return as_expr(source), start
        part = None if self.first == Const.of(0) else start
        if (source, axis, part) not in self._turned:
            builder = current()
            while builder is not self.top:
                if source in builder.made or part in builder.made:
                    raise Refused
                builder = builder.parent
            order = tuple(k for k in range(last + 1) if k != axis)
            with building(self.top):
                whole = as_expr(source) if part is None else self.part(as_expr(source), axis, start)
                self._turned[source, axis, part] = as_arg(copy_(transpose_(whole, axes=(*order, axis))))
        return as_expr(self._turned[source, axis, part]), start if part is None else Const.of(0)

    def part(self, x: object, axis: int, start: Arg) -> object:
        """The lanes' part of an axis, and all of the others.

        No more than there is: if the loops within have no iterations, nobody has checked that all of it is there.
        """
        pattern = tuple(("slice", 2 * k, 2 * k + 1, 1, None if k == axis else _WHOLE) for k in range(x.ndim))
        bounds = [(0, n) for n in x.shape]
        there = greatest(as_expr(start), 0)
        bounds[axis] = (there, greatest(least(as_expr(self.count), x.shape[axis] - there), 0))
        return getitem_(x, *(n for bound in bounds for n in bound), pattern=pattern)

    def gathered(self, x: object, node: Node, places: list[int], own: bool) -> object:
        """Elements at places that differ between lanes; `own`: of arrays that have a lane axis."""
        pattern, operands = self.scattered(node, places, own)
        if any(part[0] in ("slice", "new") for part in pattern):
            raise Refused
        return getitem_(x, *operands, pattern=pattern)

    def scattered(self, node: Node, places: list[int], own: bool) -> tuple[tuple, list]:
        """An index by integer arrays."""

        def replace(k: int, part: tuple, operands: list) -> tuple:
            if k not in places:
                return part
            arguments = node.args[1 if node.op is getitem_ else 2 :]
            operands.append(self.get(arguments[part[1]]))
            return ("array", len(operands) - 1)

        pattern, operands = self.index(node, replace)
        if own:
            pattern = (*pattern, ("array", len(operands)))
            operands.append(current().emit(iota, (self.count,), {}))
        return pattern, operands

    def write(self, node: Node) -> None:
        x, v, places = node.args[0], node.args[1], self.places(node)
        target = self.spread(x)
        if places:
            pattern, operands = self.scattered(node, places, own=True)
            if any(part[0] in ("slice", "new") for part in pattern):
                raise Refused
        else:
            pattern, operands = self.all_lanes(*self.index(node, lambda k, part, new: part))
            if array_axes(node.attrs["pattern"])[0]:
                raise Refused
        self.set(node.out, node.op(target, self.operand(v), *operands, pattern=pattern), lanes=True)

    def at_own_place(self, node: Node) -> None:
        """Read or write the lanes' own part of an array of rows."""
        x, axis = node.args[0], self.rows[node.args[0]]
        if self.places(node) != [axis] or any(part[0] not in ("at", "slice") for part in node.attrs["pattern"]):
            raise Refused
        pattern, operands = self.own_place(node, axis)
        before = sum(part[0] == "slice" for part in pattern[:axis])
        after = sum(part[0] == "slice" for part in pattern[axis + 1 :])
        if node.op is getitem_:
            out = getitem_(self.get(x), *operands, pattern=pattern)
            order = [k for k in range(before + after + 1) if k != before]
            self.set(node.out, transpose_(out, axes=(*order, before)) if after else out, lanes=True)
            return
        v = self.operand(node.args[1])
        if node.args[1].type.shape and (node.args[1] not in self.lanes or v.ndim != before + after + 1):
            raise Refused
        if after and node.args[1] in self.lanes:
            if v.ndim == 1:
                v = reshape_(v, self.get(self.count), *(1,) * after)
            else:
                v = transpose_(v, axes=(*range(before), v.ndim - 1, *range(before, v.ndim - 1)))
        self.set(node.out, node.op(self.get(x), v, *operands, pattern=pattern), lanes=False)
        self.rows[node.out] = axis

    def add_up(self, node: Node) -> None:
        """Add the sum over all lanes to elements that they share."""
        x, v = node.args[:2]
        if node.op is not add_at or self.places(node):
            raise Refused
        pattern, operands = self.index(node, lambda k, part, new: part)
        total = np.sum(self.spread(v), axis=-1)
        self.set(node.out, add_at(self.get(x), total, *operands, pattern=pattern), lanes=False)
        self.rows[node.out] = SHARED

    # Regions

    def loop(self, node: Node) -> None:
        """An inner loop, of as many iterations in each lane."""
        if node.args[0] in self.lanes:
            raise Refused
        (body,) = node.regions
        params = body.params[1:]
        wide = self._wide.get(node) or [init in self.lanes for init in node.args[1:]]
        for param, init in zip(params, node.args[1:], strict=True):
            if init in self.rows:
                self.rows[param] = self.rows[init]

        def build(i: object, *carry: object) -> list:
            self.set(body.params[0], i, lanes=False)
            for param, c, lanes in zip(params, carry, wide, strict=True):
                self.set(param, c, lanes)
            self.run(body.nodes)
            found = [r in self.lanes for r in body.results]
            if found != wide and any(f and not w for f, w in zip(found, wide, strict=True)):
                raise _Wider([w or f for w, f in zip(wide, found, strict=True)])
            self.same_rows(params, body.results)
            return [self.spread(r) if w else self.get(r) for r, w in zip(body.results, wide, strict=True)]

        while True:
            init = [self.spread(a) if w else self.get(a) for a, w in zip(node.args[1:], wide, strict=True)]
            try:
                outs = for_loop(self.get(node.args[0]), init, build, body.params[0].name or "i")
                break
            except _Wider as more:
                wide = self._wide[node] = more.wide
        for out, new, lanes, param in zip(node.outs, outs, wide, params, strict=True):
            self.set(out, new, lanes)
            if param in self.rows:
                self.rows[out] = self.rows[param]

    def same_rows(self, params: Sequence[Value], results: Sequence[Arg]) -> None:
        if any(self.rows.get(p) != self.rows.get(r) for p, r in zip(params, results, strict=True)):
            raise Refused

    def fork(self, node: Node) -> None:
        """A branch that all lanes take alike."""
        if node.args[0] in self.lanes:
            raise Refused
        for block in node.regions:  # which results have lanes, by trial
            region(lambda block=block: self.run(block.nodes) or [])
        results = list(zip(*(block.results for block in node.regions), strict=True))
        wide = [any(r in self.lanes for r in pair) for pair in results]
        if any(r in self.rows for pair in results for r in pair):
            raise Refused

        def build(block: Block) -> list:
            self.run(block.nodes)
            return [self.spread(r) if w else self.get(r) for r, w in zip(block.results, wide, strict=True)]

        outs = branch(self.get(node.args[0]), *((lambda block=block: build(block)) for block in node.regions))
        for out, new, lanes in zip(node.outs, outs, wide, strict=True):
            self.set(out, new, lanes)


class _Wider(Exception):
    """More of what an inner loop carries has lanes than was supposed."""

    def __init__(self, wide: list[bool]):
        super().__init__()
        self.wide = wide
