"""gmm: the log-density of a mixture of Gaussians with a Wishart prior, and its gradient.

The inverse covariance of a component is L.T @ L for a lower triangle L with diagonal exp(q), whose other elements are
in `packed`, column by column.
"""

import math

import numpy as np
from numba import njit

from benchmarks.problems import Programs, differences
from jitgrad import grad, jit

SIZES = {
    "small": {"d": 2, "k": 3, "n": 10},
    "middle": {"d": 10, "k": 25, "n": 1000},
    "large": {"d": 20, "k": 50, "n": 10_000},
}


@njit
def log_sum_exp(v):
    largest = v[0]
    for i in range(1, v.size):
        if v[i] > largest:
            largest = v[i]
    total = 0.0
    for i in range(v.size):
        total += math.exp(v[i] - largest)
    return largest + math.log(total)


@njit
def log_gamma_many(a, d):
    """The logarithm of the d-dimensional gamma function."""
    total = 0.25 * d * (d - 1) * math.log(math.pi)
    for j in range(d):
        total += math.lgamma(a - 0.5 * j)
    return total


@njit
def log_prior_constant(k, d, gamma, m):
    freedom = d + m + 1
    return k * (freedom * d * (math.log(gamma) - 0.5 * math.log(2.0)) - log_gamma_many(0.5 * freedom, d))


@njit
def objective(alpha, mu, q, packed, x, gamma, m):
    n, d = x.shape
    k = alpha.size
    diagonal = np.empty((k, d))
    sums = np.zeros(k)
    for c in range(k):
        for j in range(d):
            diagonal[c, j] = math.exp(q[c, j])
            sums[c] += q[c, j]

    total = 0.0
    centred = np.empty(d)
    scaled = np.empty(d)
    beta = np.empty(k)
    for i in range(n):
        for c in range(k):
            for j in range(d):
                centred[j] = x[i, j] - mu[c, j]
                scaled[j] = diagonal[c, j] * centred[j]
            t = 0
            for j in range(d):
                for r in range(j + 1, d):
                    scaled[r] += packed[c, t] * centred[j]
                    t += 1
            square = 0.0
            for j in range(d):
                square += scaled[j] * scaled[j]
            beta[c] = alpha[c] + sums[c] - 0.5 * square
        total += log_sum_exp(beta)

    penalty = 0.0
    for c in range(k):
        square = 0.0
        for j in range(d):
            square += diagonal[c, j] * diagonal[c, j]
        for t in range(packed.shape[1]):
            square += packed[c, t] * packed[c, t]
        penalty += 0.5 * gamma * gamma * square - m * sums[c]
    constant = log_prior_constant(k, d, gamma, m) - 0.5 * n * d * math.log(2.0 * math.pi)
    return constant + total - n * log_sum_exp(alpha) - penalty


def objective_of_arrays(alpha, mu, q, packed, x, gamma, m):
    """The same, as one would write it for NumPy."""
    n, d = x.shape
    k = alpha.size
    L = np.zeros((k, d, d))
    t = 0
    for j in range(d):
        L[:, j, j] = np.exp(q[:, j])
        L[:, j + 1 :, j] = packed[:, t : t + d - 1 - j]
        t += d - 1 - j
    sums = np.sum(q, axis=1)
    scaled = np.einsum("crj,icj->icr", L, x[:, None] - mu)
    beta = alpha + sums - 0.5 * np.sum(scaled**2, axis=2)
    largest = np.max(beta, axis=1)
    total = np.sum(largest + np.log(np.sum(np.exp(beta - largest[:, None]), axis=1)))
    penalty = 0.5 * gamma**2 * (np.sum(np.exp(2 * q)) + np.sum(packed**2)) - m * np.sum(sums)
    constant = log_prior_constant(k, d, gamma, m) - 0.5 * n * d * np.log(2 * np.pi)
    return constant + total - n * (np.max(alpha) + np.log(np.sum(np.exp(alpha - np.max(alpha))))) - penalty


UNKNOWNS = ("alpha", "mu", "q", "l")  # as the input calls them
gradient = grad(objective, argnums=(0, 1, 2, 3))
gradient_of_arrays = grad(objective_of_arrays, argnums=(0, 1, 2, 3))
PROGRAMS = Programs(plain=objective, ours=jit(objective), derivative=gradient)


def arguments(input):
    d, k, n = input["d"], input["k"], input["n"]
    shapes = {"alpha": (k,), "mu": (k, d), "q": (k, d), "l": (k, d * (d - 1) // 2), "x": (n, d)}
    arrays = [np.asarray(input[name], dtype=np.float64).reshape(shape) for name, shape in shapes.items()]
    return *arrays, float(input["gamma"]), int(input["m"])


def programs(input):
    return PROGRAMS


def primal(input):
    return objective(*arguments(input))


def derivative(input):
    return {name: g.tolist() for name, g in zip(UNKNOWNS, gradient(*arguments(input)), strict=True)}


def derivative_of_arrays(input):
    return {name: g.tolist() for name, g in zip(UNKNOWNS, gradient_of_arrays(*arguments(input)), strict=True)}


def generate(d, k, n, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"x": (n, d), "alpha": (k,), "mu": (k, d), "q": (k, d), "l": (k, d * (d - 1) // 2)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    return {"d": d, "k": k, "n": n, "m": 2, "gamma": 1.5} | arrays | {"q": 0.3 * arrays["q"]}


def expected(input):
    """The gradient by differences."""
    values = arguments(input)
    return {name: differences.gradient(objective, values, k) for k, name in enumerate(UNKNOWNS)}
