"""Reverse mode over loops and branches, on programs built by hand: right in both orders, and what is kept."""

from collections import Counter

import numpy as np
import pytest

from jitgrad.ad import jvp, vjp
from jitgrad.ir.graph import Block, Const, Node, Value
from jitgrad.ir.interpret import outputs
from jitgrad.ir.types import FLOAT64, Type
from jitgrad.ir.verify import verify
from jitgrad.ops.create import arange
from jitgrad.ops.flow import CHUNKED, branch, for_loop, while_loop
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr, as_arg, building, current
from jitgrad.passes import SIMPLIFY, run

ZERO = np.float64(0)
ONE = Const(np.float64(1), Type(FLOAT64))
VECTOR = np.array([0.3, 0.9, -0.4, 1.2, 0.5])
MATRIX = np.array([[4, 0.3, 0.5, 0.2], [0.3, 5, 0.1, 0.6], [0.5, 0.1, 6, 0.7], [0.2, 0.6, 0.7, 5]])


def at(x, *index):
    return getitem_(x, *index, pattern=tuple(("at", k) for k in range(len(index))))


def put(x, v, *index):
    return setitem(x, v, *index, pattern=tuple(("at", k) for k in range(len(index))))


def sum_of_squares(x, n):
    return for_loop(n, (ZERO,), lambda i, s: (s + at(x, i) * at(x, i),))[0]


def recurrence(x, n):
    return for_loop(n, (ZERO,), lambda i, h: (np.tanh(h * 0.7 + at(x, i)),))[0]


def in_place(x, n):
    (y,) = for_loop(n, (x,), lambda i, y: (put(y, np.sin(at(y, i)) * at(y, n - 1 - i), i),))
    return np.sum(y * y)


def nested(x, n):
    def outer(i, y):
        return for_loop(n, (y,), lambda j, y: (put(y, at(y, j) * np.sin(at(y, i)), j),))

    return np.sum(np.cos(for_loop(n, (x,), outer)[0]))


def branches(x, n):
    def body(i, h):
        return branch(at(x, i) > 0.45, lambda: (h * np.sin(at(x, i)),), lambda: (h + at(x, i) * h,))

    return for_loop(n, (np.float64(1),), body)[0]


def unbounded(x, n):
    (h,) = while_loop((at(x, 0) + 4,), lambda h: h > 0.3, lambda h: (h * 0.8 - 0.01 * h * h * at(x, 1),))
    return h


def bounded(x, n):
    def body(h, k, y):
        return h * 0.8 - 0.01 * h * h * at(y, k), k + 1, put(y, h * at(y, k), k)

    h, _, y = while_loop((at(x, 0) + 4, 0, x), lambda h, k, y: (h > 0.3) & (k < n), body, bound=n)
    return h + np.sum(y * y)


def swapped(x, n):
    u, v = for_loop(n, (x, x * 2), lambda i, u, v: (put(v, at(u, i) * at(v, i), i), u))
    return np.sum(u * u) + np.sum(v * v * v)


def vectors(x, n):
    return np.sum(for_loop(n, (x,), lambda i, h: (np.tanh(h * 0.3 + at(x, i)),))[0] ** 2)


def write_in_branch(x, n):
    def body(i, y):
        return branch(at(y, i) > 0.45, lambda: (put(y, np.sin(at(y, i)), i),), lambda: (y,))

    return np.sum(for_loop(n, (x,), body)[0] ** 2)


def two_arrays_in_branches(x, n):
    def body(i, y, z):
        odd = lambda: (put(y, np.sin(at(z, i)) * at(y, i), i), z)  # noqa: E731
        return branch(at(y, i) > at(z, n - 1 - i), odd, lambda: (y, put(z, np.cos(at(y, i)) * at(z, i), i)))

    y, z = for_loop(n, (x, x * 0.7), body)
    return np.sum(y * y) + np.sum(z * z * z)


