"""lstm: how well a recurrent network of long short-term memory cells predicts a text, bit by bit, and its gradient.

All products are elementwise: the matrices of weights are diagonal. A layer has a row of weights and a row of biases,
each in four blocks: forget, in, out, change.
"""

import math

import numpy as np
from numba import njit

from benchmarks.problems import Programs, differences
from jitgrad import grad, jit

SIZES = {
    "small": {"layers": 2, "steps": 6, "bits": 3},
    "middle": {"layers": 2, "steps": 1024, "bits": 14},
    "large": {"layers": 4, "steps": 4096, "bits": 14},
}


@njit
def sigmoid(z):
    return 1.0 / (1.0 + math.exp(-z))


@njit
def objective(main, extra, state, sequence):
    steps, bits = sequence.shape
    layers = main.shape[0] // 2
    hidden, cell = state[::2].copy(), state[1::2].copy()
    v = np.empty(bits)
    total = 0.0
    for t in range(steps - 1):
        for j in range(bits):
            v[j] = sequence[t, j] * extra[0, j]
        for i in range(layers):
            weight, bias = main[2 * i], main[2 * i + 1]
            for j in range(bits):
                forget = sigmoid(v[j] * weight[j] + bias[j])
                keep = sigmoid(hidden[i, j] * weight[bits + j] + bias[bits + j])
                out = sigmoid(v[j] * weight[2 * bits + j] + bias[2 * bits + j])
                change = math.tanh(hidden[i, j] * weight[3 * bits + j] + bias[3 * bits + j])
                cell[i, j] = cell[i, j] * forget + keep * change
                hidden[i, j] = out * math.tanh(cell[i, j])
                v[j] = hidden[i, j]
        normaliser = 2.0
        for j in range(bits):
            normaliser += math.exp(v[j] * extra[1, j] + extra[2, j])
        for j in range(bits):
            total += sequence[t + 1, j] * (v[j] * extra[1, j] + extra[2, j] - math.log(normaliser))
    return -total / ((steps - 1) * bits)


def sigmoid_of_array(z):
    return 1 / (1 + np.exp(-z))


def objective_of_arrays(main, extra, state, sequence):
    """The same, as one would write it for NumPy: loops over time and layers, arrays for the bits."""
    steps, bits = sequence.shape
    layers = main.shape[0] // 2
    hidden, cell = state[::2].copy(), state[1::2].copy()
    total = 0.0
    for t in range(steps - 1):
        v = sequence[t] * extra[0]
        for i in range(layers):
            weight, bias = main[2 * i].reshape(4, bits), main[2 * i + 1].reshape(4, bits)
            forget = sigmoid_of_array(v * weight[0] + bias[0])
            keep = sigmoid_of_array(hidden[i] * weight[1] + bias[1])
            out = sigmoid_of_array(v * weight[2] + bias[2])
            change = np.tanh(hidden[i] * weight[3] + bias[3])
            cell[i] = cell[i] * forget + keep * change
            hidden[i] = out * np.tanh(cell[i])
            v = hidden[i]
        y = v * extra[1] + extra[2]
        total += np.sum(sequence[t + 1] * (y - np.log(2 + np.sum(np.exp(y)))))
    return -total / ((steps - 1) * bits)


gradient = grad(objective, argnums=("main", "extra"))
gradient_of_arrays = grad(objective_of_arrays, argnums=("main", "extra"))
PROGRAMS = Programs(plain=objective, ours=jit(objective), derivative=gradient)


def arguments(input):
    names = ("main_params", "extra_params", "state", "sequence")
    return tuple(np.asarray(input[name], dtype=np.float64) for name in names)


def flat(gradients):
    return np.concatenate([np.ravel(g) for g in gradients])


def programs(input):
    return PROGRAMS


def primal(input):
    return objective(*arguments(input))


def derivative(input):
    return flat(gradient(*arguments(input))).tolist()


def derivative_of_arrays(input):
    return flat(gradient_of_arrays(*arguments(input))).tolist()


def generate(layers, steps, bits, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "main_params": rng.normal(size=(2 * layers, 4 * bits)),
        "extra_params": rng.normal(size=(3, bits)),
        "state": rng.normal(size=(2 * layers, bits)),
        "sequence": rng.integers(2, size=(steps, bits)).astype(np.float64),
    }


def expected(input):
    """The gradient by differences."""
    values = arguments(input)
    return flat([differences.gradient(objective, values, k) for k in (0, 1)])
