"""The derivative of particle: forward mode, for there is but one input; nothing has to be kept of the steps."""

import math

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import SUMS
from benchmarks.problems.particle import STEP


@njit(**SUMS)
def attraction(x, y, x_dot, y_dot):
    """The acceleration away from a charge, from where the particle is relative to it, and its tangent."""
    square = x * x + y * y
    inverse = 1.0 / (square * math.sqrt(square))
    inverse_dot = -3.0 * (x * x_dot + y * y_dot) / square * inverse
    return x * inverse, y * inverse, x_dot * inverse + x * inverse_dot, y_dot * inverse + y * inverse_dot


@njit(**SUMS)
def derivative(w):
    x, y, u, v = 0.0, 8.0, 0.75, 0.0  # position and velocity
    x_dot = y_dot = u_dot = v_dot = 0.0
    while True:
        upper = attraction(x - 10.0, y - 10.0 + w[0], x_dot, y_dot + 1.0)
        lower = attraction(x - 10.0, y, x_dot, y_dot)
        x, x_dot = x + STEP * u, x_dot + STEP * u_dot
        y, y_dot = y + STEP * v, y_dot + STEP * v_dot
        if y <= 0.0:
            place = x - y / v * u
            place_dot = x_dot - y / v * u_dot - (y_dot - y / v * v_dot) / v * u
            return np.array([2.0 * place * place_dot])
        u, u_dot = u + STEP * (upper[0] + lower[0]), u_dot + STEP * (upper[2] + lower[2])
        v, v_dot = v + STEP * (upper[1] + lower[1]), v_dot + STEP * (upper[3] + lower[3])
