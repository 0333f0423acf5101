"""Sums that loops carry: which are taken in any order, and that compensated ones are left as they are written."""

import math
import re

import numpy as np
import pytest

from jitgrad import jit, value_and_grad
from jitgrad.testing import check_grads


def squares(x):
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] * x[i]
    return total


def less(x):
    total = 1.0
    for i in range(x.shape[0]):
        total -= x[i]
        total = 2.0 * x[i] + total
    return total


def positive(x):
    total = 0.0
    for i in range(x.shape[0]):
        if x[i] > 0:
            total += x[i]
    return total


def hinge(x):
    up, down = 1.0, 0.0
    for i in range(x.shape[0]):
        margin = 1.0 - x[i]
        if margin > 0:
            up += 1.0
            up += margin
            if x[i] > 0:
                up -= 0.5 * x[i]
                down += 1.0
        else:
            down += margin
    return up * down


def rows(x):
    total = 0.0
    for i in range(x.shape[0]):
        for j in range(i):
            total += x[i] * x[j]
    return total


def watched(x):
    total = 0.0
    most = 0.0
    for i in range(x.shape[0]):
        total += x[i]
        if total > most:
            most = total
    return most


def kept(x):
    total = 0.0
    out = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        total += x[i]
        out[i] = total
    return out


def fading(x):
    total = 0.0
    for i in range(x.shape[0]):
        total = 0.5 * total + x[i]
    return total


def reset(x):
    total = 0.0
    for i in range(x.shape[0]):
        if x[i] > 1.0:
            total = 0.0
        else:
            total += x[i]
    return total


def kahan(x):
    total, lost = 0.0, 0.0
    for i in range(x.shape[0]):
        part = x[i] - lost
        new = total + part
        lost = (new - total) - part
        total = new
    return total


def neumaier(x):
    total, lost = 0.0, 0.0
    for i in range(x.shape[0]):
        new = total + x[i]
        if abs(total) >= abs(x[i]):
            lost += (total - new) + x[i]
        else:
            lost += (x[i] - new) + total
        total = new
    return total + lost


def polynomial(x):
    total, power = 0.0, 1.0
    for i in range(x.shape[0]):
        total += x[i] * power
        power *= 0.9
    return total


def neighbours(x):
    total, last = 0.0, 0.0
    for i in range(x.shape[0]):
        total += x[i] * last
        last = x[i]
    return total


def beside_a_maximum(x):
    total, most = 0.0, 0.0
    for i in range(x.shape[0]):
        total += x[i]
        most = np.maximum(most, x[i])
    return total * most


def powers_of_sums(x):
    total, power = 0.0, 1.0
    for _ in range(x.shape[0]):
        for j in range(x.shape[0]):
            total += x[j] * power
        power *= 0.9
    return total


def steps(function, x, kind="(?:sum|serial)_step"):
    """How many additions of the compiled program are taken for the steps of sums."""
    return len(re.findall(rf"{kind}\(", jit(function).source(x, form="numba")))


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (polynomial, "serial_step"),
        (neighbours, "sum_step"),
        (beside_a_maximum, "sum_step"),
        (powers_of_sums, "sum_step"),
    ],
)
def test_sums_beside_what_waits_for_itself(function, kind):
    x = np.random.default_rng(0).normal(size=37)
    assert steps(function, x) == steps(function, x, kind) == 1
    assert jit(function)(x) == pytest.approx(function(x), rel=1e-13)
    check_grads(function, (x,), order=1)


@pytest.mark.parametrize(("function", "count"), [(squares, 1), (less, 2), (positive, 1), (hinge, 4), (rows, 1)])
def test_sums(function, count):
    x = np.random.default_rng(0).normal(size=37)
    assert jit(function)(x) == pytest.approx(function(x), rel=1e-13)
    assert steps(function, x) == count
    check_grads(function, (x,), order=1)


