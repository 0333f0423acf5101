"""The gradient of llsq: one pass over the points.

The powers of t wait in a row for the error at the point, and make place for those of the next point while they are
added to the gradient: what bounds the loop is the latency of a product, and the addition costs nothing.
"""

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import SEPARATE


@njit(**SEPARATE)
def derivative(x, n):
    m = x.size
    gradient, powers = np.zeros(m), np.zeros(m)
    error = 0.0
    for i in range(n):
        t = -1.0 + 2.0 * i / (n - 1)
        polynomial = 0.0
        power = 1.0
        for j in range(m):
            gradient[j] += error * powers[j]
            powers[j] = power
            polynomial += x[j] * power
            power *= t
        error = polynomial - np.sign(t)
    for j in range(m):
        gradient[j] += error * powers[j]
    return gradient
