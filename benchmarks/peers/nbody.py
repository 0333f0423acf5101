"""Bodies that attract each other, moved by the leapfrog method; the sum of squares of where they end."""

import math

import numpy as np

from benchmarks.peers import Problem

STEP, SOFTNESS = 1e-3, 1e-2


def loss(x, v, mass, steps):
    n = mass.size
    x, v = x.copy(), v.copy()
    for _ in range(steps):
        for i in range(n):
            for k in range(3):
                x[i, k] += STEP * v[i, k]
        for i in range(n):
            for j in range(i):
                dx, dy, dz = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
                square = dx * dx + dy * dy + dz * dz + SOFTNESS
                pull = STEP / (square * math.sqrt(square))
                v[i, 0] -= pull * mass[j] * dx
                v[i, 1] -= pull * mass[j] * dy
                v[i, 2] -= pull * mass[j] * dz
                v[j, 0] += pull * mass[i] * dx
                v[j, 1] += pull * mass[i] * dy
                v[j, 2] += pull * mass[i] * dz
    return np.sum(x * x)


def moved(xp):
    """One step, with arrays of pairs."""

    def move(x, v, mass):
        x = x + STEP * v
        apart = x[:, None] - x
        square = xp.sum(apart * apart, 2) + SOFTNESS
        pull = STEP * mass / (square * xp.sqrt(square))
        return x, v - xp.sum(pull[:, :, None] * apart, 1)

    return move


def with_jax(jax):
    move = moved(jax.numpy)

    def loss(x, v, mass, steps):
        (x, _), _ = jax.lax.scan(lambda state, _: (move(*state, mass), None), (x, v), length=steps)
        return jax.numpy.sum(x * x)

    return loss


def of_arrays(xp):
    move = moved(xp)

    def loss(x, v, mass, steps):
        for _ in range(steps):
            x, v = move(x, v, mass)
        return xp.sum(x * x)

    return loss


def data(size):
    bodies, steps = size
    rng = np.random.default_rng(0)
    return rng.normal(size=(bodies, 3)), rng.normal(size=(bodies, 3)), rng.random(bodies), steps


PROBLEM = Problem(
    loss,
    data,
    ((3, 20), (3, 1_000), (10, 1_000), (50, 100)),
    {"jax": with_jax, "torch": of_arrays, "autograd": of_arrays},
    argnums=(0, 1, 2),
    quick=(0, 1),
    limits={"torch.compile": 0, "torch": 2, "autograd": 2},
)
