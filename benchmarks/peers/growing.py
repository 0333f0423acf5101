"""Programs of any number of statements, for the table of compile times: their text, and the function of it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

STEPS = 100  # of the loop
KINDS = {
    "numbers, one after the other": (10, 100, 1_000),
    "arrays, one after the other": (10, 100, 1_000),
    "in a loop": (10, 100, 300),
    "calls of functions": (10, 100, 300),
}


def statements(count: int, indent: str = "    ") -> str:
    """Each of the last two values."""
    lines = [f"v{i} = sin(v{i - 1}) * v{i - 2} + {0.1 * (i % 7):.1f}" for i in range(2, count + 2)]
    return "".join(f"{indent}{line}\n" for line in lines)


def text(kind: str, count: int, tool: str) -> str:
    """A module with a function `program` that has so many statements."""
    last = f"v{count + 1}"
    if kind == "in a loop" and tool == "jax":
        return (
            f"def program(v0, v1):\n    def body(i, state):\n        v0, v1 = state\n{statements(count, ' ' * 8)}"
            f"        return v{count}, {last}\n    return jax.lax.fori_loop(0, {STEPS}, body, (v0, v1))[1]\n"
        )
    if kind == "in a loop":
        loop = f"    for i in range({STEPS}):\n{statements(count, ' ' * 8)}        v0, v1 = v{count}, {last}\n"
        return f"def program(v0, v1):\n{loop}    return v1\n"
    if kind == "calls of functions":
        functions = [f"def f{i}(x, y):\n    return sin(x) * y + {0.1 * (i % 7):.1f}\n" for i in range(2, count + 2)]
        calls = [f"    v{i} = f{i}(v{i - 1}, v{i - 2})\n" for i in range(2, count + 2)]
        return f"{''.join(functions)}def program(v0, v1):\n{''.join(calls)}    return {last}\n"
    result = f"sum({last})" if kind.startswith("arrays") else last
    return f"def program(v0, v1):\n{statements(count)}    return {result}\n"


def arguments(kind: str) -> tuple:
    return (np.full(1_000, 0.3), np.full(1_000, 0.4)) if kind.startswith("arrays") else (0.3, 0.4)


def function(kind: str, count: int, tool: str, folder: Path) -> Callable:
    """The function, from a file: its source is read."""
    scalars = not kind.startswith("arrays")
    head = "import jax\nfrom jax.numpy import sin, sum\n" if tool == "jax" else "from numpy import sin, sum\n"
    head = "from math import sin\n" if scalars and tool != "jax" else head
    name = f"program_{len(sys.modules)}"
    path = folder / f"{name}.py"
    path.write_text(head + text(kind, count, tool))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.program
