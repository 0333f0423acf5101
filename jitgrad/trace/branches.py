"""Choices: `if`, conditional expressions, `and`, `or`, chained comparisons; regions where they depend on run time."""

from __future__ import annotations

import ast
from collections.abc import Callable

import numpy as np

from jitgrad.ir.graph import Node
from jitgrad.ir.types import BOOL, Type
from jitgrad.ops.elementwise import as_bool
from jitgrad.ops.symbolic import Expr, as_expr, current
from jitgrad.trace import growing
from jitgrad.trace.aliases import Pending
from jitgrad.trace.exits import branch
from jitgrad.trace.expressions import at, compared, truth, user_method
from jitgrad.trace.fork import fork, merged
from jitgrad.trace.frame import Frame, evaluate, expression, run, statement
from jitgrad.trace.images import Leaf
from jitgrad.trace.liveness import live_after
from jitgrad.trace.regions import Outcome, explore
from jitgrad.trace.stretch import has_stretch


def decide(frame: Frame, node: ast.AST, x: object, use: str) -> bool | Expr:
    """The truth of a value that steers the evaluation: an `Expr` if it is known at run time only."""
    x = growing.count_of(x) if has_stretch(x) else x
    if not isinstance(x, Expr):
        for dunder in ("__bool__", "__len__"):
            method = user_method(frame, x, dunder)
            if method is not None:
                result = frame.trace.call(frame, method, (x,), {})
                return decide(frame, node, result, use) if isinstance(result, Expr) else bool(result)
        return truth(frame, node, x, use)
    at(frame, node)
    if x.ndim:
        if not all(isinstance(n, int) and n == 1 for n in x.type.shape):
            return truth(frame, node, x, use)  # NumPy's error
        x = x.reshape(())
    known = frame.trace.known(x)
    return as_bool(x) if known is None else bool(known)


def condition(frame: Frame, node: ast.expr, use: str) -> bool | Expr:
    """The truth of an expression that steers the evaluation."""
    if isinstance(node, ast.BoolOp):
        return _boolean(frame, node, node.values, isinstance(node.op, ast.Or), only_truth=True)
    return decide(frame, node, evaluate(frame, node), use)


@statement(ast.If)
def if_(frame: Frame, node: ast.If) -> object:
    test = condition(frame, node.test, "an `if`")
    current().loc = frame.loc(node)
    is_live = live_after(frame, node)
    return branch(frame.trace, test, lambda: run(frame, node.body), lambda: run(frame, node.orelse), is_live)


@expression(ast.IfExp)
def conditional(frame: Frame, node: ast.IfExp) -> object:
    test = condition(frame, node.test, "a conditional expression")
    return _choose(
        frame, node, test, lambda: evaluate(frame, node.body), lambda: evaluate(frame, node.orelse), "its value"
    )


def _choose(
    frame: Frame, node: ast.AST, test: bool | Expr, then: Callable[[], object], orelse: Callable[[], object], words: str
) -> object:
    """The value of one of two expressions."""
    if isinstance(test, bool):
        return then() if test else orelse()
    at(frame, node)
    (value,) = fork(frame.trace, test, lambda: (then(),), lambda: (orelse(),))
    return value.read(words) if isinstance(value, Pending) else value


@expression(ast.BoolOp)
def boolean(frame: Frame, node: ast.BoolOp) -> object:
    return _boolean(frame, node, node.values, isinstance(node.op, ast.Or))


def _boolean(frame: Frame, node: ast.BoolOp, operands: list[ast.expr], stop: bool, only_truth: bool = False) -> object:
    """`a and b and c`, or with `stop` `a or b or c`: the first operand that decides it, or its truth."""
    first, *others = operands
    if only_truth:
        x = test = condition(frame, first, "`and` or `or`")
    else:
        x = evaluate(frame, first)
        test = decide(frame, first, x, "`and` or `or`") if others else None
    if not others:
        return x
    return _further(frame, node, x, test, stop, lambda: _boolean(frame, node, others, stop, only_truth))


def _further(
    frame: Frame, node: ast.expr, x: object, test: bool | Expr, stop: bool, rest: Callable[[], object]
) -> object:
    """`x` if its truth, `test`, is `stop`; else what `rest` gives."""
    if isinstance(test, bool):
        return x if test is stop else rest()
    at(frame, node)
    second = explore(frame.trace, lambda _: (rest(),), raises=True)
    if second.error is None and isinstance(x, Expr) and x.dtype == BOOL and _is_quick_bool(second):
        builder = current()
        builder.extend(second.region.nodes)
        return (np.logical_or if stop else np.logical_and)(test, as_expr(second.results[0].arg))
    if second.error is not None:
        sides = (lambda: x, rest) if stop else (rest, lambda: x)
        return _choose(frame, node, test, *sides, "its value")
    first = explore(frame.trace, lambda _: (x,))
    (value,) = merged(frame.trace, test, *((first, second) if stop else (second, first)))
    return value.read("its value") if isinstance(value, Pending) else value


def _is_quick_bool(outcome: Outcome) -> bool:
    """Whether a region only computes a bool, and may as well be run where its result isn't needed."""
    if outcome.changes or not all(map(_is_quick, outcome.region.nodes)):
        return False
    (result,) = outcome.results
    return isinstance(result, Leaf) and result.arg.type == Type(BOOL)


def _is_quick(node: Node) -> bool:
    """Whether a node computes a number from numbers, whatever they are."""
    numbers = not any(a.type.shape for a in (*node.args, *node.outs))
    return numbers and node.op.ufunc is not None and node.op.name not in _PARTIAL


_PARTIAL = ("floor_divide", "remainder", "power", "left_shift", "right_shift")  # of integers: not of all


@expression(ast.Compare)
def compare(frame: Frame, node: ast.Compare) -> object:
    return _compare(frame, node, evaluate(frame, node.left), 0)


def _compare(frame: Frame, node: ast.Compare, left: object, k: int) -> object:
    """The comparisons from the k-th on, of which each is evaluated if those before it hold."""
    right = evaluate(frame, node.comparators[k])
    at(frame, node)
    result = compared(frame, node.ops[k], left, right)
    if k == len(node.ops) - 1:
        return result
    test = decide(frame, node, result, "a chained comparison")
    return _further(frame, node, result, test, False, lambda: _compare(frame, node, right, k + 1))
