"""`for` and `while`: loop regions, or unrolled where Python must know the index or the items."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import numpy as np

from jitgrad.errors import TraceError, UnsupportedError
from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.op import Op
from jitgrad.ir.types import BOOL, INT64, Type
from jitgrad.ops.flow import CHUNKED, UNBOUNDED, for_, if_, while_
from jitgrad.ops.symbolic import Expr, NeedStatic, as_arg, as_expr, building, current
from jitgrad.trace.branches import condition
from jitgrad.trace.evaluate import assign
from jitgrad.trace.exits import Exit, any_of, branch, go_on, none_of, parts_of, signal_of
from jitgrad.trace.expressions import iterate
from jitgrad.trace.fork import DEAD
from jitgrad.trace.frame import Frame, evaluate, run, statement
from jitgrad.trace.images import Absent, Leaf
from jitgrad.trace.items import Items, items_of
from jitgrad.trace.journal import NeedUnrolled, Region, is_of_other_loop
from jitgrad.trace.liveness import live_after, live_in
from jitgrad.trace.merge import Slot, argument, built
from jitgrad.trace.regions import explore
from jitgrad.trace.solving import Part, Solution, Solver

FEW = 4  # loops of so many iterations are unrolled
COPIES = 8  # but for those that hold others, if there would be more copies of the innermost statements
MANY = 1000  # those of more never are

# Whether a loop has been left by `break`, by `return`, and with what: before the first iteration.
_NOT_LEFT = [Leaf(Const.of(False)), Leaf(Const.of(False)), Absent()]


@statement(ast.For)
def for_statement(frame: Frame, node: ast.For) -> object:
    source = evaluate(frame, node.iter)
    items = items_of(frame, source)
    if items is None:
        return _unrolled(frame, node, iterate(frame, node.iter, source))
    # The arrays that it runs over stay what they are, also when their names go to others in the body.
    held = f"for in line {node.lineno}, column {node.col_offset}"
    frame.vars[held] = items.sources
    try:
        return _for_items(frame, node, items)
    finally:
        frame.vars.pop(held, None)


def _for_items(frame: Frame, node: ast.For, items: Items) -> object:
    known = isinstance(items.count, int)
    # An `else` often binds what is no number (None, for "not found"), which a region could not give.
    few = known and items.count <= FEW and items.count * _copies(node.body) <= COPIES
    if few or (known and node.orelse and items.count <= MANY):
        return _unrolled(frame, node, items)
    try:
        return _Loop(frame, node, items).signal()
    except (TraceError, UnsupportedError) as error:
        if is_of_other_loop(error):
            raise
        if known and items.count <= MANY:
            return _unrolled(frame, node, items)
        if not isinstance(error, NeedUnrolled):
            raise
        with suppress(TraceError, UnsupportedError):
            return _selecting(frame, node, items)
        frame.trace.settle(items.count, "the number of iterations of a loop")
        raise


def _copies(body: list[ast.stmt]) -> int:
    """How often the innermost statements of a loop's body come to stand there, if short loops in it are unrolled."""
    most = 1
    for node in (n for part in body for n in ast.walk(part) if isinstance(n, ast.For)):
        match node.iter:
            case ast.Call(func=ast.Name("range"), args=[ast.Constant(int(count))]) if 0 < count <= FEW:
                most = max(most, count * _copies(node.body))
    return most


def _selecting(frame: Frame, node: ast.For, items: Items) -> object:
    """A loop whose body indexes lists, which can't be unrolled: the items are selected at run time."""
    frame.trace.selecting += 1
    try:
        return _Loop(frame, node, items).signal()
    finally:
        frame.trace.selecting -= 1


def _unrolled(frame: Frame, node: ast.For, items: Iterable) -> object:
    """Run the body once for each item."""
    left = None
    for item in items:
        left = go_on(frame.trace, left, partial(_iteration, frame, node, item), live_in(frame, node))
        if left is not None and not isinstance(left, Exit):
            break
    return _after(frame, node, left)


def _iteration(frame: Frame, node: ast.For, item: object) -> object:
    assign(frame, node.target, item)
    breaks, _, returns, value = parts_of(run(frame, node.body))
    return signal_of(breaks, False, returns, value)


def _after(frame: Frame, node: ast.For | ast.While, left: object) -> object:
    """The signal of a loop that was left by `left`, or ran to its end."""
    breaks, _, returns, value = parts_of(left)
    if not node.orelse:
        return signal_of(False, False, returns, value)
    ended = none_of(breaks, returns)
    returned = signal_of(False, False, True if breaks is False else returns, value)
    return branch(frame.trace, ended, lambda: run(frame, node.orelse), lambda: returned, live_after(frame, node))


@statement(ast.While)
def while_statement(frame: Frame, node: ast.While) -> object:
    known = _takes_few_steps(frame, node)
    if known:
        return _unrolled_while(frame, node)
    try:
        return _Loop(frame, node, None).signal()
    except (TraceError, UnsupportedError) as error:
        if is_of_other_loop(error):
            raise
        return _unrolled_while(frame, node, error)


def _takes_few_steps(frame: Frame, node: ast.While) -> bool:
    """Whether the number of steps is known while tracing, and small."""
    if isinstance(node.test, ast.Constant):
        return False
    with suppress(_RunTimeError, TraceError, UnsupportedError, NeedStatic):
        explore(frame.trace, lambda _: (_unrolled_while(frame, node, _RunTimeError(), FEW),))
        return True
    return False


class _RunTimeError(Exception):
    """The course of a loop isn't known while tracing."""


