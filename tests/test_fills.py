"""Zeros that are stored on the way or not at all, and arrays that take the memory of those they are computed from.

The lowered form runs in memory that is full of NaNs when it is new, so what is read before it is written shows.
"""

import re

import numpy as np
import pytest
from lowered import function_of

from jitgrad import grad, jit

X = np.array([0.3, 0.9, -0.4, 1.2, 0.5])
A = np.linspace(-1, 1, 12).reshape(3, 4)


def each_element_once(x):
    total = 0.0
    for i in range(x.size):
        total += np.sin(x[i])
    return np.log(3.0 + total)


def twice(x):
    total = 0.0
    for i in range(x.size):
        total += x[i] * x[i] + np.exp(x[i])
    return total


def some_elements(x):
    total = 0.0
    for i in range(x.size):
        if x[i] > 0.4:
            total += x[i] ** 3
    return total


def last_is_left_out(x):
    total = 0.0
    for i in range(x.size - 1):
        total += x[i] ** 3
    return total


def neighbours(x):
    total = 0.0
    for i in range(x.size - 1):
        total += x[i] * x[i + 1]
    return total


def other_end(x):
    total = 0.0
    for i in range(x.size):
        total += x[i] * x[x.size - 1 - i] ** 2
    return total


def rows(a):
    total = 0.0
    for i in range(a.shape[0]):
        s = 0.0
        for j in range(a.shape[1]):
            s += a[i, j] * a[i, j]
        total += np.sqrt(s + 1)
    return total


def columns(a):
    total = 0.0
    for j in range(a.shape[1]):
        s = 1.0
        for i in range(a.shape[0]):
            s *= np.cos(a[i, j]) + 1.5
        total += s
    return total


def row_and_the_next(a):
    total = 0.0
    for i in range(a.shape[0] - 1):
        for j in range(a.shape[1]):
            total += a[i, j] * a[i + 1, j]
    return total


def backward(x):
    y = 1.0
    for i in range(x.size):
        y = np.sin(y * x[i])
    return y


def added_up_by_rows(a):
    sums = np.zeros(a.shape[0])
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            sums[i] += a[i, j] ** 2
    return np.sum(sums**2)


def gathered(x):
    total = 0.0
    for i in range(x.size):
        total += x[i * i % 3] * x[i]
    return total


def index_is_checked(x):
    y = x.copy()
    for i in range(x.size):
        y[1] = y[i % 4]
    return y[0] + y[1] ** 2


ALL = [
    each_element_once, twice, some_elements, last_is_left_out, neighbours, other_end, rows, columns, row_and_the_next,
    backward, added_up_by_rows, gathered,
]  # fmt: skip
STORED_AT_ONCE = [each_element_once, twice, some_elements, rows, backward, added_up_by_rows]


def argument(f):
    return A if f.__code__.co_varnames[0] == "a" else X


@pytest.mark.parametrize("f", ALL)
def test_gradient(f):
    x = argument(f)
    gradient, source = function_of(grad(f), x)
    steps = 1e-6 * np.eye(x.size).reshape(-1, *x.shape)
    want = [(f(x + d) - f(x - d)) / 2e-6 for d in steps]
    assert np.allclose(np.ravel(gradient(x)), want, rtol=1e-6, atol=1e-8)
    assert bool(re.search(r"[xa]_bar\w*\[.*\] = 0\.0|clear\([xa]_bar", source)) == (f not in STORED_AT_ONCE)


def test_a_check_in_a_loop_that_fills():
    gradient, _ = function_of(grad(index_is_checked), X)
    want = [(index_is_checked(X + d) - index_is_checked(X - d)) / 2e-6 for d in 1e-6 * np.eye(X.size)]
    assert np.allclose(gradient(X), want, rtol=1e-6)


@pytest.mark.parametrize("f", [rows, columns, gathered])
def test_compiled(f):
    x = argument(f)
    assert np.allclose(grad(f)(x), function_of(grad(f), x)[0](x), rtol=1e-14)


def doubled_and_squared(x):
    y = np.exp(x)
    for i in range(x.size):
        y[i] = y[i] + x[i]
    return y * y + 1.0


def read_afterwards(x):
    y = np.exp(x)
    for i in range(x.size):
        y[i] = y[i] + x[i]
    return y * y + 1.0, y[0]


