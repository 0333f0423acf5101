"""Loops that are joined but for their ends, and what waits an iteration for another loop."""

import numpy as np
import pytest
from lowered import agree

from jitgrad import grad, jit

RNG = np.random.default_rng(8)


def stages(x, steps):
    """Two stages of a stencil, through buffers that are used again."""
    n = x.size
    y, between, k1, k2 = np.ones(n), np.empty(n), np.empty(n), np.empty(n)
    for _ in range(steps):
        k1[0] = x[0]
        for i in range(1, n):
            k1[i] = x[i] * y[i - 1]
        for i in range(n):
            between[i] = y[i] + 0.5 * k1[i]
        k2[0] = x[0]
        for i in range(1, n):
            k2[i] = x[i] * between[i - 1]
        for i in range(n):
            y[i] += 0.1 * (k1[i] + 2.0 * k2[i])
    return y


def last_one_apart(x, steps):
    """The first loop lacks the last number."""
    n = x.size
    a, b = np.zeros(n), np.zeros(n)
    for i in range(n - 1):
        a[i] = x[i] * x[i + 1]
    for i in range(n):
        b[i] = a[i] + steps * x[i]
    return b


def ahead(x, steps):
    """The second needs what the first computes later."""
    n = x.size
    a, b = np.zeros(n + 1), np.zeros(n)
    for i in range(n + 1):
        a[i] = steps * (i + 1.0)
    for i in range(n):
        b[i] = a[i + 1] * x[i] + a[i]
    return b


def two_behind(x, steps):
    n = x.size
    a, b = np.zeros(n), np.zeros(n)
    for i in range(n):
        a[i] = x[i] * x[i]
    for i in range(2, n):
        b[i] = a[i - 2] * x[i] + a[i - 1]
    return b + a


def written_behind(x, steps):
    """The second overwrites what the first has read an iteration ago, and would read now."""
    n = x.size
    a, b = x.copy(), np.zeros(n)
    for i in range(1, n):
        b[i] = a[i - 1] + a[i] * steps
    for i in range(n):
        a[i] = b[i] * x[i]
    return a, b


def perhaps_empty(x, steps):
    """Loops of which nothing is known but that one may have an iteration more."""
    a = np.zeros(x.size + 1)
    for i in range(steps - 3):
        a[i] = x[i] + 1.0
    for i in range(steps - 2):
        a[i] = a[i] * x[i] * 2.0
    return a


def same_element(x, steps):
    """All iterations of the first write one element, which the second reads."""
    n = x.size
    a, b = np.zeros(2), np.zeros(n)
    for i in range(n):
        a[0] = x[i] * x[i]
    for i in range(n):
        b[i] = a[0] + x[i]
    return b, a


def rows(x, steps):
    """On the second axis."""
    n = x.size
    a, b = np.zeros((3, n)), np.zeros((3, n))
    for r in range(3):
        for i in range(n):
            a[r, i] = x[i] * (r + steps)
        for i in range(1, n):
            b[r, i] = a[r, i - 1] * x[i]
    return b, a


def read_before_the_head(x, steps):
    """What stands between reads the element that the first iteration of the second overwrites."""
    n = x.size
    a = x * steps
    for i in range(n - 1):
        a[i + 1] = x[i] * x[i]
    s = a[0]
    for i in range(n):
        a[i] = a[i] * 2.0 + x[i]
    return a * s


FUNCTIONS = [
    stages, last_one_apart, ahead, two_behind, written_behind, perhaps_empty, same_element, rows, read_before_the_head,
]  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_same_numbers(function, n):
    agree(function, (RNG.normal(size=n), 3))


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("function", [stages, two_behind, written_behind], ids=lambda f: f.__name__)
def test_the_same_derivatives(function, n):
    def total(x, steps):
        results = function(x, steps)
        return sum(np.sum(np.sin(r)) for r in (results if isinstance(results, tuple) else (results,)))

    agree(grad(total), (RNG.normal(size=n), 3))


def last_of_stages(x, steps):
    return stages(x, steps)[-1]


def code(function):
    lines = jit(function).source(np.ones(5), 3, form="numba").splitlines()
    return [line.strip() for line in lines if not line.strip().startswith(("#", "raise"))]


def test_a_step_of_all_stages_is_one_loop_without_arrays_between():
    lines = code(last_of_stages)
    assert sum(line.startswith("for ") for line in lines) == 3  # the ones, the steps, and all stages of one
    assert not any(f"{name}[" in line for line in lines for name in ("between", "k1", "k2"))


def test_where_an_end_may_not_exist_nothing_is_done_apart():
    assert sum(line.startswith("for ") for line in code(perhaps_empty)) == 2
