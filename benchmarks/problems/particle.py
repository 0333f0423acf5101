"""particle: a descent to the field in which a charged particle lands closest to the origin.

Two charges stand at (10, 10 - w) and (10, 0); the particle starts at (0, 8), and falls until it meets the x axis. Its
acceleration is a gradient, of which the descent takes the gradient, through a loop whose end depends on the values.
"""

import math

import numpy as np
from numba import njit

from benchmarks.problems import Programs, differences
from benchmarks.problems.descent import MODES, descend, evaluations
from jitgrad import jit

SIZES = {"small": {"w": 0.1}, "middle": {"w": 0.0}, "large": {"w": 0.3}}
STEP = 0.1


def potential(position, w):
    x, y = position[0] - 10.0, position[1]
    return 1.0 / np.sqrt(x * x + (y - 10.0 + w) ** 2) + 1.0 / np.sqrt(x * x + y * y)


def landing(w, mode):
    """The square of the place at which the particle meets the x axis."""
    field = MODES[mode](lambda position: potential(position, w[0]))
    position, velocity = np.array([0.0, 8.0]), np.array([0.75, 0.0])
    while True:
        acceleration = -field(position)
        position = position + STEP * velocity
        if position[1] <= 0.0:
            time = -position[1] / velocity[1]
            return (position[0] + time * velocity[0]) ** 2
        velocity = velocity + STEP * acceleration


@njit
def plain_landing(w):
    """The same without jitgrad, with the field written out."""
    x, y, dx, dy = 0.0, 8.0, 0.75, 0.0
    while True:
        ax = ay = 0.0
        for height in (10.0 - w[0], 0.0):
            cube = math.hypot(x - 10.0, y - height) ** 3
            ax += (x - 10.0) / cube
            ay += (y - height) / cube
        x, y = x + STEP * dx, y + STEP * dy
        if y <= 0.0:
            return (x - y / dy * dx) ** 2
        dx, dy = dx + STEP * ax, dy + STEP * ay


def objective(mode):
    return lambda w: landing(w, mode)


def best(outer, inner):
    """The descent, with a mode of differentiation for its own gradient, and one for the field."""
    f = objective(inner)
    return jit(lambda w: descend(f, MODES[outer](f), w))


value, slope = jit(objective("r")), MODES["r"](objective("r"))
PROGRAMS = Programs(plain=plain_landing, ours=value, derivative=slope)
BEST = {outer + inner: best(outer, inner) for outer in MODES for inner in MODES}


def arguments(input):
    return (np.array([input["w"]], dtype=np.float64),)


def programs(input):
    return PROGRAMS


def primal(input):
    return float(value(*arguments(input)))


def derivative(input):
    return slope(*arguments(input)).item()


def solution(name):
    return lambda input: BEST[name](*arguments(input)).item()


def descent(input):
    """The whole descent, how often it evaluates the primal, and how often the derivative."""
    return BEST["rr"], evaluations(value, slope, *arguments(input))


CHECKED = {name: solution(name) for name in BEST}


def generate(w, seed=0):
    return {"w": w + 1e-3 * np.random.default_rng(seed).uniform()}


def expected(input):
    """The derivative by short differences, for it jumps with the number of steps; of a program without jitgrad."""
    return differences.derivative(lambda w: plain_landing(np.array([w])), input["w"], step=1e-4)