def both_given(x):
    y = np.exp(x)
    for i in range(x.size):
        y[i] = y[i] + x[i]
    return y * y + 1.0, y


def turned_round(x):
    y = np.exp(x)
    for i in range(x.size):
        y[i] = y[i] + x[i]
    return y[::-1] * y


def of_the_argument(x):
    return x * x + 1.0


def squares_of_rows(a):
    y = np.exp(a)
    for i in range(a.shape[0]):
        y[i, 0] = a[i, 1]
    return y * np.sum(y, axis=1, keepdims=True)


def copied_and_overwritten(x):
    total, y = 0.0, np.zeros(x.size)
    for k in range(3):
        for i in range(x.size):
            y[i] = x[i] * k
        z = y.copy()
        for i in range(x.size):
            z[i] = x[i] + y[i]
        for i in range(x.size):
            total += z[i] * y[x.size - 1 - i]
    return np.array([total])


def copied_and_cleared_and_filled(x):
    y = x * 2.0
    z = y.copy()
    for i in range(x.size):
        z[i] = 0.0
    for i in range(x.size):
        z[i] = z[i] + y[i] * x[i]
    return z - y


def copied_and_partly_cleared(a):
    y = a * 2.0
    z = y.copy()
    for i in range(a.shape[0]):
        z[i, 1] = 0.0
    for i in range(a.shape[0]):
        z[i, 1] = z[i, 1] + y[i, 0]
    return z - y


def copied_and_source_changed(x):
    y = x * 2.0
    z = y.copy()
    y[0] = 7.0
    for i in range(x.size):
        z[i] = z[i] + y[i]
    return z - y


def copied_and_source_changed_on_the_way(x):
    y = x * 2.0
    z = y.copy()
    for i in range(x.size):
        y[x.size - 1 - i] = 1.0
        z[i] = z[i] + x[i]
    return z - y[0]


def carried_on(x):
    s = np.zeros(x.size)
    for j in range(x.size):
        s = s * 0.5 + x * j
    return s


def carried_on_and_read_before(x):
    s, total = np.zeros(x.size), np.zeros(x.size)
    for j in range(x.size):
        old = s
        s = s[::-1] * 0.5 + x * j
        total = total + old * s
    return total


def begun_with_what_is_read_later(x):
    start = np.exp(x)
    s = start
    for j in range(x.size):
        s = s * 0.5 + x * j
    return s * start[0] + start


def changing_places(x):
    u, v = np.exp(x), np.sin(x)
    for _ in range(x.size):
        u, v = v, u + v * x[0]
    return u - v * x


def one_or_the_other(x):
    u, v = np.exp(x), np.sin(x)
    for i in range(x.size):
        v = u if x[i] > 0.4 else v
        u = u * 0.5 + v * x[i]
    return u - v


def within_a_loop(x):
    total = 0.0
    for i in range(x.size):
        s = x * i
        for j in range(3 + i):
            s = s * x[i] + x * j
        total += s[0] * s[1]
    return np.array([total])


@pytest.mark.parametrize(
    ("f", "allocations"),
    [(doubled_and_squared, 1), (read_afterwards, 2), (both_given, 2), (turned_round, 2), (of_the_argument, 1),
     (squares_of_rows, 2), (copied_and_overwritten, 5), (copied_and_source_changed, 2),
     (copied_and_cleared_and_filled, 1), (copied_and_partly_cleared, 3),
     (copied_and_source_changed_on_the_way, 2), (carried_on, 1), (carried_on_and_read_before, 3),
     (begun_with_what_is_read_later, 3), (changing_places, 3), (one_or_the_other, 4), (within_a_loop, 2)],
)  # fmt: skip
def test_takes_the_memory(f, allocations):
    x = argument(f).copy()
    function, source = function_of(jit(f), x)
    found, want = function(x), f(x)
    for a, b in zip(found, want, strict=True) if isinstance(found, tuple) else [(found, want)]:
        assert np.allclose(a, b, rtol=1e-13)
    assert source.count("np.empty") == allocations
    assert np.array_equal(x, argument(f))


@pytest.mark.parametrize("f", [changing_places, within_a_loop])
def test_takes_the_memory_compiled(f):
    assert np.allclose(jit(f)(X), f(X), rtol=1e-13)
