"""Burgers' equation on a square, by explicit steps; the energy at the end, by the field in the beginning."""

import numpy as np

from benchmarks.peers import Problem

DRIFT, SPREAD = 0.05, 0.1  # what a step and the mesh make of the equation's coefficients


def energy(field, steps):
    n, m = field.shape
    u, new = field.copy(), field.copy()
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                slope = u[i, j] - u[i - 1, j] + u[i, j] - u[i, j - 1]
                bend = u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - 4.0 * u[i, j]
                new[i, j] = u[i, j] - DRIFT * u[i, j] * slope + SPREAD * bend
        u, new = new, u
    return np.sum(u * u)


def inside(u):
    """The new field but for the border."""
    c, up, left = u[1:-1, 1:-1], u[:-2, 1:-1], u[1:-1, :-2]
    bend = up + u[2:, 1:-1] + left + u[1:-1, 2:] - 4.0 * c
    return c - DRIFT * c * (c - up + c - left) + SPREAD * bend


def with_jax(jax):
    def energy(field, steps):
        u, _ = jax.lax.scan(lambda u, _: (u.at[1:-1, 1:-1].set(inside(u)), None), field, length=steps)
        return jax.numpy.sum(u * u)

    return energy


def with_torch(torch):
    def energy(field, steps):
        u = field
        for _ in range(steps):
            new = u.clone()
            new[1:-1, 1:-1] = inside(u)
            u = new
        return torch.sum(u * u)

    return energy


def with_autograd(np):
    def energy(field, steps):
        u = field
        for _ in range(steps):
            rows = np.concatenate([u[1:-1, :1], inside(u), u[1:-1, -1:]], 1)
            u = np.concatenate([u[:1], rows, u[-1:]], 0)
        return np.sum(u * u)

    return energy


def data(size):
    width, steps = size
    return np.random.default_rng(0).random((width, width)), steps


PROBLEM = Problem(
    energy,
    data,
    ((8, 10), (32, 100), (128, 100), (512, 20)),
    {"jax": with_jax, "torch": with_torch, "autograd": with_autograd},
    quick=(0, 1),
    limits={"torch.compile": 0},
)
