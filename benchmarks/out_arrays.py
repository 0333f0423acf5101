"""What new memory for a gradient costs: calls with and without `out=`, in turns.

    python -m benchmarks.out_arrays

For gradients of a few sizes the median time of a call, and how often the system had to find a page of memory for it:
an array of some hundred thousand bytes or more is given back to the system when it is freed, and its pages are cleared
when the next one is written to.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.machine import header
from jitgrad import grad

SIZES = (1_000, 100_000, 1_000_000, 10_000_000)


def square(x):
    return np.sum(x * x)


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def measure(calls: list[Callable], runs: int) -> list[tuple[float, float]]:
    """Median seconds and page faults of each call."""
    seconds: list[list[float]] = [[] for _ in calls]
    faults = [0] * len(calls)
    for call in calls:
        call()
    for _ in range(runs):
        for k, call in enumerate(calls):
            before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
            call()
            seconds[k].append(time.perf_counter() - start)
            faults[k] += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return [(statistics.median(s), f / runs) for s, f in zip(seconds, faults, strict=True)]


def main() -> None:
    print(header())
    print(f"{'gradient of':12}{'elements':>12}{'new array':>12}{'faults':>8}{'out=':>12}{'faults':>8}{'ratio':>7}")
    for function in (square, rosenbrock):
        gradient = grad(function)
        for n in SIZES:
            x, buffer = np.linspace(0.0, 1.0, n), np.empty(n)
            runs = min(2000, max(15, 20_000_000 // n))
            new, out = measure([partial(gradient, x), partial(gradient, x, out=buffer)], runs)
            print(
                f"{function.__name__:12}{n:12,}{1e6 * new[0]:9.1f} us{new[1]:8.0f}{1e6 * out[0]:9.1f} us{out[1]:8.0f}"
                f"{out[0] / new[0]:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
