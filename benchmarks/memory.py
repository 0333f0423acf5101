"""What a derivative allocates: at most at once, and how often, as its problem grows.

    python -m benchmarks.memory [name ...]

For each program the largest number of bytes that a call of its gradient holds at once, the result included, for three
sizes; how much that grows with what is counted (an iteration, or an element of an array), and what it may grow by; and
how many arrays are allocated in a call. Exits with 1 if a program grows faster than it may, or allocates more often
when it is larger: nothing may be allocated in an iteration.

The bytes are those of compiled code: Numba is told to take its memory from Python, where tracemalloc sees it.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python as nrt
from numba.core.runtime import rtsys

from benchmarks.problems import gmm, llsq, lstm, ode
from jitgrad import grad

FLOAT = 8  # bytes
FIXED = 4096  # bytes more or less that are no growth: objects of Python


class Case(NamedTuple):
    """A program whose memory is measured."""

    name: str
    function: Callable
    arguments: Callable  # of a size
    unit: str
    units: Callable  # how many of them there are, of a size
    allowed: float  # bytes for each
    sizes: tuple[int, int, int]
    argnums: int | tuple = 0


@njit
def likelihood(w, X, y):
    total = 0.0
    for i in range(X.shape[0]):
        z = 0.0
        for j in range(w.size):
            z += X[i, j] * w[j]
        total += np.log1p(np.exp(-y[i] * z))
    return total


@njit
def recurrence(a, steps):
    h = 0.5
    for _ in range(steps):
        h = np.tanh(a * h + 0.1)
    return h


@njit
def cholesky(A):
    """The logarithm of a determinant."""
    n = A.shape[0]
    L = np.zeros((n, n))
    total = 0.0
    for j in range(n):
        s = A[j, j]
        for k in range(j):
            s -= L[j, k] * L[j, k]
        L[j, j] = np.sqrt(s)
        total += np.log(L[j, j])
        for i in range(j + 1, n):
            s = A[i, j]
            for k in range(j):
                s -= L[i, k] * L[j, k]
            L[i, j] = s / L[j, j]
    return 2.0 * total


@njit
def lu(A):
    """The logarithm of a determinant, by elimination in place."""
    U = A.copy()
    n = U.shape[0]
    total = 0.0
    for k in range(n):
        total += np.log(U[k, k])
        for i in range(k + 1, n):
            U[i, k] /= U[k, k]
            for j in range(k + 1, n):
                U[i, j] -= U[i, k] * U[k, j]
    return total


@njit
def triangular_solve(L, b):
    x = b.copy()
    for i in range(x.size):
        for j in range(i):
            x[i] -= L[i, j] * x[j]
        x[i] /= L[i, i]
    return np.sum(x * x)


@njit
def gauss_seidel(b, sweeps):
    """Sweeps of a linear equation, each element from its neighbours, in place."""
    u = np.zeros(b.size)
    for _ in range(sweeps):
        for i in range(1, b.size - 1):
            u[i] = 0.5 * (u[i - 1] + u[i + 1] + b[i])
    return np.sum(u * u)


@njit
def nonlinear_gauss_seidel(b, sweeps):
    u = np.zeros(b.size)
    for _ in range(sweeps):
        for i in range(1, b.size - 1):
            u[i] = np.tanh(0.5 * (u[i - 1] + u[i + 1]) + b[i] - 0.1 * u[i] * u[i])
    return np.sum(u * u)


@njit
def edit_distance(costs):
    """A table of which each element is the least of three others, plus a cost."""
    rows, columns = costs.shape
    table = np.zeros((rows + 1, columns + 1))
    for i in range(1, rows + 1):
        table[i, 0] = i
    for j in range(1, columns + 1):
        table[0, j] = j
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            table[i, j] = min(table[i - 1, j] + 1.0, table[i, j - 1] + 1.0, table[i - 1, j - 1] + costs[i - 1, j - 1])
    return table[rows, columns]


@njit
def time_warp(x, y):
    """The least sum of squared differences of two series that may be stretched."""
    table = np.full((x.size + 1, y.size + 1), np.inf)
    table[0, 0] = 0.0
    for i in range(1, x.size + 1):
        for j in range(1, y.size + 1):
            difference = x[i - 1] - y[j - 1]
            table[i, j] = difference * difference + min(table[i - 1, j - 1], table[i - 1, j], table[i, j - 1])
    return table[x.size, y.size]


@njit
def gathered(x, places):
    """Reads by index, of which each adjoint adds to one element."""
    total = 0.0
    for k in range(places.size):
        total += x[places[k]] ** 2
    return total


def random(*shape):
    return np.random.default_rng(0).uniform(0.1, 1.0, size=shape)


def definite(n):
    A = random(n, n)
    return (A @ A.T + n * np.eye(n),)


def dominant(n):
    return (random(n, n) + n * np.eye(n),)


SQUARE = (50, 100, 200)
LONG = (1_000, 10_000, 100_000)
STEPS = (100, 1_000, 10_000)

CASES = [
    Case("llsq", llsq.loss, lambda n: (random(16), n), "point", int, 0, LONG),
    Case("likelihood", likelihood, lambda n: (random(8), random(n, 8), random(n)), "point", int, 0, LONG),
    Case(
        "gmm",
        gmm.objective,
        lambda n: gmm.arguments(gmm.generate(3, 4, n)),
        "point",
        int,
        0,
        STEPS,
        (0, 1, 2, 3),
    ),
    Case("recurrence", recurrence, lambda n: (0.9, n), "step", int, FLOAT, LONG),
    Case("ode", ode.last, lambda n: (random(20), n), "number of a state", lambda n: 20 * n, FLOAT, STEPS),
    Case(
        "lstm",
        lstm.objective,
        lambda n: lstm.arguments(lstm.generate(2, n, 7)),
        "number of a state",
        lambda n: 2 * 2 * 7 * n,
        5 * FLOAT,  # two numbers of a state come with six of what was computed of them
        STEPS,
        ("main", "extra"),
    ),
    Case("cholesky", cholesky, definite, "element", lambda n: n * n, 4 * FLOAT, SQUARE),
    Case("lu", lu, dominant, "element", lambda n: n * n, 4 * FLOAT, SQUARE),
    Case(
        "triangular solve",
        triangular_solve,
        lambda n: (dominant(n)[0], random(n)),
        "element",
        lambda n: n * n,
        2 * FLOAT,
        SQUARE,
        (0, 1),
    ),
    Case("gauss-seidel", gauss_seidel, lambda n: (random(50), n), "sweep", int, 0, STEPS),
    Case(
        "gauss-seidel, nonlinear",
        nonlinear_gauss_seidel,
        lambda n: (random(50), n),
        "element of a sweep",
        lambda n: 50 * n,
        2 * FLOAT,  # the element and its sine
        STEPS,
    ),
    Case("edit distance", edit_distance, lambda n: (random(n, n),), "element", lambda n: n * n, 4 * FLOAT, SQUARE),
    Case(
        "time warp",
        time_warp,
        lambda n: (random(n), random(n)),
        "element",
        lambda n: n * n,
        4 * FLOAT,
        SQUARE,
        (0, 1),
    ),
    Case(
        "gathered",
        gathered,
        lambda n: (random(100), np.arange(n) % 100),
        "read",
        int,
        0,
        LONG,
    ),
]


def watch_numba() -> None:
    """Lets Numba allocate through Python, and count; before it has allocated anything."""
    rtsys.initialize(cpu_target.target_context)
    nrt.memsys_use_cpython_allocator()
    nrt.memsys_enable_stats()


def allocated(function: Callable, arguments: tuple) -> tuple[int, int]:
    """The most bytes held at once during a call, and the number of arrays allocated in it."""
    gc.collect()
    tracemalloc.start()
    try:
        before, count = tracemalloc.get_traced_memory()[0], rtsys.get_allocation_stats().mi_alloc
        function(*arguments)
        return tracemalloc.get_traced_memory()[1] - before, rtsys.get_allocation_stats().mi_alloc - count
    finally:
        tracemalloc.stop()


class Measured(NamedTuple):
    """What a program allocated at each size."""

    case: Case
    peaks: list[int]
    counts: list[int]

    @property
    def growth(self) -> float:
        """Bytes for each unit between the smallest and the largest size."""
        units = [self.case.units(n) for n in self.case.sizes]
        return (self.peaks[-1] - self.peaks[0]) / (units[-1] - units[0])

    @property
    def right(self) -> bool:
        units = [self.case.units(n) for n in self.case.sizes]
        allowed = 1.02 * self.case.allowed * (units[-1] - units[0]) + FIXED  # borders of tables, ends of chunks
        return self.peaks[-1] - self.peaks[0] <= allowed and self.counts[-1] <= self.counts[0]


def measure(case: Case) -> Measured:
    derivative = grad(case.function, argnums=case.argnums)
    inputs = [case.arguments(n) for n in case.sizes]
    derivative(*inputs[0])  # compiles
    peaks, counts = zip(*(allocated(derivative, x) for x in inputs), strict=True)
    return Measured(case, list(peaks), list(counts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(case.name for case in CASES)}")
    names = parser.parse_args().names
    watch_numba()
    wrong = 0
    print(f"{'program':24}{'bytes at once, at three sizes':>36}{'growth':>9}{'may':>5}  by{'arrays a call':>32}")
    for case in CASES:
        if names and case.name not in names:
            continue
        result = measure(case)
        wrong += not result.right
        peaks = "".join(f"{peak:12,}" for peak in result.peaks)
        note = f"{result.counts[0]} to {result.counts[-1]}"
        print(
            f"{case.name:24}{peaks}{result.growth:9.2f}{case.allowed:5}  {case.unit:20}{note:>14}"
            f"  {'right' if result.right else 'TOO MUCH'}",
            flush=True,
        )
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