@pytest.mark.parametrize(("function", "count"), [(watched, 0), (kept, 0), (fading, 0), (reset, 0)])
def test_what_is_read_keeps_its_order(function, count):
    x = np.random.default_rng(0).normal(size=37)
    assert steps(function, x) == count
    np.testing.assert_allclose(jit(function)(x), function(x), rtol=1e-15)


@pytest.mark.parametrize(("function", "count"), [(kahan, 0), (neumaier, 2)])
def test_compensated_sums_are_compensated(function, count):
    x = np.random.default_rng(0).normal(size=10_000) * 10.0 ** np.random.default_rng(1).integers(-8, 8, 10_000)
    assert steps(function, x) == count
    exact = math.fsum(x)
    assert abs(jit(function)(x) - exact) <= 2 * np.spacing(abs(exact))
    assert abs(value_and_grad(function)(x)[0] - exact) <= 2 * np.spacing(abs(exact))


def test_single_precision():
    x = np.linspace(0, 1, 33, dtype=np.float32)

    def total(x):
        s = np.float32(0)
        for i in range(x.shape[0]):
            s += x[i]
        return s

    assert steps(total, x) == 1
    assert jit(total)(x).dtype == np.float32
    assert jit(total)(x) == pytest.approx(16.5, rel=1e-6)


def into_rows(x):
    sums = np.zeros(x.size)
    for i in range(x.size):
        for j in range(x.size):
            sums[i] += x[i] * x[j]
        for j in range(i):
            sums[i] = 1.0 - x[j] + sums[i]
    return sums


def into_columns(x):
    sums = np.zeros(x.size)
    for i in range(x.size):
        for j in range(x.size):
            sums[j] += x[i] * x[j]
    return sums


def kahan_in_an_array(x):
    state = np.zeros(2)
    for i in range(x.size):
        y = x[i] - state[1]
        t = state[0] + y
        state[1] = (t - state[0]) - y
        state[0] = t
    return state


def two_elements(x):
    sums = np.zeros(2)
    for i in range(x.size):
        sums[0] += x[i]
        sums[1] += sums[0] * x[i]
    return sums


@pytest.mark.parametrize(
    ("function", "count"), [(into_rows, 2), (into_columns, 0), (kahan_in_an_array, 0), (two_elements, 0)]
)
def test_sums_in_an_element(function, count):
    x = np.linspace(0.1, 1.1, 9)
    assert steps(function, x) == count
    assert np.allclose(jit(function)(x), function(x), rtol=1e-14)


def decay(x):
    h = 0.5
    for i in range(x.shape[0]):
        h = np.exp(-h * x[i]) ** 1.5
    return h


def softened(x):
    total = 0.0
    for i in range(x.shape[0]):
        if x[i] > 0:
            total += np.exp(x[i]) ** 1.5
    return np.log(total)


def test_single_numbers_get_functions_of_the_library():
    x = np.random.default_rng(0).uniform(0.1, 1, size=37)
    for dtype in (np.float64, np.float32):
        waiting, lanes = (jit(f).source(x.astype(dtype), form="numba") for f in (decay, softened))
        assert re.search(r"np\.exp\(.*\) \*\* ", waiting)
        assert "power(exp(" in lanes
        assert "np.log(" in lanes
        for function in (decay, softened):
            assert jit(function)(x.astype(dtype)) == pytest.approx(function(x), rel=10 * float(np.finfo(dtype).eps))
    check_grads(decay, (x,), order=1)


def of_constants(x):
    return (
        x[0] * np.prod(np.full(x.size, 3.0)) + np.sum(np.ones(x.size)) + np.mean(np.full((x.size, 2), 0.5), axis=0)[1]
    )


@pytest.mark.parametrize("count", [1, 2])
def test_sums_of_numbers_that_are_known(count):
    """Of one element there is no loop."""
    x = np.full(count, 0.3)
    value, slope = value_and_grad(of_constants)(x)
    np.testing.assert_allclose(value, of_constants(x))
    assert jit(of_constants)(x) == value
    np.testing.assert_allclose(slope, [3.0**count, 0.0][:count])
