"""Writes through views: only the elements that are written move, wherever the view was taken."""

import numpy as np
import pytest

from jitgrad import grad, jit

X = np.arange(12.0).reshape(3, 4) / 7 + 0.5


def rows(x):
    a = np.zeros_like(x)
    for i in range(x.shape[0]):
        row = a[i]
        for j in range(x.shape[1]):
            row[j] = x[i, j] * x[i, j]
        row[0] = 3.0 * x[i, 1]
        row[1] += row[0] * row[2]
    return a


def views_of_views(x):
    a = np.zeros((2, *x.shape, 5))
    for i in range(x.shape[0]):
        part = a[1, i][1:]
        inner = part[::-1, 1:4]
        for j in range(2):
            inner[j, j + 1] = x[i, j] * x[j, i]
            part[j, -1] -= inner[j, j + 1]
        inner[-1] = x[i, :3]
        inner[0, ::2] = inner[-1, :2] + part[1, 3]
    return a


def two_views_of_one(x):
    a = x.copy()
    up, down = a[:-1], a[1:]
    for i in range(2):
        down[i, 0] = up[i, 0] * up[i, 1]
        up[i, 1] = down[i, 0] + down[i, 1]
        down[i] *= up[i]
    return a


def passed_on(x):
    def double(source, out):
        for j in range(source.shape[0]):
            out[j] = 2.0 * source[j] * source[j - 1]

    a = np.ones_like(x)
    for i in range(1, x.shape[0]):
        if x[i, 0] > 0.7:
            double(x[i], a[i])
        else:
            double(a[i - 1], a[i])
    return a


def rows_with_new_axes_and_masks(x):
    a = x.copy()
    row = a[1]
    row[row > 1.2] = 0.5
    row[None, :2] = x[:1, :2] * 3.0
    row[np.array([3, 2])] += x[0, :2]
    column = a[:, None, 2]
    column[1, 0] = x[0, 0] ** 2
    return a


FUNCTIONS = (rows, views_of_views, two_views_of_one, passed_on, rows_with_new_axes_and_masks)


def all_of_them(x):
    """One program, for time's sake."""
    return tuple(function(x) for function in FUNCTIONS)


def test_as_numpy_has_it():
    for got, wanted in zip(jit(all_of_them)(X.copy()), all_of_them(X.copy()), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-14)


def total(x):
    return sum(np.sum(np.cos(a)) for a in all_of_them(x))


def test_gradient():
    gradient = grad(total)(X)
    for index in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[index] = 1e-6
        slope = (total(X + step) - total(X - step)) / 2e-6
        assert gradient[index] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def loops(source):
    return sum(line.strip().startswith("for ") for line in source.splitlines())


def test_no_row_is_read_and_written_back():
    source = jit(rows).source(X, form="numba")
    assert source.count("np.empty") == 1
    assert loops(source) == 2  # the function's own


def test_the_gradient_is_as_long_for_a_view_as_for_the_array():
    def direct(x):
        a = np.zeros_like(x)
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                a[i, j] = x[i, j] * x[i, j]
        return np.sum(a * a)

    def by_row(x):
        a = np.zeros_like(x)
        for i in range(x.shape[0]):
            row = a[i]
            for j in range(x.shape[1]):
                row[j] = x[i, j] * x[i, j]
        return np.sum(a * a)

    assert len({loops(grad(f).source(X, form="numba")) for f in (direct, by_row)}) == 1


def swapped(x):
    y = x * 1
    a, b = y[:1], y[4:]
    a[:], b[:] = b.copy(), a.copy()
    return y * x


def filled(x):
    y = x * 1
    a, b = y[: x.shape[0] - 4], y[:3]
    a[:] = x[4:] ** 2
    b[1:] = 3.0 * x[:2]
    return y * x


@pytest.mark.parametrize("function", [swapped, filled], ids=lambda f: f.__name__)
def test_all_of_a_part(function):
    """The array form says of which part it writes all."""
    x = np.arange(1.0, 6.0)
    f = grad(function)
    space = {}
    exec(f.source(x), space)
    wanted = [np.sum(function(x + e) - function(x - e)) / 2e-6 for e in 1e-6 * np.eye(5)]
    np.testing.assert_allclose(space[f"{function.__name__}_grad"](x), wanted, rtol=1e-8)
    np.testing.assert_allclose(f(x), wanted, rtol=1e-8)
