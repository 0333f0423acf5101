"""llsq: half the squared error of a polynomial that should be the sign of t, at n points of [-1, 1]; its gradient."""

import numpy as np
from numba import njit

from benchmarks.problems import Programs, differences
from jitgrad import grad, jit

SIZES = {"small": {"n": 16, "m": 8}, "middle": {"n": 1024, "m": 128}, "large": {"n": 8192, "m": 1024}}


@njit
def loss(x, n):
    total = 0.0
    for i in range(n):
        t = -1.0 + 2.0 * i / (n - 1)
        polynomial = 0.0
        power = 1.0
        for j in range(x.size):
            polynomial += x[j] * power
            power *= t
        error = np.sign(t) - polynomial
        total += error * error
    return 0.5 * total


gradient = grad(loss)
PROGRAMS = Programs(plain=loss, ours=jit(loss), derivative=gradient)


def arguments(input):
    return np.asarray(input["x"], dtype=np.float64), int(input["n"])


def programs(input):
    return PROGRAMS


def primal(input):
    return loss(*arguments(input))


def derivative(input):
    return gradient(*arguments(input)).tolist()


def generate(n, m, seed=0):
    return {"x": np.random.default_rng(seed).normal(size=m), "n": n}


def expected(input):
    """The gradient by differences."""
    return differences.gradient(loss, arguments(input))
