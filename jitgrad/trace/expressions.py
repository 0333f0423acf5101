"""Expressions: all of Python's, evaluated as Python evaluates them."""

from __future__ import annotations

import ast
import operator
import types
from collections.abc import Iterable

import numpy as np

from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace import attributes, growing
from jitgrad.trace.arrays import as_array, holds_expr
from jitgrad.trace.calls import call, make_function, outside_items
from jitgrad.trace.frame import Frame, evaluate, expression
from jitgrad.trace.journal import check_stateful
from jitgrad.trace.relied import is_fixed
from jitgrad.trace.stretch import has_stretch
from jitgrad.trace.values import own

_BINARY = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.FloorDiv: "floordiv", ast.Mod: ""
    "mod",
    ast.Pow: "pow", ast.MatMult: "matmul", ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor",
    ast.LShift: "lshift", ast.RShift: "rshift",
}  # fmt: skip
# The operator, and the special methods of the left and of the right operand.
BINARY_NAMED = {
    name: (getattr(operator, name), f"__{name.strip('_')}__", f"__r{name.strip('_')}__") for name in _BINARY.values()
}
BINARY = {kind: BINARY_NAMED[name] for kind, name in _BINARY.items()}
UNARY = {
    ast.USub: (operator.neg, "__neg__"),
    ast.UAdd: (operator.pos, "__pos__"),
    ast.Invert: (operator.invert, "__invert__"),
}
COMPARE = {
    ast.Eq: (operator.eq, "__eq__", "__eq__"), ast.NotEq: (operator.ne, "__ne__", "__ne__"),
    ast.Lt: (operator.lt, "__lt__", "__gt__"), ast.LtE: (operator.le, "__le__", "__ge__"),
    ast.Gt: (operator.gt, "__gt__", "__lt__"), ast.GtE: (operator.ge, "__ge__", "__le__"),
}  # fmt: skip
_NUMBERS = (int, float, bool, Expr, str, list, tuple, np.generic, type(None))


def at(frame: Frame, node: ast.AST) -> None:
    """The nodes made next belong to this expression."""
    current().loc = frame.source.loc(node, frame.name)


@expression(ast.Constant)
def constant(frame: Frame, node: ast.Constant) -> object:
    return node.value


@expression(ast.Name)
def name(frame: Frame, node: ast.Name) -> object:
    at(frame, node)
    return frame.lookup(node.id)


@expression(ast.Attribute)
def attribute(frame: Frame, node: ast.Attribute) -> object:
    obj = evaluate(frame, node.value)
    at(frame, node)
    return attributes.load(frame, obj, attributes.mangle(frame, node.attr))


@expression(ast.Subscript)
def subscript(frame: Frame, node: ast.Subscript) -> object:
    obj = evaluate(frame, node.value)
    index = evaluate(frame, node.slice)
    at(frame, node)
    return attributes.load_item(frame, obj, index)


@expression(ast.Slice)
def slice_(frame: Frame, node: ast.Slice) -> slice:
    return slice(*(None if p is None else evaluate(frame, p) for p in (node.lower, node.upper, node.step)))


@expression(ast.BinOp)
def binary(frame: Frame, node: ast.BinOp) -> object:
    left, right = evaluate(frame, node.left), evaluate(frame, node.right)
    at(frame, node)
    return operate(frame, BINARY[type(node.op)], left, right)


def operate(frame: Frame, entry: tuple, left: object, right: object) -> object:
    """`left op right`; operators that a class of the user defines are evaluated."""
    function, forward, backward = entry
    if (has_stretch(left) or has_stretch(right)) and (isinstance(left, Expr) or isinstance(right, Expr)):
        left, right = growing.with_arrays((left, right))
    left_array, right_array = isinstance(left, Expr), isinstance(right, Expr)
    if left_array or right_array:
        if left_array and isinstance(right, list | tuple) and holds_expr(right):
            right = as_array(right)
        elif right_array and isinstance(left, list | tuple):
            if isinstance(right, Expr) and function is operator.mul and right.type.weak:
                right = frame.trace.demand(right, "repeating a list")
            else:
                left = as_array(left)
        elif left_array and isinstance(right, list | tuple | str) and left.type.weak and function is operator.mul:
            left = frame.trace.demand(left, "repeating a list")
        if isinstance(left, str) and function is operator.mod:
            return left % right
    elif isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return own(function(left, right))
    if not (isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS)):
        for obj, dunder, other in ((left, forward, right), (right, backward, left)):
            method = user_method(frame, obj, dunder)
            if method is not None:
                result = call(frame, method, (obj, other), {})
                if result is not NotImplemented:
                    return result
    return own(function(left, right))


