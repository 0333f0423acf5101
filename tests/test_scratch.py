"""Arrays that need no content: all is overwritten before any of it is read. A wrong yes is a wrong gradient."""

import numpy as np
import pytest
from test_reverse_regions import at, put

from jitgrad import grad
from jitgrad.ir.graph import Block, Value
from jitgrad.ir.types import FLOAT64, Type
from jitgrad.ops.flow import branch, for_loop
from jitgrad.ops.index import add_at
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr, as_arg, building
from jitgrad.passes.scratch import written_before_read
from jitgrad.testing import check_grads

ONE = np.float64(1)
ZERO = np.float64(0)


def fill(k, n, value=lambda i: ONE):
    return for_loop(n, (k,), lambda i, k: (put(k, value(i), i),))[0]


def filled(k, x, n):
    return np.sum(fill(k, n))


def first_and_rest(k, x, n):
    k = put(k, ONE, 0)
    (k,) = for_loop(n - 1, (k,), lambda i, k: (put(k, ONE, i + 1),))
    return np.sum(k)


def filled_in_each_iteration(k, x, n):
    def body(j, k, s):
        k = fill(k, n, lambda i: at(x, i) * s)
        return k, s + np.sum(k)

    return for_loop(n, (k, ONE), body)[1]


def half(k, x, n):
    return np.sum(for_loop(n - 1, (k,), lambda i, k: (put(k, ONE, i),))[0])


def one_branch(k, x, n):
    body = lambda i, k: branch(at(x, i) > 0, lambda: (put(k, ONE, i),), lambda: (k,))  # noqa: E731
    return np.sum(for_loop(n, (k,), body)[0])


def whole_read_inside(k, x, n):
    return np.sum(for_loop(n, (k,), lambda i, k: (put(k, np.sum(k), i),))[0])


def next_read_inside(k, x, n):
    return np.sum(for_loop(n, (k,), lambda i, k: (put(k, at(k, n - 1 - i), i),))[0])


def added_to_inside(k, x, n):
    def body(i, k):
        k = add_at(k, ONE, n - 1 - i, pattern=(("at", 0),))
        return (put(k, ONE, i),)

    return np.sum(for_loop(n, (k,), body)[0])


def handed_on_inside(k, x, n):
    _, old = for_loop(n, (k, x), lambda i, k, old: (put(k, ONE, i), k))
    return np.sum(old)


def read_after_all(k, x, n):
    new = fill(k, n)
    return np.sum(new) + np.sum(k)  # as an adjoint may, at the end of its block


def read_where_no_iteration_may_have_been(k, x, n):
    (k,) = for_loop(n - 1, (k,), lambda j, k: (fill(k, n),))
    return np.sum(k)


YES = [filled, first_and_rest, filled_in_each_iteration]
NO = [
    half, one_branch, whole_read_inside, next_read_inside, added_to_inside, handed_on_inside, read_after_all,
    read_where_no_iteration_may_have_been,
]  # fmt: skip


def answer(function) -> bool:
    with building(Builder(checking=True)) as builder:
        k, x = (Value(Type(FLOAT64, (1,)), name) for name in "kx")
        n = builder.emit(axis_length, (k,), {"axis": 0})
        k.type = x.type = Type(FLOAT64, (n.value,))
        result = as_arg(function(Expr(k), Expr(x), n))
    nodes = builder.nodes[1:]  # the length is asked before
    return written_before_read(Block((k, x), nodes, (result,)), k, {n.value: builder.nodes[0]})


@pytest.mark.parametrize("function", YES, ids=lambda f: f.__name__)
def test_yes(function):
    assert answer(function)


@pytest.mark.parametrize("function", NO, ids=lambda f: f.__name__)
def test_no(function):
    assert not answer(function)


def old_content_is_read(x, steps):
    k, s = np.ones_like(x), 0.0
    for _ in range(steps):
        s += np.sum(k * k)
        for i in range(x.size):
            k[i] = x[i] * np.cos(s) + 0.3 * np.sum(np.sin(k))
        s += np.sum(np.sin(k))
    return s


def scratch_of_scratch(x, steps):
    k, s = np.ones_like(x), 0.0
    for _ in range(steps):
        for c in range(2):
            for i in range(x.size):
                k[i] = x[i] * np.cos(s + c)
            for i in range(x.size):
                s += np.sin(k[i]) * k[i]
    return s


@pytest.mark.parametrize("function", [old_content_is_read, scratch_of_scratch], ids=lambda f: f.__name__)
def test_gradient(function):
    x = np.array([0.3, 0.9, -0.4])
    for steps in (0, 1, 4):
        check_grads(function, (x, steps))
    kept = grad(scratch_of_scratch).residuals(x, 100)
    assert all(len(r.shape) == 1 for r in kept)  # numbers, and no array for each step
