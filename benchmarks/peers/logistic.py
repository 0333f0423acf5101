"""Logistic regression: n examples of d numbers."""

import numpy as np

from benchmarks.peers import Problem


def of_arrays(xp):
    def loss(w, X, y):
        return xp.mean(xp.log1p(xp.exp(-y * (X @ w))))

    return loss


def with_casadi(casadi):
    def loss(w, X, y):
        return casadi.sum1(casadi.log1p(casadi.exp(-y * (X @ w)))) / X.shape[0]

    return loss


def data(size):
    n, d = size
    rng = np.random.default_rng(0)
    return rng.normal(size=d), rng.normal(size=(n, d)), rng.choice([-1.0, 1.0], size=n)


PROBLEM = Problem(
    of_arrays(np),
    data,
    ((10, 3), (100, 10), (1_000, 10), (1_000, 100), (10_000, 100), (100_000, 10)),
    {"jax": lambda jax: of_arrays(jax.numpy), "torch": of_arrays, "autograd": of_arrays, "casadi": with_casadi},
    quick=(0, 2, 4),
    limits={"torch.compile": 3, "casadi": 4},
)
