"""Passes over loops and branches: the same numbers with less work."""

import time

import numpy as np
import pytest
from region_programs import PROGRAMS, ZERO, A, S, X, Y, added, at, program, put, real

from jitgrad.ad.forward import jvp
from jitgrad.ir.graph import Block, Const, Value
from jitgrad.ir.interpret import outputs
from jitgrad.ir.types import FLOAT64, Type
from jitgrad.ir.verify import verify
from jitgrad.ops.control import require
from jitgrad.ops.flow import branch, for_loop, while_loop
from jitgrad.ops.index import add_at
from jitgrad.ops.symbolic import Expr
from jitgrad.passes import SIMPLIFY, run, split
from jitgrad.passes.accumulate import accumulate
from jitgrad.passes.checks import checks_before_loops, checks_first
from jitgrad.passes.cse import cse
from jitgrad.passes.dce import dce
from jitgrad.passes.decide import decide
from jitgrad.passes.invariants import invariants
from jitgrad.passes.simplify import simplify

PASSES = [dce, simplify, cse, invariants, accumulate, decide, checks_before_loops, checks_first]


def whole(block):
    return run(SIMPLIFY, block)


def loops(block):
    return [n for n in block.walk() if n.op.name in ("for", "while")]


def inside(block):
    """The names of the operations in loops and branches."""
    return [n.op.name for node in block.nodes for r in node.regions for n in r.walk()]


def same(before, after, values):
    for a, b in zip(outputs(before, list(values)), outputs(after, list(values)), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-14, atol=1e-14)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def simple(function, *values):
    """The block after all passes of SIMPLIFY, which gives the same numbers."""
    block = program(function, *values)
    found = whole(block)
    same(block, found, values)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("function", [*PASSES, whole], ids=lambda f: f.__name__)
def test_numbers_are_kept(function, name):
    build, values = PROGRAMS[name]
    block = program(build, *values)
    same(block, verify(function(block), function.__name__), values)
    wrt = [k for k, p in enumerate(block.params) if p.type.is_float]
    dotted = jvp(block, wrt, [k for k, r in enumerate(block.results) if r.type.is_float])
    values = (*values, *(np.cos(values[k]) for k in wrt))
    same(dotted, verify(function(dotted), function.__name__), values)


@pytest.mark.parametrize("name", PROGRAMS)
def test_passes_end(name):
    build, values = PROGRAMS[name]
    once = whole(program(build, *values))
    assert len(list(whole(once).walk())) == len(list(once.walk()))


# What is dead.
def test_dead_carries_are_dropped():
    def f(x):
        def body(i, s, t, u, k):
            return s + at(x, i), t * u, u + np.exp(t), k + 1

        return for_loop(x.shape[0], (ZERO, S, S, np.int64(0)), body)[:1]

    (loop,) = loops(simple(f, X))
    assert len(loop.outs) == 1
    assert "exp" not in inside(simple(f, X))


def test_a_carry_that_the_test_reads_is_alive():
    def f(x):
        return while_loop((ZERO, S, S), lambda s, t, u: t < 4, lambda s, t, u: (s + at(x, 0), t * 2 + u * 0.0, u + 1))[
            :1
        ]

    (loop,) = loops(simple(f, X))
    assert len(loop.outs) == 3


def test_a_carry_that_a_check_reads_is_alive():
    def f(x):
        def body(i, s, t):
            require(t < 100, "assertion")
            return s + at(x, i), t + 1

        return for_loop(x.shape[0], (ZERO, ZERO), body)[:1]

    block = whole(program(f, X, checking=True))
    assert len(loops(block)[0].outs) == 2
    assert "check" in inside(block)
    block = whole(program(lambda x: (f(x), (x,))[1], X, checking=True))
    assert len(loops(block)[0].outs) == 1  # though nothing of the loop is read
    assert "check" in inside(block)


def test_checks_stay_behind_those_in_loops():
    def f(x, s):
        (t,) = for_loop(x.shape[0], (ZERO,), lambda i, t: (require(t < 0.1, "assertion: first"), (t + at(x, i),))[1])
        require(s < 0, "assertion: second")
        return (t,)

    block = checks_first(program(f, X, S, checking=True))
    with pytest.raises(AssertionError, match="first"):
        outputs(block, [X, S])


