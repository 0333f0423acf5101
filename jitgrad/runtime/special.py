"""Special functions that NumPy lacks, on arrays, by plain Python: what the array form calls."""

from __future__ import annotations

import math

import numpy as np

# B(2k) / 2k for the series of digamma, and B(2k) / (2k)! for that of zeta.
DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
ZETA = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600)
FAR = 10.0  # from here on the series are exact to rounding


def digamma_of(x):
    """The derivative of log |gamma(x)|; NaN at 0, -1, -2, ..."""
    total = 0.0
    if x <= 0.0:
        if x == math.floor(x):
            return math.nan
        total = -math.pi / math.tan(math.pi * (x - math.floor(x)))  # reflected
        x = 1.0 - x
    while x < FAR:
        total -= 1.0 / x
        x += 1.0
    square = 1.0 / (x * x)
    power = square
    series = 0.0
    for c in DIGAMMA:
        series += c * power
        power *= square
    return total + math.log(x) - 0.5 / x - series


def zeta_of(s, x):
    """The sum of (x + k) ** -s over k = 0, 1, 2, ... for s > 1."""
    total = 0.0
    while x < FAR:
        total += x ** (-s)
        x += 1.0
    total += x ** (1.0 - s) / (s - 1.0) + 0.5 * x ** (-s)
    factor = s * x ** (-s - 1.0)
    k = 1.0
    for c in ZETA:
        total += c * factor
        factor *= (s + k) * (s + k + 1.0) / (x * x)
        k += 2.0
    return total


def _lgamma_of(x):
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(x)


def _on_arrays(function):
    """A function of floats on arrays, in the dtype of these; a number gives a NumPy number."""
    vectorised = np.vectorize(lambda *args: float(function(*map(float, args))), otypes=[np.float64])

    def on_arrays(*args):
        dtype = np.result_type(*args, np.float32 if getattr(args[-1], "dtype", None) == np.float32 else np.float64)
        return vectorised(*args).astype(dtype)[()]

    return on_arrays


erf, erfc = _on_arrays(math.erf), _on_arrays(math.erfc)
lgamma, digamma, zeta = _on_arrays(_lgamma_of), _on_arrays(digamma_of), _on_arrays(zeta_of)
