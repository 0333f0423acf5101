"""Small programs with loops and branches, built by hand: what passes and differentiation over regions are tested on."""

import numpy as np

from jitgrad.ir.graph import Block, Value
from jitgrad.ir.types import FLOAT64, INT64, Type
from jitgrad.ir.verify import verify
from jitgrad.ops.elementwise import astype
from jitgrad.ops.flow import branch, for_loop, while_loop
from jitgrad.ops.index import add_at, getitem_, setitem
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr, as_arg, building

AT = (("at", 0),)


def at(x, i):
    return getitem_(x, i, pattern=AT)


def put(x, i, v):
    return setitem(x, v, i, pattern=AT)


def added(x, i, v):
    return add_at(x, v, i, pattern=AT)


def real(i):
    return astype(i, dtype=FLOAT64)


def program(function, *values, nested=False, checking=False):
    """The block of a function of vectors, floats and ints like `values`. All vectors of one length share it."""
    params, lengths = [], {}
    with building(Builder(checking)) as builder:
        for k, v in enumerate(values):
            if isinstance(v, np.ndarray):
                param = Value(Type(FLOAT64, (1,) * v.ndim), f"x{k}")
                shape = []
                for axis, n in enumerate(v.shape):
                    if n not in lengths:
                        lengths[n] = builder.emit(axis_length, (param,), {"axis": axis}).value
                    shape.append(lengths[n])
                param.type = Type(FLOAT64, tuple(shape))
            else:
                param = Value(Type(INT64 if isinstance(v, int) else FLOAT64), f"x{k}")
            params.append(param)
        results = function(*map(Expr, params))
    return verify(Block(tuple(params), builder.nodes, tuple(map(as_arg, results)), "f"), "", nested)


X = np.array([0.5, -1.25, 3.0, 0.75])
Y = np.array([2.0, 4.0, -0.5, 1.5])
A = X[:, None] * Y + np.eye(4)
S = np.float64(0.75)
ZERO = np.float64(0)

PROGRAMS = {}


def case(*values):
    def register(function):
        PROGRAMS[function.__name__] = (function, values)
        return function

    return register


@case(X, Y)
def sum_of_products(x, y):
    return for_loop(x.shape[0], (ZERO,), lambda i, s: (s + at(x, i) * np.sin(at(y, i)),))


@case(X, S)
def recurrence_in_place(x, s):
    n = x.shape[0]

    def body(i, x, t):
        v = at(x, i) * s + np.sin(t)
        return put(x, i, v), v

    return for_loop(n, (x, s), body)


@case(A, X)
def nested(a, x):
    n = x.shape[0]
    pattern = (("at", 0), ("at", 1))

    def row(i, out):
        (t,) = for_loop(n, (ZERO,), lambda j, t: (t + getitem_(a, i, j, pattern=pattern) * at(x, j) ** 2,), "j")
        return (put(out, i, np.exp(-t * t)),)

    return for_loop(n, (np.zeros(n) if isinstance(n, int) else np.zeros_like(x),), row)


@case(X)
def signs(x):
    def body(i, s, c):
        v = at(x, i)
        (w,) = branch(v > 0, lambda: (np.log(v),), lambda: (v * s,))
        return s + w, c + 1

    return for_loop(x.shape[0], (S, np.int64(0)), body)


@case(S)
def newton(a):
    x, steps = while_loop(
        (a, np.int64(0)), lambda x, k: abs(x * x - a) > 1e-15, lambda x, k: (0.5 * (x + a / x), k + 1), 60
    )
    return x, steps


@case(X, Y, 3)
def swaps(u, v, k):
    """A double buffer, k steps of it: what is written next is read after that."""
    n = u.shape[0]

    def step(_, u, v):
        (v,) = for_loop(n, (v,), lambda j, v: (put(v, j, at(u, j) * at(v, j) + 0.1),), "j")
        return v, u

    return for_loop(k, (u, v), step)


@case(X, 0)
def no_iterations(x, k):
    return for_loop(k, (x, S), lambda i, x, s: (put(x, i, s * at(x, i)), s * 2))


@case(X, S)
def branch_writes(x, s):
    def body(i, x):
        def then():
            return (put(x, i, np.sin(at(x, i) * s)),)

        return branch(at(x, i) > 0.6, then, lambda: (x,))

    return for_loop(x.shape[0], (x,), body)


@case(X, S)
def tangent_from_within(x, s):
    """The carry starts as a constant; only the body makes it depend on the input, over another carry."""
    a, b, c = for_loop(x.shape[0], (ZERO, ZERO, ZERO), lambda i, a, b, c: (b + 1, c * 2, c + at(x, i) * s))
    return a, b, c


@case(X, Y)
def histogram(x, y):
    n = x.shape[0]
    return for_loop(n, (np.zeros_like(x),), lambda i, h: (added(h, (i * i) % n, at(y, i) ** 3),))


@case(X, S)
def while_in_for(x, s):
    def body(i, total):
        v, _ = while_loop((at(x, i), np.int64(0)), lambda v, k: (abs(v) > 0.3) & (k < 5), lambda v, k: (v * s, k + 1))
        return (total + v,)

    return for_loop(x.shape[0], (ZERO,), body)


@case(X, S)
def vectors(x, s):
    """Array operations in the body, of values of the loop and of others."""
    (h,) = for_loop(5, (x,), lambda i, h: (np.tanh(h * s + np.exp(x)) + real(i) * np.sum(x * h),))
    return (np.sum(h),)


@case(X, S, True)
def flag(x, s, go):
    """A loop that leaves early: a flag is carried."""

    def body(i, total, go):
        total = total + at(x, i) * s
        return i + 1, total, total < 1.0

    return while_loop((np.int64(0), ZERO, np.bool_(True)), lambda i, t, go: go & (i < x.shape[0]), body)[1:2]
