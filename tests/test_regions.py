"""Loops and branches in both printed forms, against the interpreter: ownership, lowering, and what is written."""

import numpy as np
import pytest
from region_programs import PROGRAMS, ZERO, A, S, X, Y, added, at, program, put, real

from jitgrad.api.program import Program
from jitgrad.ir.interpret import outputs
from jitgrad.lower import lower
from jitgrad.ops.create import arange, uninitialized
from jitgrad.ops.elementwise import astype
from jitgrad.ops.flow import branch, for_loop, while_loop
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.memory import empty
from jitgrad.ops.shape import axis_length, copy_
from jitgrad.ops.symbolic import current
from jitgrad.passes import optimise

CASES = dict(PROGRAMS)
ROW = (("at", 0), ("slice", 1, 2, 1, (None, None)))
CELL = (("at", 0), ("at", 1))
SLICE = (("slice", 0, 1, 1, None),)


def case(*values):
    def register(function):
        CASES[function.__name__] = (function, values)
        return function

    return register


def compiled(function, *values):
    """The program of a function, and what the array form and the compiled form give."""
    block = program(function, *values)
    want = outputs(block, list(values))
    made = Program(block, {"p": block.params}, "f", "A test.")
    before = [np.array(v) for v in values]
    array = made.interpret(list(values))
    machine = tuple(made.unpack(made.compile(list(values)).dispatcher(*values)))
    for v, b in zip(values, before, strict=True):
        np.testing.assert_array_equal(v, b, "an argument was written to")
    return made, want, array if len(want) > 1 else (array,), machine


@pytest.mark.parametrize("name", CASES)
def test_both_forms(name):
    function, values = CASES[name]
    program, want, array, machine = compiled(function, *values)
    for result, a, m, w in zip(program.block.results, array, machine, want, strict=True):
        np.testing.assert_array_equal(a, w, "array form")
        rtol = 1e-6 if result.type.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(m, w, rtol=rtol, atol=1e-14, err_msg="compiled form")
        assert np.asarray(a).dtype == np.asarray(m).dtype == result.type.dtype
        if not result.type.shape and result.type.dtype.kind == "f":
            assert isinstance(a, float if result.type.weak else result.type.dtype.type)
    for k, m in enumerate(machine):
        for other in (*machine[:k], *values):
            assert not (isinstance(m, np.ndarray) and np.shares_memory(m, other))


# Programs.
@case(X)
def no_reader_of_what_is_overwritten(x):
    """A view, and something computed lazily, are read after their array has been written to."""
    y = x * 2.0
    tail = getitem_(y, 1, 2, pattern=SLICE)
    double = y * 3.0
    y = put(y, 2, 7.0)
    return y, tail, double


@case(X)
def view_before_a_loop(x):
    y = x * 2.0
    tail = getitem_(y, 1, 2, pattern=SLICE)
    shifted = y - 1.0
    (z,) = for_loop(x.shape[0], (y,), lambda i, y: (put(y, i, at(y, i) + np.sum(tail) + at(shifted, 0)),))
    return z, tail


@case(X)
def overlapping(x):
    """The right side reads what the write has changed already, if it is not computed first."""
    n = x.shape[0]

    def body(i, y):
        left = getitem_(y, 0, n - 1, pattern=SLICE)
        right = getitem_(y, 1, n - 1, pattern=SLICE)
        return (setitem(y, left + right * 0.5, 1, n - 1, pattern=SLICE),)

    return for_loop(3, (x,), body)


@case(X)
def same_places(x):
    n = x.shape[0]

    def body(i, y):
        right = getitem_(y, 1, n - 1, pattern=SLICE)
        return (setitem(y, right * 0.5 + real(i), 1, n - 1, pattern=SLICE),)

    return for_loop(3, (x,), body)


@case(X)
def reversed_in_place(x):
    n = x.shape[0]
    backward = (("slice", 0, 1, -1, None),)
    y = x * 1.5
    return (setitem(y, getitem_(y, n - 1, n, pattern=backward), 0, n, pattern=SLICE),)


@case(X)
def heat(u):
    n = u.shape[0]

    def step(_, u):
        def inner(j, u, before):
            now = at(u, j + 1)
            new = now + 0.1 * (before - 2.0 * now + at(u, j + 2))
            return put(u, j + 1, new), now

        return for_loop(n - 2, (u, at(u, 0)), inner, "j")[:1]

    return for_loop(5, (u,), step, "t")


