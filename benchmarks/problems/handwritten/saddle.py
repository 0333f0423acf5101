"""The gradient of saddle: how the inner descent ends doesn't depend on x, so all that remains is that of x * x."""

from numba import njit

from benchmarks.problems.handwritten import FLAGS


@njit(**FLAGS)
def derivative(start):
    return start + start
