"""The gradient of gmm: one pass over the points, with all components at once in the innermost loops.

Every array has the components last. Each is named after what it holds for a component: `L` are the elements below the
diagonal of the triangle, and `centred` and `scaled` the point less the mean, and that times the triangle.
"""

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import FLAGS
from benchmarks.problems.handwritten.lse import softmax
from jitgrad.runtime.vecmath import exp


@njit(inline="always", **FLAGS)
def forward(point, base, mu, diagonal, L, centred, scaled, beta):
    d, k = mu.shape
    for j in range(d):
        at_j = point[j]
        for c in range(k):
            difference = at_j - mu[j, c]
            centred[j, c] = difference
            scaled[j, c] = diagonal[j, c] * difference
    at = 0
    for j in range(d):
        for r in range(j + 1, d):
            for c in range(k):
                scaled[r, c] += L[at, c] * centred[j, c]
            at += 1
    for c in range(k):
        beta[c] = base[c]
    for j in range(d):
        for c in range(k):
            beta[c] -= 0.5 * scaled[j, c] * scaled[j, c]


@njit(inline="always", **FLAGS)
def backward(share, diagonal, L, centred, scaled, centred_bar, mu_bar, diagonal_bar, L_bar):
    """`share` is the adjoint of beta; `scaled` becomes its own."""
    d, k = diagonal.shape
    for j in range(d):
        for c in range(k):
            scaled[j, c] *= -share[c]
    at = 0
    for j in range(d):
        for c in range(k):
            diagonal_bar[j, c] += scaled[j, c] * centred[j, c]
            centred_bar[c] = scaled[j, c] * diagonal[j, c]
        for r in range(j + 1, d):
            for c in range(k):
                scaled_bar = scaled[r, c]
                centred_bar[c] += scaled_bar * L[at, c]
                L_bar[at, c] += scaled_bar * centred[j, c]
            at += 1
        for c in range(k):
            mu_bar[j, c] -= centred_bar[c]


@njit(**FLAGS)
def derivative(alpha, mu, q, packed, x, gamma, m):
    n, d = x.shape
    k, below = packed.shape
    mu_last, L = np.ascontiguousarray(mu.T), np.ascontiguousarray(packed.T)
    diagonal, base = np.empty((d, k)), alpha.copy()
    for j in range(d):
        for c in range(k):
            diagonal[j, c] = exp(q[c, j])
            base[c] += q[c, j]

    centred, scaled, centred_bar = np.empty((d, k)), np.empty((d, k)), np.empty(k)
    beta, share, shares = np.empty(k), np.empty(k), np.zeros(k)
    mu_bar, diagonal_bar, L_bar = np.zeros((d, k)), np.zeros((d, k)), np.zeros((below, k))
    for i in range(n):
        forward(x[i], base, mu_last, diagonal, L, centred, scaled, beta)
        softmax(beta, share)
        backward(share, diagonal, L, centred, scaled, centred_bar, mu_bar, diagonal_bar, L_bar)
        for c in range(k):
            shares[c] += share[c]

    weight = gamma * gamma
    q_bar = np.empty((k, d))
    for c in range(k):
        for j in range(d):
            q_bar[c, j] = shares[c] + m + (diagonal_bar[j, c] - weight * diagonal[j, c]) * diagonal[j, c]
    softmax(alpha, share)
    return shares - n * share, np.ascontiguousarray(mu_bar.T), q_bar, L_bar.T - weight * packed
