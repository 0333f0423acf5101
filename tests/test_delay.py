"""Reversed stencils: additions to neighbours that wait, for all offsets, directions and numbers of iterations."""

import numpy as np
import pytest
from lowered import agree

from jitgrad import grad

RNG = np.random.default_rng(3)


def three_points(u, c, steps):
    """Two buffers that change places."""
    u, v = u.copy(), u.copy()
    for _ in range(steps):
        for i in range(1, u.shape[0] - 1):
            v[i] = u[i] + c * np.sin(u[i - 1] - 2.0 * u[i] + u[i + 1])
        u, v = v, u
    return u


def five_points(u, c, steps):
    out = np.zeros_like(u)
    for i in range(2, u.shape[0] - 2):
        out[i] = c * u[i] * u[i - 2] + u[i - 1] * u[i + 1] - u[i + 2] ** 2
    return out


def apart(u, c, steps):
    """With elements between the neighbours."""
    out = np.zeros_like(u)
    for i in range(3, u.shape[0]):
        out[i] = np.exp(c * u[i - 3]) * u[i]
    return out


def far_apart(u, c, steps):
    """Too far for additions to wait."""
    out = np.zeros_like(u)
    for i in range(9, u.shape[0]):
        out[i] = c * u[i - 9] * u[i]
    return out


def backwards(u, c, steps):
    """A loop that goes down, and one by two, which is left alone."""
    out = np.zeros_like(u)
    n = u.shape[0]
    for i in range(n - 2, 0, -1):
        out[i] = u[i - 1] * u[i + 1] + c * u[n - 1 - i] * u[n - i]
    for i in range(0, n - 1, 2):
        out[i] += u[i] * u[i + 1]
    return out


def under_conditions(u, c, steps):
    """Some additions depend on a branch, and some elements get more than one."""
    total = 0.0
    for i in range(1, u.shape[0]):
        if u[i] > u[i - 1]:
            total += u[i] * u[i - 1] + c * u[0]
        total += u[i - 1] * u[i - 1] * u[i] * u[0]
    return total


def in_place(u, c, steps):
    """The array that is written to is read as well."""
    u = u.copy()
    for _ in range(steps):
        for i in range(1, u.shape[0] - 1):
            u[i] = c * (u[i - 1] + u[i + 1]) - u[i] ** 2
    return u


def of_constant_length(u, c, steps):
    total = 0.0
    for i in range(1, 3):
        total += u[i - 1] * u[i] * c * u[i + 1]
    return total


@pytest.mark.parametrize("n", [4, 5, 12])
@pytest.mark.parametrize(
    "function",
    [three_points, five_points, apart, far_apart, backwards, under_conditions, in_place, of_constant_length],
)
def test_of_vectors(function, n):
    agree(function, (RNG.normal(size=n), 0.3, 3))


def plane(u, c):
    """Neighbours in rows and columns, and a sum beside it."""
    out = u.copy()
    total = 0.0
    for i in range(1, u.shape[0] - 1):
        for j in range(1, u.shape[1] - 1):
            out[i, j] = u[i - 1, j] * u[i, j - 1] + u[i + 1, j] * c * u[i, j + 1] - u[i, j] * u[i - 1, j + 1]
            total += u[i, j - 1] * u[i, j]
    return out * total


def columns(u, c):
    """Along the first axis."""
    out = np.zeros_like(u)
    for j in range(u.shape[1]):
        for i in range(1, u.shape[0]):
            out[i, j] = u[i, j] * u[i - 1, j] + c * u[i, j]
    return out


@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (6, 7)])
@pytest.mark.parametrize("function", [plane, columns])
def test_of_matrices(function, shape):
    agree(function, (RNG.normal(size=shape), 0.3))


def squares(u, c, steps):
    return np.sum(three_points(u, c, steps) ** 2)


def test_machine_code_waits():
    u = RNG.normal(size=50)
    derived = grad(squares)
    assert "waits" in derived.source(u, 0.2, 3, form="numba")
    assert "waits" not in derived.source(u, 0.2, 3)
    along = RNG.normal(size=50)
    plus, minus = (squares(u + h * along, 0.2, 3) for h in (1e-6, -1e-6))
    np.testing.assert_allclose(derived(u, 0.2, 3) @ along, (plus - minus) / 2e-6, rtol=1e-6)


def test_of_single_precision():
    u = RNG.normal(size=9).astype(np.float32)
    found = grad(squares)(u, np.float32(0.2), 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, grad(squares)(u.astype(np.float64), 0.2, 2), rtol=2e-4, atol=2e-4)
