"""What LLVM is told of memory: which buffers are distinct, and nothing that isn't so."""

import re

import numba
import numpy as np
import pytest

from jitgrad import grad
from jitgrad.compile import aliasing, compile_function, lowering
from jitgrad.compile.aliasing import ARGUMENTS, UNKNOWN


def compiled(function, *args):
    """A function written as generated ones are, as machine code, and the places of its variables.

    What Numba calls versions of a variable, `x.1` and so on, are one here.
    """
    found = {}

    def places(ir, typemap):
        result = aliasing.places(ir, typemap)
        for name, kind in typemap.items():
            if isinstance(kind, numba.types.Array):
                found.setdefault(name.split(".")[0], set()).update(result.get(name, {UNKNOWN}))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering, "places", places)
        machine = numba.njit(pipeline_class=lowering.Compiler, error_model="numpy")(function)
        machine.compile(tuple(map(numba.typeof, args)))
    return machine, found


def check(function, *args):
    """Machine code and plain Python write and return the same; returns the places."""
    machine, found = compiled(function, *args)
    theirs, ours = ([a.copy() if isinstance(a, np.ndarray) else a for a in args] for _ in "ab")
    np.testing.assert_array_equal(np.array(machine(*ours)), np.array(function(*theirs)))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    return found


def apart(found, *names):
    """Whether LLVM is told that these are in different memory."""
    sets = [found[name] for name in names]
    return all(UNKNOWN not in s for s in sets) and sum(map(len, sets)) == len(set().union(*sets))


X = np.arange(1.0, 12.0)


def test_buffers_are_apart_from_each_other_and_from_the_arguments():
    def f(x, y):
        a = np.empty(x.shape[0])
        b = np.empty(x.shape[0])
        for i in range(x.shape[0]):
            a[i] = x[i] + y[i]
            b[i] = a[i] * x[i]
            y[i] = b[i]
        return a, b

    found = check(f, X, 2 * X)
    assert apart(found, "a", "b", "x")
    assert apart(found, "a", "b", "y")
    assert found["x"] == found["y"] == {ARGUMENTS}


def test_buffers_that_are_swapped_share():
    def f(x, n):
        u = np.empty(x.shape[0])
        v = np.empty(x.shape[0])
        w = np.empty(x.shape[0])
        for i in range(x.shape[0]):
            u[i] = x[i]
            v[i] = 0.0
            w[i] = 0.0
        for _ in range(n):
            for i in range(1, x.shape[0]):
                v[i] = u[i - 1] + 0.5 * u[i]
                w[i] = w[i] + v[i]
            u, v = v, u
        return u, v, w

    found = check(f, X, 5)
    assert not apart(found, "u", "v")
    assert apart(found, "u", "w")
    assert apart(found, "u", "x")


def test_a_name_for_one_of_two_shares_with_both():
    def f(x, y, which):
        a = np.empty(x.shape[0])
        b = np.empty(x.shape[0])
        c = a if which > 0 else y
        for i in range(x.shape[0]):
            a[i] = x[i]
            b[i] = 1.0
            c[i] = c[i] + a[i] + b[i]
        return a, b, c

    for which in (0, 1):
        found = check(f, X, 3 * X, which)
    assert not apart(found, "a", "c")
    assert not apart(found, "c", "x")
    assert apart(found, "b", "c")


def test_views_share_with_what_they_view():
    def f(x):
        a = np.empty(x.shape[0])
        b = a.reshape((x.shape[0], 1))
        c = np.empty(x.shape[0])
        for i in range(x.shape[0]):
            a[i] = x[i]
            b[i, 0] = b[i, 0] + 1.0
            c[i] = a[i]
        return a, c

    found = check(f, X)
    assert not apart(found, "a", "b")
    assert apart(found, "a", "c")
    assert apart(found, "b", "c")


def test_tuples_share_with_their_items():
    def f(x):
        a, b, c, d = np.empty(x.shape[0]), np.empty(x.shape[0]), x, np.empty(x.shape[0])
        for i in range(x.shape[0]):
            a[i] = x[i]
            b[i] = a[i] * x[i]
            d[i] = a[i] + c[i]
        return a, b, d

    found = check(f, X)
    assert ARGUMENTS in found["a"]
    assert UNKNOWN not in found["a"]
    assert not apart(found, "a", "b")


