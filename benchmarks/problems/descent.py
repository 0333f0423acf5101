"""What particle and saddle share: gradients in either mode, and a descent whose steps depend on the values.

All of it runs as it stands, and inside of functions that jitgrad compiles.
"""

import numpy as np

from jitgrad import grad, jvp

TOLERANCE = 1e-5


def reverse(f):
    """The gradient of f in reverse mode."""
    return grad(f)


def forward(f):
    """The gradient of f in forward mode: a slope along each axis."""

    def gradient(x):
        slopes = np.empty_like(x)
        for k in range(x.size):
            axis = np.zeros_like(x)
            axis[k] = 1.0
            _, slopes[k] = jvp(f, (x,), (axis,))
        return slopes

    return gradient


MODES = {"r": reverse, "f": forward}


def length(v):
    return np.sqrt(np.sum(v * v))


def descend(f, gradient, x):
    """Goes down from x: steps that lower f are taken and, after ten of them, doubled; others are halved."""
    value, slope = f(x), gradient(x)
    rate, taken = 1e-5, 0
    while length(slope) > TOLERANCE:
        if taken == 10:
            rate, taken = 2.0 * rate, 0
            continue
        new = x - rate * slope
        if length(x - new) <= TOLERANCE:
            break
        new_value = f(new)
        if new_value < value:
            x, value, slope = new, new_value, gradient(new)
            taken += 1
        else:
            rate, taken = 0.5 * rate, 0
    return x


def evaluations(f, gradient, x):
    """How often a descent evaluates the function, and how often its gradient."""
    counts = [0, 0]

    def counted(function, which):
        def call(x):
            counts[which] += 1
            return function(x)

        return call

    descend(counted(f, 0), counted(gradient, 1), x)
    return counts
