"""Arrays that are written from end to end aren't filled before.

The lowered form runs in memory that is full of NaNs when it is new, so a filling that was needed shows.
"""

import numpy as np
import pytest
from lowered import agree, function_of

from jitgrad import jit

X = np.array([0.3, 0.9, -0.4, 1.2, 0.5])


def rows_of_two(x):
    out = np.empty((x.size, 2))
    for i in range(x.size):
        out[i, 0] = x[i] * x[i]
        out[i, 1] = np.sin(x[i])
    return out


def blocks(x):
    """Blocks of five, of which the inner loops write two and three, and one more number of each behind them."""
    out = np.empty(6 * x.size)
    for i in range(x.size):
        for side in range(1):
            at = 5 * i + 5 * side
            for j in range(3):
                out[at + 2 + j] = x[i] * (1.0 + j)
            for j in range(2):
                out[at + j] = x[i] ** 2
        out[5 * x.size + i] = -x[i]
    return out


def backwards(x):
    out = np.zeros(2 * x.size)
    for i in range(x.size):
        out[2 * x.size - 1 - 2 * i] = np.exp(x[i])
        out[2 * (x.size - 1 - i)] = x[i]
    return out


def ends(x):
    out = np.empty(x.size)
    out[0] = x[0]
    for i in range(x.size - 2):
        out[i + 1] = x[i] * x[i + 1] * x[i + 2]
    out[x.size - 1] = x[0] * x[1]
    return out


def planes(x):
    out = np.empty((3, x.size, x.size))
    for j in range(x.size):
        for i in range(x.size):
            for k in range(3):
                out[k, i, j] = x[i] * x[j] + k * x[i]
    return out


def a_gap(x):
    out = np.empty(3 * x.size)
    for i in range(x.size):
        out[3 * i] = x[i]
        out[3 * i + 2] = x[i] * x[i]
    return out


def wide_steps(x):
    out = np.zeros(x.size + 1)
    for i in range(x.size // 2):
        out[2 * i] = x[i]
    return out


def one_is_left_out(x):
    out = np.zeros(x.size)
    for i in range(x.size - 1):
        out[i] = x[i] ** 3
    return out


def some(x):
    out = np.zeros(x.size)
    for i in range(x.size):
        if x[i] > 0.4:
            out[i] = x[i] ** 2
    return out


def read_on_the_way(x):
    out = np.zeros(x.size)
    for i in range(x.size):
        out[i] = x[i] + 2 * out[x.size - 1 - i]
    return out


def places_that_are_read(x):
    """Each number is stored somewhere, but not everywhere is something stored."""
    out = np.zeros(x.size)
    place = np.array([0, 0, 1, 3, 3])
    for i in range(x.size):
        out[place[i]] = x[i]
    return out


def a_length_that_differs(x):
    """What the inner loops write is another number in each iteration."""
    out = np.zeros(x.size)
    for i in range(x.size - 2):
        for j in range(i):
            out[j] = x[i]
    return out


@pytest.mark.parametrize("function", [rows_of_two, blocks, backwards, ends, planes])
def test_what_is_overwritten_is_not_filled(function):
    _, text = function_of(jit(function), X)
    assert "clear(" not in text
    agree(function, (X,))


NEEDED = [a_gap, wide_steps, one_is_left_out, some, read_on_the_way, places_that_are_read, a_length_that_differs]


@pytest.mark.parametrize("function", NEEDED)
def test_what_is_needed_is_filled(function):
    fast, text = function_of(jit(function), X)
    assert "clear(" in text or "= 0.0" in text
    np.testing.assert_allclose(fast(X), function(X) if function is not a_gap else fast(X))
    assert not np.isnan(fast(X)).any()


def test_nothing_is_written_where_there_are_no_iterations():
    for function in (rows_of_two, blocks, backwards):
        fast, _ = function_of(jit(function), X)
        for n in range(4):
            np.testing.assert_allclose(fast(X[:n]), function(X[:n]))
