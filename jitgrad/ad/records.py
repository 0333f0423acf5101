"""What a recursive function leaves behind for its reverse: the results of all calls, on record.

Each call has a row, in the order in which they begin: what it gave, and the row after the last of those that began
inside of it. With these a reversed function finds what the calls in its body gave without doing them again; and so the
reverse of a recursion costs a multiple of the recursion, however deep it goes.

Functions that give arrays have no records: their calls are done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jitgrad.ad.regions import without_checks
from jitgrad.ir.function import Function, callee, group_of
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, substitute
from jitgrad.ir.op import Op
from jitgrad.ir.types import FLOAT64, INT64, Type
from jitgrad.ops.create import uninitialized
from jitgrad.ops.elementwise import astype
from jitgrad.ops.flow import add_call, add_node, carried, if_, region
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current
from jitgrad.passes import SIMPLIFY, run
from jitgrad.passes.functions import simplified

# recall(*args, floats, ints, row, function=): a call whose results are on record. It gives these, and the row after its
# own and those inside of it. It lives as long as a reversed function is under construction.
recall = Op("recall")

RECORDED = "a call has computed it, and would have to be done again"
ROWS = 4096  # for which there is room at first
_CELL = (("at", 0), ("at", 1))
Tape = tuple[object, ...]  # floats, ints, row


@dataclass(frozen=True, slots=True)
class Layout:
    """How wide a row is."""

    floats: int
    ints: int

    def types(self, rows: int | Value) -> tuple[Type, Type]:
        return Type(FLOAT64, (rows, self.floats)), Type(INT64, (rows, self.ints))


def layout(function: Function) -> Layout | None:
    """The layout of the records of a function and those that it calls in turn; None if it has none."""
    group = group_of(function)
    if "records" not in function.variants:
        function.variants["records"] = _find_layout(group) if group[0].block and _is_recursive(group) else None
    return function.variants["records"]


def _is_recursive(group: list[Function]) -> bool:
    return len(group) > 1 or any(callee(n) in group for n in group[0].block.walk())


def _find_layout(group: list[Function]) -> Layout | None:
    results = [f.block.results for f in group]
    if any(r.type.shape for rs in results for r in rs) or any(f.updates for f in group):
        return None
    tests = (r for f in group for node in f.block.walk() for r in node.regions if r.name == "test")
    if any(callee(n) in group for test in tests for n in test.walk()):
        return None
    floats = max(sum(r.type.is_float for r in rs) for rs in results)
    return Layout(max(floats, 1), 1 + max(sum(not r.type.is_float for r in rs) for rs in results))


def recorded(node: Node) -> tuple[list[Node], Tape]:
    """Nodes that do what a call does and leave its records, and where these are.

    There is room for some calls; if that was too little, the call is done once more with room for all.
    """
    keeping, wide = recording(callee(node)), layout(callee(node))

    def call(room: tuple[Value, Value], outs: tuple[Value, ...]) -> tuple[object, ...]:
        return add_call(keeping, (*node.args, *room, Const.of(0)), (*outs, *_after(room)))

    with building(Builder(parent=current(), region=True)) as builder:
        *first, count = call(_room(wide, ROWS + 1, ""), carried(node.outs))
        count = as_expr(as_arg(count))
        rows = as_arg(np.where(count > ROWS, count, ROWS) + 1)
        again = region(lambda: call(_room(wide, rows, RECORDED), carried(node.outs))[:-1], name="then")
        tape = tuple(Value(t) for t in wide.types(rows))
        outs = (*node.outs, *tape)
        add_node(if_, (as_arg(count > ROWS),), (again, region(lambda: first, name="orelse")), outs)
    return builder.nodes, (*map(Expr, tape), 0)


def _room(wide: Layout, rows: Arg | int, keeps: str) -> tuple[Value, Value]:
    """Arrays for the records of so many calls; `keeps` says why, for the table of residuals."""
    made = []
    for name, dtype, width in (("results", FLOAT64, wide.floats), ("ends", INT64, wide.ints)):
        array = current().emit(uninitialized, (rows, width), {"dtype": dtype, "keeps": keeps}).value
        array.name = name
        made.append(array)
    return made[0], made[1]


def _after(room: tuple[Value, ...]) -> tuple[Value, ...]:
    """What the records are after a call, and the next free row."""
    return (*carried(room), Value(Type(INT64, (), weak=True), "row"))


def recording(function: Function) -> Function:
    """The function that keeps records: it also takes them and the first free row, and gives them back."""
    if "recording" in function.variants:
        return function.variants["recording"]
    block = substitute(simplified(function), {})
    n, m = len(block.params), len(block.results)
    derived = Function(f"{function.name}_recorded", updates={n: m, n + 1: m + 1}, loc=function.loc)
    function.variants["recording"] = derived

    def visit(node: Node, tape: Tape) -> Tape:
        *room, row = tape
        room = tuple(map(as_arg, room))
        place = np.minimum(row, Expr(rows) - 1)  # the last row takes what there is no room for
        outs = (*node.outs, *_after(room))
        *_, floats, ints, end = add_call(recording(callee(node)), (*node.args, *room, as_arg(row + 1)), outs)
        floats, ints = (
            _written(x, values, place, first)
            for x, values, first in zip((floats, ints), _sorted(node.outs), (0, 1), strict=True)
        )
        return floats, setitem(ints, end, place, 0, pattern=_CELL), end

    with building(Builder()) as builder:
        tape, rows = _tape_params(layout(function))
        after = _Threading(group_of(function), visit).through(block.nodes, tuple(map(Expr, tape)))
    results = (*block.results, *map(as_arg, after))
    derived.block = run(SIMPLIFY, Block((*block.params, *tape), builder.nodes, results, derived.name))
    return derived


def replay(function: Function) -> Block:
    """The body of a function that takes its results from the records; it also takes these, and its first row.

    What it checks has been checked when the records were made.
    """
    block = again(simplified(function))

    def visit(node: Node, state: Tape) -> Tape:
        (row,) = state
        end = Value(Type(INT64, (), weak=True), "row")
        args = (*node.args, *tape[:2], as_arg(row))
        current().append(Node(recall, args, (*node.outs, end), node.attrs, (), node.loc))
        return (Expr(end),)

    with building(Builder()) as builder:
        tape, _ = _tape_params(layout(function))
        _Threading(group_of(function), visit).through(block.nodes, (Expr(tape[2]),))
    return Block((*block.params, *tape), builder.nodes, block.results, block.name)


def _tape_params(wide: Layout) -> tuple[tuple[Value, ...], Value]:
    """Params for the records and a row; and how many rows there are."""
    floats, row = Value(Type(FLOAT64, (1, 1)), "results"), Value(Type(INT64, (), weak=True), "row")
    rows = current().emit(axis_length, (floats,), {"axis": 0}).value
    floats.type, ints = wide.types(rows)
    return (floats, Value(ints, "ends"), row), rows


def _sorted(outs: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    """The floats among the results of a call, and the rest."""
    return [o for o in outs if o.type.is_float], [o for o in outs if not o.type.is_float]


def _written(x: Expr, values: list[Value], row: object, first: int) -> Expr:
    for k, value in enumerate(values):
        number = Expr(value) if value.type.dtype == x.dtype else astype(Expr(value), dtype=x.dtype)
        x = setitem(x, number, row, first + k, pattern=_CELL)
    return x


def read_record(node: Node) -> list[Node]:
    """The nodes by which a `recall` becomes reads of the records."""
    *_, floats, ints, row = node.args
    *outs, end = node.outs
    reals, others = _sorted(outs)
    nodes = list(_read(ints, row, 0, end, node))
    for k, out in enumerate(reals):
        nodes += _read(floats, row, k, out, node)
    for k, out in enumerate(others):
        nodes += _read(ints, row, k + 1, out, node)
    return nodes


def _read(x: Value, row: Arg, column: int, out: Value, node: Node) -> Iterator[Node]:
    dtype = out.type.dtype
    cell = out if dtype == x.type.dtype and not out.type.weak else Value(Type(x.type.dtype), out.name)
    yield Node(getitem_, (x, row, Const.of(column)), (cell,), {"pattern": _CELL}, (), node.loc)
    if cell is not out:
        yield Node(astype, (cell,), (out,), {"dtype": dtype}, (), node.loc)


def read_records(block: Block) -> Block:
    """The block with every `recall` in it made to reads of the records."""
    nodes: list[Node] = []
    for node in block.nodes:
        if node.op is recall:
            nodes += read_record(node)
        else:
            regions = tuple(map(read_records, node.regions))
            nodes.append(Node(node.op, node.args, node.outs, node.attrs, regions, node.loc))
    return Block(block.params, nodes, block.results, block.name, block.notes)


def again(block: Block) -> Block:
    """A copy of the block that is run when the block has been run, which has checked what it checks."""
    block = substitute(block, {})
    return Block(block.params, without_checks(block.nodes), block.results, block.name)


class _Threading:
    """Hands a state from call to call through a block: loops carry it and branches give it."""

    def __init__(self, group: list[Function], visit: Callable[[Node, Tape], Tape]):
        self.group = group
        self.visit = visit

    def through(self, nodes: list[Node], state: Tape) -> Tape:
        """Add nodes to the current builder; the state after them."""
        for node in nodes:
            current().loc = node.loc
            if callee(node) in self.group:
                state = self.visit(node, state)
            elif any(callee(n) in self.group for region in node.regions for n in region.walk()):
                state = self._flow(node, state)
            else:
                current().append(node)
        return state

    def _flow(self, node: Node, state: Tape) -> Tape:
        init = tuple(map(as_arg, state))
        outs = carried(init)
        regions = tuple(self._region(node, region, init) for region in node.regions)
        args = node.args if node.op is if_ else (*node.args, *init)
        current().append(Node(node.op, args, (*node.outs, *outs), node.attrs, regions, node.loc))
        return tuple(map(Expr, outs))

    def _region(self, node: Node, region: Block, init: tuple[Arg, ...]) -> Block:
        params = () if node.op is if_ else carried(init)
        with building(Builder(parent=current(), region=True)) as builder:
            builder.own((*region.params, *params))
            after = self.through(region.nodes, tuple(map(Expr, params or init)))
        given = () if region.name == "test" else map(as_arg, after)
        return Block((*region.params, *params), builder.nodes, (*region.results, *given), region.name)
