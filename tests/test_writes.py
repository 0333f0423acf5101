"""Writes to views, writes over writes, and additions to an element in the user's order of the sum."""

import numpy as np
import pytest

from jitgrad import grad, jit
from jitgrad.testing import check_grads


def array_form(function, *args):
    """The optimised program as text."""
    program = jit(function)
    program(*args)
    return program.source(*args, form="numpy")


def accumulate(x, v, n):
    out = x.copy()
    for i in range(n):
        out[i] = out[i] + v[i] * v[i]
    return out


def subtract_row(x, v, n):
    out = x.copy()
    for i in range(n):
        out[i] = out[i] - v[i] - v[i] * x[0]
    return out


def add_twice(x, v, n):
    out = x.copy()
    for i in range(n):
        out[i] += v[i]
        out[i] += v[i] * v[i]
    return out


def from_the_right(x, v, n):
    out = x.copy()
    for i in range(n):
        out[i] = v[i] * 3 + out[i]
    return out


def read_again(x, v, n):
    """The sum is used beside the write, too."""
    out = x.copy()
    total = 0.0
    for i in range(n):
        out[i] += v[i]
        total += out[i] ** 2
    return out * total


def other_element(x, v, n):
    out = x.copy()
    for i in range(1, n):
        out[i] = out[i - 1] + v[i]
    return out


def rows(x, v, n):
    out = np.outer(x, v)
    for i in range(n):
        out[i] += v * x[i]
        out[:, i] -= x
    return out


def twice_its_own(x, v, n):
    out = x.copy()
    for i in range(n):
        out[i] = out[i] + out[i]
    return out


def written_over(x, v, n):
    out = x.copy()
    for i in range(n):
        out[i] = v[i] * x[i]
        out[i] = v[i] + x[i]
    return out


def through_a_view(x, v, n):
    out = np.zeros((n, n, 2))
    for i in range(n):
        part = out[i, 1:]
        for j in range(n - 1):
            part[j, 0] = x[j] * v[i]
            part[j, 1] += x[i]
            part[j] += v[j]
        part[-1][0] = part[0, 0] * x[0]
    return out


FUNCTIONS = [
    accumulate, subtract_row, add_twice, from_the_right, read_again, other_element, rows, twice_its_own, written_over,
    through_a_view,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_derivatives(function):
    rng = np.random.default_rng(3)
    x, v = rng.normal(size=5), rng.normal(size=5)
    np.testing.assert_allclose(jit(function)(x, v, 5), function(x, v, 5), rtol=1e-15)
    check_grads(lambda x, v: function(x, v, 5), (x, v), order=2 if function is add_twice else 1)


@pytest.mark.parametrize("function", [accumulate, add_twice, from_the_right], ids=lambda f: f.__name__)
def test_the_reverse_of_an_addition_clears_nothing(function):
    x, v = np.ones(3), np.ones(3)
    text = grad(lambda x, v, n: np.sum(function(x, v, n))).source(x, v, 3)
    assert "] = 0" not in text


def test_duplicates_in_an_index_array_are_no_additions():
    def f(x, v):
        out = x.copy()
        i = np.array([0, 0, 1])
        out[i] = out[i] + v
        return out

    x, v = np.zeros(2), np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(jit(f)(x, v), f(x, v))


def test_float32_sums_of_float64_round_once():
    def f(x, v):
        out = x.copy()
        for i in range(x.size):
            out[i] = out[i] + v[i]
        return out

    x, v = np.float32([1e8, 1, 3e-8]), np.array([1.5, 1e-9, 1e-15])
    np.testing.assert_array_equal(jit(f)(x, v), f(x, v))


def test_what_is_written_over_goes():
    x, v = np.ones(3), np.ones(3)
    assert array_form(written_over, x, v, 3).count("        out[i] = ") == 1


def product_into(a, b, out):
    for i in range(3):
        for j in range(3):
            total = 0.0
            for k in range(3):
                total += a[i, k] * b[k, j]
            out[i, j] = total


def test_a_write_to_a_view_copies_nothing():
    def f(a, n):
        powers = np.zeros((n, 3, 3))
        powers[0] = a
        for i in range(1, n):
            product_into(powers[i - 1], a, powers[i])
        return powers

    a = np.arange(9.0).reshape(3, 3) / 9
    text = array_form(f, a, 4)
    assert ".copy()" not in text
    assert "np.array(" not in text
    np.testing.assert_allclose(jit(f)(a, 4), f(a, 4))
