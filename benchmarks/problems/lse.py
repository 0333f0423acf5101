"""lse: the logarithm of a sum of exponentials, and its gradient."""

import math

import numpy as np
from numba import njit

from benchmarks.problems import Programs
from jitgrad import grad, jit

SIZES = {"small": {"n": 10}, "middle": {"n": 40_000}, "large": {"n": 4_000_000}}


@njit
def log_sum_exp(x):
    largest = x[0]
    for i in range(1, x.size):
        if x[i] > largest:
            largest = x[i]
    total = 0.0
    for i in range(x.size):
        total += math.exp(x[i] - largest)
    return largest + math.log(total)


gradient = grad(log_sum_exp)
PROGRAMS = Programs(plain=log_sum_exp, ours=jit(log_sum_exp), derivative=gradient)


def arguments(input):
    return (np.asarray(input["x"], dtype=np.float64),)


def programs(input):
    return PROGRAMS


def primal(input):
    return log_sum_exp(*arguments(input))


def derivative(input):
    return gradient(*arguments(input)).tolist()


def generate(n, seed=0):
    return {"x": np.random.default_rng(seed).normal(size=n)}


def expected(input):
    """The share of each exponential."""
    (x,) = arguments(input)
    weights = np.exp(x - x.max())
    return weights / weights.sum()
