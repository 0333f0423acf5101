"""The density of a mixture of Gaussians: d dimensions, k components, n points, as in `benchmarks.problems`."""

import numpy as np

from benchmarks.peers import Problem
from benchmarks.problems import gmm


def of_arrays(np, triangle):
    """The same for arrays, but for a constant.

    Args:
        np: the array module.
        triangle: makes the lower triangles, from the logarithms of their diagonals and what is below, by columns.
    """

    def log_sum_exp(v):
        largest = np.max(v, -1, keepdims=True)
        return np.squeeze(largest, -1) + np.log(np.sum(np.exp(v - largest), -1))

    def loss(alpha, mu, q, packed, x, gamma, m):
        n = x.shape[0]
        L, sums = triangle(q, packed), np.sum(q, 1)
        scaled = np.einsum("crj,icj->icr", L, x[:, None] - mu)
        beta = alpha + sums - 0.5 * np.sum(scaled**2, 2)
        penalty = 0.5 * gamma**2 * (np.sum(np.exp(2 * q)) + np.sum(packed**2)) - m * np.sum(sums)
        return np.sum(log_sum_exp(beta)) - n * log_sum_exp(alpha) - penalty

    return loss


def below(d):
    """The positions below the diagonal, by columns."""
    columns, rows = np.triu_indices(d, 1)
    return rows, columns


def with_jax(jax):
    jnp = jax.numpy

    def triangle(q, packed):
        k, d = q.shape
        rows, columns = below(d)
        L = jnp.zeros((k, d, d)).at[:, rows, columns].set(packed)
        return L.at[:, np.arange(d), np.arange(d)].set(jnp.exp(q))

    return of_arrays(jnp, triangle)


def with_torch(torch):
    class names:
        einsum, exp, log, sum, squeeze = torch.einsum, torch.exp, torch.log, torch.sum, torch.squeeze

        def max(v, axis, keepdims):
            return torch.amax(v, axis, keepdims)

    def triangle(q, packed):
        rows, columns = below(q.shape[1])
        L = torch.diag_embed(torch.exp(q))
        L[:, rows, columns] = packed
        return L

    return of_arrays(names, triangle)


def with_autograd(np):
    def triangle(q, packed):
        d = q.shape[1]
        rows, columns = below(d)
        place = np.zeros((packed.shape[1], d, d))
        place[np.arange(packed.shape[1]), rows, columns] = 1.0
        return np.exp(q)[:, :, None] * np.eye(d) + np.tensordot(packed, place, 1)

    return of_arrays(np, triangle)


def data(size):
    d, k, n = size
    return gmm.arguments(gmm.generate(d, k, n))


PROBLEM = Problem(
    gmm.objective,
    data,
    ((3, 3, 10), (3, 5, 100), (10, 25, 1_000), (20, 50, 1_000)),
    {"jax": with_jax, "torch": with_torch, "autograd": with_autograd},
    argnums=(0, 1, 2, 3),
    quick=(0, 2),
    limits={"torch.compile": 2},
)