def test_unused_results_of_branches_are_dropped():
    def f(x):
        a, _, c = branch(at(x, 0) > 0, lambda: (at(x, 1), np.exp(x), S), lambda: (at(x, 2), x, S))
        branch(at(x, 0) > 1, lambda: (np.sin(x),), lambda: (np.cos(x),))
        return a, c

    block = simple(f, X)
    (node,) = (n for n in block.walk() if n.regions)
    assert len(node.outs) == 1
    assert not {"exp", "sin", "cos"} & {n.op.name for n in block.walk()}
    assert isinstance(block.results[1], Const)


# What is known.
def test_invariant_carries_are_what_they_start_from():
    def f(x, s):
        def body(i, t, a, b, c):
            (a,) = for_loop(3, (a,), lambda j, a: (a * 1.0,))
            (b,) = branch(t > 0, lambda: (b,), lambda: (b,))
            return t + at(x, i) * a * b * c, a, b, s

        return for_loop(x.shape[0], (ZERO, s, S, s), body)

    block = simple(f, X, S)
    assert [len(n.outs) for n in loops(block)] == [1]
    assert block.results[1] is block.results[3] is block.params[1]
    assert isinstance(block.results[2], Const)


def test_equal_carries_are_one():
    def f(x):
        return for_loop(x.shape[0], (ZERO, ZERO, S), lambda i, a, b, c: (b + c, a + c, np.sin(c)))

    def g(x):
        return while_loop((ZERO, ZERO, S), lambda a, b, c: b < 3, lambda a, b, c: (c, c, c + 1.5))

    assert len(loops(simple(g, X))[0].outs) == 2
    assert len(loops(simple(f, X))[0].outs) == 3  # equal, but by a computation


def test_swapped_carries_stay_apart():
    block = simple(lambda x, y: for_loop(3, (x, y), lambda i, a, b: (b, a)), X, Y)
    assert len(loops(block)[0].outs) == 2


def test_known_courses():
    def f(x, s):
        (a,) = for_loop(0, (x,), lambda i, x: (put(x, i, s),))
        (b,) = for_loop(1, (x,), lambda i, x: (put(x, i, s),))
        (c,) = branch(np.bool_(True), lambda: (np.sin(s),), lambda: (np.cos(s),))
        (d,) = branch(np.bool_(False), lambda: (np.sin(s),), lambda: branch(s > 0, lambda: (s,), lambda: (-s,)))
        return a, b, c, d

    block = simple(f, X, S)
    assert not loops(block)
    assert [n.op.name for n in block.nodes if n.regions] == ["if"]
    assert block.results[0] is block.params[0]


def test_lengths_of_what_is_in_a_loop_follow():
    """A length that becomes another value, or a number, is renamed in the types of the body."""

    def f(x, n):
        m = n * 1 + 0
        (h,) = for_loop(n, (x,), lambda i, h: (np.sum(np.broadcast_to(h, (m, h.shape[0])) * S, axis=0),))
        return (h,)

    block = verify(simple(f, X, 3))
    for node in block.walk():
        for out in node.outs:
            for axis in out.type.shape:
                assert isinstance(axis, int) or axis in block.params or any(axis in n.outs for n in block.nodes)


# What is computed once.
def test_a_loop_uses_what_is_computed_around_it():
    def f(x, s):
        before = np.exp(s)
        (t,) = for_loop(x.shape[0], (ZERO,), lambda i, t: (t + np.exp(s) * at(x, i),))
        return before + t, np.exp(s)

    block = simple(f, X, S)
    assert [n.op.name for n in block.walk()].count("exp") == 1


def test_branches_do_not_use_each_others():
    def f(x, s):
        (a,) = branch(s > 0, lambda: (np.exp(s),), lambda: (np.exp(s) * 2,))
        return a, np.exp(s)

    block = simple(f, X, S)
    assert [n.op.name for n in block.walk()].count("exp") == 3


def test_equal_loops_are_run_once():
    def total(x, s):
        return for_loop(x.shape[0], (ZERO,), lambda i, t: (t + at(x, i) * s,))

    block = simple(lambda x, s: (*total(x, s), *total(x, s), *total(x, s * 2)), X, S)
    assert len(loops(block)) == 2
    assert block.results[0] is block.results[1]


def test_memory_that_is_written_to_is_not_shared():
    def f(x, s):
        def body(i, a, b):
            row, other = np.zeros_like(x), np.zeros_like(x)
            return a + put(row, i, s), b + put(other, 0, s)

        return for_loop(x.shape[0], (np.zeros_like(x), np.zeros_like(x)), body)

    block = simple(f, X, S)
    assert [n.op.name for n in block.nodes].count("broadcast_to") == 2
    assert inside(block).count("broadcast_to") == 2


