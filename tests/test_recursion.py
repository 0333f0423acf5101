"""Functions that call themselves as deep as run-time values say: values and derivatives, against differences."""

import os
import subprocess
import sys

import numpy as np
import pytest

from jitgrad import grad, jit, jvp, value_and_grad
from jitgrad.api.forward import _engine, _tangents
from jitgrad.api.structure import unflatten
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


def first(x, n):
    """Two functions, each of which calls itself and the other; with arrays, in other places."""
    if n <= 0:
        return x[0]
    return other(n - 1, x, x * 1.5) + first(x, n - 2)


def other(n, x, y):
    if n <= 0:
        return np.sum(x * y)
    return np.sin(first(y, n - 1) * 0.1) + other(n - 2, y, x) * first(x, n - 1)


class Node:
    """An object that the traced function makes."""

    def __init__(self, weight, depth):
        self.weight, self.depth = weight, depth

    def total(self, x):
        if self.depth == 0:
            return self.weight * x
        below = Node(np.sin(self.weight + x), self.depth - 1)
        return below.total(x * 0.9) + self.weight


def objects(x, depth):
    return Node(x * x, depth).total(x)


def along_axis(x, axis, n):
    """An integer that must be known while tracing, and is the same in each call."""
    if n == 0:
        return np.sum(np.sum(x, axis=axis) ** 2)
    return along_axis(x * 0.9 + 0.1, axis, n - 1)


def of_axis(x, n):
    return along_axis(x, 1, n)


def returns_argument(x, n):
    y = x * 1.0
    z = _touch(y, n)
    return np.sum(z * x)


def _touch(y, n):
    if n > 0:
        y[n] = y[n] ** 2
        return _touch(y, n - 1)
    return y


def part(x, n):
    """A part of an array is handed on, and written to."""
    y = x.copy()
    _halve(y[1:6], n)
    return np.sum(y**3)


def _halve(y, n):
    if n > 0:
        y *= 0.5
        y[0] += np.sin(y[1])
        _halve(y, n - 1)


def returns_outer(x, n):
    """What is returned is an array of the function around."""
    y = x * 2.0

    def g(k, v):
        if k == 0:
            return v, y
        v, _ = g(k - 1, v * x[k])
        return np.sin(v), y

    v, z = g(n, x[0])
    return np.sum(z * x) * v


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
    "first": (first, (X[:3], 4)),
    "objects": (objects, (0.7, 3)),
    "of_axis": (of_axis, (RNG.normal(size=(2, 3)), 2)),
    "returns_argument": (returns_argument, (X, 3)),
    "part": (part, (X, 2)),
    "returns_outer": (returns_outer, (X, 3)),
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


COMPILED_TWICE = ("fib", "halves", "in_place", "determinant")


def second(f, args, compiled):
    """Forward over reverse: the tangents of the gradient."""
    engine = _engine(grad(f, argnums=floats(args)), True)
    if compiled:
        return engine(args, directions(args))[1]
    flat = engine.flatten(args, {})
    dots = tuple(_tangents(flat, directions(args)))
    entry, results = engine.execute(flat, None, dots, interpreted=True)
    return unflatten(entry.structure, results)[1]


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(name):
    """Against differences of the gradient; most by the array form, which takes no time to compile."""
    f, args = CASES[name]
    gradient = grad(f, argnums=floats(args))
    found = second(f, args, name in COMPILED_TWICE)
    for k, dot in enumerate(found):
        expected = along(lambda *a, k=k: gradient(*a)[k], args, directions(args))
        np.testing.assert_allclose(dot, expected, rtol=1e-6, atol=1e-7)


# What is compiled, and how often what is done.
def test_functions_stay_functions():
    source = grad(fib, argnums=1).source(7, 0.6)
    assert "def fib_and_vjp(" in source
    assert "def fib(" not in source  # one recursion gives both
    source = grad(halves).source(X, 0, 7)
    assert "def halves_recorded(" in source
    assert "def halves_vjp(" in source


def test_a_known_depth_is_inlined():
    def f(x):
        return power(3, x)

    assert "def power" not in jit(f).source(1.5)


@pytest.mark.parametrize("f", [power, even])
def test_the_gradient_of_a_deep_recursion_costs_a_multiple_of_it(f):
    """Calls are counted: with the depth they grow as the primal's do."""

    def calls(n):
        space: dict = {}
        source = grad(f, argnums=1).source(n, 0.5)
        exec(compile(source, "counted", "exec"), space)
        count = 0

        def tracer(frame, event, arg):
            nonlocal count
            count += event == "call" and frame.f_code.co_filename == "counted"

        sys.setprofile(tracer)
        try:
            space[f"{f.__name__}_grad"](n, 0.5)
        finally:
            sys.setprofile(None)
        return count

    assert calls(40) <= 2.1 * calls(20)


def test_records_that_need_more_room():
    """More calls than there is room for at first."""

    def f(n, x):
        if n == 0:
            return x
        return np.sin(f(n - 1, x)) * x + x

    np.testing.assert_allclose(grad(f, argnums=1)(6000, 0.3), difference(f, (300, 0.3), 1), rtol=1e-7)