def user_method(frame: Frame, obj: object, name: str) -> types.FunctionType | None:
    """A special method that a class defines in Python."""
    if isinstance(obj, _NUMBERS):
        return None
    method, base = frame.trace.externals.special(obj, name)
    if isinstance(method, types.FunctionType) and not is_fixed(base.__module__):
        return method
    return None


@expression(ast.UnaryOp)
def unary(frame: Frame, node: ast.UnaryOp) -> object:
    x = evaluate(frame, node.operand)
    at(frame, node)
    x = growing.count_of(x) if isinstance(node.op, ast.Not) and has_stretch(x) else x
    if isinstance(node.op, ast.Not):
        return own(np.logical_not(x)) if is_run_time(frame, x) else not truth(frame, node, x, "`not`")
    function, dunder = UNARY[type(node.op)]
    method = user_method(frame, x, dunder)
    return own(function(x)) if method is None else call(frame, method, (x,), {})


def is_run_time(frame: Frame, x: object) -> bool:
    """Whether `not x` is a choice that can be left to run time: of one bool."""
    return isinstance(x, Expr) and not x.ndim and frame.trace.is_run_time(x)


def truth(frame: Frame, node: ast.AST, x: object, use: str) -> bool:
    """The truth of a value where it must be known while tracing."""
    x = growing.count_of(x) if has_stretch(x) else x
    if isinstance(x, Expr):
        if x.ndim and not all(isinstance(n, int) and n == 1 for n in x.type.shape):
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        at(frame, node)
        return bool(frame.trace.demand(x, use, _WAYS_OUT.get(use, "")))
    for dunder in ("__bool__", "__len__"):
        method = user_method(frame, x, dunder)
        if method is not None:
            result = call(frame, method, (x,), {})
            return truth(frame, node, result, use) if isinstance(result, Expr) else bool(result)
    return bool(x)


_WAYS_OUT = {
    "the `if` of a comprehension": "write a loop, or compute all elements and select with np.where",
    "a `case`": "use `if` and `elif`, or match on what is known while tracing",
    "an `assert`": "check it before the call, or test what is known while tracing, such as `x.ndim`",
}  # fmt: skip


def compared(frame: Frame, op: ast.cmpop, left: object, right: object) -> object:
    """One comparison."""
    if isinstance(op, ast.Is | ast.IsNot):
        return (left is right) is isinstance(op, ast.Is)
    if isinstance(op, ast.In | ast.NotIn):
        found = _contains(frame, right, left)
        if isinstance(found, Expr):
            return found if isinstance(op, ast.In) else np.logical_not(found)
        return found is isinstance(op, ast.In)
    for side, other in ((left, right), (right, left)):
        if has_stretch(side) and not isinstance(other, Expr):
            growing.expand(side, "a comparison")
    if isinstance(left, list | tuple) and type(left) is type(right) and isinstance(op, ast.Eq | ast.NotEq):
        return _equal(frame, left, right) is isinstance(op, ast.Eq)
    if isinstance(left, Expr) != isinstance(right, Expr):
        other = right if isinstance(left, Expr) else left
        if isinstance(op, ast.Eq | ast.NotEq) and (other is None or isinstance(other, str | dict | set)):
            return isinstance(op, ast.NotEq)
    return operate(frame, COMPARE[type(op)], left, right)


def _equal(frame: Frame, left: object, right: object) -> bool:
    """`left == right` for sequences, which may hold run-time lengths."""
    if not (holds_expr(left) or holds_expr(right)):
        return bool(left == right)
    return len(left) == len(right) and all(
        a is b or frame.trace.truth_of(compared(frame, ast.Eq(), a, b)) for a, b in zip(left, right, strict=True)
    )


def _contains(frame: Frame, container: object, item: object) -> bool | Expr:
    if has_stretch(container):
        return np.any(growing.array_of(container) == item)
    if isinstance(container, list | tuple | set | frozenset) and _is_asked_of_numbers(frame, container, item):
        result: bool | Expr = False
        for element in container:
            equal = element is item or operate(frame, COMPARE[ast.Eq], item, element)
            result = equal if result is False else np.logical_or(result, equal)
        return result
    if isinstance(item, Expr) and not isinstance(container, Expr):
        if any(item is e for e in container if not isinstance(container, str)):
            return True
        item = frame.trace.demand(item, "`in`")
    method = user_method(frame, container, "__contains__")
    if method is not None:
        return bool(call(frame, method, (container, item), {}))
    found = item in container
    externals = frame.trace.externals
    if externals.is_outside(container) and not isinstance(container, type):
        externals.answer(operator.contains, container, item, found, f"{item!r} in {externals.path(container)}")
    return found


