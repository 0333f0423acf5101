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


def convolved(images, K):
    """Which rows an iteration reads depends on an inner loop."""
    total = 0.0
    for n in range(images.shape[0] - K.shape[0] + 1):
        for i in range(images.shape[1] - K.shape[1] + 1):
            s = 0.0
            for u in range(K.shape[0]):
                for v in range(K.shape[1]):
                    s += K[u, v] * images[n + u, i + v]
            total += s * s
    return total


def test_parts_that_differ_in_inner_loops():
    images, K = RNG.normal(size=(13, 7)), RNG.normal(size=(3, 2))
    agree(grad(convolved, argnums=1), (images, K))
    found, direction = grad(convolved, argnums=1)(images, K), RNG.normal(size=K.shape)
    difference = (convolved(images, K + 1e-6 * direction) - convolved(images, K - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(np.sum(found * direction), difference, rtol=1e-6)


def counted(K, W, images, batch):
    total = 0.0
    for n in range(batch):
        for f in range(K.shape[0]):
            for i in range(W.size):
                s = W[i]
                for u in range(K.shape[1]):
                    s += K[f, u] * images[n, i + u]
                total += s * s
    return total


@pytest.mark.parametrize(("filters", "side", "width"), [(0, 2, 3), (2, 0, 3), (2, 2, 0), (2, 2, 3)])
def test_no_more_is_read_than_there_is(filters, side, width):
    """If an inner loop has no iterations, nobody has checked that there are as many images."""
    K, W = RNG.normal(size=(filters, side)), RNG.normal(size=width)
    images = RNG.normal(size=(6 if 0 in (filters, side, width) else 9, 5))
    assert "for block in" in grad(counted, argnums=(0, 1)).source(K, W, images, 9, form="numba")
    agree(lambda K, W: grad(counted, argnums=(0, 1))(K, W, images, 9), (K, W))
