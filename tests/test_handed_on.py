"""What a branch has computed is handed on to a later branch on the same condition."""

import numpy as np
import pytest
from lowered import agree, function_of

from jitgrad import grad

X = np.array([0.3, 0.9, -0.4, 1.2, 0.5])


def calls(function: str, text: str) -> int:
    return sum(line.count(f" {function}(") for line in text.splitlines() if not line.strip().startswith(("#", "from")))


def one_side(x):
    total = 0.0
    for i in range(x.size):
        if x[i] > 0.4:
            total += np.sin(x[i]) * np.cos(x[i])
        else:
            total -= x[i]
    return total


def returned_early(v):
    if v < 0.1:
        return v
    return np.sin(v) * v


def opposite(x):
    total = 0.0
    for i in range(x.size):
        total += returned_early(x[i]) ** 2
    return total


def both_sides(x):
    total = 0.0
    for i in range(x.size):
        if x[i] > 0.4:
            y = np.sin(x[i]) ** 2
        else:
            y = np.sin(2.0 * x[i]) ** 3
            total += y
        total += y * y
    return total


@pytest.mark.parametrize(("function", "sines"), [(one_side, 1), (opposite, 1), (both_sides, 2)])
def test_sines_are_computed_once(function, sines):
    _, text = function_of(grad(function), X)
    assert calls("sin", text) == sines
    agree(function, (X,))


def other_conditions(x):
    """The second is another condition, though it compares the same numbers."""
    total = 0.0
    for i in range(x.size):
        y = 0.0
        if x[i] > 0.4:
            y = np.sin(x[i])
        if x[i] > 0.4 - y:
            total += np.sin(x[i]) * y
    return total


def changed_between(x):
    """The same sine by name, of another number."""
    total = 0.0
    for i in range(x.size):
        y = x[i]
        taken = x[i] > 0.4
        if taken:
            y = np.sin(y) + y
        if taken:
            total += np.sin(y)
    return total


@pytest.mark.parametrize("function", [other_conditions, changed_between])
def test_other_numbers_are_computed_again(function):
    agree(function, (X,))
