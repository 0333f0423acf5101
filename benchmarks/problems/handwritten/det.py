"""The gradient of det: one pass through the recursion, for a minor's adjoint is known before the minor.

The matrix and its adjoint are one array, for what a call takes is passed on the stack, and an array is seven numbers.
"""

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import FLAGS


@njit("float64(float64[:, :, ::1], int64[::1], int64, float64)", **FLAGS)
def expand(both, after, row, bar):
    """The determinant of the rows of both[0] from `row` on; adds `bar` times its derivatives to both[1].

    `after` is the list of the columns that are left, as in the problem.
    """
    ell = both.shape[1]
    if row == ell:
        return 1.0
    total = 0.0
    sign = 1.0
    before = ell
    column = after[before]
    while column != ell:
        following = after[column]
        after[before] = following
        entry = sign * both[0, row, column]
        minor = expand(both, after, row + 1, bar * entry)
        both[1, row, column] += bar * sign * minor
        total += entry * minor
        after[before] = column
        sign = -sign
        before = column
        column = following
    return total


@njit(**FLAGS)
def derivative(A):
    ell = A.shape[0]
    after = np.arange(1, ell + 2)
    after[ell] = 0
    both = np.zeros((2, ell, ell))
    both[0] = A
    expand(both, after, 0, 1.0)
    return both[1]
