"""Geometric series that a loop keeps are computed four terms at a time, and rounded no worse than one by one."""

import re

import numpy as np
import pytest
from lowered import function_of, levels_agree

from jitgrad import grad, jit
from jitgrad.testing import check_grads


def polynomial(x, t):
    """The terms are what the gradient needs of the first loop."""
    value, power = 0.0, 1.0
    for j in range(x.size):
        value += x[j] * power
        power *= t
    return value * value


def discounted(x, t):
    value, weight, count = 0.0, t + 1.0, 0
    for j in range(x.size):
        value += x[j] * weight
        weight = 0.99 * weight
        count += 1
    return value * value * count


def rising(x, t):
    """The factor is another one in each iteration."""
    value, power = 0.0, 1.0
    for j in range(x.size):
        value += x[j] * power
        power *= t + j
    return value * value


def waiting(x, t):
    """Something else waits."""
    value, power, state = 0.0, 1.0, 0.5
    for j in range(x.size):
        value += x[j] * power
        power *= t
        state = np.sin(state * x[j])
    return value * value * state


def goes_on(x, t):
    """What the power is after the loop is asked for."""
    value, power = 0.0, 1.0
    for j in range(x.size):
        value += x[j] * power
        power *= t
    return value * value * power


def in_fours(function, *args):
    return re.search(r"\b4 \* ", function_of(grad(function), *args)[1]) is not None


def next_is_read(x, t):
    """What the power becomes is read in the same iteration."""
    kept, power, value = np.empty(x.size), 1.0, 0.0
    for j in range(x.size):
        kept[j] = power
        power = power * t
        value += x[j] * power
    return value * np.sum(kept)


def next_is_handed_on(x, t):
    kept, power, last, value = np.empty(x.size), 1.0, 0.0, 0.0
    for j in range(x.size):
        kept[j] = power
        power = power * t
        last = power
        value += x[j]
    return value * np.sum(kept) * last


@pytest.mark.parametrize("t", [0.7, -1.0, 0.0, -0.0, 1.0 / 3.0, 1e-90, -1e-76, 1e90, np.inf, np.nan])
def test_terms(t):
    assert in_fours(polynomial, np.ones(5), t)
    run, _ = function_of(grad(polynomial), np.ones(5), t)
    for n in (0, 1, 3, 4, 5, 8, 11):
        x = np.linspace(-1.0, 2.0, n)
        with np.errstate(all="ignore"):
            power = np.multiply.accumulate(np.array([1.0, *[t] * n]))[:n]
            wanted = 2.0 * np.sum(x * power) * power
            found = run(x.copy(), t)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("function", [polynomial, discounted])
def test_the_same_numbers(function):
    assert in_fours(function, np.ones(5), 0.5)
    for n in (0, 1, 7, 40):
        levels_agree(function, (0,), (np.cos(np.arange(n)), 0.9), rtol=1e-12)


@pytest.mark.parametrize("function", [rising, waiting, goes_on])
def test_what_stays(function):
    assert not in_fours(function, np.ones(5), 0.5)
    levels_agree(function, (0, 1), (np.cos(np.arange(9)), 0.9))


@pytest.mark.parametrize("function", [next_is_read, next_is_handed_on])
def test_the_next_term_is_asked_for(function):
    x = np.cos(np.arange(9))
    run, text = function_of(jit(function), x, 0.5)
    assert "4 * " not in text
    np.testing.assert_allclose(run(x, 0.5), function(x, 0.5))
    levels_agree(function, (0, 1), (x, 0.9))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_compiled(dtype):
    x, t = np.cos(np.arange(300)).astype(dtype), dtype(-0.97)
    exact = np.longdouble(t) ** np.arange(300)
    found = grad(polynomial)(x, t)
    assert found.dtype == dtype
    wanted = 2 * np.sum(x * exact) * exact
    np.testing.assert_allclose(found, wanted.astype(float), rtol=300 * np.finfo(dtype).eps)
    if dtype is np.float64:
        check_grads(polynomial, (x, 0.97))
