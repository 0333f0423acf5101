"""The gradient of lstm: the gates and states of all steps are kept, and the four gates of a layer are one flat loop.

As tanh(z) = 2 sigmoid(2 z) - 1, the four are sigmoids, of a row of inputs (v, hidden, v, hidden) times the row of
weights, with what belongs to the change times two. The objective is a sum over the steps, so the cotangents of a step's
output are known as soon as it is reached.
"""

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import SUMS
from jitgrad.runtime.vecmath import exp


@njit(**SUMS)
def sigmoid(z):
    return 1.0 / (1.0 + exp(-z))


@njit(**SUMS)
def factor_of(k, bits):
    """What the k-th of a row of weights or biases is multiplied with, and its cotangent: the last block is doubled."""
    return 2.0 if k >= 3 * bits else 1.0


@njit(**SUMS)
def predict(v, target, extra, v_bar, extra_bar):
    """The cotangents of what the last layer gives, v, and of its scale and bias."""
    total, normaliser = 0.0, 2.0
    for j in range(v_bar.size):
        v_bar[j] = exp(v[j] * extra[1, j] + extra[2, j])
        normaliser += v_bar[j]
        total += target[j]
    for j in range(v_bar.size):
        y_bar = target[j] - total / normaliser * v_bar[j]
        v_bar[j] = y_bar * extra[1, j]
        extra_bar[1, j] += y_bar * v[j]
        extra_bar[2, j] += y_bar


@njit(**SUMS)
def forward(weight, bias, extra, sequence, hidden, cell, gates, squashed, v_bar, extra_bar):
    """Fills the states, the gates, tanh of the cells, and the cotangents of the outputs of all steps."""
    layers, bits = weight.shape[0], sequence.shape[1]
    inputs = np.empty(4 * bits)
    for t in range(sequence.shape[0] - 1):
        for j in range(bits):
            inputs[j] = sequence[t, j] * extra[0, j]
        for i in range(layers):
            for j in range(bits):
                inputs[2 * bits + j] = inputs[j]
                inputs[bits + j] = hidden[t, i, j]
                inputs[3 * bits + j] = hidden[t, i, j]
            for k in range(4 * bits):
                gates[t, i, k] = sigmoid(inputs[k] * weight[i, k] + bias[i, k])
            for j in range(bits):
                change = 2.0 * gates[t, i, 3 * bits + j] - 1.0
                cell[t + 1, i, j] = cell[t, i, j] * gates[t, i, j] + gates[t, i, bits + j] * change
            for j in range(bits):
                squashed[t, i, j] = 2.0 * sigmoid(2.0 * cell[t + 1, i, j]) - 1.0
            for j in range(bits):
                inputs[j] = hidden[t + 1, i, j] = gates[t, i, 2 * bits + j] * squashed[t, i, j]
        predict(inputs, sequence[t + 1], extra, v_bar[t], extra_bar)


@njit(**SUMS)
def back(weight, extra, sequence, hidden, cell, gates, squashed, v_bar, weight_bar, bias_bar, extra_bar):
    """Adds up the cotangents of weights, biases and the scale of the inputs."""
    layers, bits = weight.shape[0], sequence.shape[1]
    hidden_bar, cell_bar = np.zeros((layers, bits)), np.zeros((layers, bits))
    v, v_bar_i = np.empty(bits), np.empty(bits)
    for t in range(sequence.shape[0] - 2, -1, -1):
        for j in range(bits):
            v_bar_i[j] = v_bar[t, j]
        for i in range(layers - 1, -1, -1):
            for j in range(bits):
                v[j] = hidden[t + 1, i - 1, j] if i > 0 else sequence[t, j] * extra[0, j]
            for j in range(bits):
                forget, keep = gates[t, i, j], gates[t, i, bits + j]
                out, change = gates[t, i, 2 * bits + j], gates[t, i, 3 * bits + j]
                h_bar = hidden_bar[i, j] + v_bar_i[j]
                c_bar = cell_bar[i, j] + h_bar * out * (1.0 - squashed[t, i, j] * squashed[t, i, j])
                forget_bar = c_bar * cell[t, i, j] * forget * (1.0 - forget)
                keep_bar = c_bar * (2.0 * change - 1.0) * keep * (1.0 - keep)
                out_bar = h_bar * squashed[t, i, j] * out * (1.0 - out)
                change_bar = 2.0 * c_bar * keep * change * (1.0 - change)
                cell_bar[i, j] = c_bar * forget
                v_bar_i[j] = forget_bar * weight[i, j] + out_bar * weight[i, 2 * bits + j]
                hidden_bar[i, j] = keep_bar * weight[i, bits + j] + change_bar * weight[i, 3 * bits + j]
                bias_bar[i, j] += forget_bar
                bias_bar[i, bits + j] += keep_bar
                bias_bar[i, 2 * bits + j] += out_bar
                bias_bar[i, 3 * bits + j] += change_bar
                weight_bar[i, j] += forget_bar * v[j]
                weight_bar[i, bits + j] += keep_bar * hidden[t, i, j]
                weight_bar[i, 2 * bits + j] += out_bar * v[j]
                weight_bar[i, 3 * bits + j] += change_bar * hidden[t, i, j]
        for j in range(bits):
            extra_bar[0, j] += v_bar_i[j] * sequence[t, j]


@njit(**SUMS)
def derivative(main, extra, state, sequence):
    steps, bits = sequence.shape[0] - 1, sequence.shape[1]
    layers = main.shape[0] // 2
    weight, bias = np.empty((layers, 4 * bits)), np.empty((layers, 4 * bits))
    hidden, cell = np.empty((steps + 1, layers, bits)), np.empty((steps + 1, layers, bits))
    for i in range(layers):
        for k in range(4 * bits):
            weight[i, k] = factor_of(k, bits) * main[2 * i, k]
            bias[i, k] = factor_of(k, bits) * main[2 * i + 1, k]
        for j in range(bits):
            hidden[0, i, j], cell[0, i, j] = state[2 * i, j], state[2 * i + 1, j]
    gates, squashed = np.empty((steps, layers, 4 * bits)), np.empty((steps, layers, bits))
    v_bar, extra_bar = np.empty((steps, bits)), np.zeros((3, bits))
    forward(weight, bias, extra, sequence, hidden, cell, gates, squashed, v_bar, extra_bar)

    weight_bar, bias_bar = np.zeros((layers, 4 * bits)), np.zeros((layers, 4 * bits))
    back(weight, extra, sequence, hidden, cell, gates, squashed, v_bar, weight_bar, bias_bar, extra_bar)
    scale = -1.0 / (steps * bits)
    main_bar = np.empty(main.shape)
    for i in range(layers):
        for k in range(4 * bits):
            main_bar[2 * i, k] = scale * factor_of(k, bits) * weight_bar[i, k]
            main_bar[2 * i + 1, k] = scale * factor_of(k, bits) * bias_bar[i, k]
    for i in range(3):
        for j in range(bits):
            extra_bar[i, j] *= scale
    return main_bar, extra_bar
