"""Loops over directions run over those in which something moves."""

import numpy as np
import pytest
from lowered import lowered

from jitgrad import jit, jvp
from jitgrad.api.transforms import Jitted
from jitgrad.testing.arrays import run_arrays

RNG = np.random.default_rng(9)


def bones(angles, points):
    """Each bone turns by its own angle, and moves all points."""
    out = np.zeros(points.shape)
    for b in range(angles.size):
        turn = np.zeros((2, 2))
        turn[0, 0], turn[0, 1] = np.cos(angles[b]), -np.sin(angles[b])
        turn[1, 0], turn[1, 1] = np.sin(angles[b]), np.cos(angles[b])
        for v in range(points.shape[0]):
            for i in range(2):
                out[v, i] += (turn[i, 0] * points[v, 0] + turn[i, 1] * points[v, 1]) / (1.0 + b)
    return np.sin(out).ravel()


def jacobian(angles, points, directions):
    columns = np.empty((points.size, directions.shape[0]))
    for k in range(directions.shape[0]):
        _, columns[:, k] = jvp(lambda a: bones(a, points), (angles,), (directions[k],))
    return columns


@pytest.mark.parametrize("directions", ["each", "none", "mixed", "last"])
def test_the_same_numbers(directions):
    n = 5
    angles, points = RNG.normal(size=n), RNG.normal(size=(4, 2))
    along = {"each": np.eye(n), "none": np.zeros((3, n)), "mixed": RNG.normal(size=(40, n)), "last": np.eye(n)[::-1]}
    along = along[directions]
    engine = Jitted(jacobian)
    flat = engine.flatten((angles, points, along), {})
    wanted = run_arrays(engine, flat, ())
    with lowered():
        found = run_arrays(engine, flat, ())
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    step = 1e-6
    ends = [[bones(angles + h * d, points) for d in along] for h in (step, -step)]
    np.testing.assert_allclose(wanted, (np.array(ends[0]) - np.array(ends[1])).T / (2 * step), atol=1e-8)


def test_directions_are_looked_at_in_front():
    text = jit(jacobian).source(np.ones(3), np.ones((4, 2)), np.eye(3), form="numba")
    look = text.index("!= 0.0")
    assert text.index("for v in range", look) > look


def few_weights(y, w, m):
    """Without weights, nobody asks how long y is."""
    out = np.zeros((w.size, m))
    for v in range(w.size):
        for k in range(m):
            out[v, k] += y[0, k] * w[v]
    return out


@pytest.mark.parametrize(("n", "m"), [(0, 9), (2, 3), (2, 0)])
def test_no_more_directions_are_looked_at_than_there_are(n, m):
    y, w = RNG.normal(size=(1, 3)), RNG.normal(size=n)
    engine = Jitted(lambda y, d, w, m: jvp(lambda y: few_weights(y, w, m), (y,), (d,))[1])
    with lowered():  # an index out of range raises
        found = run_arrays(engine, engine.flatten((y, 2 * y, w, m), {}), ())
    np.testing.assert_allclose(found, few_weights(2 * y, w, m))


def beside(x, w):
    """The second sum's value comes in the loop of the first one's tangent, if that one's value isn't asked for."""
    first, second = np.zeros((2, x.size)), np.zeros((2, x.size))
    for v in range(w.size):
        first[0] += x * w[v]
        second[0] += x * w[v]
    return first, second


def rooted(x, s):
    """The tangent of a root is infinite at zero, and the elements of x are no tangents."""
    out = np.zeros((2, x.size))
    for v in range(s.size):
        out[0] += x * np.sqrt(s[v])
    return out


def second_of_values(x, dx, w):
    (_, value), (dot, _) = jvp(lambda x: beside(x, w), (x,), (dx,))
    return dot, value


def tangent_by_roots(x, ds, s):
    return jvp(lambda s: rooted(x, s), (s,), (ds,))[1]


@pytest.mark.parametrize(
    ("function", "dots", "numbers"),
    [(second_of_values, np.zeros(3), np.array([np.inf, 1.0])), (tangent_by_roots, np.ones(2), np.zeros(2))],
)
def test_zeros_that_are_no_tangents_count(function, dots, numbers):
    """Zero times infinity is no number, but for tangents that are zero."""
    engine = Jitted(function)
    flat = engine.flatten((np.array([0.0, 2.0, 0.0]), dots, numbers), {})
    wanted = run_arrays(engine, flat, ())
    with lowered():
        found = run_arrays(engine, flat, ())
    lost = np.isnan(wanted) & ~np.isnan(found)
    assert np.isnan(wanted).any()
    assert not lost.any()
