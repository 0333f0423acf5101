"""A number that is kept for each iteration of a loop is read where the iteration ended, and not computed again."""

import math

import numpy as np
import pytest

from jitgrad import checkpoint, grad
from jitgrad.testing import check_grads

X = np.array([0.3, 0.9, -0.4, 1.2, 0.5])


def recurrence(x):
    h = 0.5
    for i in range(x.size):
        h = math.tanh(0.7 * h + x[i])
    return h


def ended(x):
    """A `while` whose number of iterations is known when it has run: then it is run again, and keeps."""
    h, k = x[0] + 4.0, 0
    while h > 0.3 and k < x.size:
        h = math.tanh(h + x[k])
        k += 1
    return h * k


def nested(x):
    h = 0.5
    for i in range(x.size):
        for j in range(i):
            h = math.tanh(0.7 * h + x[i] * x[j])
        h = h * math.tanh(h)
    return h


def in_chunks(x):
    h = 0.5
    for i in checkpoint(range(x.size)):
        h = math.tanh(0.7 * h + x[i])
    return h


def of_two(x):
    """Each of two numbers is made of both, as they were; one is read in the body when it is new."""
    u, v, total = 0.4, 0.6, 0.0
    for i in range(x.size):
        u, v = math.tanh(u * v + x[i]), math.exp(-u * v)
        total += u * v
    return total * u


def array_form(function, *args):
    return grad(function).source(*args, form="numpy")


def test_it_is_not_computed_again():
    assert array_form(recurrence, X).count("np.tanh(") == 1
    assert array_form(ended, X).count("np.tanh(") == 2  # and in the second run
    assert array_form(of_two, X).count("np.tanh(") == 1
    assert array_form(of_two, X).count("np.exp(") == 1


def test_what_is_kept_is_one_number_an_iteration():
    assert [r.shape for r in grad(recurrence).residuals(X)] == [(5,)]
    assert [r.shape for r in grad(of_two).residuals(X)] == [(5,), (5,)]


@pytest.mark.parametrize("function", [ended, nested, in_chunks, of_two])
def test_gradient(function):
    check_grads(function, (X,), order=1)


def test_no_iterations():
    np.testing.assert_array_equal(grad(lambda x: recurrence(x) * 2.0)(np.empty(0)), np.empty(0))
