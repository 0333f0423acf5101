"""The Rosenbrock function of n variables."""

import numpy as np

from benchmarks.peers import Problem


def loss(x):
    total = 0.0
    for i in range(x.size - 1):
        total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


def of_arrays(xp):
    def loss(x):
        return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    return loss


def with_casadi(casadi):
    def loss(x):
        return casadi.sum1(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    return loss


PROBLEM = Problem(
    loss,
    lambda n: (np.random.default_rng(0).normal(size=n),),
    (2, 10, 100, 1_000, 10_000, 100_000),
    {"jax": lambda jax: of_arrays(jax.numpy), "torch": of_arrays, "autograd": of_arrays, "casadi": with_casadi},
    quick=(0, 2, 5),
    limits={"torch.compile": 3, "casadi": 5},
)
