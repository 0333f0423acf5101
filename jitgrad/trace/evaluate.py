"""Statements: evaluated as Python runs them, as long as what steers them is known while tracing."""

from __future__ import annotations

import ast
import importlib
import operator
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from jitgrad.errors import JitgradError
from jitgrad.ir.graph import Value
from jitgrad.ops.control import require
from jitgrad.ops.elementwise import as_bool
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.symbolic import Expr, NeedStatic, current
from jitgrad.trace import attributes
from jitgrad.trace.calls import call, make_function
from jitgrad.trace.exits import BREAK, CONTINUE, Return, go_on
from jitgrad.trace.expressions import BINARY_NAMED, at, iterate, operate, truth, user_method
from jitgrad.trace.frame import Frame, evaluate, run, statement
from jitgrad.trace.journal import MISSING
from jitgrad.trace.values import Cell, own, plain


def _in_place_entry(ufunc: np.ufunc, name: str) -> tuple:
    return ufunc, getattr(operator, f"i{name.strip('_')}"), f"__i{name.strip('_')}__", *BINARY_NAMED[name]


# op -> ufunc, in-place operator, its method, and the ordinary operator with its two methods.
IN_PLACE = {
    ast.Add: _in_place_entry(np.add, "add"),
    ast.Sub: _in_place_entry(np.subtract, "sub"),
    ast.Mult: _in_place_entry(np.multiply, "mul"),
    ast.Div: _in_place_entry(np.true_divide, "truediv"),
    ast.FloorDiv: _in_place_entry(np.floor_divide, "floordiv"),
    ast.Mod: _in_place_entry(np.remainder, "mod"),
    ast.Pow: _in_place_entry(np.power, "pow"),
    ast.MatMult: _in_place_entry(np.matmul, "matmul"),
    ast.BitAnd: _in_place_entry(np.bitwise_and, "and_"),
    ast.BitOr: _in_place_entry(np.bitwise_or, "or_"),
    ast.BitXor: _in_place_entry(np.bitwise_xor, "xor"),
    ast.LShift: _in_place_entry(np.left_shift, "lshift"),
    ast.RShift: _in_place_entry(np.right_shift, "rshift"),
}


@statement(ast.Expr)
def expression_statement(frame: Frame, node: ast.Expr) -> None:
    evaluate(frame, node.value)


@statement(ast.Pass)
def pass_(frame: Frame, node: ast.Pass) -> None:
    pass


@statement(ast.Return)
def return_(frame: Frame, node: ast.Return) -> Return:
    return Return(None if node.value is None else evaluate(frame, node.value))


@statement(ast.Break)
def break_(frame: Frame, node: ast.Break) -> object:
    return BREAK


@statement(ast.Continue)
def continue_(frame: Frame, node: ast.Continue) -> object:
    return CONTINUE


@statement(ast.Assign)
def assignment(frame: Frame, node: ast.Assign) -> None:
    value = evaluate(frame, node.value)
    for target in node.targets:
        assign(frame, target, value)


@statement(ast.AnnAssign)
def annotated(frame: Frame, node: ast.AnnAssign) -> None:
    if node.value is not None:
        assign(frame, node.target, evaluate(frame, node.value))


def assign(frame: Frame, target: ast.expr, value: object) -> None:
    """Bind a target: a name, an attribute, an item, or several of them."""
    if isinstance(target, ast.Name):
        frame.bind(target.id, value, target)
    elif isinstance(target, ast.Tuple | ast.List):
        _unpack(frame, target, value)
    elif isinstance(target, ast.Subscript):
        obj, index = evaluate(frame, target.value), evaluate(frame, target.slice)
        at(frame, target)
        attributes.store_item(frame, obj, index, value)
    elif isinstance(target, ast.Attribute):
        obj = evaluate(frame, target.value)
        at(frame, target)
        attributes.store(frame, obj, attributes.mangle(frame, target.attr), value)
    else:
        assign(frame, target.value, list(iterate(frame, target, value)))  # a lone starred target


def _unpack(frame: Frame, target: ast.Tuple | ast.List, value: object) -> None:
    star = next((k for k, t in enumerate(target.elts) if isinstance(t, ast.Starred)), None)
    n = len(target.elts)
    if isinstance(value, Expr) and value.ndim and star is None and isinstance(value.type.shape[0], Value):
        # The number of names says how long the axis has to be.
        at(frame, target)
        require(
            UFUNCS[np.equal](value.shape[0], n), f"the length of the array isn't {n}, the number of values to unpack"
        )
        items = [attributes.load_item(frame, value, k) for k in range(n)]
    else:
        items = list(iterate(frame, target, value))
    if star is None:
        if len(items) != n:
            many = len(items) > n
            raise ValueError(
                f"too many values to unpack (expected {n})" if many
                else f"not enough values to unpack (expected {n}, got {len(items)})"
            )  # fmt: skip
        parts = items
    else:
        if len(items) < n - 1:
            raise ValueError(f"not enough values to unpack (expected at least {n - 1}, got {len(items)})")
        end = len(items) - (n - 1 - star)
        parts = [*items[:star], items[star:end], *items[end:]]
    for t, part in zip(target.elts, parts, strict=True):
        assign(frame, t.value if isinstance(t, ast.Starred) else t, part)


