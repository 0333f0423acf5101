"""A layer of long short-term memory that reads a sequence, with matrices of weights; the loss is of its last state."""

import numpy as np

from benchmarks.peers import Problem


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def loss(W, U, b, X):
    n = U.shape[0]
    h, c = np.zeros(n), np.zeros(n)
    for t in range(X.shape[0]):
        z = X[t] @ W + h @ U + b
        i, f, o = sigmoid(z[:n]), sigmoid(z[n : 2 * n]), sigmoid(z[3 * n :])
        c = f * c + i * np.tanh(z[2 * n : 3 * n])
        h = o * np.tanh(c)
    return np.sum(h * h)


def with_jax(jax):
    jnp = jax.numpy

    def loss(W, U, b, X):
        def step(state, x):
            h, c = state
            i, f, g, o = jnp.split(x + h @ U, 4)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zeros = jnp.zeros(U.shape[0])
        (h, _), _ = jax.lax.scan(step, (zeros, zeros), X @ W + b)
        return jnp.sum(h * h)

    return loss


def with_torch(torch):
    def loss(W, U, b, X):
        zeros = torch.zeros(1, 1, U.shape[0], dtype=X.dtype)
        weights = [W.T, U.T, b, torch.zeros_like(b)]
        _, h, _ = torch.lstm(X[:, None], (zeros, zeros), weights, True, 1, 0.0, True, False, False)
        return torch.sum(h * h)

    return loss


def with_autograd(np):
    def sigmoid(z):
        return 1.0 / (1.0 + np.exp(-z))

    def loss(W, U, b, X):
        n = U.shape[0]
        h, c = np.zeros(n), np.zeros(n)
        for x in X @ W + b:
            z = x + np.dot(h, U)
            c = sigmoid(z[n : 2 * n]) * c + sigmoid(z[:n]) * np.tanh(z[2 * n : 3 * n])
            h = sigmoid(z[3 * n :]) * np.tanh(c)
        return np.sum(h * h)

    return loss


def data(size):
    units, steps = size
    rng = np.random.default_rng(0)
    W, U = 0.3 * rng.normal(size=(8, 4 * units)), 0.3 * rng.normal(size=(units, 4 * units))
    return W, U, 0.1 * rng.normal(size=4 * units), rng.normal(size=(steps, 8))


PROBLEM = Problem(
    loss,
    data,
    ((4, 20), (16, 100), (32, 1_000), (128, 100)),
    {"jax": with_jax, "torch": with_torch, "autograd": with_autograd},
    argnums=(0, 1, 2),
    quick=(0, 1),
    limits={"torch.compile": 0, "autograd": 2},
)