@case(A + 4 * np.eye(4))
def cholesky(a):
    n = a.shape[0]

    def column(j, low):
        def square(k, s):
            return (s + getitem_(low, j, k, pattern=CELL) ** 2,)

        (s,) = for_loop(j, (ZERO,), square, "k")
        d = np.sqrt(getitem_(a, j, j, pattern=CELL) - s)
        low = setitem(low, d, j, j, pattern=CELL)

        def row(i, low):
            i = i + j + 1

            def product(k, s):
                return (s + getitem_(low, i, k, pattern=CELL) * getitem_(low, j, k, pattern=CELL),)

            (s,) = for_loop(j, (ZERO,), product, "k")
            return (setitem(low, (getitem_(a, i, j, pattern=CELL) - s) / d, i, j, pattern=CELL),)

        return for_loop(n - j - 1, (low,), row)

    return for_loop(n, (np.zeros_like(a),), column, "j")


@case(X)
def bubble(x):
    n = x.shape[0]

    def outer(i, x):
        def inner(j, x):
            a, b = at(x, j), at(x, j + 1)
            return branch(a > b, lambda: (put(put(x, j, b), j + 1, a),), lambda: (x,))

        return for_loop(n - i - 1, (x,), inner, "j")

    return for_loop(n, (x,), outer)


@case(X, Y)
def three_names(x, y):
    return for_loop(4, (x, y, x + y), lambda i, a, b, c: (b, put(c, i, at(a, i)), a))


@case(X, Y)
def rolling(x, y):
    """Arrays that are made anew, and one name that lags behind."""
    return for_loop(3, (x, y), lambda i, before, now: (now, np.sin(now) + before))


@case(X)
def rolling_written(x):
    """The name that lags behind must keep what the other one writes over."""
    return for_loop(3, (x, x), lambda i, before, now: (now, put(now, i, np.sum(before))))


@case(X)
def one_start_for_two(x):
    y = x + 1.0
    a, b = for_loop(3, (y, y), lambda i, a, b: (put(a, i, at(b, i) * 2.0), put(b, 0, at(a, i))))
    return a, b


@case(X)
def start_is_read_later(x):
    y = x + 1.0
    (z,) = for_loop(3, (y,), lambda i, z: (put(z, i, at(z, i) * 2.0),))
    return z, y


@case(X)
def start_is_read_inside(x):
    y = x + 1.0
    return for_loop(3, (y,), lambda i, z: (put(z, i, at(y, i + 1) + at(z, i)),))


@case(X)
def yielded_twice(x):
    def body(i, a, b):
        c = put(a, i, at(b, i) + 1.0)
        return c, c

    return for_loop(3, (x, x * 2.0), body)


@case(A, X)
def rows(a, x):
    n = a.shape[0]

    def body(i, a, total):
        row = getitem_(a, i, 0, n, pattern=ROW)
        a = setitem(a, row * 2.0 + x, i, 0, n, pattern=ROW)
        return a, total + np.sum(row)  # the row as it was

    return for_loop(n, (a, ZERO), body)


@case(A)
def swapped_rows(a):
    n = a.shape[0]

    def body(i, a):
        first, second = getitem_(a, i, 0, n, pattern=ROW), getitem_(a, i + 1, 0, n, pattern=ROW)
        a = setitem(a, second, i, 0, n, pattern=ROW)
        return (setitem(a, first, i + 1, 0, n, pattern=ROW),)

    return for_loop(n - 1, (a,), body)


@case(X, Y)
def array_of_a_branch(x, y):
    def body(i, h, s):
        (g,) = branch(at(x, i) > 0, lambda: (h * 2.0,), lambda: (y,))
        return put(g, i, 1.0), s + np.sum(g)

    return for_loop(x.shape[0], (x, ZERO), body)


@case(X, True)
def argument_of_a_branch(x, go):
    (y,) = branch(go, lambda: (x,), lambda: (x * 2.0,))
    return y, put(y, 0, 5.0)


@case(X, S)
def branch_in_while_in_for(x, s):
    def body(i, x, count):
        def step(v, k):
            return branch(v > 1.0, lambda: (v * 0.5, k + 1), lambda: (v + 0.3, k + 2))

        v, k = while_loop((at(x, i), np.int64(0)), lambda v, k: (k < 9) & (v < 2.0), step)
        (count,) = branch(k % 2 == 0, lambda: (count + 1,), lambda: (count,))
        return put(x, i, v + s), count

    return for_loop(x.shape[0], (x, np.int64(0)), body)