def gauss_seidel(x, n):
    def row(i, y):
        (s,) = for_loop(n, (at(x, i),), lambda j, s: (s - 0.1 * at(y, j) * at(x, j) * at(x, i),))
        return (put(y, np.sin(s), i),)

    (y,) = for_loop(3, (x * 0.5,), lambda k, y: for_loop(n, (y,), row))
    return np.sum(y * y)


def ode(x, n):
    y, k1, k2 = (np.zeros_like(x) for _ in range(3))

    def field(y, k):
        k = put(k, at(x, 0) - at(y, 0) * at(y, 0), 0)
        body = lambda i, k: (put(k, at(x, i + 1) * at(y, i) - at(y, i + 1) ** 2, i + 1),)  # noqa: E731
        return for_loop(n - 1, (k,), body)[0]

    def step(t, y, k1, k2):
        k1 = field(y, k1)
        (k2,) = for_loop(n, (k2,), lambda i, k2: (put(k2, at(y, i) + 0.1 * at(k1, i), i),))
        k3 = field(k2, k1)
        (y,) = for_loop(n, (y,), lambda i, y: (put(y, at(y, i) + 0.1 * at(k3, i), i),))
        return y, k3, k2

    y, _, _ = for_loop(n, (y, k1, k2), step)
    return np.sum(y * y)


def chunked(x, n):
    (h,) = for_loop(n * 5 + 2, (x,), lambda i, h: (np.tanh(h * 0.7 + at(x, i % n)),))
    node = current().nodes[-1]
    current().nodes[-1] = Node(node.op, node.args, node.outs, {CHUNKED: True}, node.regions, node.loc)
    return np.sum(h * h)


def no_iterations(x, n):
    (h,) = for_loop(n - n, (at(x, 0),), lambda i, h: (h * at(x, i),))
    return h * h


def cholesky(a, n):
    def element(i, j, c):
        (s,) = for_loop(j, (at(a, i, j),), lambda k, s: (s - at(c, i, k) * at(c, j, k),))
        diagonal = lambda: (put(c, np.sqrt(s), i, j),)  # noqa: E731
        return branch(i == j, diagonal, lambda: (put(c, s / at(c, j, j), i, j),))

    (c,) = for_loop(n, (np.zeros_like(a),), lambda i, c: for_loop(i + 1, (c,), lambda j, c: element(i, j, c)))
    return np.sum(np.sin(c))


def lu(a, n):
    def row(k, i, a):
        a = put(a, at(a, i, k) / at(a, k, k), i, k)
        body = lambda u, a: (put(a, at(a, i, k + 1 + u) - at(a, i, k) * at(a, k, k + 1 + u), i, k + 1 + u),)  # noqa: E731
        return for_loop(n - 1 - k, (a,), body)

    def column(k, a):
        return for_loop(n - 1 - k, (a,), lambda t, a: row(k, k + 1 + t, a))

    return np.sum(np.sin(for_loop(n, (a,), column)[0]))


def table(a, n):
    def element(i, j, t):
        least = np.minimum(at(t, i, j + 1), at(t, i + 1, j))
        return (put(t, least * np.sin(at(a, i, j)) + at(t, i, j) + at(a, i, j), i + 1, j + 1),)

    start = np.zeros_like(a) + arange(n) * 0.1
    (t,) = for_loop(n - 1, (start,), lambda i, t: for_loop(n - 1, (t,), lambda j, t: element(i, j, t)))
    return np.sum(np.sin(t))


def bubble_sort(x, n):
    def compare(j, y):
        a, b = at(y, j), at(y, j + 1)
        return branch(a > b, lambda: (put(put(y, np.sin(b), j), a * b, j + 1),), lambda: (y,))

    (y,) = for_loop(n, (x,), lambda i, y: for_loop(n - 1 - i, (y,), compare))
    return np.sum(y * y * y)


