"""An index is compared once to be found in range; which indices are, and what is said of the others, stays the same."""

import numpy as np
import pytest
from lowered import agree, function_of

from jitgrad import grad

X = np.array([0.3, 0.9, -0.4, 1.2])
PLACES = np.array([3, -4, 0, -1, 2])


def gathered(x, places):
    total = 0.0
    for i in range(places.size):
        total += np.sin(x[places[i]]) * (i + 1.0)
    return total


def test_indices_from_both_ends():
    _, text = function_of(grad(gathered), X, PLACES)
    assert "in_range(" in text
    assert ">= -" not in text
    agree(gathered, (X, PLACES))
    expected = np.zeros(4)
    np.add.at(expected, PLACES, np.cos(X[PLACES]) * np.arange(1, 6))
    np.testing.assert_allclose(grad(gathered)(X, PLACES), expected, rtol=1e-14)


@pytest.mark.parametrize("place", [4, -5, 2**62, -(2**63), 2**63 - 1])
def test_what_is_out_of_range(place):
    with pytest.raises(IndexError, match=f"index {place} is out of bounds for axis 0 with size 4"):
        grad(gathered)(X, np.array([0, place]))


def test_nothing_is_in_the_range_of_an_empty_array():
    for place in (0, -1):
        with pytest.raises(IndexError):
            grad(gathered)(X[:0], np.array([place]))
