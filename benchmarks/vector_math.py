"""Nanoseconds an element of each vector-math kernel, against NumPy or SciPy, and plain Numba.

    python -m benchmarks.vector_math [--dtype float32] [--compile] [name ...]

The three take turns; of each the least time counts, and of the ratios the median. With --compile: milliseconds that a
kernel adds to the compilation of the loop that calls it, in a fresh process, once with an empty Numba cache and once
with the kernel in it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial

import numpy as np
import scipy.special
from numba import njit

from benchmarks import timing
from benchmarks.machine import header
from jitgrad.runtime.vecmath import KERNELS

SIZE = 10_000
FLAGS = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
INTERVALS = {"arccos": (-1, 1), "arcsin": (-1, 1), "log1p": (-0.9, 10), "power": (0.1, 5)}
INTERVALS |= {"arctanh": (-1, 1), "arccosh": (1, 20)}
BINARY = ("power", "hypot", "arctan2", "logaddexp", "logaddexp2")
INTERVALS |= dict.fromkeys(("log", "log2", "log10"), (0.1, 10))

ELSEWHERE = {  # name: (array function, what one would write in Numba)
    "erf": (scipy.special.erf, "math.erf(x)"),
    "erfc": (scipy.special.erfc, "math.erfc(x)"),
    "power": (np.power, "x ** y"),
    "sigmoid": (scipy.special.expit, "1.0 / (1.0 + np.exp(-x))"),
    "softplus": (lambda x, out: np.logaddexp(0, x, out=out), "np.log1p(np.exp(x))"),
}

LOOP = """
import math
import numpy as np

def loop({arguments}, out):
    for i in range(x_.size):
        {load}
        out[i] = {expression}
"""


def loop_of(name, expression, namespace=None):
    """A compiled loop that evaluates the expression of x (and y)."""
    if name in BINARY:
        text = LOOP.format(arguments="x_, y_", load="x, y = x_[i], y_[i]", expression=expression)
    else:
        text = LOOP.format(arguments="x_", load="x = x_[i]", expression=expression)
    namespace = dict(namespace or {})
    exec(text, namespace)
    return njit(**FLAGS)(namespace["loop"])


def kernel_loop(name):
    """The loop over the kernel."""
    return loop_of(name, "kernel(x, y)" if name in BINARY else "kernel(x)", {"kernel": KERNELS[name]})


def speed(names, dtype):
    """Print the table of speeds."""
    print(f"\n{'':10}{'kernel':>8}{'NumPy':>8}{'Numba':>8}   ns an element, {SIZE} {dtype} elements; and ratios")
    rng = np.random.default_rng(0)
    for name in names:
        arguments = [rng.uniform(*INTERVALS.get(name, (-5, 5)), SIZE).astype(dtype)]
        if name in BINARY:
            arguments.append(rng.uniform(-3, 3, SIZE).astype(dtype))
        out = np.empty_like(arguments[0])
        operands = "x, y" if name in BINARY else "x"
        ufunc, expression = ELSEWHERE.get(name) or (getattr(np, name), f"np.{name}({operands})")
        runs = {
            "kernel": partial(kernel_loop(name), *arguments, out),
            "NumPy": partial(ufunc, *arguments, out=out),
            "Numba": partial(loop_of(name, expression), *arguments, out),
        }
        taken = timing.samples(runs, 1e-3, 25)
        times = "".join(f"{min(s) / SIZE * 1e9:8.2f}" for s in taken.values())
        ratios = "".join(f"{timing.ratio(taken[other], taken['kernel']):8.1f}" for other in ("NumPy", "Numba"))
        print(f"{name:10}{times}{ratios}", flush=True)


def compile_seconds(name):
    """Seconds to compile the loop over the kernel, less those of a loop without it."""
    arrays = "(" + ", ".join(["float64[::1]"] * (3 if name in BINARY else 2)) + ")"

    def seconds(loop):
        start = time.perf_counter()
        loop.compile(arrays)
        return time.perf_counter() - start

    # the first compilation in a process loads half of Numba
    without = [seconds(loop_of(name, f"x + {i}.0")) for i in range(4)][1:]
    return seconds(kernel_loop(name)) - min(without)


def compile_cost(names):
    """Print the table of compile times, each measured in its own process."""
    print(f"{'':10}{'cold':>8}{'cached':>8}   ms added to the caller's compilation")
    for name in names:
        with tempfile.TemporaryDirectory() as cache:
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            command = [sys.executable, "-m", "benchmarks.vector_math", "--compile-one", name]
            outputs = [
                subprocess.run(command, env=environment, check=True, capture_output=True).stdout for _ in range(4)
            ]
        cold, *cached = (1e3 * json.loads(output) for output in outputs)
        print(f"{name:10}{cold:8.0f}{min(cached):8.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--dtype", nargs="*", default=["float64", "float32"], choices=["float64", "float32"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--compile-one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.names or list(KERNELS)
    if options.compile_one:
        print(json.dumps(compile_seconds(options.compile_one)))
    elif options.compile:
        compile_cost(names)
    else:
        print(header())
        for dtype in options.dtype:
            speed(names, dtype)


if __name__ == "__main__":
    main()
