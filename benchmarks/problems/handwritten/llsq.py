"""The gradient of llsq: one pass over the points, with the powers of one of them kept in a row."""

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import FLAGS


@njit(**FLAGS)
def derivative(x, n):
    m = x.size
    gradient = np.zeros(m)
    powers = np.empty(m)
    for i in range(n):
        t = -1.0 + 2.0 * i / (n - 1)
        polynomial = 0.0
        power = 1.0
        for j in range(m):
            powers[j] = power
            polynomial += x[j] * power
            power *= t
        error = polynomial - np.sign(t)
        for j in range(m):
            gradient[j] += error * powers[j]
    return gradient
