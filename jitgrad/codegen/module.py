"""A block as a complete module with one entry function."""

from __future__ import annotations

import ast
from functools import reduce

from jitgrad.codegen.array_form import ArrayWriter
from jitgrad.codegen.forms import function_def, tuple_of
from jitgrad.codegen.numba_form import NumbaWriter
from jitgrad.codegen.pretty import to_text
from jitgrad.ir.graph import Block
from jitgrad.passes.dce import dce


def module_source(block: Block, entry: str, form: str, doc: str = "", defaults: tuple = ()) -> str:
    """Python source that defines `entry`; the same text for the same block.

    Args:
        block: for the form "numpy" an optimised block, for "numba" a lowered one.
        entry: the name of the function.
        form: "numpy" or "numba".
        doc: the docstring.
        defaults: default values of the last params (the head gradient's 1.0).

    Returns:
        The text of a module. The array form needs NumPy only.
    """
    if form == "numpy":
        block = dce(block, keep_lengths=False)
    writer = {"numpy": ArrayWriter, "numba": NumbaWriter}[form](block)
    params = [writer.name(p) for p in block.params]
    body = [*writer.prologue(), *writer.body()]
    results = [writer.arg(r) for r in block.results]
    returned = results[0] if len(results) == 1 else _long_tuple(results)
    return function_module(writer, entry, params, [*body, ast.Return(returned)], doc, defaults)


def _long_tuple(items: list[ast.expr]) -> ast.expr:
    """A tuple. Beyond 30 items CPython makes a list first, which Numba refuses; shorter ones are joined."""
    parts = [tuple_of(items[k : k + 30]) for k in range(0, max(len(items), 1), 30)]
    return reduce(lambda a, b: ast.BinOp(a, ast.Add(), b), parts)


def function_module(writer, entry: str, params: list[str], body: list[ast.stmt], doc: str, defaults: tuple = ()) -> str:
    """Imports, the function, its docstring."""
    function = function_def(entry, params, body, defaults)
    lines = ["import numpy as np", *sorted(writer.imports)]
    imports = [ast.parse(line).body[0] for line in lines]
    text = to_text(ast.Module([*imports, *writer.functions, function], []))
    if doc:
        head, _, rest = text.partition(f"def {entry}(")
        signature, _, body_text = rest.partition(":\n")
        text = f'{head}def {entry}({signature}:\n    """{doc}"""\n{body_text}'
    return text