def _unrolled_while(frame: Frame, node: ast.While, error: Exception | None = None, most: int = MANY) -> object:
    """Run a loop as Python does; raise `error` if that needs what is known at run time only, or too many steps."""
    for _ in range(most + 1):
        test = condition(frame, node.test, "a `while`")
        if isinstance(test, Expr):
            frame.trace.settle(test, "a `while`")
            break
        if not test:
            return _after(frame, node, None)
        left = _step(frame, node)
        if isinstance(left, Exit):
            break
        if left is not None:
            return _after(frame, node, left)
    raise error or _RunTimeError()


def _step(frame: Frame, node: ast.While) -> object:
    breaks, _, returns, value = parts_of(run(frame, node.body))
    return signal_of(breaks, False, returns, value)


def _is_endless(node: ast.For | ast.While) -> bool:
    """Whether a loop is left by `break` or `return` only."""
    return isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)


class _Loop:
    """A loop that becomes a node with regions."""

    def __init__(self, frame: Frame, node: ast.For | ast.While, items: Items | None):
        self.frame, self.node, self.items = frame, node, items
        self.index = Value(Type(INT64, (), weak=True))

    def signal(self) -> object:
        """Add the node; the loop's signal."""
        test = None if self.items is not None else self._test
        runs = self.items is not None and isinstance(self.items.count, int)
        solver = Solver(
            self.frame.trace, self._body, _NOT_LEFT, test, live_in(self.frame, self.node), id(self.node), runs,
            None if self.items is None else self.items.count,
        )  # fmt: skip
        self.loc = current().loc
        solution = solver.solve()
        current().loc = self.loc
        left = self._emit(solution)
        return _after(self.frame, self.node, left)

    def _test(self) -> object:
        return condition(self.frame, self.node.test, "a `while`")

    def _body(self, region: Region) -> tuple:
        if self.items is None:
            left = _step(self.frame, self.node)
        else:
            self.index = Value(Type(INT64, (), weak=True))
            region.own([self.index])
            left = _iteration(self.frame, self.node, self.items.item(Expr(self.index)))
        breaks, _, returns, value = parts_of(left)
        return breaks, returns, value

    def _emit(self, solution: Solution) -> object:
        """Add the node and give the places what it has ended with; how it was left."""
        carry, body, trace = solution.carry, solution.body, self.frame.trace
        with building(body.outcome.region):
            results = tuple(argument(slot, 1) for slot in carry.slots)
        init = tuple(argument(slot, 0) for slot in carry.slots)
        outs = tuple(Value(slot.type, slot.name) for slot in carry.slots)
        stops = [carry.slots.index(spec) for spec in carry.results[:2] if isinstance(spec, Slot)]
        if self.items is None:
            self._add_while(solution, stops, init, results, outs)
        elif stops:
            self._add_counted(body, stops, init, results, outs)
        else:
            block = Block((self._named_index(), *body.params), body.outcome.region.nodes, results, "body")
            attrs = {CHUNKED: True} if self.items.chunked else {}
            self._add(for_, (as_arg(self.items.count), *init), (block,), outs, attrs)
        made = carry.put(dict(zip(carry.slots, outs, strict=True)), trace, ended=True)
        for variable in solution.dead:
            variable.put(DEAD)
        breaks, returns, value = (built(spec, made.__getitem__, made) for spec in carry.results)
        if breaks is False and _is_endless(self.node):
            returns = True
        return signal_of(breaks, False, returns, value)

    def _add(self, op: Op, args: tuple, regions: tuple[Block, ...], outs: tuple, attrs: dict | None = None) -> None:
        current().append(Node(op, args, outs, attrs or {}, regions, self.loc))

    def _named_index(self) -> Value:
        if self.index.name is None:
            self.index.name = "k"
        return self.index

    def _add_counted(self, body: Part, stops: list[int], init: tuple, results: tuple, outs: tuple) -> None:
        """A `for` that may be left early: a `while` with a counter."""
        index, n = self._named_index(), self.items.count
        counter, params = Value(index.type, index.name), [Value(p.type, p.name) for p in body.params]
        region = Region(current())
        region.own((counter, *params))
        with building(region):
            go_on_ = np.logical_and(Expr(counter) < n, none_of(*(Expr(params[k]) for k in stops)))
        test = Block((counter, *params), region.nodes, (go_on_.value,), "test")
        inner = body.outcome.region
        with building(inner):
            following = as_arg(Expr(index) + 1)
        block = Block((index, *body.params), inner.nodes, (following, *results), "body")
        last = Value(index.type, index.name)
        self._add(while_, (as_arg(n), Const.of(0), *init), (test, block), (last, *outs))

    def _add_while(self, solution: Solution, stops: list[int], init: tuple, results: tuple, outs: tuple) -> None:
        test, body = solution.test, solution.body
        region, (go,) = test.outcome.region, test.outcome.results
        answer = go.arg
        if stops:
            region, answer = _unless(region, test, stops, answer)
        blocks = (
            Block(tuple(test.params), region.nodes, (answer,), "test"),
            Block(tuple(body.params), body.outcome.region.nodes, results, "body"),
        )
        self._add(while_, (UNBOUNDED, *init), blocks, outs)


def _unless(region: Region, test: Part, stops: list[int], answer: Arg) -> tuple[Region, Arg]:
    """The region of a condition that is asked only if none of the flags is set."""
    flags = [Expr(test.params[k]) for k in stops]
    if not any(node.op.effect or node.regions for node in region.nodes):
        with building(region):
            return region, as_arg(np.logical_and(as_expr(answer), none_of(*flags)))
    outer = Region(current())
    outer.own(test.params)
    with building(outer):
        out = Value(Type(BOOL))
        blocks = (Block((), [], (Const.of(False),), "then"), Block((), region.nodes, (answer,), "orelse"))
        outer.append(Node(if_, (as_arg(any_of(*flags)),), (out,), {}, blocks, outer.loc))
    return outer, out
