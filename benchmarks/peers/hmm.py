"""The likelihood of a sequence under a hidden Markov model, by the forward algorithm, normalised at each step."""

import math

import numpy as np

from benchmarks.peers import Problem


def log_likelihood(start, move, emit, seen):
    n = start.size
    a, b = np.empty(n), np.empty(n)
    total = 0.0
    for i in range(n):
        a[i] = start[i] * emit[i, seen[0]]
    for t in range(1, seen.size):
        norm = 0.0
        for i in range(n):
            norm += a[i]
        total += math.log(norm)
        for j in range(n):
            s = 0.0
            for i in range(n):
                s += a[i] * move[i, j]
            b[j] = s / norm * emit[j, seen[t]]
        for j in range(n):
            a[j] = b[j]
    return total + math.log(np.sum(a))


def with_jax(jax):
    jnp = jax.numpy

    def log_likelihood(start, move, emit, seen):
        def step(a, now):
            norm = jnp.sum(a)
            return (a / norm) @ move * now, jnp.log(norm)

        chances = emit.T[seen]
        a, logs = jax.lax.scan(step, start * chances[0], chances[1:])
        return jnp.sum(logs) + jnp.log(jnp.sum(a))

    return log_likelihood


def of_arrays(xp):
    def log_likelihood(start, move, emit, seen):
        chances = emit.T[seen]
        a = start * chances[0]
        total = 0.0
        for now in chances[1:]:
            norm = xp.sum(a)
            total = total + xp.log(norm)
            a = (a / norm) @ move * now
        return total + xp.log(xp.sum(a))

    return log_likelihood


def data(size):
    states, steps = size
    rng = np.random.default_rng(0)
    start, move, emit = rng.random(states), rng.random((states, states)), rng.random((states, 6))
    rows = move / move.sum(1, keepdims=True), emit / emit.sum(1, keepdims=True)
    return start / start.sum(), *rows, rng.integers(6, size=steps)


PROBLEM = Problem(
    log_likelihood,
    data,
    ((3, 20), (4, 1_000), (16, 1_000), (32, 10_000)),
    {"jax": with_jax, "torch": of_arrays, "autograd": of_arrays},
    argnums=(0, 1, 2),
    quick=(0, 1),
    limits={"torch.compile": 0, "torch": 2, "autograd": 2},
)
