"""Generator functions run as they are, since their steps alternate with their caller's.

What they read from outside is bound to what the trace sees, so that arrays there are hidden inputs, too.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Callable

from jitgrad.trace.frame import Frame


def start(frame: Frame, node: ast.FunctionDef, outside: Callable) -> object:
    """The generator of a call whose arguments are bound in `frame`; `outside` readies what it reads."""
    scope = frame.scope
    if scope.globals or scope.nonlocals:
        raise frame.error(node, "a generator assigns to variables of other functions; let it yield the values instead")
    read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - scope.locals
    values: dict[str, object] = {}
    for name in sorted(read):
        try:
            value = frame.lookup(name)
        except NameError:
            continue
        if getattr(builtins, name, values) is not value:
            values[name] = outside(value)
    inner = copy.copy(node)
    inner.decorator_list, inner.returns = [], None
    inner.args = copy.copy(node.args)
    inner.args.defaults = []
    inner.args.kw_defaults = [None] * len(node.args.kwonlyargs)
    factory = copy.copy(node)
    factory.name, factory.decorator_list, factory.returns = "outer", [], None
    factory.args = ast.arguments(
        posonlyargs=[], args=[ast.copy_location(ast.arg(name), node) for name in values], kwonlyargs=[],
        kw_defaults=[], defaults=[],
    )  # fmt: skip
    name_ = ast.copy_location(ast.Name(node.name, ast.Load()), node)
    factory.body = [inner, ast.copy_location(ast.Return(name_), node)]
    code = compile(ast.Module([factory], []), frame.source.file.name, "exec", dont_inherit=True)
    space: dict = {}
    exec(code, frame.function.__globals__, space)
    generator = space["outer"](**values)
    a, given = node.args, frame.vars
    positional = [given[p.arg] for p in (*a.posonlyargs, *a.args)]
    rest = given[a.vararg.arg] if a.vararg is not None else ()
    named = {p.arg: given[p.arg] for p in a.kwonlyargs}
    named.update(given[a.kwarg.arg] if a.kwarg is not None else {})
    return generator(*positional, *rest, **named)
