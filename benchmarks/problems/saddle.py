"""saddle: the point at which f(x, y) is least by x, where y is what makes it largest: a descent inside of a descent.

The outer descent takes the gradient of a function that runs the inner one.
"""

import numpy as np
from numba import njit

from benchmarks.problems import Programs
from benchmarks.problems.descent import MODES, TOLERANCE, descend, evaluations
from jitgrad import jit

SIZES = {"small": {"scale": 0.1}, "middle": {"scale": 1.0}, "large": {"scale": 10.0}}


def f(x, y):
    return np.sum(x * x) - np.sum(y * y)


def highest(x, start, mode):
    """The y that makes f(x, y) largest."""

    def negative(y):
        return -f(x, y)

    return descend(negative, MODES[mode](negative), start)


def outer(start, mode):
    return lambda x: f(x, highest(x, start, mode))


def saddle_point(start, outer_mode, inner_mode):
    g = outer(start, inner_mode)
    x = descend(g, MODES[outer_mode](g), start)
    return np.concatenate((x, highest(x, start, inner_mode)))


def solver(outer_mode, inner_mode):
    return jit(lambda start: saddle_point(start, outer_mode, inner_mode))


@njit
def plain_value(start):
    """The same without jitgrad: the value where the inner descent ends, with its gradient, 2 y, written out."""
    rate, taken = 1e-5, 0
    y = start
    value = np.sum(y * y)
    while np.sqrt(np.sum(4.0 * y * y)) > TOLERANCE:
        if taken == 10:
            rate, taken = 2.0 * rate, 0
            continue
        new = y - rate * (2.0 * y)
        if np.sqrt(np.sum((y - new) ** 2)) <= TOLERANCE:
            break
        new_value = np.sum(new * new)
        if new_value < value:
            y, value = new, new_value
            taken += 1
        else:
            rate, taken = 0.5 * rate, 0
    return np.sum(start * start) - value


value = jit(lambda start: outer(start, "r")(start))
slope = jit(lambda start: MODES["r"](outer(start, "r"))(start))
PROGRAMS = Programs(plain=plain_value, ours=value, derivative=slope)
SOLVERS = {outer_mode + inner_mode: solver(outer_mode, inner_mode) for outer_mode in MODES for inner_mode in MODES}


def arguments(input):
    return (np.asarray(input["start"], dtype=np.float64),)


def programs(input):
    return PROGRAMS


def primal(input):
    return float(value(*arguments(input)))


def derivative(input):
    return slope(*arguments(input)).tolist()


def solution(name):
    return lambda input: SOLVERS[name](*arguments(input)).tolist()


def descent(input):
    """The whole descent, how often it evaluates the primal, and how often the derivative.

    What y becomes doesn't depend on x, so one y will do to count; the inner descent after the outer one is one more
    evaluation of the primal.
    """
    (start,) = arguments(input)
    y = SOLVERS["rr"](start)[start.size :]
    values, slopes = evaluations(lambda x: f(x, y), lambda x: 2.0 * x, start)
    return SOLVERS["rr"], (values + 1, slopes)


CHECKED = {name: solution(name) for name in SOLVERS}


def generate(scale, seed=0):
    return {"start": scale * np.random.default_rng(seed).uniform(0.5, 1.5, size=2)}


def expected(input):
    """What y becomes doesn't depend on x, so the gradient by x is that of its squares."""
    (start,) = arguments(input)
    return 2 * start