def test_nothing_is_known_of_slices_and_of_what_calls_give():
    @numba.njit
    def same(a):
        return a

    def f(x):
        a = np.empty(x.shape[0])
        b = a[1:]
        c = same(a)
        for i in range(x.shape[0] - 1):
            a[i] = x[i]
            b[i] = a[i] + 1.0
            c[i] = c[i] + b[i]
        return a[:-1] + b + c[:-1]

    found = check(f, X)
    assert found["b"] == found["c"] == {UNKNOWN}


def test_arguments_may_overlap():
    def f(x, y):
        for i in range(y.shape[0]):
            y[i] = y[i] + x[i]

    machine, found = compiled(f, X, X)
    assert not apart(found, "x", "y")
    ours, theirs = X.copy(), X.copy()
    machine(ours[:-1], ours[1:])  # a running sum
    f(theirs[:-1], theirs[1:])
    np.testing.assert_array_equal(ours, theirs)


def test_a_buffer_made_in_a_loop_is_apart_from_none_of_its_kind():
    def f(x, n):
        old = np.empty(x.shape[0])
        for i in range(x.shape[0]):
            old[i] = x[i]
        for _ in range(n):
            new = np.empty(x.shape[0])
            for i in range(x.shape[0]):
                new[i] = old[i] * 0.5 + old[0]
            old = new
        return old

    found = check(f, X, 4)
    assert not apart(found, "old", "new")
    assert apart(found, "old", "x")


def test_a_function_that_calls_itself():
    source = """import numpy as np

def walk(a, b, n):
    if n == 0:
        return 0
    c = np.empty(a.shape[0])
    for i in range(a.shape[0]):
        c[i] = a[i] + b[i]
        a[i] = a[i] - c[0]
        b[i] = b[i] + c[i]
    walk(c, b, n - np.int64(1))
    walk(a, a, n - np.int64(1))
    for i in range(a.shape[0]):
        b[i] = b[i] + c[i] - a[i]
    return 1

def start(x, n):
    a = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        a[i] = x[i]
    walk(a, a, n)
    return a
"""
    space = {}
    exec(source, space)
    machine = compile_function(source, "start", (numba.float64[::1], numba.int64))
    np.testing.assert_allclose(machine.entry(0.1 * X, 4), space["start"](0.1 * X, 4), rtol=1e-12)


def recurrence(x, y):
    total = 0.0
    state = np.zeros_like(x)
    for t in range(y.shape[0]):
        for i in range(1, x.shape[0] - 1):
            state[i] += np.tanh(x[i - 1] * y[t] + state[i + 1])
        state[t % x.shape[0]] *= 0.5
        total += state[-1 - t] * state[1]
    return total


def test_derivatives_are_those_of_numbas_own_code():
    """But for the order of sums."""
    x, y = np.sin(X[:8]), np.cos(X[:8])
    source = grad(recurrence).source(x, y, form="numba")
    entry = re.findall(r"^def (\w+)\(", source, re.M)[-1]
    types = tuple(map(numba.typeof, (x, y, 1.0)))
    results = [compile_function(source, entry, types, direct=d).entry(x, y, 1.0) for d in (True, False)]
    np.testing.assert_allclose(*results, rtol=1e-13)


def test_loops_over_buffers_have_no_checks_at_run_time():
    """Of many buffers, whose addresses LLVM would have to compare before it vectorises."""

    def f(x):
        n = x.shape[0]
        a = np.empty(n)
        b = np.empty(n)
        c = np.empty(n)
        d = np.empty(n)
        e = np.empty(n)
        for i in range(n):
            a[i] = x[i]
            b[i] = a[i] + 1.0
            c[i] = a[i] * x[i]
            d[i] = b[i] + c[i]
            e[i] = d[i] * d[i]
        return a, b, c, d, e

    machine, _ = compiled(f, X)
    text = "\n".join(machine.inspect_llvm().values())
    assert "memcheck" not in text
    assert re.search(r"store <\d+ x double>", text)


def test_indices_can_be_checked(monkeypatch):
    """`NUMBA_BOUNDSCHECK=1` shows whether generated code keeps its word: no index is negative."""

    def f(x, i):
        return x[i]

    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 1)
    machine = numba.njit((numba.float64[::1], numba.int64), pipeline_class=lowering.Compiler)(f)
    assert machine(X, 3) == X[3]
    for i in (-1, X.size):
        with pytest.raises(IndexError):
            machine(X, i)
