"""Loops of the lowered program that follow each other, as one; what goes through memory meanwhile needn't."""

import numpy as np
import pytest
from lowered import agree

from jitgrad import grad, jit

RNG = np.random.default_rng(6)


def loops(function, *args):
    return jit(function).source(*args, form="numba").count("for ")


def several_results(x, y):
    return x * y, np.sin(x) - y, np.exp(x) * np.exp(x) + np.tanh(y)


def through_memory(x, y):
    a = np.sin(x) * y
    b = np.cos(a) + a
    return np.sum(a * b), np.sum(b)


def shifted(x, y):
    """The second reads what the first has not written yet, or has written already."""
    a = np.sin(x)
    b = a[1:] * y[:-1]
    c = np.cumsum(b)
    return c, a


def backwards(x, y):
    a = x * 2
    a[:] = a[::-1] + y
    a[1:] = a[:-1] * y[1:]
    return a


def totals(x, y):
    """The second needs the sum that the first takes."""
    e = np.exp(x)
    return e / np.sum(e), np.sum(e) * y


def in_place(x, y):
    a = x.copy()
    a += y
    a *= a
    a[:2] -= 1.0
    return a, np.sum(a)


def matrices(x, y):
    m = np.outer(x, y)
    p = m * m
    q = p - m.T * 2.0
    return q, np.sum(p, axis=0), np.sum(q, axis=1)


def loops_of_the_user(x, y):
    a, b = np.empty(x.size), np.empty(x.size)
    for i in range(x.size):
        a[i] = x[i] * y[i]
    for i in range(x.size):
        b[i] = a[i] + (a[i - 1] if i > 0 else 0.0)
    for i in range(x.size):
        a[i] = b[x.size - 1 - i]
    return a, b


def with_something_between(x, y):
    """Sums with something in between that depends on the first; the third needs it."""
    a, b = np.empty(x.size), 0.0
    for i in range(x.size):
        a[i] = x[i] * y[i]
        b += x[i]
    c = np.tanh(b) + a[0]
    d = 0.0
    for i in range(x.size):
        d += y[i] * x[i] * x[i]
    e = 0.0
    for i in range(x.size):
        e += a[i] * c
    return b, c * d, e


def something_that_is_written(x, y):
    """What stands between reads what the second writes."""
    a, b = x.copy(), 0.0
    for i in range(x.size):
        b += a[i] * y[i]
    c = a[1] * b
    for i in range(x.size):
        a[i] = y[i] * 2.0
    return c, np.sum(a)


def evens_and_odds(x, y):
    """What stands between goes after both, and finds the even elements where the second has left them."""
    n = x.size
    a = np.zeros(2 * n + 1)
    for i in range(n):
        a[2 * i] = x[i] * x[i]
    c = a[0] * 3.0
    for i in range(n):
        a[2 * i + 1] = np.sin(y[i])
    return a, c


def stored_between(x, y):
    """What stands between may not go before the first, which reads the array, though not that element."""
    n = x.size
    b = np.zeros(n + 2) + x[0]
    s = t = 0.0
    for i in range(n):
        s += b[i + 1] * x[i]
    b[0] = 5.0 * x[0]
    for i in range(n):
        t += b[i] * y[i] * x[i]
    return s * t, b[0]


FUNCTIONS = [
    several_results, through_memory, shifted, backwards, totals, in_place, matrices, loops_of_the_user,
    with_something_between, something_that_is_written, evens_and_odds, stored_between,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_same_numbers(function):
    x, y = RNG.normal(size=6), RNG.normal(size=6)
    agree(function, (x, y))


def test_one_loop_for_several_results():
    x, y = np.ones(3), np.ones(3)
    assert loops(several_results, x, y) == 1


def test_what_stands_between_goes_after_both():
    text = jit(with_something_between).source(np.ones(3), np.ones(3), form="numba")
    assert text.count("for i in range(x_n):") == 2


def test_no_memory_for_what_is_read_at_once():
    x, y = np.ones(3), np.ones(3)
    text = jit(through_memory).source(x, y, form="numba")
    assert "np.empty" not in text
    assert text.count("for ") == 1


def test_gradient_of_a_chain_is_one_loop():
    text = grad(lambda x, y: np.sum(np.sin(x * y) * np.exp(x)), argnums=(0, 1)).source(
        np.ones(3), np.ones(3), form="numba"
    )
    assert text.count("for ") == 1
