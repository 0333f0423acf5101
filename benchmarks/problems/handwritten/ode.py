"""The gradient of ode: a step, forward or back, has all four stages in its loop over the components.

Forward, what a stage needs of the stage before it stands one component below: it was computed an iteration ago, and is
still in a register. (LLVM vectorises that if each new value is computed before the last one is used.) Back, it stands
one above, and is computed again from the cotangents of the states and x there, which have zeros behind their ends. A 1
stands in front of each state, for f_0 = x_0 * 1.
"""

import numpy as np
from numba import njit, uintp

from benchmarks.problems.handwritten import FLAGS

ABOVE = 4  # components that a step back looks at, above its own


@njit(**FLAGS)
def forward(x, y, h, new):
    """A step from y."""
    k1_in = k2_in = k3_in = k4_in = 1.0
    for i in range(x.size):
        y_i, x_i = y[i], x[i]
        k2_next = y_i + 0.5 * h * x_i * k1_in
        k3_next = y_i + 0.5 * h * x_i * k2_in
        k4_next = y_i + h * x_i * k3_in
        new[i] = y_i + h / 6.0 * x_i * (k1_in + 2.0 * k2_in + 2.0 * k3_in + k4_in)
        k1_in, k2_in, k3_in, k4_in = y_i, k2_next, k3_next, k4_next


@njit(**FLAGS)
def stages(x, y, h, out):
    """What x is multiplied with in the four stages of a step from y."""
    k1_in = k2_in = k3_in = k4_in = 1.0
    for i in range(x.size):
        y_i, x_i = y[i], x[i]
        k2_next = y_i + 0.5 * h * x_i * k1_in
        k3_next = y_i + 0.5 * h * x_i * k2_in
        k4_next = y_i + h * x_i * k3_in
        out[0, i], out[1, i], out[2, i], out[3, i] = k1_in, k2_in, k3_in, k4_in
        k1_in, k2_in, k3_in, k4_in = y_i, k2_next, k3_next, k4_next


@njit(**FLAGS)
def back(x, y_bar, h, inputs, new, x_bar):
    """A step back from y_bar, which is h / 6 times the cotangent of the state after the step."""
    half = 0.5 * h
    for i in range(x_bar.size):
        x1, x2, x3, x4 = x[uintp(i + 1)], x[uintp(i + 2)], x[uintp(i + 3)], x[uintp(i + 4)]
        k4_bar, k4_bar1, k4_bar2 = y_bar[i], y_bar[uintp(i + 1)], y_bar[uintp(i + 2)]
        k4_bar3, k4_bar4 = y_bar[uintp(i + 3)], y_bar[uintp(i + 4)]
        k3_bar = 2.0 * k4_bar + h * (x1 * k4_bar1)
        k3_bar1 = 2.0 * k4_bar1 + h * (x2 * k4_bar2)
        k3_bar2 = 2.0 * k4_bar2 + h * (x3 * k4_bar3)
        k3_bar3 = 2.0 * k4_bar3 + h * (x4 * k4_bar4)
        k2_bar = 2.0 * k4_bar + half * (x1 * k3_bar1)
        k2_bar1 = 2.0 * k4_bar1 + half * (x2 * k3_bar2)
        k2_bar2 = 2.0 * k4_bar2 + half * (x3 * k3_bar3)
        k1_bar = k4_bar + half * (x1 * k2_bar1)
        k1_bar1 = k4_bar1 + half * (x2 * k2_bar2)
        x_bar[i] += k1_bar * inputs[0, i] + k2_bar * inputs[1, i] + k3_bar * inputs[2, i] + k4_bar * inputs[3, i]
        new[i] = k4_bar + h / 6.0 * x1 * (k1_bar1 + k2_bar1 + k3_bar1 + k4_bar1)


@njit(**FLAGS)
def derivative(x, s):
    n = x.size
    h = 2.0 / s
    states = np.zeros((s, n))
    for step in range(s - 1):
        forward(x, states[step], h, states[step + 1])

    padded = np.zeros(n + ABOVE)
    for i in range(n):
        padded[i] = x[i]
    inputs, x_bar = np.empty((4, n)), np.zeros(n)
    y_bar, new = np.zeros(n + ABOVE), np.zeros(n + ABOVE)
    y_bar[n - 1] = h / 6.0
    for step in range(s - 1, -1, -1):
        stages(x, states[step], h, inputs)
        back(padded, y_bar, h, inputs, new, x_bar)
        y_bar, new = new, y_bar
    return x_bar
