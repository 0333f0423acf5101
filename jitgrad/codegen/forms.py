"""How each operation looks in Python: a template, in which `_0`, `_1` are the operands.

What is in no table is `np.<name>(...)`. The array form and the Numba form share the operators.
"""

from __future__ import annotations

import ast
from functools import cache, reduce

import numpy as np

OPERATORS = {
    "add": "_0 + _1", "subtract": "_0 - _1", "multiply": "_0 * _1", "divide": "_0 / _1", "true_divide": "_0 / _1",
    "floor_divide": "_0 // _1", "remainder": "_0 % _1", "power": "_0 ** _1", "negative": "-_0", "positive": "+_0",
    "equal": "_0 == _1", "not_equal": "_0 != _1", "less": "_0 < _1", "less_equal": "_0 <= _1",
    "greater": "_0 > _1", "greater_equal": "_0 >= _1",
    "bitwise_and": "_0 & _1", "bitwise_or": "_0 | _1", "bitwise_xor": "_0 ^ _1", "invert": "~_0",
    "left_shift": "_0 << _1", "right_shift": "_0 >> _1",
}  # fmt: skip

ARRAYS = {
    "matmul": "_0 @ _1",
    "strong_multiply": "np.where(_0 == 0, 0, _0 * _1)",
    "root": "np.sqrt(_0)",
    "stop_gradient": "_0",
    "copy": "np.array(_0)",
    "iota": "np.arange(_0)",
    "thread_count": "1",
}

# Numbers that stand for lengths stay Python's own.
PYTHON_NUMBERS = {"maximum": "max(_0, _1)", "minimum": "min(_0, _1)", "where": "_1 if _0 else _2"}


def fill(template: str, *operands: ast.expr) -> ast.expr:
    """The template with its operands filled in."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node):
            return operands[int(node.id[1:])] if node.id[0] == "_" and node.id[1:].isdigit() else node

    return Fill().visit(_parse(template))


def _parse(template: str) -> ast.expr:
    return ast.parse(template, mode="eval").body


def call(function: str, *args: ast.expr, **keywords: ast.expr) -> ast.Call:
    """`function(*args, **keywords)`, for a dotted name."""
    return ast.Call(expression(function), list(args), [ast.keyword(k, v) for k, v in keywords.items()])


def expression(text: str) -> ast.expr:
    """An expression from text."""
    return _parse(text)


def tuple_of(items: list[ast.expr]) -> ast.Tuple:
    return ast.Tuple(items, ast.Load())


def returned(values: list[ast.expr]) -> ast.Return:
    """The return of these values: one, or a tuple."""
    return ast.Return(values[0] if len(values) == 1 else long_tuple(values))


def long_tuple(values: list[ast.expr]) -> ast.expr:
    """A tuple of any length.

    For one of more than 30 items CPython makes a list first, which Numba refuses; shorter ones are joined.
    """
    parts = [tuple_of(values[k : k + 30]) for k in range(0, max(len(values), 1), 30)]
    return reduce(lambda a, b: ast.BinOp(a, ast.Add(), b), parts)


def function_def(name: str, params: list[str], body: list[ast.stmt], defaults: tuple = ()) -> ast.FunctionDef:
    """A function of positional parameters; `defaults` are those of the last."""
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(p) for p in params], kwonlyargs=[], kw_defaults=[],
        defaults=[ast.Constant(d) for d in defaults],
    )  # fmt: skip
    return ast.FunctionDef(name, arguments, body, [], lineno=0)


def subscript(value: ast.expr, *index: ast.expr) -> ast.Subscript:
    return ast.Subscript(value, index[0] if len(index) == 1 else tuple_of(list(index)), ast.Load())


def number(value: object) -> ast.expr:
    """A Python number as an expression, infinities and NaN included."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if value != value:
            return expression("np.nan")
        if value in (float("inf"), float("-inf")):
            return expression("np.inf" if value > 0 else "-np.inf")
    return ast.Constant(value)


@cache
def dtype_name(dtype: np.dtype) -> str:
    """`np.float32` and so on."""
    return "np.bool_" if dtype == np.bool_ else f"np.{dtype.name}"


def negated(condition: ast.expr) -> ast.expr:
    """`not condition`; an equality is turned round."""
    if isinstance(condition, ast.Compare) and isinstance(condition.ops[0], ast.Eq):
        return ast.Compare(condition.left, [ast.NotEq()], condition.comparators)
    return fill("not _0", condition)
