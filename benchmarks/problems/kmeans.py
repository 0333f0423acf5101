"""kmeans: the sum of squared distances to the nearest centroid, and Newton's step for the centroids.

The Hessian is diagonal, so its product with a vector of ones has it all.
"""

import numpy as np
from numba import njit

from benchmarks.problems import Programs
from jitgrad import grad, jit, jvp

SIZES = {
    "small": {"k": 3, "n": 20, "d": 2},
    "middle": {"k": 100, "n": 10_000, "d": 8},
    "large": {"k": 200, "n": 100_000, "d": 16},
}


@njit
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


@jit
def direction(centroids, points):
    """The gradient divided by the diagonal of the Hessian."""
    gradient = grad(lambda c: cost(c, points))
    g, h = jvp(gradient, (centroids,), (np.ones_like(centroids),))
    return g / h


PROGRAMS = Programs(plain=cost, ours=jit(cost), derivative=direction)


def arguments(input):
    return tuple(np.asarray(input[name], dtype=np.float64) for name in ("centroids", "points"))


def programs(input):
    return PROGRAMS


def primal(input):
    return cost(*arguments(input))


def derivative(input):
    return direction(*arguments(input)).tolist()


def generate(k, n, d, seed=0):
    points = np.random.default_rng(seed).normal(size=(n, d))
    return {"points": points, "centroids": points[n - k :]}


def expected(input):
    """How far each centroid is from the mean of the points next to it."""
    centroids, points = arguments(input)
    nearest = np.argmin([np.sum((points - c) ** 2, axis=1) for c in centroids], axis=0)
    return np.stack([c - points[nearest == j].mean(axis=0) for j, c in enumerate(centroids)])
