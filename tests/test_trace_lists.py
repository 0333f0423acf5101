"""Tracing of lists that grow at run time, of comprehensions, and of what in-place updates read first."""

import numpy as np
import pytest
from test_trace_regions import agree
from tracing import refused

V = np.array([1.0, -2.0, 3.0, 0.5, -0.25])
W = np.array([0.5, 4.0, -1.0, 2.0, 1.5])
A = np.arange(12.0).reshape(3, 4) / 4 - 1
CASES = []


def case(*inputs):
    """Decorator: trace this function on the first tuple of arguments, run it on all of them."""

    def add(function):
        CASES.append(pytest.param(function, inputs, id=function.__name__))
        return function

    return add


@pytest.mark.parametrize(("function", "inputs"), CASES)
def test_like_python(function, inputs):
    agree(function, *inputs)


# In-place updates: the left side is read before the right side is evaluated.
def halved(v, k):
    v[k] = v[k] / 2
    return v[k] + 1


@case((V,), (W,))
def update_of_a_number(v):
    v = v.copy()
    v[1] *= halved(v, 1)
    return v


@case((V,), (W,))
def update_of_a_slice(v):
    v = v.copy()
    v[1:3] += halved(v, 1)
    return v


@case((V,), (W,))
def update_of_a_copy(v):
    v = v.copy()
    v[[1, 2]] += halved(v, 1)
    v[v > 0] *= halved(v, 2)
    return v


@case((V,), (W,))
def update_of_names_and_attributes(v):
    x = v.copy()
    x += halved(x, 0)
    y = x[2]
    y += halved(x, 2)
    return x, y
