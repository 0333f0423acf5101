"""What `compile_time` compiles: for each tool and case a function without arguments, to be called once."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers import growing, problem

OF_PROBLEMS = {"lstm diagonal": ("lstm", "gradient"), "ba": ("ba", "jacobian"), "ht": ("ht", "simple_jacobian")}


def digits_network() -> tuple:
    """The example, and its arguments: parameters and a batch."""
    path = Path(__file__).parents[2] / "examples" / "train_digits.py"
    spec = importlib.util.spec_from_file_location("train_digits", path)
    example = importlib.util.module_from_spec(spec)
    sys.modules["train_digits"] = example
    spec.loader.exec_module(example)
    rng = np.random.default_rng(0)
    return example, (example.initial(rng), rng.random((32, 64)), np.eye(10)[rng.integers(10, size=32)])


def with_jitgrad(case: str) -> Callable:
    from jitgrad import grad

    if case == "digits":
        example, arguments = digits_network()
        return lambda: example.loss(*arguments)
    if case in OF_PROBLEMS:
        name, attribute = OF_PROBLEMS[case]
        module = importlib.import_module(f"benchmarks.problems.{name}")
        arguments = module.arguments(module.generate(**module.SIZES["middle"]))
        return lambda: getattr(module, attribute)(*arguments)
    function, arguments, argnums = named(case, "jitgrad")
    return lambda: grad(function, argnums=argnums)(*arguments)


def with_jax(case: str) -> Callable:
    import jax

    from benchmarks.peers import on_jax

    if case == "digits":
        function, arguments = on_jax.digits_gradient(jax, digits_network()[1])
    elif case in OF_PROBLEMS:
        function, arguments = on_jax.PROGRAMS[case](jax)
    else:
        function, arguments, argnums = named(case, "jax")
        function = jax.grad(function, argnums)
    static = tuple(i for i, a in enumerate(arguments) if isinstance(a, int))
    arguments = [a if i in static else jax.tree.map(jax.numpy.asarray, a) for i, a in enumerate(arguments)]
    return lambda: jax.block_until_ready(jax.jit(function, static_argnums=static)(*arguments))


def named(case: str, tool: str) -> tuple:
    """A problem of `benchmarks.peers` or a growing program: the function, arguments, what to differentiate by."""
    if ":" in case:
        kind, count = case.split(":")
        folder = Path(tempfile.mkdtemp())
        return growing.function(kind, int(count), tool, folder), growing.arguments(kind), (0, 1)
    this = problem(case)
    function = this.function if tool == "jitgrad" else this.peers["jax"](importlib.import_module("jax"))
    return function, this.data(this.sizes[1]), this.argnums


TOOLS = {"jitgrad": with_jitgrad, "jax": with_jax}
