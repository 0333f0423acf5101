"""Comprehensions and generator expressions; the latter are evaluated at once.

Where it is known at run time only how many rounds there are, they become the loop that Python says they stand for.
"""

from __future__ import annotations

import ast
import builtins
import functools
from collections.abc import Iterator
from dataclasses import replace

from jitgrad.errors import TraceError, UnsupportedError
from jitgrad.ops.symbolic import Expr
from jitgrad.trace.aliases import Pending
from jitgrad.trace.evaluate import assign
from jitgrad.trace.exits import result_of
from jitgrad.trace.expressions import at, iterate, truth
from jitgrad.trace.frame import Frame, evaluate, expression, run
from jitgrad.trace.items import items_of
from jitgrad.trace.stretch import LazyItems


def _inner(frame: Frame, node: ast.AST) -> Frame:
    """The frame of a comprehension."""
    inner = Frame(frame.trace, frame.source, frame.source.scope(node), frame, frame.function, frame.name)
    inner.is_comprehension = True
    return inner


def _rounds(frame: Frame, node: ast.AST, first: object) -> Iterator[Frame]:
    """A frame for the comprehension, once for each element, with the targets bound."""
    inner = _inner(frame, node)

    def loop(k: int) -> Iterator[Frame]:
        if k == len(node.generators):
            yield inner
            return
        generator = node.generators[k]
        if generator.is_async:
            raise frame.error(node, "an asynchronous comprehension can't be traced")
        source = first if k == 0 else evaluate(inner, generator.iter)
        for item in iterate(inner, generator.iter, source):
            assign(inner, generator.target, item)
            tests = ((t, evaluate(inner, t)) for t in generator.ifs)
            if all(truth(inner, t, value, "the `if` of a comprehension") for t, value in tests):
                yield from loop(k + 1)

    return loop(0)


def _first(frame: Frame, node: ast.AST) -> object:
    """What the outermost loop runs over, evaluated in the scope around as in Python."""
    return evaluate(frame, node.generators[0].iter)


def _is_run_time(frame: Frame, source: object) -> bool:
    """Whether it is known at run time only how many items there are."""
    items = items_of(frame, source)
    return items is not None and isinstance(items.count, Expr) and frame.trace.known(items.count) is None


_FIRST, _RESULT = ".first", ".result"  # no names of the user's


@functools.lru_cache(maxsize=512)
def _as_loop(node: ast.AST, kind: str) -> tuple[ast.stmt, ...]:
    """The statements that a comprehension stands for; its first source is the variable `.first`."""
    body = _BODIES[kind](node.elt)
    for k, generator in reversed(list(enumerate(node.generators))):
        for test in reversed(generator.ifs):
            body = [ast.If(test, body, [])]
        source = ast.Name(_FIRST, ast.Load()) if k == 0 else generator.iter
        body = [ast.For(generator.target, source, body, [])]
    result = ast.Name(_RESULT, ast.Load()) if kind in ("list", "sum") else ast.Constant(kind == "all")
    body = [*body, ast.Return(result)]
    for statement in body:
        _locate(statement, node)
    return tuple(body)


def _locate(root: ast.AST, node: ast.AST) -> None:
    """Give the new nodes the place of the comprehension."""
    for child in ast.walk(root):
        if isinstance(child, ast.expr | ast.stmt) and not hasattr(child, "lineno"):
            ast.copy_location(child, node)


def _appended(element: ast.expr) -> list[ast.stmt]:
    append = ast.Attribute(ast.Name(_RESULT, ast.Load()), "append", ast.Load())
    return [ast.Expr(ast.Call(append, [element], []))]


def _added(element: ast.expr) -> list[ast.stmt]:
    total = ast.BinOp(ast.Name(_RESULT, ast.Load()), ast.Add(), element)
    return [ast.Assign([ast.Name(_RESULT, ast.Store())], total)]


def _returned_if(element: ast.expr, wanted: bool) -> list[ast.stmt]:
    test = element if wanted else ast.UnaryOp(ast.Not(), element)
    return [ast.If(test, [ast.Return(ast.Constant(wanted))], [])]


_BODIES = {
    "list": _appended,
    "sum": _added,
    "any": lambda element: _returned_if(element, True),
    "all": lambda element: _returned_if(element, False),
}


def _looped(frame: Frame, node: ast.AST, first: object, kind: str, start: object) -> object:
    """What a comprehension gives, or the fold of a generator expression, by a loop."""
    if any(generator.is_async for generator in node.generators):
        raise frame.error(node, "an asynchronous comprehension can't be traced")
    inner = _inner(frame, node)
    inner.scope = replace(inner.scope, locals=inner.scope.locals | {_FIRST, _RESULT})
    inner.vars.update({_FIRST: first, _RESULT: start})
    frame.trace.frames.append(inner)
    try:
        result = result_of(frame.trace, run(inner, list(_as_loop(node, kind))))
    except (TraceError, UnsupportedError):
        if kind == "list":
            frame.trace.settle(items_of(frame, first).count, "a comprehension")
        raise
    finally:
        frame.trace.frames.pop()
    return result.read("its value") if isinstance(result, Pending) else result


class RunTimeGenerator(LazyItems):
    """A generator expression whose number of rounds is known at run time only; it can be used once."""

    def __init__(self, frame: Frame, node: ast.GeneratorExp, first: object):
        self.frame, self.node, self.first = frame, node, first
        self.is_used = False

    def __iter__(self) -> Iterator:
        raise self.frame.error(self.node, "the items of a generator are needed one by one, but " + _UNKNOWN)

    def listed(self) -> list:
        """All its items."""
        if self.is_used:
            return []
        self.is_used = True
        return _looped(self.frame, self.node, self.first, "list", [])

    def given_to(self, function: object, rest: tuple) -> tuple[bool, object]:
        """Whether `function` folds the items one by one, with what it gives; else a list of them."""
        start = rest[0] if rest else 0
        if self.is_used or function not in _FOLDS:
            return False, self.listed()
        try:
            result = _looped(self.frame, self.node, self.first, _FOLDS[function], start)
        except TraceError:
            return False, self.listed()  # the items are arrays, perhaps, and the start is none
        self.is_used = True
        return True, result


_UNKNOWN = "it is known at run time only how many there are; use a `for` loop, or make a list of them"
_FOLDS = {builtins.sum: "sum", builtins.any: "any", builtins.all: "all"}


@expression(ast.ListComp)
def list_comprehension(frame: Frame, node: ast.ListComp) -> list:
    first = _first(frame, node)
    if _is_run_time(frame, first):
        at(frame, node)
        return _looped(frame, node, first, "list", [])
    return [evaluate(inner, node.elt) for inner in _rounds(frame, node, first)]


@expression(ast.SetComp)
def set_comprehension(frame: Frame, node: ast.SetComp) -> set:
    return {evaluate(inner, node.elt) for inner in _rounds(frame, node, _first(frame, node))}


@expression(ast.DictComp)
def dict_comprehension(frame: Frame, node: ast.DictComp) -> dict:
    rounds = _rounds(frame, node, _first(frame, node))
    return {evaluate(inner, node.key): evaluate(inner, node.value) for inner in rounds}


@expression(ast.GeneratorExp)
def generator_expression(frame: Frame, node: ast.GeneratorExp) -> Iterator | RunTimeGenerator:
    first = _first(frame, node)
    if _is_run_time(frame, first):
        return RunTimeGenerator(frame, node, first)
    return iter([evaluate(inner, node.elt) for inner in _rounds(frame, node, first)])
