"""How time and memory for each element stay the same, from a thousand elements to a hundred million.

    python -m benchmarks.scale [--quick] [--functions chain loop] [--memory 8] [--json FILE]

For each function and size the nanoseconds of a call of its gradient, by the element; the bytes that a call holds at
once, by the element, beside its arguments; and both for the primal. The same compiled program runs all sizes. A size
whose arrays wouldn't fit into the memory given (in GB) is left out.

The time is the processor's, with that of the system, which finds the memory. The bytes are those of compiled code:
Numba is told to take its memory from Python, where tracemalloc sees it.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.timing import about, row, samples, settle

SIZES = [10**k for k in range(3, 9)]
QUICK = [10**3, 10**5, 10**7]
FLOAT = 8
GROWS = 2.0  # a time by the element that grows more, from what is in the cache to what isn't, is told


class Case(NamedTuple):
    """A function of arrays of n elements, and what it is differentiated by; how many numbers its arguments have."""

    function: Callable
    arguments: Callable
    argnums: int | tuple[int, ...] = 0
    floats: int = 1


def cases() -> dict[str, Case]:
    """The functions; NumPy is imported when the threads are set."""
    import numpy as np

    def random(n):
        return np.random.default_rng(0).uniform(0.1, 1.0, n)

    def chain(x):
        return np.sum(np.exp(-x * x) * np.tanh(x))

    def logsumexp(x):
        largest = np.max(x)
        return largest + np.log(np.sum(np.exp(x - largest)))

    def logistic(w, X, y):
        return np.mean(np.log1p(np.exp(-y * (X @ w))))

    def loop(x):
        total = 0.0
        for i in range(1, x.size - 1):
            total += (x[i + 1] - 2.0 * x[i] + x[i - 1]) ** 2 * x[i]
        return total

    def recurrence(x):
        h = 0.0
        for i in range(x.size):
            h = np.tanh(0.9 * h + x[i])
        return h

    def network(a, b, c, x, y):
        """One number in, ten units, one number out, written out: no matrix product."""
        total = 0.0
        for i in range(x.size):
            z = 0.0
            for k in range(a.size):
                z += c[k] * np.tanh(a[k] * x[i] + b[k])
            total += (z - y[i]) ** 2
        return total / x.size

    def rows(n):
        return np.linspace(-0.5, 0.5, 10), random(n // 10 * 10).reshape(-1, 10), np.sign(random(n // 10) - 0.5)

    weights = np.linspace(-1.0, 1.0, 30).reshape(3, 10)
    return {
        "chain": Case(chain, lambda n: (random(n),)),
        "logsumexp": Case(logsumexp, lambda n: (random(n),)),
        "logistic": Case(logistic, rows),
        "loop": Case(loop, lambda n: (random(n),)),
        "recurrence": Case(recurrence, lambda n: (random(n),)),
        "network": Case(network, lambda n: (*weights, random(n), random(n)), (0, 1, 2), 2),
    }


NAMES = ("chain", "logsumexp", "logistic", "loop", "recurrence", "network")


def held(run: Callable) -> int:
    """The most bytes held at once during a call."""
    import tracemalloc

    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def measure(name: str, case: Case, sizes: list[int], memory: float, quick: bool) -> list[dict]:
    """The lines of a function."""
    from jitgrad import grad, jit

    derivative, primal = grad(case.function, argnums=case.argnums), jit(case.function)
    lines = []
    for n in sizes:
        if lines and FLOAT * case.floats * n + lines[-1]["bytes"]["gradient"] * n > memory * 1e9:
            print(row(name, f"{n:,}", "left out: no room"), flush=True)
            break
        arguments = case.arguments(n)
        runs = {"gradient": lambda a=arguments: derivative(*a), "primal": lambda a=arguments: primal(*a)}
        found = samples(runs, *((2e-3, 5) if quick else (1e-2, 9)), now=time.process_time)
        bytes_held = {what: held(run) / n for what, run in runs.items()}
        nanoseconds = {what: 1e9 * min(times) / n for what, times in found.items()}
        lines.append({"function": name, "size": n, "nanoseconds": nanoseconds, "bytes": bytes_held})
        cells = [f"{numbers[what]:.3g}" for numbers in (nanoseconds, bytes_held) for what in ("gradient", "primal")]
        print(row(name, f"{n:,}", *cells), flush=True)
    return lines


def growing(lines: list[dict]) -> list[str]:
    """Where the time by the element grows with the size, or the memory."""
    notes = []
    for name in dict.fromkeys(line["function"] for line in lines):
        mine = [line for line in lines if line["function"] == name and line["size"] >= 10_000]
        for what in ("nanoseconds", "bytes"):
            numbers = [line[what]["gradient"] for line in mine]
            if numbers and max(numbers) > GROWS * min(numbers) and max(numbers) > 1:
                notes.append(f"{name}: {what} by the element from {min(numbers):.3g} to {max(numbers):.3g}")
    return notes


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes, few rounds")
    parser.add_argument("--functions", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--largest", type=float, default=1e8, help="number of elements")
    parser.add_argument("--memory", type=float, default=8.0, help="GB that may be taken")
    parser.add_argument("--json", type=Path, help="write the measurements to this file, too")
    options = parser.parse_args()
    settle(1)
    from benchmarks.memory import watch_numba

    watch_numba()
    here = about([])
    print(", ".join(f"{k} {v}" for k, v in here.items()) + "\n")
    print("By the element: nanoseconds of the gradient and the primal, and bytes held at once.\n")
    print(row("function", "elements", "ns, gradient", "ns, primal", "bytes, gradient", "bytes, primal"))
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    sizes = [n for n in (QUICK if options.quick else SIZES) if n <= options.largest]
    lines = []
    for name in options.functions:
        lines += measure(name, cases()[name], sizes, options.memory, options.quick)
    notes = growing(lines)
    print("\nGrowing:\n" + "\n".join(f"- {note}" for note in notes) if notes else "\nNothing grows.")
    if options.json:
        options.json.write_text(json.dumps({"about": here, "rows": lines, "growing": notes}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