# What moves.
def test_invariants_leave_the_innermost_loops_first():
    def f(a, x, s):
        def row(i, t):
            w = np.exp(s) * 2
            (t,) = for_loop(4, (t,), lambda j, t: (t + np.sum(np.tanh(x)) * np.sin(real(i)) * w * at(x, j),))
            return (t,)

        return for_loop(x.shape[0], (ZERO,), row)

    block = simple(f, A, X, S)
    outer, inner = loops(block)
    front = [n.op.name for n in block.nodes]
    assert {"exp", "tanh", "sum"} <= set(front)
    assert "sin" in [n.op.name for n in outer.regions[0].nodes]
    assert {n.op.name for n in inner.regions[0].nodes} == {"getitem", "multiply", "add"}


def test_what_may_raise_stays():
    def f(x, s, k):
        def body(i, t):
            return (t + at(x, k) * real(7 // k) + np.sum(np.broadcast_to(s, (k - 1,))),)

        return for_loop(k, (ZERO,), body)

    block = simple(f, X, S, 2)
    assert {"getitem", "broadcast_to"} <= set(inside(block))
    assert outputs(block, [X, S, 0]) == (0,)


# Accumulation.
def test_scatters_are_added_in_place_in_loops():
    def f(x, s):
        def body(i, bar):
            return (bar + added(np.zeros_like(x), i, at(x, i) * s),)

        return for_loop(x.shape[0], (np.zeros_like(x),), body)

    block = program(f, X, S)
    found = dce(accumulate(whole(block)))
    same(block, found, (X, S))
    assert inside(found).count("add_at") == 1
    assert "broadcast_to" not in inside(found)
    (loop,) = loops(found)
    (scatter,) = (n for n in found.walk() if n.op is add_at)
    assert scatter.args[0] is loop.regions[0].params[1]


# Two parts.
def test_split_keeps_loops_whole():
    def f(x, s, head):
        (t,) = for_loop(x.shape[0], (s,), lambda i, t: (t * at(x, i),))
        e = np.exp(x)
        (u,) = for_loop(x.shape[0], (head,), lambda i, u: (u + at(e, i) * t,))
        return t, u

    block = program(f, X, S, S)
    first, second = split(whole(block), {block.params[2]}, 1)
    verify(first)
    verify(second)
    t, *residuals = outputs(first, [X, S])
    (u,) = outputs(second, [*residuals, 0.5])
    np.testing.assert_array_equal([t, u], outputs(block, [X, S, 0.5]))


def test_nested_blocks():
    """A block inside of another program reads that one's values, and leaves them alone."""
    outer = Value(Type(FLOAT64), "outer")

    def f(x):
        def body(i, t, u):
            v = at(x, i) * np.exp(Expr(outer))
            (t,) = branch(t > Expr(outer), lambda: (t,), lambda: (t + v,))
            return t, u

        return for_loop(x.shape[0], (ZERO, Expr(outer)), body)

    block = run(SIMPLIFY, program(f, X, nested=True), nested=True)
    assert block.results[1] is outer
    assert "exp" not in inside(block)
    bound = Block((*block.params, outer), block.nodes, block.results)
    t = 0.0
    for v in X:
        t = t if t > 0.3 else t + v * np.exp(0.3)
    np.testing.assert_allclose(outputs(bound, [X, 0.3])[0], t, rtol=1e-15)


# Time.
def test_dce_takes_time_in_proportion():
    def f(x, s, n=4000):
        def body(i, t):
            for _ in range(n):
                t = t * s + 1.0
            return (t,)

        return for_loop(3, for_loop(3, (s,), body), body)

    block = program(f, X, S)
    assert sum(1 for _ in block.walk()) > 15000
    start = time.perf_counter()
    dce(block)
    assert time.perf_counter() - start < 2


def test_nothing_is_carried_in_vain_by_tangents():
    """The nodes of a derivative don't grow with what is carried and dead, or carried and the same."""

    def f(x, s, extra=0):
        def body(i, t, *rest):
            dead, constant = rest[:extra], rest[extra:]
            return t + at(x, i) * s, *(d * s + t for d in dead), *constant

        return for_loop(x.shape[0], (ZERO, *[s] * (2 * extra)), body)[:1]

    sizes = [len(list(whole(jvp(program(lambda x, s, k=k: f(x, s, k), X, S), [0, 1], [0])).walk())) for k in (0, 10)]
    assert sizes[0] == sizes[1]
