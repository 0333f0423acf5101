"""Small arrays whose elements are numbers in the lowered form: nothing is allocated, and the numbers stay right."""

import numpy as np
import pytest

from jitgrad import grad, jit
from tests.lowered import agree


def fall(w):
    """Two arrays that a `while` carries, and that change places with new ones."""
    position, velocity = np.array([0.0, 8.0]), np.array([0.75, 0.0])
    while position[1] > 0.0:
        pull = np.array([w[0], -1.0 / (1.0 + position[1])])
        position, velocity = position + 0.3 * velocity, velocity + 0.3 * pull
    return position[0] * velocity[1]


def turned(x):
    """An array that loops and a branch write to."""
    state = np.zeros(3)
    state[0] = x[0]
    for i in range(x.shape[0]):
        if x[i] > 0.0:
            state[1] += x[i] * state[0]
        else:
            state[0], state[2] = state[2] - x[i], state[0] * x[i]
    return state[0] * state[1] + np.sin(state[2])


def of_rows(x):
    """Cotangents of rows whose length isn't known, and of a slice of them that is at most three long."""
    total = 0.0
    for i in range(x.shape[0]):
        row = x[i]
        part = row[0:3]
        total += part[0] * row[1] + part[1] * part[1] * row[1]
    return total


def matrix(x):
    """A small matrix, by loops of known length."""
    m = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            m[i, j] = x[i] * x[j] + i
    total = 0.0
    for k in range(x.shape[0]):
        total += m[0, 0] * x[k] + m[1, 0] * m[0, 1]
    return total


def single(x):
    """An array of float32: what is computed from it is float32, too."""
    s = np.zeros(2, np.float32)
    for i in range(x.shape[0]):
        s[0] += np.float32(x[i] * x[i])
        s[1] = s[0] * s[1] + np.float32(x[i])
    return np.float64(s[0] - s[1])


def counted(x):
    """Integers, and a flag that chooses."""
    seen = np.zeros(2, np.int64)
    total = 0.0
    for i in range(x.shape[0]):
        k = 1 if x[i] > 0.0 else 0
        seen[1] += k
        total += x[i] * seen[1] + seen[0]
    return total


def chosen(x, k):
    """An index that is known at run time only: this stays in memory."""
    s = np.zeros(3)
    s[k] = x[0] * x[1]
    s[0] += x[1]
    return s[0] * s[1] + s[2] * s[2]


def returned(x):
    """What is a result stays in memory."""
    s = np.zeros(2)
    for i in range(x.shape[0]):
        s[0] += x[i]
        s[1] += s[0] * x[i]
    return s


X = np.array([0.7, -0.3, 1.1, 0.4])


def allocations(function, *args) -> int:
    return function.source(*args, form="numba").count("np.empty(")


@pytest.mark.parametrize("function", [fall, turned, matrix, counted])
def test_nothing_is_allocated(function):
    agree(function, (X,))
    assert allocations(jit(function), X) == 0


def test_rows_of_unknown_length():
    """The cotangent of a slice is no array, even where a row is shorter than the slice asks for; that of a row is."""
    for columns in (2, 3, 5):
        agree(of_rows, (np.random.default_rng(0).normal(size=(4, columns)),))
    assert allocations(grad(of_rows), np.ones((4, 5))) == 2  # x_bar and row_bar


def test_float32():
    x = X.astype(np.float32)
    assert jit(single)(x) == pytest.approx(single(x), rel=1e-6)
    assert allocations(jit(single), x) == 0


@pytest.mark.parametrize("k", [0, 2])
def test_index_known_at_run_time(k):
    agree(lambda x: chosen(x, k), (X,))
    assert jit(chosen)(X, np.int64(k)) == pytest.approx(chosen(X, k))
    assert allocations(jit(chosen), X, np.int64(k)) == 1


def test_results():
    agree(returned, (X,))
    assert allocations(jit(returned), X) == 1
    first, second = jit(returned)(X), jit(returned)(2 * X)
    assert not np.shares_memory(first, second)


def test_compiled():
    """The machine code, against differences."""
    for function, x in ((fall, np.array([0.4])), (turned, X), (matrix, X)):
        found = grad(function)(x)
        h = 1e-6
        for k in range(len(x)):
            step = h * np.eye(len(x))[k]
            assert found[k] == pytest.approx((function(x + step) - function(x - step)) / (2 * h), rel=1e-6, abs=1e-7)