def test_too_deep():
    """An error with the user's line, in time."""

    def endless(n, x):
        if n < 0:
            return x
        return np.sin(endless(n + 1, x))

    with pytest.raises(RecursionError, match=r"maximum recursion depth exceeded in endless\n.*test_recursion.py"):
        jit(endless)(0, 1.0)
    with pytest.raises(RecursionError, match="in endless"):
        grad(endless, argnums=1)(0, 1.0)
    assert jit(endless)(-1, 1.0) == 1.0


PROCESS = """
import numpy as np
from test_recursion import X, determinant, even, first, in_place
from jitgrad import grad
A = np.arange(9.0).reshape(3, 3) + np.eye(3)
for f, args, k in ((even, (5, 0.4), 1), (first, (X[:3], 3), 0), (in_place, (X,), 0), (determinant, (A,), 0)):
    g = grad(f, argnums=k)
    print(np.sum(g(*args)))
    print("hits", g.stats().cache_hits)
"""


def test_a_second_process_loads_the_code(tmp_path):
    here = os.path.dirname(__file__)
    path = os.pathsep.join([here, os.path.dirname(here), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "JITGRAD_CACHE_DIR": str(tmp_path), "PYTHONPATH": path}
    runs = []
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", PROCESS], env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        runs.append(run.stdout)
    assert "hits 1" not in runs[0]
    assert runs[1] == runs[0].replace("hits 0", "hits 1")


# What is refused.
def refused(f, *args, argnums=0):
    with pytest.raises(TraceError) as caught:
        grad(f, argnums=argnums)(*args)
    return str(caught.value)


def test_a_recursion_without_end():
    def f(n, x):
        return f(n - 1, x * 2.0) if n > 3 else f(n + 2, x)

    assert "calls itself whatever happens" in refused(f, 3, 1.0, argnums=1)


def test_results_of_different_kinds():
    def f(n, x):
        if n == 0:
            return x
        if n == 1:
            return x, x
        return f(n - 1, x)

    refused(f, 3, 1.0, argnums=1)


def test_arguments_of_different_kinds():
    def f(n, xs):
        if n == 0:
            return xs[0]
        return f(n - 1, [*xs, xs[-1] * 2.0])

    assert "arguments of other kinds" in refused(lambda n, x: f(n, [x]), 3, 1.0, argnums=1)


def test_a_list_that_is_changed():
    def f(n, xs):
        if n > 0:
            xs[0] = xs[0] * 2.0
            f(n - 1, xs)

    def g(n, x):
        xs = [x]
        f(n, xs)
        return xs[0]

    assert "changes a list" in refused(g, 3, 1.0, argnums=1)


def test_an_array_and_its_part():
    def f(n, x, y):
        if n > 0:
            x[0] = y[0] * 2.0
            f(n - 1, x, y)

    def g(n, x):
        y = x * 1.0
        f(n, y, y[1:])
        return np.sum(y)

    assert "of which another argument is a part" in refused(g, 3, X, argnums=1)


def test_a_result_that_may_be_an_argument():
    """In NumPy it is the same array; here that isn't known, so it must not be written to."""

    def f(n, x):
        y = x * 1.0
        z = _touch(y, n)
        z[0] = 3.0
        return np.sum(y)

    assert "is written to" in refused(f, 3, X, argnums=1)


def test_a_variable_of_the_function_around():
    def f(n, x):
        total = 0.0

        def g(k):
            nonlocal total
            if k > 0:
                total += x * k
                g(k - 1)

        g(n)
        return total

    assert "'total'" in refused(f, 3, 1.0, argnums=1)


def test_an_index_is_checked_in_each_call():
    def f(n, x):
        if n == 0:
            return x[0]
        return x[n] * f(n - 1, x)

    assert np.isfinite(grad(f, argnums=1)(6, X)).all()
    with pytest.raises(IndexError, match=r"x\[n\]"):
        grad(f, argnums=1)(7, X)


def swapped_pair(x, n):
    def pair(a, k):
        if k == 0:
            return a, a
        p, q = pair(a * 2.0, k - 1)
        return q, p

    a, b = pair(x, n)
    return np.sum(a * b * b)


def test_cotangents_that_are_results_of_the_call():
    """The joint function can't take what it gives: the primal call has to stay."""
    gradient = grad(swapped_pair)

    def of_gradient(x, n):
        return np.sum(np.sin(gradient(x, n)))

    x = np.array([0.1, 0.2, 0.3])
    steps = [(jit(of_gradient)(x + e, 3) - jit(of_gradient)(x - e, 3)) / 2e-6 for e in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(grad(of_gradient)(x, 3), steps, rtol=1e-6)


def test_what_is_returned_may_be_the_argument():
    def same(x, n):
        def rec(a, k):
            if k == 0:
                return a
            return rec(a, k - 1)

        y = x.copy()
        r = rec(y, n)
        r[0] = 100.0
        return np.sum(y)

    with pytest.raises(TraceError, match="may be the same array"):
        grad(same)(np.ones(3), 3)
