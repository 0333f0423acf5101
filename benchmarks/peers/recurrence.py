"""A number that is fed back: one tanh after the other."""

import math

from benchmarks.peers import Problem


def last(a, steps):
    h = 0.5
    for _ in range(steps):
        h = math.tanh(a * h + 0.1)
    return h


def with_jax(jax):
    def last(a, steps):
        return jax.lax.fori_loop(0, steps, lambda _, h: jax.numpy.tanh(a * h + 0.1), 0.5)

    return last


def with_others(package):
    def last(a, steps):
        h = 0.5
        for _ in range(steps):
            h = package.tanh(a * h + 0.1)
        return h

    return last


PROBLEM = Problem(
    last,
    lambda steps: (0.9, steps),
    (10, 1_000, 10_000, 100_000),
    {"jax": with_jax, "torch": with_others, "autograd": with_others, "casadi": with_others},
    quick=(0, 2),
    limits={"torch.compile": 1, "torch": 2, "autograd": 2, "casadi": 3},
    steps=lambda steps: steps,
)
