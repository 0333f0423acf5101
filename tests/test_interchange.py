"""Loops whose iterations are done at once: the same numbers, whatever they carry, read and write."""

import numpy as np
import pytest
from lowered import agree

from jitgrad import grad, jit, jvp
from jitgrad.api.transforms import Jitted
from jitgrad.testing.arrays import run_arrays

RNG = np.random.default_rng(5)
X, MU, L = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))


def triangle(x, mu, packed):
    """Scratch that each component overwrites, a counter in a triangle, rows, a sum."""
    n, d = x.shape
    centred, scaled, beta = np.empty(d), np.empty(d), np.empty(mu.shape[0])
    total = 0.0
    for i in range(n):
        for c in range(mu.shape[0]):
            for j in range(d):
                centred[j] = x[i, j] - mu[c, j]
                scaled[j] = np.exp(mu[c, j]) * centred[j]
            t = 0
            for j in range(d):
                for r in range(j + 1, d):
                    scaled[r] += packed[c, t] * centred[j]
                    t += 1
            square = 0.0
            for j in range(d):
                square += scaled[j] * scaled[j]
            beta[c] = 0.5 * square
            total += square * c
        for c in range(mu.shape[0]):
            total += np.sin(beta[c]) * beta[0]
    return total


def table(x, mu, packed):
    """A table of which each iteration fills a column, one that it reads from the end, and a branch all take alike."""
    n, k = x.shape[0], mu.shape[0]
    out = np.zeros((3, k))
    total = 0.0
    for i in range(n):
        for c in range(k):
            for j in range(3):
                for r in range(j):
                    out[j, c] += x[i, r] * packed[c, j]
                if x[i, j] > 0:
                    out[j, c] = out[j, c] * 0.5 + mu[c, j]
            total += out[2, c] * out[0, c]
    return total + np.sum(out)


def gathered(x, mu, packed):
    """Elements at places that differ from component to component."""
    n, k = x.shape[0], mu.shape[0]
    order = np.arange(k) * 2 % 3
    total = 0.0
    for i in range(n):
        for c in range(k):
            for j in range(3):
                for r in range(j + 1):
                    total += mu[c, order[c]] * x[i, r] + packed[k - 1 - c, j]
    return total


def dependent(x, mu, packed):
    """Each component goes on from the last: nothing to be done at once."""
    n, k = x.shape[0], mu.shape[0]
    beta = np.zeros(k + 1)
    for i in range(n):
        for c in range(k):
            for j in range(3):
                for r in range(j + 1):
                    beta[c + 1] += np.tanh(beta[c] + x[i, r] * mu[c, j] * packed[c, r])
    return np.sum(beta)


def last_counts(x, mu, packed):
    """What the last component leaves in the scratch is read."""
    n, k = x.shape[0], mu.shape[0]
    scratch = np.empty(3)
    total = 0.0
    for i in range(n):
        for c in range(k):
            for j in range(3):
                scratch[j] = mu[c, j] * x[i, j]
            for j in range(3):
                for r in range(j):
                    scratch[j] += packed[c, r] * scratch[r]
            total += scratch[2]
        total += scratch[1] ** 2
    return total


FUNCTIONS = [triangle, table, gathered, dependent, last_counts]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_derivatives(function):
    agree(function, (X, MU, L))


@pytest.mark.parametrize("function", [triangle, gathered], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("n", "k", "d"), [(0, 5, 3), (4, 0, 3), (2, 2, 3)])
def test_no_iterations(function, n, k, d):
    x, mu, packed = np.ones((n, d)), np.ones((k, d)), np.ones((k, d))
    agree(function, (x, mu, packed))


def test_nothing_is_touched_without_components():
    """Rows too short for the scratch are no fault as long as nobody reads them."""
    x, mu, packed = np.ones((2, 3)), np.ones((0, 1)), np.ones((0, 2))
    agree(triangle, (x, mu, packed))
    agree(too_short, (x, mu, np.ones(2)))


