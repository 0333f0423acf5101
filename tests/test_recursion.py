"""Functions that call themselves as deep as run-time values say: values and derivatives, against differences."""

import subprocess
import sys

import numpy as np
import pytest

from jitgrad import grad, jit, jvp, value_and_grad
from jitgrad.errors import TraceError

RNG = np.random.default_rng(0)


def power(n, x):
    if n == 0:
        return 1.0
    return x * power(n - 1, x)


def fib(n, x):
    if n < 2:
        return np.sin(x) + n
    return fib(n - 1, x) * 0.5 + fib(n - 2, x * 0.9) * x


def halves(x, low, high):
    if high - low == 1:
        return x[low] ** 2
    middle = (low + high) // 2
    left = halves(x, low, middle)
    right = halves(x, middle, high)
    return left * np.cos(right) + right


def tree(x, node):
    """A sum over a binary tree that is laid out in an array."""
    if node >= x.shape[0]:
        return 0.0
    below = tree(x, 2 * node + 1) + tree(x, 2 * node + 2)
    return np.tanh(x[node] + below) * x[node]


def scaled(x, i):
    """Writes to the array as it goes down and as it comes back."""
    if i < x.shape[0]:
        x[i] *= x[i - 1]
        scaled(x, i + 1)
        x[i] += np.sin(x[i - 1])


def in_place(x):
    y = x.copy()
    scaled(y, 1)
    return np.sum(y * y)


def partition(a, low, high):
    pivot, place = a[high], low
    for i in range(low, high):
        if a[i] < pivot:
            a[i], a[place] = a[place], a[i]
            place += 1
    a[high], a[place] = a[place], a[high]
    return place


def select(a, k, low, high):
    if low == high:
        return a[low]
    place = partition(a, low, high)
    if k == place:
        return a[k]
    if k < place:
        return select(a, k, low, place - 1)
    return select(a, k, place + 1, high)


