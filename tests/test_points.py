"""Where few directions move, the points are innermost."""

import numpy as np
import pytest
from lowered import lowered

from jitgrad import jit, jvp
from jitgrad.api.transforms import Jitted
from jitgrad.testing.arrays import run_arrays

RNG = np.random.default_rng(4)


def bones(angles, table, weights):
    """Adds each point, turned by each bone, by its weight for the bone."""
    out, turn = np.zeros((table.shape[0], 3)), np.zeros((4, 4))
    for b in range(angles.size):
        for i in range(4):
            for j in range(4):
                turn[i, j] = np.cos(angles[b] + i - j)
        for v in range(out.shape[0]):
            for i in range(3):
                total = 0.0
                for j in range(4):
                    total += turn[i, j] * table[v, j]
                out[v, i] += weights[v, b] * total
    return np.sin(out).ravel()


def checked(angles, table, order):
    """A check in the loop over points: what it is about isn't read before."""
    out, turn = np.zeros((order.size, 2)), np.zeros((2, 2))
    for b in range(angles.size):
        turn[0, 0], turn[1, 1] = np.cos(angles[b]), np.sin(angles[b])
        for v in range(order.size):
            for i in range(2):
                out[v, i] += turn[i, i] * table[order[v], i] * table[v, 1]
    return out.ravel()


def changing(angles, table):
    """The table changes from bone to bone."""
    out, turn, table = np.zeros((table.shape[0], 2)), np.zeros((2, 2)), table.copy()
    for b in range(angles.size):
        turn[0, 0], turn[1, 1] = np.cos(angles[b]), np.sin(angles[b])
        for v in range(table.shape[0]):
            for i in range(2):
                out[v, i] += turn[i, i] * table[v, i]
        table[b % 2, 1] += 1.0
    return out.ravel()


def carried(angles, table):
    """A point adds to the element of the one before: no order but the user's."""
    out, turn = np.zeros((table.shape[0] + 1, 2)), np.zeros((2, 2))
    for b in range(angles.size):
        turn[0, 0], turn[1, 1] = np.cos(angles[b]), np.sin(angles[b])
        for v in range(table.shape[0]):
            for i in range(2):
                out[v, i] += turn[i, i] * table[v, i]
                out[v + 1, i] += 0.5 * out[v, i]
    return out.ravel()


def jacobian(f):
    def columns(angles, *rest):
        found = np.empty((f(angles, *rest).size, angles.size))
        for k in range(angles.size):
            direction = np.zeros_like(angles)
            direction[k] = 1.0
            _, found[:, k] = jvp(lambda a: f(a, *rest), (angles,), (direction,))
        return found

    return columns


def differences(f, angles, *rest):
    steps = 1e-6 * np.eye(angles.size)
    return np.array([(f(angles + h, *rest) - f(angles - h, *rest)) / 2e-6 for h in steps]).T


def cases(bones_, points):
    angles, table = RNG.normal(size=bones_), RNG.normal(size=(points, 2))
    yield bones, (angles, RNG.normal(size=(points, 4)), RNG.normal(size=(points, bones_)))
    yield checked, (angles, table, RNG.permutation(points))
    yield changing, (angles, table)
    yield carried, (angles, table)


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize(("bones_", "points"), [(5, 6), (35, 3)])
def test_the_same_numbers(case, bones_, points):
    f, arguments = list(cases(bones_, points))[case]
    engine = Jitted(jacobian(f))
    flat = engine.flatten(arguments, {})
    wanted = run_arrays(engine, flat, ())
    with lowered():
        found = run_arrays(engine, flat, ())
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    np.testing.assert_allclose(wanted, differences(f, *arguments), rtol=1e-6, atol=1e-6)


def test_no_more_is_read_than_there_is():
    """Without bones nobody has checked how many columns the table has; and a check comes before what it is about."""
    engine = Jitted(jacobian(bones))
    with lowered():  # an index out of range raises
        found = run_arrays(engine, engine.flatten((np.empty(0), np.ones((3, 2)), np.empty((3, 0))), {}), ())
        assert found.shape == (9, 0)
        engine = Jitted(jacobian(checked))
        with pytest.raises(IndexError, match="index 3 is out of bounds for axis 0 with size 3"):
            run_arrays(engine, engine.flatten((np.ones(2), np.ones((3, 2)), np.arange(4)), {}), ())


def test_points_are_innermost():
    (f, arguments), (_, others), *_ = cases(3, 4)
    lines = [line.strip() for line in jit(jacobian(f)).source(*arguments, form="numba").splitlines()]
    inner = [k for k, line in enumerate(lines) if line == "for v in range(rest_0_n0):"]
    assert len(inner) == 2  # of the primal, and of its derivative
    assert all(lines[k - 1].startswith("for i") for k in inner)
    assert not any("rest_0[v, " in line for line in lines)  # but rows of it
    text = jit(jacobian(checked)).source(*others, form="numba")
    assert "rest_0[" in text[text.index("for v in range(rest_1_n") :]
