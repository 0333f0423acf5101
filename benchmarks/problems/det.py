"""det: the determinant by expansion along the first row that is left, and the matrix of its derivatives.

The function calls itself `ell` deep, and branches `ell`, `ell - 1`, ... times.
"""

import numpy as np
from numba import njit

from benchmarks.problems import Programs
from jitgrad import grad, jit

SIZES = {"small": {"ell": 4}, "middle": {"ell": 8}, "large": {"ell": 10}}


@njit
def expand(A, after, row):
    """The determinant of the rows from `row` on, and of the columns in a circular list.

    `after[j]` is the column that follows column j; the list starts and ends at `ell`, which is no column.
    """
    ell = A.shape[0]
    if row == ell:
        return 1.0
    total = 0.0
    sign = 1.0
    before = ell
    column = after[before]
    while column != ell:
        after[before] = after[column]  # takes the column out of the list
        total += sign * A[row, column] * expand(A, after, row + 1)
        after[before] = column  # and puts it back
        sign = -sign
        before = column
        column = after[column]
    return total


@njit
def determinant(A):
    ell = A.shape[0]
    after = np.arange(1, ell + 2)
    after[ell] = 0
    return expand(A, after, 0)


gradient = grad(determinant)
PROGRAMS = Programs(plain=determinant, ours=jit(determinant), derivative=gradient)


def arguments(input):
    ell = input["ell"]
    return (np.asarray(input["A"], dtype=np.float64).reshape(ell, ell),)


def programs(input):
    return PROGRAMS


def primal(input):
    return determinant(*arguments(input))


def derivative(input):
    return gradient(*arguments(input)).ravel().tolist()


def generate(ell, seed=0):
    return {"A": np.random.default_rng(seed).normal(size=ell * ell), "ell": ell}


def expected(input):
    """The cofactors, from the inverse."""
    (A,) = arguments(input)
    return (np.linalg.det(A) * np.linalg.inv(A).T).ravel()
