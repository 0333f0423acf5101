"""The gradient of lse: the exponentials stay in the array of the result until their sum is known."""

import math

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import SUMS
from jitgrad.runtime.vecmath import KERNELS

exp = KERNELS["exp"]


@njit(error_model="numpy", fastmath={"nnan", "nsz"})
def largest(x):
    """The largest number of x; flags that let it be vectorised don't allow for NaN."""
    result = x[0]
    for i in range(1, x.size):
        result = x[i] if x[i] > result else result
    return result


@njit(**SUMS)
def exponentials(x, shift, out):
    """exp(x - shift), and the sum."""
    total = 0.0
    for i in range(x.size):
        e = exp(x[i] - shift)
        out[i] = e
        total += e
    return total


@njit
def derivative(x):
    out = np.empty_like(x)
    shift = largest(x)
    if not math.isfinite(shift):
        out[:] = np.nan
        return out
    scale = 1.0 / exponentials(x, shift, out)
    for i in range(x.size):
        out[i] *= scale
    return out
