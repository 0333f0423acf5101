"""Derivatives by differences, to compare with: extrapolated from three steps, so that they hold to about 1e-10."""

import itertools

import numpy as np

STEP = 4e-3


def derivative(f, x, step=STEP):
    """The derivative of a function of a number, whose values may be arrays; f must be smooth within the step."""
    h = step * max(1.0, abs(x))
    slopes = [(np.asarray(f(x + s)) - np.asarray(f(x - s))) / (2 * s) for s in (h, h / 2, h / 4)]
    # the error of a central difference is a series in h**2: two terms of it are taken off
    better = [(4 * fine - coarse) / 3 for coarse, fine in itertools.pairwise(slopes)]
    return (16 * better[1] - better[0]) / 15


def gradient(f, arguments, k=0):
    """The derivatives of f(*arguments) by each element of its k-th argument, along the last axes of the result.

    A value that is an array has its own axes first.
    """
    at = np.asarray(arguments[k], dtype=np.float64)

    def along(index):
        def value(x):
            moved = at.copy()
            moved[index] = x
            return f(*arguments[:k], moved, *arguments[k + 1 :])

        return derivative(value, at[index])

    columns = np.stack([along(index) for index in np.ndindex(at.shape)], axis=-1)
    return columns.reshape(columns.shape[:-1] + at.shape)