@statement(ast.AugAssign)
def augmented(frame: Frame, node: ast.AugAssign) -> None:
    target, op = node.target, IN_PLACE[type(node.op)]
    if isinstance(target, ast.Name):
        old = frame.lookup(target.id)
        new = _in_place(frame, node, op, old, evaluate(frame, node.value))
        frame.bind(target.id, new, target)
    elif isinstance(target, ast.Attribute):
        obj = evaluate(frame, target.value)
        name = attributes.mangle(frame, target.attr)
        at(frame, node)
        old = attributes.load(frame, obj, name)
        new = _in_place(frame, node, op, old, evaluate(frame, node.value))
        attributes.store(frame, obj, name, new)
    else:
        obj, index = evaluate(frame, target.value), evaluate(frame, target.slice)
        if isinstance(obj, Cell):
            before = plain(obj)
            other = evaluate(frame, node.value)
            at(frame, node)
            obj.update_at(index, op[0], other, before)
            return
        at(frame, node)
        old = attributes.load_item(frame, obj, index)
        new = _in_place(frame, node, op, old, evaluate(frame, node.value))
        attributes.store_item(frame, obj, index, new)


def _in_place(frame: Frame, node: ast.AugAssign, op: tuple, old: object, other: object) -> object:
    _, function, dunder, *ordinary = op
    at(frame, node)
    method = user_method(frame, old, dunder)
    if method is not None:
        return call(frame, method, (old, other), {})
    if isinstance(old, Cell) or (isinstance(old, list | dict | set) and not isinstance(other, Expr)):
        return own(function(old, other))
    return operate(frame, tuple(ordinary), old, other)


@statement(ast.FunctionDef)
def function_definition(frame: Frame, node: ast.FunctionDef) -> None:
    decorators = [evaluate(frame, d) for d in node.decorator_list]
    function: object = make_function(frame, node, frame.owner if frame.is_class else None)
    for decorator in reversed(decorators):
        function = call(frame, decorator, (function,), {})
    frame.bind(node.name, function, node)


