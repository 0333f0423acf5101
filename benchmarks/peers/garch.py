"""The likelihood of a series of returns whose variance follows yesterday's: GARCH(1, 1)."""

import math

import numpy as np

from benchmarks.peers import Problem


def loss(omega, alpha, beta, returns):
    variance = 0.1
    total = 0.0
    for t in range(returns.size):
        total += math.log(variance) + returns[t] ** 2 / variance
        variance = omega + alpha * returns[t] ** 2 + beta * variance
    return 0.5 * total


def with_jax(jax):
    jnp = jax.numpy

    def loss(omega, alpha, beta, returns):
        squares = returns**2

        def step(variance, square):
            return omega + alpha * square + beta * variance, variance

        _, variances = jax.lax.scan(step, jnp.float64(0.1), squares)
        return 0.5 * jnp.sum(jnp.log(variances) + squares / variances)

    return loss


def with_others(package):
    stack = package.stack if hasattr(package, "stack") else lambda rows: package.vertcat(*rows)
    total = package.sum if hasattr(package, "sum") else package.sum1

    def loss(omega, alpha, beta, returns):
        variances, squares = [0.0 * omega + 0.1], returns**2
        for t in range(returns.shape[0] - 1):
            variances.append(omega + alpha * squares[t] + beta * variances[-1])
        v = stack(variances)
        return 0.5 * total(package.log(v) + squares / v)

    return loss


PROBLEM = Problem(
    loss,
    lambda steps: (0.02, 0.1, 0.85, 0.3 * np.random.default_rng(0).normal(size=steps)),
    (20, 1_000, 10_000, 100_000),
    {"jax": with_jax, "torch": with_others, "autograd": with_others, "casadi": with_others},
    argnums=(0, 1, 2),
    quick=(0, 2),
    limits={"torch.compile": 1, "torch": 2, "autograd": 2, "casadi": 3},
    steps=lambda steps: steps,
)
