"""A block as a complete module with one entry function."""

from __future__ import annotations

import ast

from jitgrad.codegen.array_form import ArrayWriter
from jitgrad.codegen.forms import function_def, returned
from jitgrad.codegen.functions import Functions
from jitgrad.codegen.numba_form import IMPORTED, NumbaWriter
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
    make, prepare = {"numpy": (ArrayWriter, _for_reading), "numba": (NumbaWriter, _as_it_is)}[form]
    functions = Functions(block, entry, make, prepare, IMPORTED, merges=form == "numba")
    block = prepare(block)
    writer = make(block, functions.conventions)
    writer.namer.taken |= functions.names
    writer.outline()
    params = [writer.name(p) for p in block.params]
    body = [*writer.prologue(), *writer.body(), returned([writer.arg(r) for r in block.results])]
    writer.imports |= functions.imports
    writer.functions += functions.definitions
    return function_module(writer, entry, params, body, doc, defaults)


def _for_reading(block: Block) -> Block:
    return dce(block, keep_lengths=False)


def _as_it_is(block: Block) -> Block:
    return block


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
