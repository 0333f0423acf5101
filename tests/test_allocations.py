"""Scratch of an iteration is allocated once, in front of the loop; what outlives the iteration is not."""

import re

import numpy as np
import pytest
from lowered import function_of

from jitgrad import grad, jit

X = np.array([0.3, 0.9, -0.4, 1.2, 0.5])


def zeros_each_time(x):
    total = 0.0
    for i in range(x.size):
        row = np.zeros(x.size)
        for j in range(i):
            row[j] += x[j] * x[i]
        for j in range(x.size):
            total += row[j] * x[j]
    return total


def filled_by_halves(x):
    total = 0.0
    for i in range(3):
        for k in range(2):
            row = np.empty(2 * x.size)
            for j in range(x.size):
                row[j] = x[j] * i
                row[x.size + j] = x[j] + k
            for j in range(1, row.size):
                total += row[j] * row[j - 1]
    return total


def length_below_zero(x):
    total = 1.0
    for i in range(x.size):
        differences = np.empty(x.size - 1)
        for j in range(x.size - 1):
            differences[j] = x[j + 1] - x[j] * i
        for j in range(x.size - 1):
            total += differences[j] * differences[j]
    return total


def in_a_while(x):
    total, i = 0.0, 0
    while total < 10.0 and i < 20:
        row = np.zeros(x.size)
        for j in range(x.size):
            row[j] = x[j] * x[j] + total
        for j in range(x.size):
            total += row[j] * row[x.size - 1 - j]
        i += 1
    return total


def written_in_a_branch(x):
    total = 0.0
    for i in range(x.size):
        row = np.zeros(x.size)
        if x[i] > 0.4:
            for j in range(x.size):
                row[j] = x[j] * x[i]
        for j in range(x.size):
            total += row[j] * row[x.size - 1 - j]
    return total


def goes_to_the_next(x):
    old, total = np.zeros(x.size), 0.0
    for i in range(x.size):
        new = np.zeros(x.size)
        for j in range(x.size):
            new[j] = old[x.size - 1 - j] * 0.5 + x[j] * i
        for j in range(x.size):
            total += old[j] * new[j]
        old = new
    return total + old[0]


def is_given(x):
    row = np.zeros(x.size)
    for i in range(x.size):
        row = np.zeros(x.size)
        for j in range(i):
            row[j] = x[j] * x[i]
    return row


def grows(x):
    total = 0.0
    for i in range(x.size):
        row = np.empty(i)
        for j in range(i):
            row[j] = x[j] * x[i]
        for j in range(i):
            total += row[j] * row[i - 1 - j]
    return total


ONCE = [zeros_each_time, filled_by_halves, length_below_zero, in_a_while, written_in_a_branch]
EACH = [goes_to_the_next, is_given, grows]


def inside(source):
    """The allocations in loops."""
    return re.findall(r"\n {8,}\w+ = np\.empty.*", source)


@pytest.mark.parametrize("f", ONCE + EACH)
def test_right(f):
    function, source = function_of(jit(f), X)
    assert np.allclose(function(X), f(X), rtol=1e-14)
    assert bool(inside(source)) == (f in EACH)


@pytest.mark.parametrize("f", [zeros_each_time, filled_by_halves, length_below_zero, written_in_a_branch])
def test_gradient(f):
    gradient, source = function_of(grad(f), X)
    want = [(f(X + d) - f(X - d)) / 2e-6 for d in 1e-6 * np.eye(X.size)]
    assert np.allclose(gradient(X), want, rtol=1e-6)
    assert bool(inside(source)) == (f is written_in_a_branch)  # what a branch of the reverse leaves to nobody


def test_no_iteration():
    function, _ = function_of(jit(length_below_zero), X)
    assert function(np.empty(0)) == 1.0


@pytest.mark.parametrize("f", [filled_by_halves, goes_to_the_next])
def test_compiled(f):
    assert np.isclose(jit(f)(X), f(X), rtol=1e-14)
