"""The logarithm of the gamma function and its derivatives, for compiled code; `special` has them for the array form.

Recurrences carry the argument up to where an asymptotic series ends in rounding (Abramowitz & Stegun, Handbook of
Mathematical Functions, 1964, 6.3.18 and 23.2.9).
"""

from __future__ import annotations

import math

from numba import njit

from jitgrad.runtime.special import digamma_of, zeta_of

_OPTIONS = {"cache": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

digamma = njit(**_OPTIONS)(digamma_of)
zeta = njit(**_OPTIONS)(zeta_of)


@njit(**_OPTIONS)
def lgamma(x):
    """log |gamma(x)|; infinite at 0, -1, -2, ... as in SciPy, where Python raises."""
    return math.lgamma(x)
