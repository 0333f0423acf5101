"""What loops keep besides their state, rather than compute it again."""

import math

import numpy as np
import pytest

from jitgrad import checkpoint, grad
from jitgrad.testing import check_grads

STEPS, N = 5, 6


def cells(w, x):
    """A recurrence in loops in loops: rows of gates, of which each reads what the last has written."""
    h, v = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    total = 0.0
    for t in range(x.shape[0]):
        for j in range(x.shape[1]):
            v[j] = x[t, j] * w[j]
        for j in range(x.shape[1]):
            gate = 1.0 / (1.0 + math.exp(-v[j] * w[j]))
            h[j] = h[j] * gate + math.tanh(h[j] - v[j])
        for j in range(x.shape[1]):
            total += math.exp(h[j]) * x[t, j]
    return total


def sparing_cells(w, x):
    h = np.zeros(x.shape[1])
    for t in checkpoint(range(x.shape[0])):
        for j in range(x.shape[1]):
            h[j] = h[j] / (1.0 + math.exp(-x[t, j] * w[j])) + math.tanh(h[j] - w[j])
    return np.sum(h)


def gated_number(w, x):
    c = h = 0.1
    for t in range(x.shape[0]):
        c = c / (1.0 + math.exp(-h * w[0])) + x[t, 0]
        h = math.tanh(c) * w[1] + h
    return h


def triangle(w, x):
    h = np.zeros(x.shape[1])
    for t in range(x.shape[0]):
        for j in range(1, x.shape[1]):
            for k in range(j):
                h[j] = h[j] * w[k] + math.exp(h[k]) * x[t, j]
    return np.sum(h)


def in_branch(w, x):
    """What is in a branch isn't kept, but what it gave is."""
    h = np.zeros(x.shape[1])
    for t in range(x.shape[0]):
        for j in range(x.shape[1]):
            if h[j] < x[t, j]:
                h[j] = h[j] * w[j] + math.exp(x[t, j] * h[j])
            h[j] = math.tanh(h[j] * w[j])
    return np.sum(h)


def epochs(w, x):
    """The loop over epochs keeps a number for each; in it, there is nothing to keep."""
    w0 = w[0]
    for _ in range(x.shape[1]):
        slope = 0.0
        for t in range(x.shape[0]):
            slope += x[t, 0] / (1.0 + math.exp(-w0 * x[t, 1]))
        w0 = w0 - 0.1 * slope
    return w0


def sums(w, x):
    total = 0.0
    for t in range(x.shape[0]):
        for j in range(x.shape[1]):
            total += math.exp(w[j] * x[t, j])
    return total


def many(w, x):
    """More than `MOST` numbers for each that is carried."""
    h = 0.1
    for t in range(x.shape[0]):
        for k in (1, 2, 3, 4, 5, 6, 7, 8, 9):
            h = math.exp(-h * h) * w[k % 6] + x[t, k % 6]
    return h


# By the number of its axes, how many arrays a program keeps.
KEPT = {
    cells: {2: 5},  # what the two functions of a cell gave, the element of h before and after it, and exp of that
    gated_number: {1: 4},
    triangle: {3: 2},
    in_branch: {2: 3},
    sums: {},
    epochs: {1: 1},
    many: {1: 1},
}


def arguments():
    rng = np.random.default_rng(3)
    return rng.uniform(0.2, 0.9, N), rng.uniform(-0.5, 0.5, (STEPS, N))


@pytest.mark.parametrize("function", [*KEPT, sparing_cells], ids=lambda f: f.__name__)
def test_gradient(function):
    check_grads(function, arguments(), order=2 if function is gated_number else 1)


@pytest.mark.parametrize("function", KEPT, ids=lambda f: f.__name__)
def test_what_is_kept(function):
    axes = [len(r.shape) for r in grad(function, argnums=(0, 1)).residuals(*arguments())]
    assert {n: axes.count(n) for n in axes} == KEPT[function]


def test_elementary_functions_run_once():
    source = grad(cells, argnums=(0, 1)).source(*arguments())
    assert source.count("np.tanh(") == 1
    assert source.count("np.exp(") == 2


def test_checkpoints_keep_little():
    rng = np.random.default_rng(3)
    w, x = rng.uniform(0.2, 0.9, N), rng.uniform(-0.5, 0.5, (400, N))
    assert grad(sparing_cells).residuals(w, x).nbytes < 20 * 8 * N * 8
