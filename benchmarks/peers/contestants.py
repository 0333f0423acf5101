"""The tools: each makes of a problem and its data a function without arguments that computes the gradient."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np

from benchmarks.peers import Problem

PACKAGES = {
    "jitgrad": "numba",
    "jax": "jax",
    "torch": "torch",
    "torch.compile": "torch",
    "autograd": "autograd",
    "casadi": "casadi",
    "casadi buffer": "casadi",
}


def positions(problem: Problem) -> tuple[int, ...]:
    """Those of the arguments that are differentiated by."""
    return problem.argnums if isinstance(problem.argnums, tuple) else (problem.argnums,)


def with_jitgrad(problem: Problem, data: tuple) -> Callable:
    from jitgrad import grad

    derivative = grad(problem.function, argnums=problem.argnums)
    return lambda: derivative(*data)


def with_jax(problem: Problem, data: tuple) -> Callable:
    import jax

    data = tuple(a if isinstance(a, int) else jax.device_put(jax.numpy.asarray(a)) for a in data)
    static = tuple(i for i, a in enumerate(data) if isinstance(a, int))
    derivative = jax.jit(jax.grad(problem.peers["jax"](jax), problem.argnums), static_argnums=static)
    return lambda: jax.block_until_ready(derivative(*data))


def with_torch(problem: Problem, data: tuple, change: Callable = lambda f: f) -> Callable:
    import torch

    function = change(problem.peers["torch"](torch))
    data = tuple(torch.tensor(a, dtype=torch.float64) if isinstance(a, float) else a for a in data)
    data = tuple(torch.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in data)
    variables = [data[i].requires_grad_() for i in positions(problem)]
    return lambda: torch.autograd.grad(function(*data), variables)


def with_torch_compile(problem: Problem, data: tuple) -> Callable:
    import torch

    return with_torch(problem, data, torch.compile)


def with_autograd(problem: Problem, data: tuple) -> Callable:
    import autograd
    import autograd.numpy

    derivative = autograd.grad(problem.peers["autograd"](autograd.numpy), problem.argnums)
    return lambda: derivative(*data)


def casadi_function(problem: Problem, data: tuple) -> tuple[Callable, list[np.ndarray]]:
    """CasADi's function that gives the gradient, and its arguments."""
    import casadi

    given = [a if isinstance(a, int) else casadi.SX.sym(f"x{i}", *np.shape(a)) for i, a in enumerate(data)]
    result = problem.peers["casadi"](casadi)(*given)
    symbols = [s for s in given if not isinstance(s, int)]
    derivatives = [casadi.densify(casadi.gradient(result, given[i])) for i in positions(problem)]
    inputs = [np.asfortranarray(a, dtype=np.float64) for a in data if not isinstance(a, int)]
    return casadi.Function("gradient", symbols, derivatives), inputs


def with_casadi(problem: Problem, data: tuple) -> Callable:
    function, inputs = casadi_function(problem, data)
    return lambda: function(*inputs)


def with_casadi_buffer(problem: Problem, data: tuple) -> Callable:
    """The quickest way to call CasADi: addresses of arguments and results are told once, a call is told nothing."""
    function, inputs = casadi_function(problem, data)
    outputs = [np.zeros(np.shape(data[i]), order="F") for i in positions(problem)]
    buffer, evaluate = function.buffer()
    for i, a in enumerate(inputs):
        buffer.set_arg(i, memoryview(a.ravel(order="K")))
    for i, a in enumerate(outputs):
        buffer.set_res(i, memoryview(a.ravel(order="K")))

    def run():
        evaluate()
        return outputs

    run.alive = function, buffer, inputs  # which `evaluate` doesn't keep
    return run


CONTESTANTS = {
    "jitgrad": with_jitgrad,
    "jax": with_jax,
    "torch": with_torch,
    "torch.compile": with_torch_compile,
    "autograd": with_autograd,
    "casadi": with_casadi,
    "casadi buffer": with_casadi_buffer,
}


def take_part(problem: Problem, size, name: str) -> bool:
    """Whether a tool has the problem, at this size."""
    everywhere = len(problem.sizes)
    return name == "jitgrad" or (
        PACKAGES[name] in problem.peers
        and problem.sizes.index(size) < problem.limits.get(name, problem.limits.get(PACKAGES[name], everywhere))
    )


def wake(name: str) -> None:
    """Takes the gradient of something small: what a tool does once in a process is no part of compilation."""
    import benchmarks.peers.recurrence as small

    trivial = small.PROBLEM._replace(function=square, peers=dict.fromkeys(PACKAGES, lambda package: square))
    CONTESTANTS[name](trivial, (0.5,))()


def square(x):
    return x * x


def numbers(gradient: object) -> np.ndarray:
    """All numbers of a gradient, in one array."""
    parts = gradient if isinstance(gradient, (list, tuple)) else [gradient]
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])


def imported(name: str) -> bool:
    """Imports a tool; whether it is there."""
    try:
        importlib.import_module(PACKAGES[name])
    except ImportError:
        return False
    return True
