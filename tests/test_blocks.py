"""Loops whose iterations are done in blocks: the same numbers for every length of the loops, blocks or none."""

import numpy as np
import pytest
from lowered import agree

from jitgrad import grad, value_and_grad

RNG = np.random.default_rng(3)


def filtered(images, K, W, labels):
    """A small convolutional network: scratch, sums of sums, an element chosen by each iteration."""
    batch, width = images.shape
    filters, side = K.shape
    inside = width - side + 1
    kept = np.empty((filters, inside))
    total = 0.0
    for n in range(batch):
        for f in range(filters):
            for i in range(inside):
                s = 0.5 * f
                for u in range(side):
                    s += K[f, u] * images[n, i + u]
                kept[f, i] = np.tanh(s)
        scores = np.zeros(W.shape[0])
        for k in range(W.shape[0]):
            for f in range(filters):
                for i in range(inside):
                    scores[k] += W[k] * kept[f, i]
        total += np.log(np.sum(np.exp(scores))) - scores[labels[n]] + W[0]
    return total / batch


def twice(images, K, W, labels):
    """Neighbouring parts of an array, and an addition that is the same in each iteration."""
    total = 0.0
    for n in range(images.shape[0] - 1):
        for f in range(K.shape[0]):
            for i in range(images.shape[1] - K.shape[1] + 1):
                s = W[f] * images[n, i]
                for u in range(K.shape[1]):
                    s += K[f, u] * (images[n + 1, i + u] - images[n, u]) ** 2
                total += s * s
    return total


def arguments(batch, side, width):
    return (
        RNG.normal(size=(batch, width)),
        RNG.normal(size=(3, side)),
        RNG.normal(size=4),
        RNG.integers(4, size=batch),
    )


SIZES = [(1, 2, 6), (7, 3, 7), (8, 3, 7), (33, 2, 6), (64, 5, 9), (9, 33, 40)]


@pytest.mark.parametrize("function", [filtered, twice])
def test_the_same_for_every_length(function):
    """Fewer iterations than a block, a block and one more, and inner loops too long for blocks."""
    derivative = value_and_grad(function, argnums=(1, 2))
    for size in SIZES:
        given = arguments(*size)
        value, gradient = derivative(*given)
        np.testing.assert_allclose(value, function(*given), rtol=1e-12)
        for k in (1, 2):
            direction = RNG.normal(size=given[k].shape)
            steps = [(*given[:k], given[k] + h * direction, *given[k + 1 :]) for h in (1e-6, -1e-6)]
            difference = (function(*steps[0]) - function(*steps[1])) / 2e-6
            np.testing.assert_allclose(np.sum(gradient[k - 1] * direction), difference, rtol=1e-6)


@pytest.mark.parametrize(("function", "batch"), [(filtered, 9), (twice, 34)])
def test_lowered(function, batch):
    """The lowered form reads nothing that hasn't been written, and no index is out of range."""
    agree(grad(function, argnums=(1, 2)), arguments(batch, 2, 4))


def test_blocks_are_made():
    given = arguments(9, 3, 7)
    for function in (filtered, twice):
        assert "for block in" in grad(function, argnums=(1, 2)).source(*given, form="numba")
        assert "for block in" not in grad(function, argnums=(1, 2)).source(*given)


def read_once(images, K, W, labels):
    total = 0.0
    for n in range(images.shape[0]):
        for i in range(images.shape[1]):
            total += K[0, 0] * images[n, i]
    return total


def fed_back(images, K, W, labels):
    state = 1.0
    for n in range(images.shape[0]):
        for i in range(3):
            s = state
            for u in range(K.shape[1]):
                s += K[0, u] * images[n, i + u]
            state = np.tanh(s)
    return state


@pytest.mark.parametrize("function", [read_once, fed_back])
def test_other_loops_stay(function):
    """Nothing to gain, or iterations that depend on one another."""
    source = grad(function, argnums=(1, 2)).source(*arguments(9, 3, 7), form="numba")
    assert "for block in" not in source
