"""Nanoseconds an element of reductions, compiled by jitgrad, against NumPy.

    python -m benchmarks.reductions [--dtype float32] [--size 10000] [name ...]

The arrays are matrices that are reduced as a whole, along their rows, and along their columns, and vectors of which
every second element is taken. Both are timed in turn, and the least time of each counts.
"""

import argparse
import time

import numpy as np

from benchmarks.machine import header
from jitgrad import jit


def logsumexp(x, axis=None):
    m = np.max(x, axis=axis, keepdims=True)
    return np.log(np.sum(np.exp(x - m), axis=axis)) + np.max(x, axis=axis)


def dot(x, axis):
    if axis is None:
        return x @ x
    return x @ x[0] if axis == 1 else x[0] @ x


REDUCTIONS = {
    "dot": dot,
    "sum": lambda x, axis: np.sum(x, axis=axis),
    "sum of squares": lambda x, axis: np.sum(x * x, axis=axis),
    "product": lambda x, axis: np.prod(x, axis=axis),
    "mean": lambda x, axis: np.mean(x, axis=axis),
    "var": lambda x, axis: np.var(x, axis=axis),
    "max": lambda x, axis: np.max(x, axis=axis),
    "argmax": lambda x, axis: np.argmax(x, axis=axis),
    "any": lambda x, axis: np.any(x > 10.0, axis=axis),
    "norm": lambda x, axis: np.linalg.norm(x, axis=axis),
    "logsumexp": logsumexp,
}
WAYS = {
    "whole": lambda reduce: lambda x: reduce(x.ravel(), None),
    "rows": lambda reduce: lambda x: reduce(x, 1),
    "columns": lambda reduce: lambda x: reduce(x, 0),
    "every second": lambda reduce: lambda x: reduce(x.ravel()[::2], None),
}


def best(functions, argument, seconds=0.3):
    """The least time of each function in turn, in seconds."""
    least = [float("inf")] * len(functions)
    for f in functions:
        f(argument)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for k, f in enumerate(functions):
            start = time.perf_counter()
            f(argument)
            least[k] = min(least[k], time.perf_counter() - start)
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--dtype", default="float64", choices=["float64", "float32"])
    parser.add_argument("--size", type=int, default=10_000)
    options = parser.parse_args()
    side = round(options.size**0.5)
    x = np.random.default_rng(0).normal(size=(side, side)).astype(options.dtype)
    print(header())
    print(f"{'':16}{'':14}{'jitgrad':>9}{'NumPy':>9}   ns an element, {x.shape} {options.dtype}")
    for name in options.names or REDUCTIONS:
        for way, make in WAYS.items():
            function = make(REDUCTIONS[name])
            ours, numpy = (t / x.size * 1e9 for t in best([jit(function), function], x))
            print(f"{name:16}{way:14}{ours:9.3f}{numpy:9.3f}{'  slower' if ours > numpy else ''}", flush=True)


if __name__ == "__main__":
    main()
