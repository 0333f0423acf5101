"""A network of two layers, 64 to 128 to 10, and the cross-entropy of a batch of examples."""

import numpy as np

from benchmarks.peers import Problem


def of_arrays(xp):
    def loss(W1, b1, W2, b2, X, Y):
        h = xp.tanh(X @ W1 + b1)
        z = h @ W2 + b2
        return xp.mean(xp.log(xp.sum(xp.exp(z), 1)) - xp.sum(z * Y, 1))

    return loss


def data(batch):
    rng = np.random.default_rng(0)
    W1, b1 = 0.1 * rng.normal(size=(64, 128)), 0.1 * rng.normal(size=128)
    W2, b2 = 0.1 * rng.normal(size=(128, 10)), 0.1 * rng.normal(size=10)
    return W1, b1, W2, b2, rng.normal(size=(batch, 64)), np.eye(10)[rng.integers(10, size=batch)]


PROBLEM = Problem(
    of_arrays(np),
    data,
    (1, 8, 64, 512),
    {"jax": lambda jax: of_arrays(jax.numpy), "torch": of_arrays, "autograd": of_arrays},
    argnums=(0, 1, 2, 3),
    quick=(0, 2),
    limits={"torch.compile": 3},
)
