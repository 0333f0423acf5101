"""The problems on which jitgrad is compared with other tools.

A module has a `PROBLEM`: a function as a user of NumPy and Numba writes it, with loops where he would write loops, and
the same function as each of the others is meant to be used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

NAMES = (
    "rosenbrock",
    "logistic",
    "mlp",
    "convnet",
    "lstm",
    "gmm",
    "hmm",
    "nbody",
    "stencil",
    "option",
    "recurrence",
    "garch",
    "pendulum",
)


class Problem(NamedTuple):
    """A function whose gradient everyone computes.

    Attributes:
        function: for jitgrad.
        data: the arguments, of a size.
        sizes: from small to large.
        peers: for each other tool, what makes the function from the tool's package. CasADi gets symbols for arrays and
            numbers, the others the arrays; integers are integers for all.
        argnums: what is differentiated by.
        quick: positions in `sizes` for a short run.
        limits: how many of the sizes a tool takes part in, if not in all: more would take it seconds or minutes.
        steps: how many iterations of a loop over single numbers there are at a size.
    """

    function: Callable
    data: Callable
    sizes: tuple
    peers: Mapping[str, Callable]
    argnums: int | tuple[int, ...] = 0
    quick: tuple[int, ...] = (0, 2)
    limits: Mapping[str, int] = {}
    steps: Callable = lambda size: 0


def problem(name: str) -> Problem:
    return importlib.import_module(f"benchmarks.peers.{name}").PROBLEM