@statement(ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
def asynchronous(frame: Frame, node: ast.stmt) -> None:
    raise frame.error(node, "asynchronous code can't be traced; write it as ordinary code")


@statement(ast.ClassDef)
def class_definition(frame: Frame, node: ast.ClassDef) -> None:
    bases = tuple(evaluate(frame, b) for b in node.bases)
    keywords = {k.arg: evaluate(frame, k.value) for k in node.keywords if k.arg is not None}
    decorators = [evaluate(frame, d) for d in node.decorator_list]
    body = Frame(frame.trace, frame.source, frame.source.scope(node), frame, frame.function, node.name)
    body.is_class = True
    owner = body.owner = ClassCell(node.name)
    annotations = {
        s.target.id: "object" for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
    }
    run(body, node.body)
    space = {"__module__": frame.function.__module__, "__annotations__": annotations, **body.vars}
    made = owner.cls = types.new_class(node.name, bases, keywords, lambda namespace: namespace.update(space))
    frame.trace.externals.classes.add(made)
    for decorator in reversed(decorators):
        made = call(frame, decorator, (made,), {})
    frame.trace.externals.classes.add(made)
    frame.bind(node.name, made, node)


class ClassCell:
    """Stands for a class in its methods, which are made before it is."""

    def __init__(self, name: str):
        self.__name__ = name
        self.cls: type | None = None


@statement(ast.Delete)
def delete(frame: Frame, node: ast.Delete) -> None:
    for target in node.targets:
        if isinstance(target, ast.Name):
            frame.unbind(target.id, target)
        elif isinstance(target, ast.Attribute):
            attributes.delete(frame, evaluate(frame, target.value), attributes.mangle(frame, target.attr))
        elif isinstance(target, ast.Subscript):
            obj, index = evaluate(frame, target.value), evaluate(frame, target.slice)
            if frame.trace.externals.is_outside(obj):
                raise frame.error(
                    node, "an item of an object that existed before the call is deleted; delete it outside"
                )
            del obj[index]


@statement(ast.Global, ast.Nonlocal)
def declaration(frame: Frame, node: ast.stmt) -> None:
    pass  # the scope knows


@statement(ast.Import)
def import_(frame: Frame, node: ast.Import) -> None:
    for alias in node.names:
        module = importlib.import_module(alias.name)
        if alias.asname is None:
            module = sys.modules[alias.name.split(".")[0]]
        frame.bind(alias.asname or alias.name.split(".")[0], module, node)


@statement(ast.ImportFrom)
def import_from(frame: Frame, node: ast.ImportFrom) -> None:
    package = frame.function.__globals__.get("__package__")
    module = importlib.import_module("." * node.level + (node.module or ""), package)
    for alias in node.names:
        try:
            value = attributes.load(frame, module, alias.name)
        except AttributeError:
            try:
                value = importlib.import_module(f"{module.__name__}.{alias.name}")
            except ImportError:
                raise ImportError(f"cannot import name {alias.name!r} from {module.__name__!r}") from None
        frame.bind(alias.asname or alias.name, value, node)


@statement(ast.Assert)
def assert_(frame: Frame, node: ast.Assert) -> None:
    test = evaluate(frame, node.test)
    if isinstance(test, Expr) and not test.ndim and frame.trace.is_run_time(test):
        message = f": {node.msg.value}" if isinstance(node.msg, ast.Constant) else ""
        require(as_bool(test), f"assertion failed{message}".replace("{", "{{").replace("}", "}}"))
        return
    if not truth(frame, node.test, test, "an `assert`"):
        raise AssertionError(*(() if node.msg is None else (evaluate(frame, node.msg),)))


@statement(ast.Raise)
def raise_(frame: Frame, node: ast.Raise) -> None:
    if node.exc is None:
        error = sys.exc_info()[1]
        if error is None:
            raise RuntimeError("No active exception to reraise")
        raise error
    error = evaluate(frame, node.exc)
    if isinstance(error, type):
        error = call(frame, error, (), {})
    at(frame, node)
    if node.cause is None:
        raise error
    raise error from evaluate(frame, node.cause)


@statement(ast.Try)
def try_(frame: Frame, node: ast.Try) -> object:
    try:
        signal = _try_except(frame, node)
    except BaseException as error:
        loc = current().loc
        last = run(frame, node.finalbody)
        current().loc = loc
        if last is not None and not isinstance(error, JitgradError | NeedStatic):
            return last  # what `finally` returns wins over an exception, as in Python
        raise
    last = run(frame, node.finalbody)
    return signal if last is None else last


def _try_except(frame: Frame, node: ast.Try) -> object:
    try:
        with _handling(frame.trace, bool(node.handlers)):
            signal = run(frame, node.body)
    except (JitgradError, NeedStatic):
        raise  # these are for the user, not for the function
    except BaseException as error:
        for handler in node.handlers:
            kinds = BaseException if handler.type is None else evaluate(frame, handler.type)
            if isinstance(error, kinds):
                return _handle(frame, handler, error)
        raise
    return go_on(frame.trace, signal, lambda: run(frame, node.orelse))


@contextmanager
def _handling(trace, has_handlers: bool) -> Iterator[None]:
    """Exceptions that are raised inside are seen by handlers."""
    trace.handlers += has_handlers
    try:
        yield
    finally:
        trace.handlers -= has_handlers


def _handle(frame: Frame, handler: ast.ExceptHandler, error: BaseException) -> object:
    if handler.name is None:
        return run(frame, handler.body)
    frame.bind(handler.name, error, handler)
    try:
        return run(frame, handler.body)
    finally:
        frame.holder(handler.name).set(handler.name, MISSING)


@statement(ast.With)
def with_(frame: Frame, node: ast.With) -> object:
    return _with(frame, node, 0)


def _with(frame: Frame, node: ast.With, k: int) -> object:
    if k == len(node.items):
        return run(frame, node.body)
    item = node.items[k]
    manager = evaluate(frame, item.context_expr)
    enter, exit_ = (frame.trace.externals.special(manager, name)[0] for name in ("__enter__", "__exit__"))
    if not callable(enter) or not callable(exit_):
        raise TypeError(f"{type(manager).__name__!r} object does not support the context manager protocol")
    value = call(frame, types.MethodType(enter, manager), (), {})
    if item.optional_vars is not None:
        assign(frame, item.optional_vars, value)
    leave = types.MethodType(exit_, manager)
    try:
        signal = _with(frame, node, k + 1)
    except BaseException as error:
        if isinstance(error, JitgradError | NeedStatic):
            leave(type(error), error, error.__traceback__)
            raise
        if not call(frame, leave, (type(error), error, error.__traceback__), {}):
            raise
        return None
    call(frame, leave, (None, None, None), {})
    return signal
