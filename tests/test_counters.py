"""Integers that loops count up are not negative; loops that only check do it once."""

import numpy as np
import pytest
from lowered import function_of

from jitgrad import grad, jit

X = np.array([0.3, 0.9, -0.4])
PACKED = np.linspace(-1, 1, 3)


def triangle(packed, x):
    y = x.copy()
    t = 0
    for j in range(x.size):
        for r in range(j + 1, x.size):
            y[r] += packed[t] * x[j]
            t += 1
    return np.sum(y * y)


def many_triangles(packed, x):
    total = 0.0
    for i in range(x.size):
        for _ in range(2):
            y = np.zeros(x.size)
            t = 0
            for j in range(x.size):
                for r in range(j + 1, x.size):
                    y[r] += packed[t] * x[j] * x[i]
                    t += 1
            for j in range(x.size):
                total += y[j] * y[j]
    return total


def in_branches(packed, x):
    total, t = 0.0, 0
    for i in range(x.size):
        if x[i] > 0:
            for _ in range(i):
                t += 1
        else:
            t += 1
        total += packed[t] * x[i]
    return total


def up_and_down(packed, x):
    total, t = 0.0, 1
    for i in range(x.size):
        if x[i] > 0:
            t -= 1
        else:
            t += 1
        total += packed[t] * x[i]
    return total


def from_the_end(packed, x):
    total, t = 0.0, -3
    for i in range(x.size):
        for _ in range(1):
            total += packed[t] * x[i]
            t += 1
    return total


def slope(f, packed, x):
    return [(f(packed + d, x) - f(packed - d, x)) / 2e-6 for d in 1e-6 * np.eye(packed.size)]


@pytest.mark.parametrize("f", [triangle, many_triangles, in_branches, up_and_down, from_the_end])
def test_gradient(f):
    gradient, source = function_of(grad(f), PACKED, X)
    assert np.allclose(gradient(PACKED, X), slope(f, PACKED, X), rtol=1e-6, atol=1e-8)
    counted_from_the_end = "+ packed_n" in source
    assert counted_from_the_end == (f in (up_and_down, from_the_end))


@pytest.mark.parametrize("f", [triangle, many_triangles, up_and_down])
def test_out_of_range(f):
    short = PACKED[:1]
    for function in (function_of(jit(f), PACKED, X)[0], function_of(grad(f), PACKED, X)[0]):
        with pytest.raises(IndexError):
            function(short if f is not up_and_down else PACKED, X if f is not up_and_down else -np.ones(7))


def test_checks_once():
    lines = function_of(grad(many_triangles), PACKED, X)[1].split("\n")
    at = next(k for k, line in enumerate(lines) if "raise OutOfBounds" in line)
    around, depth = [], len(lines[at])
    for line in lines[at::-1]:
        indent = len(line) - len(line.lstrip())
        if indent < depth:
            around.append(line.strip())
            depth = indent
    assert sum(line.startswith("for ") for line in around) == 1


def test_no_iteration_checks_nothing():
    gradient, _ = function_of(grad(many_triangles), PACKED, X)
    assert gradient(np.empty(0), np.empty(0)).size == 0
    assert gradient(np.empty(0), np.ones(1)).size == 0
