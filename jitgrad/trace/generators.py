"""Generator functions run as they are, since their steps alternate with their caller's.

The names that they read are bound to what the trace sees, and attributes, items, calls and loops in them go through
the trace, so that arrays outside are hidden inputs there, too.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Callable

from jitgrad.trace import attributes
from jitgrad.trace.frame import Frame


def start(frame: Frame, node: ast.FunctionDef, outside: Callable, items: Callable) -> object:
    """The generator of a call whose arguments are bound in `frame`.

    `outside` readies what it reads from outside, and `items` gives the items of an object from there.
    """
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
    externals = frame.trace.externals
    values |= {
        _LOAD: lambda obj, name: attributes.load(frame, obj, attributes.mangle(frame, name)),
        _ITEM: lambda obj, index: attributes.load_item(frame, obj, index),
        _CALL: lambda function, /, *args, **kwargs: frame.trace.call(frame, function, args, kwargs),
        _ITEMS: lambda x: items(x) if externals.is_outside(x) else x,
        _SLICE: slice,
    }
    inner = copy.copy(node)
    inner.body = [_Through().visit(copy.deepcopy(statement)) for statement in node.body]
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


_LOAD, _ITEM, _CALL, _ITEMS, _SLICE = (f"__jitgrad_{name}__" for name in ("load", "item", "call", "items", "slice"))


class _Through(ast.NodeTransformer):
    """Makes attributes, items, calls and loops go through the trace."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        return _call(node, _LOAD, node.value, ast.Constant(node.attr)) if isinstance(node.ctx, ast.Load) else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        return _call(node, _ITEM, node.value, _index(node.slice)) if isinstance(node.ctx, ast.Load) else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in ("super", "locals"):
            return node  # they look at the frame
        new = _call(node, _CALL, node.func, *node.args)
        new.keywords = node.keywords
        return new

    def visit_For(self, node: ast.For) -> ast.For:
        self.generic_visit(node)
        node.iter = _call(node.iter, _ITEMS, node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.comprehension:
        self.generic_visit(node)
        node.iter = _call(node.iter, _ITEMS, node.iter)
        return node

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.YieldFrom:
        self.generic_visit(node)
        node.value = _call(node.value, _ITEMS, node.value)
        return node


def _call(place: ast.expr, name: str, *args: ast.expr) -> ast.Call:
    new = ast.copy_location(ast.Call(ast.Name(name, ast.Load()), list(args), []), place)
    return ast.fix_missing_locations(new)


def _index(node: ast.expr) -> ast.expr:
    """An index with its slices as objects, which can stand anywhere."""
    if isinstance(node, ast.Slice):
        parts = [ast.Constant(None) if p is None else p for p in (node.lower, node.upper, node.step)]
        return _call(node, _SLICE, *parts)
    if isinstance(node, ast.Tuple):
        node.elts = [_index(e) for e in node.elts]
    return node
