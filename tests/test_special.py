"""The error and gamma functions: values against mpmath's, derivatives against differences."""

import math

import mpmath
import numpy as np
import pytest
import scipy.special

from jitgrad import jit
from jitgrad.runtime.special import digamma_of, zeta_of
from jitgrad.testing import check_grads

POINTS = [1e-3, 0.5, 1.0, 3.3, 9.9, 50.0, 1e5, -0.5, -7.3]


@pytest.mark.parametrize("x", POINTS)
def test_digamma_and_zeta(x):
    assert abs(digamma_of(x) - mpmath.digamma(x)) <= 2e-14 * abs(mpmath.digamma(x))
    for s in (2.0, 3.0):
        exact = mpmath.polygamma(int(s) - 1, x) * (-1) ** int(s) / mpmath.factorial(int(s) - 1)
        assert abs(zeta_of(s, x) - exact) <= 2e-14 * abs(exact)


def test_poles():
    assert math.isnan(digamma_of(0.0))
    assert math.isnan(digamma_of(-3.0))


def of_arrays(x):
    return scipy.special.gammaln(x) * scipy.special.erf(x) + scipy.special.psi(x) + scipy.special.erfc(0.5 * x)


def of_numbers(x):
    total = 0.0
    for i in range(x.shape[0]):
        total += math.lgamma(x[i]) * math.erf(x[i]) + math.erfc(x[i])
    return total


@pytest.mark.parametrize("function", [of_arrays, of_numbers], ids=lambda f: f.__name__)
def test_in_functions(function):
    x = np.array([0.3, 2.5, 7.7, 30.0])
    np.testing.assert_allclose(jit(function)(x), function(x), rtol=1e-13)
    check_grads(function, (x,), order=2)


def test_float32():
    x = np.array([0.3, 2.5], np.float32)
    assert jit(of_arrays)(x).dtype == np.float32