@case(X)
def branches_in_branches(x):
    def body(i, x, s):
        v = at(x, i)

        def inner():
            return branch(v > 1.0, lambda: (put(x, i, s), s + v), lambda: (x, s))

        return branch(v > 0, inner, lambda: (put(x, i, -v), s))

    return for_loop(x.shape[0], (x, ZERO), body)


@case(7, 3)
def whole_numbers(a, b):
    def body(i, a, q, r):
        a = a - 3
        return a, q + a // b, r * 2 + a % (-b)

    return for_loop(6, (a, np.int64(0), np.int64(1)), body)


@case(X)
def weak_numbers(x):
    """Python's numbers stay Python's, and don't make float64 of float32."""

    def body(i, w, k):
        return w / 3.0 + i, k // 2 - 1

    w, k = for_loop(3, (1.0, 9), body)
    return w, k, x * w


@case(X)
def single(x):
    x = astype(x, dtype=np.dtype(np.float32))

    def body(i, s, y):
        s = s + at(x, i) * 0.1
        return s, put(y, i, s * s)

    return for_loop(x.shape[0], (np.float32(0), x), body)


@case(X)
def mask(x):
    n = x.shape[0]

    def body(i, y):
        y = np.where(y > real(i), y * 0.5, y)
        return (y,)

    return for_loop(n, (x,), body)


@case(X)
def kept_states(x):
    """What a reversed loop does with room for its states."""
    n = x.shape[0]

    def forward(i, s, room):
        room = put(room, i, s)
        return s * at(x, i) + 1.0, room

    _, room = for_loop(n, (S, uninitialized(n, dtype=np.dtype(float))), forward)

    def back(k, bar, x_bar):
        i = n - 1 - k
        x_bar = added(x_bar, i, bar * at(room, i))
        return bar * at(x, i), x_bar

    return for_loop(n, (np.float64(1), np.zeros_like(x)), back, "k")


@case(A, X)
def products(a, x):
    """Matrix products, reductions and gathers in a loop."""
    order = (arange(x.shape[0]) * 3 + 2) % x.shape[0]

    def body(i, h, best):
        h = np.tanh(a @ h) + x[order] * at(h, i)
        return h, np.maximum(best, np.max(h))

    return for_loop(x.shape[0], (x, np.float64(-1)), body)


@case(A)
def reshaped_carry(a):
    n = a.shape[0]

    def body(i, flat):
        table = np.reshape(flat, (n, n))
        table = setitem(table, 1.0, i, i, pattern=CELL)
        return (np.reshape(table.T, (n * n,)),)

    flat = np.reshape(a, (n * n,))
    return (*for_loop(n, (flat,), body), flat)


@case(X)
def length_of_anything(x):
    y = x[1:]

    def body(i, y, n):
        (m,) = (current().emit(axis_length, (y,), {"axis": 0}),)
        return put(y, i, real(m)), n + m

    return for_loop(2, (y, np.int64(0)), body)


@case(X)
def duplicates(x):
    """An array of indices that comes to a place twice; the right side is computed before anything is written."""
    index, pattern = arange(3) % 2, (("array", 0),)

    def body(i, y):
        y = setitem(y, getitem_(y, index, pattern=pattern) * 2.0, index, pattern=pattern)
        return (y,)

    return for_loop(2, (x + 0.0,), body)


@case(X)
def local_array(x):
    """An array that each iteration makes and writes to."""

    def body(i, s):
        y = np.zeros_like(x)
        (y,) = for_loop(i + 1, (y,), lambda j, y: (put(y, j, at(x, j) * s),), "j")
        return (s + np.sum(y),)

    return for_loop(x.shape[0], (S,), body)


@case(X)
def written_in_a_branch_read_after(x):
    y = x * 2.0
    double = y * 2.0
    (z,) = branch(at(x, 0) > 0, lambda: (put(y, 0, 9.0),), lambda: (y,))
    return z, double


IN_PLACE = (
    "recurrence_in_place", "swaps", "histogram", "branch_writes", "same_places", "heat", "cholesky", "bubble",
    "three_names", "branches_in_branches", "branch_in_while_in_for", "kept_states", "local_array",
)  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_no_copies_in_loops(name):
    function, values = CASES[name]
    made = optimise(program(function, *values))
    inside = [n for node in made.nodes for region in node.regions for n in region.walk()]
    assert not [n for n in inside if n.op is copy_]
    lowered = lower(made)
    inner = [n for node in lowered.nodes for region in node.regions for n in region.walk()]
    assert name == "local_array" or not [n for n in inner if n.op is empty]
