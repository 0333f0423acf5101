"""Loops that choose by sums: these are computed first, along the loop that chooses if that is the longer one."""

import numpy as np
import pytest
from lowered import levels_agree

from jitgrad import grad, jit
from jitgrad.lower.rows import LONG, SHORT

RNG = np.random.default_rng(11)


def cost(centroids, points):
    total = 0.0
    for i in range(points.shape[0]):
        nearest = np.inf
        for j in range(centroids.shape[0]):
            square = 0.0
            for t in range(points.shape[1]):
                difference = points[i, t] - centroids[j, t]
                square += difference * difference
            if square < nearest:
                nearest = square
        total += nearest
    return total


def two_sums(centroids, points):
    """Two sums at once, of elements that are next to each other already; and the index counts."""
    total = 0.0
    for i in range(points.shape[0]):
        most, beside = -1e9, 0.0
        for j in range(1, centroids.shape[1]):
            up, down = 1.0, 0.0
            for t in range(points.shape[1]):
                up += points[i, t] * centroids[t, j]
                down -= np.sin(centroids[t, j - 1])
            if up + j > most:
                most, beside = up + j, down * j
        total += most * beside
    return total


def moved(centroids, points):
    """What is read across is written to: it can't be copied in front."""
    c = centroids.copy()
    total = 0.0
    for i in range(points.shape[0]):
        nearest, which = np.inf, 0
        for j in range(c.shape[0]):
            square = 0.0
            for t in range(points.shape[1]):
                square += (points[i, t] - c[j, t]) ** 2
            if square < nearest:
                nearest, which = square, j
        total += nearest
        c[which, 0] += 0.25 * points[i, 0]
    return total


def early(centroids, points):
    """The sum begins with what has been chosen so far."""
    total = 0.0
    for i in range(points.shape[0]):
        nearest = 10.0
        for j in range(centroids.shape[0]):
            square = 0.0
            for t in range(points.shape[1]):
                square += centroids[j, t] * points[i, t] * nearest
            if square < nearest:
                nearest = square
        total += nearest
    return total


def first_few(centroids, points, k, d):
    """The loops keep to a part of the matrix; nobody asks how large it is if there are no points."""
    total = 0.0
    for i in range(points.shape[0]):
        most = 0.0
        for j in range(k):
            s = 0.0
            for t in range(d):
                s += centroids[j, t] * points[i, t]
            if s > most:
                most = s
        total += most
    return total


def fills_rows(function, *args):
    return f"<= {SHORT} and" in jit(function).source(*args, form="numba")


@pytest.mark.parametrize(("n", "k", "d"), [(3, LONG, SHORT), (2, LONG - 1, 3), (2, LONG + 1, SHORT + 1), (2, 17, 2)])
@pytest.mark.parametrize("function", [cost, two_sums])
def test_the_same_choices(function, n, k, d):
    centroids, points = RNG.normal(size=(k, d)), RNG.normal(size=(n, d))
    centroids = centroids if function is cost else RNG.normal(size=(d, k))
    assert fills_rows(function, centroids, points)
    for change in (None, np.nan):
        if change is not None:
            centroids.flat[k] = change
        levels_agree(function, (0, 1), (centroids, points))


@pytest.mark.parametrize("shape", [(0, 20, 3), (2, 0, 3), (2, 20, 0)])
def test_loops_without_iterations(shape):
    n, k, d = shape
    levels_agree(cost, (0, 1), (np.ones((k, d)), np.ones((n, d))))


@pytest.mark.parametrize(("k", "d"), [(20, 3), (40, 9), (-1, 3), (20, -2)])
def test_nothing_is_read_beyond_a_matrix(k, d):
    centroids = RNG.normal(size=(20, 3))
    points = RNG.normal(size=(2, 3)) if k <= 20 and d <= 3 else np.ones((0, 3))
    assert fills_rows(first_few, centroids, points, k, d)
    levels_agree(first_few, (0,), (centroids, points, k, d))


@pytest.mark.parametrize("function", [moved, early])
def test_what_stays(function):
    centroids, points = RNG.normal(size=(20, 3)), RNG.normal(size=(4, 3))
    assert not fills_rows(function, centroids, points)
    levels_agree(function, (0,), (centroids, points))


def test_compiled():
    points = RNG.normal(size=(50, 5))
    centroids = points[:21] + 0.1
    nearest = np.argmin(((points[:, None] - centroids) ** 2).sum(axis=2), axis=1)
    wanted = np.zeros_like(centroids)
    np.add.at(wanted, nearest, 2 * (centroids[nearest] - points))
    np.testing.assert_allclose(grad(cost)(centroids, points), wanted, atol=1e-12)
