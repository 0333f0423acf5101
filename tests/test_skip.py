"""Loops that choose, in whose generated code stretches without a choice are skipped."""

import numpy as np
import pytest
from lowered import function_of, levels_agree

from jitgrad import grad, jit
from jitgrad.lower.skip import STRETCH

RNG = np.random.default_rng(3)
LENGTHS = (1, 2, STRETCH, STRETCH + 1, STRETCH + 2, 3 * STRETCH + 7)


def largest(x):
    most = x[0]
    for i in range(1, x.size):
        if x[i] > most:
            most = x[i]
    return most * most


def largest_as_it_is(x):
    most = x[0]
    for i in range(1, x.size):
        if x[i] > most:
            most = x[i]
    return most


def nearest(x, y):
    least, at = np.inf, 0.0
    for i in range(x.size - 1):
        difference = x[i + 1] - y[0]
        if not difference * difference >= least:
            least, at = difference * difference, y[i]
    return least + at


def stairs(x):
    """What is compared with is no maximum: it jumps, up and down."""
    level, steps = 0.0, 1.0
    for i in range(x.size):
        if abs(x[i] - level) > 1.0:
            level = 0.5 * level + x[i]
            steps = steps * 0.9
    return level * steps


def summed(x):
    """It does something in each iteration."""
    most, total = x[0], 0.0
    for i in range(x.size):
        if x[i] > most:
            most = x[i]
        total += most * x[i]
    return total


def every_other(x):
    """Its elements aren't next to each other."""
    most = x[0]
    for i in range(x.size // 2):
        if x[2 * i] > most:
            most = x[2 * i]
    return most


def gathered(x, order):
    """Nor are these."""
    most = x[0]
    for i in range(x.size):
        if x[order[i]] > most:
            most = x[order[i]]
    return most


def positive(x):
    """Whether something is added has nothing to do with the sum so far."""
    total = 0.0
    for i in range(x.size):
        if x[i] > 0:
            total += x[i]
    return total


def dear(x):
    """The condition is too much to do twice."""
    most = 0.0
    for i in range(x.size):
        if np.exp(x[i]) > most:
            most = np.exp(x[i])
    return most


PROGRAMS = {"largest": (largest, 1), "nearest": (nearest, 2), "stairs": (stairs, 1)}


def numbers(kind, n):
    if kind == "ties":
        return RNG.integers(-2, 3, n) * 0.5
    x = RNG.normal(size=n)
    if kind in ("rising", "falling"):
        return np.sort(x)[:: 1 if kind == "rising" else -1].copy()
    if kind == "nan":
        x[RNG.integers(0, n, n // 50 + 1)] = np.nan
    return x


def is_skipping(function, *args):
    return f"// {STRETCH}" in jit(function).source(*args, form="numba")


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_choices(name, n):
    function, arity = PROGRAMS[name]
    assert is_skipping(function, *(np.ones(9) for _ in range(arity)))
    for kind in ("random", "rising", "falling", "ties", "nan"):
        levels_agree(function, (0,), tuple(numbers(kind, n) for _ in range(arity)), rtol=0)


@pytest.mark.parametrize("function", [summed, every_other, gathered, positive, dear])
def test_what_stays(function):
    args = (np.ones(9), np.arange(9)) if function is gathered else (np.ones(9),)
    assert not is_skipping(function, *args)


def test_nan_in_front_and_signed_zeros():
    run, _ = function_of(jit(largest_as_it_is), np.ones(3))
    x = np.zeros(2 * STRETCH)
    x[5] = -0.0
    x[0] = -0.0
    assert np.signbit(run(x))
    x[0] = np.nan
    assert np.isnan(run(x))


def test_compiled():
    x = numbers("random", 5 * STRETCH + 3)
    x[300] = np.nan
    place = np.nanargmax(x)
    found = grad(largest)(x)
    assert found[place] == 2 * x[place]
    assert np.count_nonzero(found) == 1
