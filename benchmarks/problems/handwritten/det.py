"""The gradient of det: one pass through the recursion, for a minor's adjoint is known before the minor."""

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import FLAGS


@njit("float64(float64[:, ::1], float64[:, ::1], int64[::1], int64, float64)", **FLAGS)
def expand(A, A_bar, after, row, bar):
    """The determinant of the rows from `row` on; adds `bar` times its derivatives to A_bar.

    `after` is the list of the columns that are left, as in the problem.
    """
    ell = A.shape[0]
    if row == ell:
        return 1.0
    total = 0.0
    sign = 1.0
    before = ell
    column = after[before]
    while column != ell:
        after[before] = after[column]
        entry = sign * A[row, column]
        minor = expand(A, A_bar, after, row + 1, bar * entry)
        A_bar[row, column] += bar * sign * minor
        total += entry * minor
        after[before] = column
        sign = -sign
        before = column
        column = after[column]
    return total


@njit(**FLAGS)
def derivative(A):
    ell = A.shape[0]
    after = np.arange(1, ell + 2)
    after[ell] = 0
    A_bar = np.zeros_like(A)
    expand(A, A_bar, after, 0, 1.0)
    return A_bar