def too_short(x, mu, scratch):
    """Reads elements that all components read, and that aren't there if there are no components."""
    total = 0.0
    for i in range(x.shape[0]):
        for c in range(mu.shape[0]):
            for j in range(x.shape[1]):
                for r in range(j + 1):
                    total += scratch[j] * mu[c, 0] * x[i, r]
    return total


def counted(x, mu, scale):
    """Python's numbers stay such, whose precision is that of what they meet."""
    out = np.zeros(mu.shape[0], dtype=np.float32)
    count, weak = 0, 0.0
    for i in range(x.shape[0]):
        for c in range(mu.shape[0]):
            for j in range(x.shape[1]):
                for r in range(j + 1):
                    out[c] += x[i, r] * mu[c, j]
            count += 1
            weak += 0.25
    return out * weak, x * count, scale * weak


def test_float32():
    args = (X.astype(np.float32), MU.astype(np.float32), np.float32(2))
    found = jit(counted)(*args)
    for got, wanted in zip(found, counted(*args), strict=True):
        assert got.dtype == wanted.dtype == np.float32
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    engine = Jitted(counted)
    flat = engine.flatten(args, {})
    assert [r.dtype for r in run_arrays(engine, flat, ())] == [np.float32] * 3


def roundabout(x, mu, packed):
    """An index that is that of the loop, by a way that can't be followed."""
    n, k = x.shape[0], mu.shape[0]
    out = np.zeros(k)
    for i in range(n):
        for c in range(k):
            for j in range(3):
                for r in range(j + 1):
                    out[n - (n - c)] += mu[c, j] * x[i, r] * packed[c, r]
    return out


def test_an_index_by_a_roundabout_way():
    agree(roundabout, (X, MU, L))


def test_components_are_innermost():
    text = grad(triangle, argnums=(0, 1, 2)).source(X, MU, L)
    assert "scaled[r] += " in text
    assert "mu.T" in text
    assert not any(line.strip().startswith("for c in") for line in text[text.index("scaled[r] += ") :].splitlines())


def test_independence_is_seen():
    assert "for c in range" in grad(dependent, argnums=1).source(X, MU, L)
    assert "for c in range" in grad(last_counts, argnums=1).source(X, MU, L)


def test_too_few_components_are_noticed():
    with pytest.raises(IndexError):
        grad(triangle, argnums=1)(X, MU, L[:4])
    with pytest.raises(IndexError):
        jit(triangle)(X, MU, L[:, :2])


def chain(angles, points):
    """A chain of turns, whose position moves what comes after it; then each point is moved by all."""
    frames = np.zeros((angles.size, 2, 2))
    out = np.zeros(points.shape)
    for b in range(angles.size):
        c, s = np.cos(angles[b]), np.sin(angles[b])
        turn = np.array([[c, -s], [s, c]])
        if b == 0:
            frames[b] = turn
        else:
            for i in range(2):
                for j in range(2):
                    frames[b, i, j] = frames[b - 1, i, 0] * turn[0, j] + frames[b - 1, i, 1] * turn[1, j]
        for v in range(points.shape[0]):
            for i in range(2):
                out[v, i] += frames[b, i, 0] * points[v, 0] + frames[b, i, 1] * points[v, 1]
    return out.ravel()


def jacobian(angles, points):
    columns = np.empty((points.size, angles.size))
    for k in range(angles.size):
        direction = np.zeros_like(angles)
        direction[k] = 1.0
        _, columns[:, k] = jvp(lambda a: chain(a, points), (angles,), (direction,))
    return columns


@pytest.mark.parametrize("n", [0, 1, 2, 33])
def test_directions_in_blocks(n):
    angles, points = RNG.normal(size=n), RNG.normal(size=(7, 2))
    found = jit(jacobian)(angles, points)
    h = 1e-6 * np.eye(n)
    wanted = [(chain(angles + e, points) - chain(angles - e, points)) / 2e-6 for e in h]
    np.testing.assert_allclose(found, np.reshape(wanted, (n, points.size)).T, atol=1e-7)
    if n > 1:
        assert "for block in range" in jit(jacobian).source(angles, points)
