"""hello: the square of a number, and its derivative."""

import numpy as np
from numba import njit

from benchmarks.problems import differences
from jitgrad import grad

SIZES = {"small": {}}


@njit
def square(x):
    return x * x


double = grad(square)


def arguments(input):
    return (float(input),)


def primal(input):
    return square(*arguments(input))


def derivative(input):
    return float(double(*arguments(input)))


def generate(seed=0):
    return float(np.random.default_rng(seed).normal())


def expected(input):
    """The derivative by differences."""
    return differences.derivative(square, *arguments(input))