def median(x):
    a = x.copy()
    middle = select(a, x.shape[0] // 2, 0, x.shape[0] - 1)
    return middle * middle


def sort(a, low, high):
    if low < high:
        place = partition(a, low, high)
        sort(a, low, place - 1)
        sort(a, place + 1, high)


def sorted_dot(x, w):
    a = x.copy()
    sort(a, 0, a.shape[0] - 1)
    return np.dot(np.exp(a), w)


def even(n, x):
    if n == 0:
        return x
    return np.sin(odd(n - 1, x * 1.1)) + x


def odd(n, x):
    if n == 0:
        return x * x
    return np.cos(even(n - 1, x)) * x


def ackermann(m, n, x):
    """Integers that decide, and a float that is carried along."""
    if m == 0:
        return n + 1, x * 1.01
    if n == 0:
        return ackermann(m - 1, 1, np.sin(x) + x)
    inner, y = ackermann(m, n - 1, x * 0.99)
    return ackermann(m - 1, inner, y)


def ackermann_state(x, m, n):
    value, y = ackermann(m, n, x)
    return value * y


def closure(x, n):
    scale = np.sum(x)

    def inner(k, y):
        if k == 0:
            return y * scale
        return inner(k - 1, np.sin(y * x[k])) + y

    return inner(n, x[0])


def in_loops(n, x):
    if n <= 0:
        return x * x
    total = x
    for i in range(n):
        total += np.sin(in_loops(n - 1, x + 0.1 * i)) * total
    return total


def while_inside(n, x):
    if n == 0:
        return x
    total, k = 0.0, 0
    while k < n and total < 5.0:
        total += while_inside(k, x * 0.7) + 0.1 * x * x
        k += 1
    return total


def expand(A, after, row):
    """A determinant by expansion; the columns that are left are a list, linked through integers."""
    ell = A.shape[0]
    if row == ell:
        return 1.0
    total, sign = 0.0, 1.0
    before = ell
    column = after[before]
    while column != ell:
        after[before] = after[column]
        total += sign * A[row, column] * expand(A, after, row + 1)
        after[before] = column
        sign = -sign
        before = column
        column = after[column]
    return total


def determinant(A):
    ell = A.shape[0]
    after = np.arange(1, ell + 2)
    after[ell] = 0
    return expand(A, after, 0)


def vectors(n, x):
    if n == 0:
        return x
    return np.tanh(vectors(n - 1, x * 1.1) + x)


def of_vectors(n, x):
    return np.sum(vectors(n, x) ** 2)


def pairs(n, state):
    """A tuple in, a tuple out."""
    if n == 0:
        return state
    a, b = pairs(n - 1, state)
    return a * b, a + b


def of_pairs(n, x):
    a, b = pairs(n, (x[0], x[1]))
    return a - b * b


def early(n, x):
    for i in range(n):
        if x > 1.7:
            return x
        x = x + early(i, x * 0.5)
    return np.sin(x)


def writes_around(x, n):
    """An inner function that writes to an array of the function around."""
    out = np.zeros_like(x)

    def fill(k, v):
        out[k] = v
        if k + 1 < n:
            fill(k + 1, np.sin(v * x[k]) + v)
        out[k] *= out[n - 1]

    fill(0, x[0])
    return np.sum(out)


X = RNG.uniform(0.3, 1.4, 7)
CASES = {
    "power": (power, (4, 1.3)),
    "power of nothing": (power, (0, 1.3)),
    "fib": (fib, (7, 0.6)),
    "halves": (halves, (X, 0, 7)),
    "tree": (tree, (X, 0)),
    "in_place": (in_place, (X,)),
    "median": (median, (X,)),
    "sorted_dot": (sorted_dot, (X, RNG.normal(size=7))),
    "even": (even, (5, 0.4)),
    "ackermann": (ackermann_state, (0.3, 2, 2)),
    "closure": (closure, (X, 4)),
    "in_loops": (in_loops, (3, 0.2)),
    "while_inside": (while_inside, (5, 0.8)),
    "determinant": (determinant, (RNG.normal(size=(4, 4)),)),
    "vectors": (of_vectors, (4, X)),
    "pairs": (of_pairs, (3, X[:2])),
    "early": (early, (4, 0.5)),
    "writes_around": (writes_around, (X, 5)),
}


def floats(args):
    return tuple(k for k, a in enumerate(args) if isinstance(a, float | np.ndarray))


def moved(args, k, step, place=None):
    args = list(args)
    if place is None:
        args[k] = args[k] + step
    else:
        args[k] = args[k].copy()
        args[k][place] += step
    return args


def difference(f, args, k, step=1e-3):
    """Central differences of sixth order."""
    weights = ((3, 1 / 60), (2, -9 / 60), (1, 45 / 60))

    def along(place=None):
        ends = [(w, *(f(*moved(args, k, s * j * step, place)) for s in (1, -1))) for j, w in weights]
        return sum(w * (a - b) for w, a, b in ends) / step

    if not isinstance(args[k], np.ndarray):
        return along()
    return np.array([along(place) for place in np.ndindex(args[k].shape)]).reshape(args[k].shape)


@pytest.mark.parametrize("name", CASES)
def test_gradients(name):
    f, args = CASES[name]
    places = floats(args)
    value, gradients = value_and_grad(f, argnums=places)(*args)
    np.testing.assert_allclose(value, f(*args), rtol=1e-12)
    for k, found in zip(places, gradients, strict=True):
        np.testing.assert_allclose(found, difference(f, args, k), rtol=1e-7, atol=1e-9)


def directions(args):
    """A tangent for each argument; None for integers."""
    dots = [np.cos(np.arange(np.size(a))).reshape(np.shape(a)) + 0.3 for a in args]
    return tuple(
        dot if isinstance(a, np.ndarray) else float(dot) if isinstance(a, float) else None
        for a, dot in zip(args, dots, strict=True)
    )


def along(f, args, dots, step=1e-3):
    """The derivative along a direction, by differences."""

    def at(t):
        return f(*(a if dot is None else a + t * dot for a, dot in zip(args, dots, strict=True)))

    return sum(w * (at(j * step) - at(-j * step)) for j, w in ((3, 1 / 60), (2, -9 / 60), (1, 45 / 60))) / step


@pytest.mark.parametrize("name", CASES)
def test_tangents(name):
    f, args = CASES[name]
    dots = directions(args)
    value, found = jvp(f, args, dots)
    np.testing.assert_allclose(value, f(*args), rtol=1e-12)
    np.testing.assert_allclose(found, along(f, args, dots), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(name):
    """Forward over reverse, against differences of the gradient."""
    f, args = CASES[name]
    gradient = grad(f, argnums=floats(args))
    dots = directions(args)
    _, found = jvp(gradient, args, dots)
    for k, dot in enumerate(found):
        np.testing.assert_allclose(dot, along(lambda *a, k=k: gradient(*a)[k], args, dots), rtol=1e-6, atol=1e-7)
