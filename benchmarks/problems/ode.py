"""ode: y' = f(y) from y = 0 over [0, 2] in s Runge-Kutta steps, and the gradient of the last component of y.

f_0 = x_0 and f_i = x_i * y_(i-1). A step moves what has happened by four components at most: of a y that has more than
4 s the last one is still 0, and so is its gradient.
"""

import numpy as np
from numba import njit

from benchmarks.problems import Programs, differences
from jitgrad import grad, jit

SIZES = {"small": {"n": 5, "s": 3}, "middle": {"n": 1000, "s": 10}, "large": {"n": 10_000, "s": 100}}


@njit
def field(x, y, out):
    out[0] = x[0]
    for i in range(1, x.size):
        out[i] = x[i] * y[i - 1]


@njit
def solve(x, s):
    n = x.size
    h = 2.0 / s
    y = np.zeros(n)
    between, k1, k2, k3, k4 = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for _ in range(s):
        field(x, y, k1)
        for i in range(n):
            between[i] = y[i] + 0.5 * h * k1[i]
        field(x, between, k2)
        for i in range(n):
            between[i] = y[i] + 0.5 * h * k2[i]
        field(x, between, k3)
        for i in range(n):
            between[i] = y[i] + h * k3[i]
        field(x, between, k4)
        for i in range(n):
            y[i] += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i])
    return y


@njit
def last(x, s):
    return solve(x, s)[-1]


gradient = grad(last)
PROGRAMS = Programs(plain=last, ours=jit(last), derivative=gradient)


def arguments(input):
    return np.asarray(input["x"], dtype=np.float64), int(input["s"])


def programs(input):
    return PROGRAMS


def primal(input):
    return solve(*arguments(input)).tolist()


def derivative(input):
    return gradient(*arguments(input)).tolist()


def generate(n, s, seed=0):
    return {"x": np.random.default_rng(seed).uniform(0.5, 1.5, size=n), "s": s}


def expected(input):
    """The gradient by differences."""
    return differences.gradient(last, arguments(input))