def _is_asked_of_numbers(frame: Frame, container: Iterable, item: object) -> bool:
    """Whether `in` compares numbers, of which some are known at run time only."""
    numbers = [item, *container]
    if not all(isinstance(x, int | float | np.number) or (isinstance(x, Expr) and not x.ndim) for x in numbers):
        return False
    return any(isinstance(x, Expr) and frame.trace.known(x) is None for x in numbers)


@expression(ast.Call)
def call_(frame: Frame, node: ast.Call) -> object:
    function = evaluate(frame, node.func)
    args: list[object] = []
    for arg in node.args:
        if isinstance(arg, ast.Starred):
            args.extend(iterate(frame, arg, evaluate(frame, arg.value)))
        else:
            args.append(evaluate(frame, arg))
    kwargs: dict[str, object] = {}
    for keyword in node.keywords:
        value = evaluate(frame, keyword.value)
        new = {keyword.arg: value} if keyword.arg is not None else dict(value)
        twice = kwargs.keys() & new.keys()
        if twice:
            raise TypeError(f"got multiple values for keyword argument {twice.pop()!r}")
        kwargs.update(new)
    at(frame, node)
    before, frame.calling = frame.calling, node
    try:
        return call(frame, function, tuple(args), kwargs)
    finally:
        frame.calling = before


def iterate(frame: Frame, node: ast.AST, x: object):
    """The items of what is unpacked, or of a loop that is unrolled."""
    if has_stretch(x):
        at(frame, node)
        growing.expand(x, "unpacking, or a comprehension,")
    if isinstance(x, Expr) and x.ndim and not isinstance(x.type.shape[0], int):
        at(frame, node)
        frame.trace.demand(
            x.shape[0], "a loop over an array", "write it with array operations over the whole axis",
        )  # fmt: skip
    if isinstance(x, Expr) and x.ndim == 1:
        known = frame.trace.known(x)
        if known is not None:
            return iter(known)
    if hasattr(type(x), "__next__"):
        check_stateful(x, "an iterator is used up")
    if frame.trace.externals.is_outside(x):
        return iter(outside_items(frame, x))
    method = user_method(frame, x, "__iter__")
    return iter(x) if method is None else call(frame, method, (x,), {})


@expression(ast.Starred)
def starred(frame: Frame, node: ast.Starred) -> object:
    raise frame.error(node, "a starred expression stands where it can't")


def _items(frame: Frame, nodes: list[ast.expr]) -> list:
    items: list[object] = []
    for node in nodes:
        if isinstance(node, ast.Starred):
            items.extend(iterate(frame, node, evaluate(frame, node.value)))
        else:
            items.append(evaluate(frame, node))
    return items


@expression(ast.List)
def list_(frame: Frame, node: ast.List) -> list:
    return _items(frame, node.elts)


@expression(ast.Tuple)
def tuple_(frame: Frame, node: ast.Tuple) -> tuple:
    return tuple(_items(frame, node.elts))


@expression(ast.Set)
def set_(frame: Frame, node: ast.Set) -> set:
    return set(_items(frame, node.elts))


@expression(ast.Dict)
def dict_(frame: Frame, node: ast.Dict) -> dict:
    result: dict = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            result.update(evaluate(frame, value))
        else:
            k = frame.trace.demand(evaluate(frame, key), "a key of a dict")
            result[k] = evaluate(frame, value)
    return result


@expression(ast.Lambda)
def lambda_(frame: Frame, node: ast.Lambda) -> object:
    return make_function(frame, node)


@expression(ast.NamedExpr)
def walrus(frame: Frame, node: ast.NamedExpr) -> object:
    value = evaluate(frame, node.value)
    target = frame
    while target.is_comprehension:
        target = target.parent
    target.bind(node.target.id, value, node)
    return value


@expression(ast.JoinedStr)
def joined(frame: Frame, node: ast.JoinedStr) -> str:
    return "".join(str(evaluate(frame, part)) for part in node.values)


@expression(ast.FormattedValue)
def formatted(frame: Frame, node: ast.FormattedValue) -> str:
    value = evaluate(frame, node.value)
    value = {-1: lambda v: v, 115: str, 114: repr, 97: ascii}[node.conversion](value)
    return format(value, "" if node.format_spec is None else evaluate(frame, node.format_spec))


@expression(ast.Yield, ast.YieldFrom, ast.Await)
def suspended(frame: Frame, node: ast.expr) -> object:
    raise frame.error(node, "a function that yields or awaits can't be traced; collect the values in a list")
