"""Comprehensions and generator expressions; the latter are evaluated at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from jitgrad.trace.evaluate import assign
from jitgrad.trace.expressions import iterate, truth
from jitgrad.trace.frame import Frame, evaluate, expression


def _rounds(frame: Frame, node: ast.AST) -> Iterator[Frame]:
    """A frame for the comprehension, once for each element, with the targets bound."""
    inner = Frame(frame.trace, frame.source, frame.source.scope(node), frame, frame.function, frame.name)
    inner.is_comprehension = True
    first = evaluate(frame, node.generators[0].iter)  # as Python does: in the scope around

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


@expression(ast.ListComp)
def list_comprehension(frame: Frame, node: ast.ListComp) -> list:
    return [evaluate(inner, node.elt) for inner in _rounds(frame, node)]


@expression(ast.SetComp)
def set_comprehension(frame: Frame, node: ast.SetComp) -> set:
    return {evaluate(inner, node.elt) for inner in _rounds(frame, node)}


@expression(ast.DictComp)
def dict_comprehension(frame: Frame, node: ast.DictComp) -> dict:
    return {evaluate(inner, node.key): evaluate(inner, node.value) for inner in _rounds(frame, node)}


@expression(ast.GeneratorExp)
def generator_expression(frame: Frame, node: ast.GeneratorExp) -> Iterator:
    return iter([evaluate(inner, node.elt) for inner in _rounds(frame, node)])