def shortest_paths(a, n):
    def element(k, i, j, d):
        through = at(d, i, k) + at(d, k, j) * at(d, i, k)
        return branch(through < at(d, i, j), lambda: (put(d, through, i, j),), lambda: (d,))

    def row(k, i, d):
        return for_loop(n, (d,), lambda j, d: element(k, i, j, d))

    (d,) = for_loop(n, (a,), lambda k, d: for_loop(n, (d,), lambda i, d: row(k, i, d)))
    return np.sum(np.sin(d))


# Each program, its argument, and how many arrays of how many axes its adjoint keeps in loops.
PROGRAMS = {
    sum_of_squares: (VECTOR, {}),
    recurrence: (VECTOR, {1: 1}),
    in_place: (VECTOR, {1: 2}),  # what is overwritten, and the sine
    nested: (VECTOR, {2: 3}),  # both elements that are read, and the sine: nothing is run again
    branches: (VECTOR, {1: 1}),
    unbounded: (VECTOR, {1: 1}),
    bounded: (VECTOR, {1: 2}),  # `h`, and what is overwritten
    swapped: (VECTOR, {2: 2}),
    vectors: (VECTOR, {2: 1}),
    write_in_branch: (VECTOR, {1: 2}),  # what is overwritten, and whether
    two_arrays_in_branches: (VECTOR, {1: 3}),  # what is overwritten in each branch, and which it is
    gauss_seidel: (VECTOR, {2: 3, 1: 1}),  # what is overwritten, the sums and the sines
    ode: (VECTOR, {2: 1}),  # the state, and not the scratch
    chunked: (VECTOR, {2: 2}),
    no_iterations: (VECTOR, {}),  # such a loop goes
    cholesky: (MATRIX, {}),
    lu: (MATRIX, {}),
    table: (MATRIX, {}),
    # What is overwritten, and whether: for all iterations at each level, and never a copy of the array.
    bubble_sort: (VECTOR, {2: 3, 1: 3}),
    shortest_paths: (0.1 * MATRIX, {3: 2, 2: 2, 1: 2}),
}


def build(function, x):
    with building(Builder(checking=True)) as builder:
        param = Value(Type(FLOAT64, (1,) * x.ndim), "x")
        lengths = [builder.emit(axis_length, (param,), {"axis": k}) for k in range(x.ndim)]
        param.type = Type(FLOAT64, tuple(n.value for n in lengths))
        result = as_arg(function(Expr(param), lengths[0]))
    return verify(Block((param,), builder.nodes, (result,), function.__name__))


def adjoint(block):
    return verify(run(SIMPLIFY, verify(vjp(block, [0], [(0, ONE)]))))


def differences(block, x, step=1e-6):
    out = np.zeros_like(x)
    for k in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[k] = step
        up, down = (outputs(block, [x + s])[0] for s in (shift, -shift))
        out[k] = (up - down) / (2 * step)
    return out


def of_gradient(block):
    """A scalar function of the gradient, to be differentiated again."""
    g = adjoint(block)
    with building(Builder()) as builder:
        builder.extend(g.nodes)
        total = as_arg(np.sum(np.sin(Expr(g.results[1]))))
    return Block(g.params, builder.nodes, (total,), "of_gradient")


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_gradient(function):
    x, _ = PROGRAMS[function]
    block = build(function, x)
    value, gradient = outputs(adjoint(block), [x])
    assert value == outputs(block, [x])[0]
    np.testing.assert_allclose(gradient, differences(block, x), rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_second_order(function):
    x, _ = PROGRAMS[function]
    block = of_gradient(build(function, x))
    _, twice = outputs(adjoint(block), [x])
    np.testing.assert_allclose(twice, differences(block, x), rtol=1e-5, atol=1e-6)
    dot = np.random.default_rng(0).normal(size=x.shape)
    _, pushed = outputs(verify(jvp(block, [0], [0])), [x, dot])
    np.testing.assert_allclose(pushed, np.sum(twice * dot), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_what_is_kept(function):
    x, expected = PROGRAMS[function]
    kept = [n for n in adjoint(build(function, x)).walk() if n.op.name == "uninitialized" and n.attrs["keeps"]]
    assert Counter(len(n.args) for n in kept) == expected
