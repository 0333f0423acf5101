"""Loops that run within earlier ones: the same numbers in fewer passes."""

import time

import numpy as np
import pytest
from region_programs import PROGRAMS, ZERO, A, S, X, Y, added, at, program, put, real

from jitgrad.ad import jvp, vjp
from jitgrad.ir.graph import Block, Const, Loc
from jitgrad.ir.interpret import outputs
from jitgrad.ir.types import FLOAT64, Type
from jitgrad.ir.verify import verify
from jitgrad.ops.control import require
from jitgrad.ops.create import uninitialized
from jitgrad.ops.flow import branch, for_loop
from jitgrad.ops.index import getitem_
from jitgrad.ops.symbolic import current
from jitgrad.passes import SIMPLIFY, run
from jitgrad.passes.accumulate import accumulate
from jitgrad.passes.copies import make_copies
from jitgrad.passes.cse import cse
from jitgrad.passes.dce import dce
from jitgrad.passes.fuse import fuse
from jitgrad.passes.orderless import count_up
from jitgrad.passes.simplify import simplify

ONE = Const(np.float64(1), Type(FLOAT64))
PASSES = [(f, "") for f in (accumulate, dce, count_up, fuse, cse, simplify, dce)]
AT2 = (("at", 0), ("at", 1))


def at2(x, i, j):
    return getitem_(x, i, j, pattern=AT2)


def room(n):
    return current().emit(uninitialized, (n,), {"dtype": FLOAT64})


def reversed_loop(n, init, body):
    """A loop that counts as if it were the reverse of another."""
    current().loc = Loc(role="adjoint")
    return for_loop(n, init, lambda k, *carry: body(n - 1 - k, k, *carry))


def names(block):
    return [n.op.name for n in block.walk()]


def depth(block, level=0):
    """For each nesting depth the number of loops and branches."""
    found = {}
    for node in block.nodes:
        for region in node.regions:
            for d, count in depth(region, level + 1).items():
                found[d] = found.get(d, 0) + count
        if node.regions:
            found[level] = found.get(level, 0) + 1
    return found


def same(before, after, values, tolerance=1e-12):
    for a, b in zip(outputs(before, list(values)), outputs(after, list(values)), strict=True):
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def copies_in_loops(block):
    copied = make_copies(block)
    return sum(n.op.name == "copy" for node in copied.nodes for r in node.regions for n in r.walk())


def gradient(function, *values, wrt=None, order=1):
    """The simplified program of value and gradient, then with what `fuse` makes of it."""
    block = run(SIMPLIFY, program(function, *values))
    wrt = [k for k, p in enumerate(block.params) if p.type.is_float] if wrt is None else wrt
    floats = [k for k, r in enumerate(block.results) if r.type.is_float]
    block = run(SIMPLIFY, vjp(block, wrt, [(k, ONE) for k in floats]))
    if order == 2:
        block = run(SIMPLIFY, jvp(block, wrt, range(len(block.results) - len(wrt), len(block.results))))
        values = (*values, *(np.cos(values[k]) for k in wrt))
    fused = verify(run(PASSES, block))
    same(block, fused, values)
    assert copies_in_loops(fused) <= copies_in_loops(block)
    return block, fused


def loops(function, *values, **options):
    return tuple(depth(block) for block in gradient(function, *values, **options))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", [n for n in PROGRAMS if n not in ("newton", "flag", "while_in_for")])
def test_numbers_are_kept(name, order):
    function, values = PROGRAMS[name]
    gradient(function, *values, order=order)


# One pass.
def test_a_sum_and_its_gradient():
    def f(x):
        return for_loop(x.shape[0], (ZERO,), lambda i, s: (s + np.log1p(np.exp(at(x, i))),))

    before, fused = gradient(f, X)
    assert (depth(before), depth(fused)) == ({0: 2}, {0: 1})
    assert names(fused).count("exp") == 1
    assert names(fused).count("getitem") == 1


def test_the_mean():
    def f(x):
        (s,) = for_loop(x.shape[0], (ZERO,), lambda i, s: (s + np.sin(at(x, i)),))
        return (s / real(x.shape[0]),)

    assert loops(f, X) == ({0: 2}, {0: 1})


@pytest.mark.parametrize("order", [1, 2])
def test_logistic_regression(order):
    def f(a, y, w):
        def point(i, s):
            (z,) = for_loop(w.shape[0], (ZERO,), lambda j, z: (z + at2(a, i, j) * at(w, j),), "j")
            return (s + np.log1p(np.exp(-at(y, i) * z)),)

        return for_loop(a.shape[0], (ZERO,), point)

    assert loops(f, A[:3], Y[:3], X, wrt=[2], order=order) == ({0: 2, 1: 3}, {0: 1, 1: 2})


def test_what_an_inner_loop_keeps_lives_for_one_iteration():
    def llsq(x, n):
        def point(i, s):
            t = 2.0 * real(i) / 9 - 1
            p, _ = for_loop(x.shape[0], (ZERO, S), lambda j, p, m: (p + at(x, j) * m, m * t), "j")
            return (s + (np.sign(t) - p) ** 2,)

        return for_loop(n, (ZERO,), point)

    _, fused = gradient(llsq, X, 9, wrt=[0])
    assert depth(fused) == {0: 1, 1: 2}
    (room,) = (n for n in fused.walk() if n.op is uninitialized)
    assert room.out.type.ndim == 1
    assert names(fused).count("setitem") == 1


def test_the_nearest_of_many():
    def kmeans(a, c):
        def point(i, s):
            def cluster(k, best):
                (d,) = for_loop(a.shape[1], (ZERO,), lambda j, d: (d + (at2(a, i, j) - at2(c, k, j)) ** 2,), "j")
                return branch(d < best, lambda: (d,), lambda: (best,))

            (best,) = for_loop(c.shape[0], (np.float64(1e300),), cluster, "k")
            return (s + best,)

        return for_loop(a.shape[0], (ZERO,), point)

    for order in (1, 2):
        before, after = loops(kmeans, A[:3], A[:2] * 0.5 + 1, wrt=[1], order=order)
        assert (before[0], after[0]) == (2, 1)
        assert sum(after.values()) == sum(before.values()) - 4


def test_scratch_is_filled_once():
    def f(x, y):
        n = x.shape[0].value

        def point(i, s):
            (z,) = for_loop(x.shape[0], (room(n),), lambda j, z: (put(z, j, np.sin(at(x, j)) * at(y, i)),), "j")
            (t,) = for_loop(x.shape[0], (ZERO,), lambda j, t: (t + at(z, j) ** 3,), "j")
            return (s + np.tanh(t),)

        return for_loop(y.shape[0], (ZERO,), point)

    before, fused = gradient(f, X, Y)
    assert (depth(before)[0], depth(fused)[0]) == (2, 1)
    assert names(fused).count("tanh") == 1
    assert names(fused).count("uninitialized") == 1


def test_branches():
    def f(x, y):
        def body(i, s):
            def then():
                return (np.sin(at(x, i)) * at(y, i),)

            (w,) = branch(at(x, i) > 0, then, lambda: (np.exp(at(y, i)),))
            return (s + w,)

        return for_loop(x.shape[0], (ZERO,), body)

    before, fused = gradient(f, X, Y)
    assert (depth(before), depth(fused)) == ({0: 2, 1: 2}, {0: 1, 1: 1})
    assert names(fused).count("sin") == names(fused).count("exp") == 1


def test_several_loops_over_the_same():
    def f(x, y):
        n = x.shape[0]
        (a,) = for_loop(n, (ZERO,), lambda i, s: (s + np.sin(at(x, i)),))
        (b,) = for_loop(n, (ZERO,), lambda i, s: (s + np.exp(at(x, i)) * at(y, i),))
        (c,) = for_loop(n, (ZERO,), lambda i, s: (s + at(y, i) ** 2,))
        return (a + b + c,)

    _, fused = gradient(f, X, Y)
    assert depth(fused)[0] <= 3
    assert names(fused).count("exp") == 1


# With one in place of the seed.
def test_the_logarithm_of_a_sum():
    def f(x, s):
        (t,) = for_loop(x.shape[0], (ZERO,), lambda i, t: (t + np.exp(at(x, i) * s),))
        return (np.log(t),)

    before, fused = gradient(f, X, S)
    assert (depth(before), depth(fused)) == ({0: 2}, {0: 1})
    assert names(fused).count("exp") == 1


def test_a_seed_that_is_a_divisor():
    def f(x):
        n = x.shape[0]
        m, _ = for_loop(n, (at(x, 0), ZERO), lambda i, m, k: (np.maximum(m, at(x, i)), k))
        (t,) = for_loop(n, (ZERO,), lambda i, t: (t + np.exp(at(x, i) - m),))
        return (m + np.log(t),)

    _, fused = gradient(f, X)
    assert names(fused).count("exp") == 1


def test_seeds_of_many_kinds():
    def head(k, t, s):
        return [np.log(t), np.sqrt(t), t * t, np.exp(-t) * s, 1 / t, s / (1 + t * t)][k]

    for k in range(6):

        def f(x, s, k=k):
            def body(i, t):
                (w,) = for_loop(3, (S,), lambda j, w: (w * np.sin(at(x, i)) + s,), "j")
                (v,) = branch(w > 0.3, lambda: (np.exp(w),), lambda: (s,))
                return (t + v,)

            (t,) = for_loop(x.shape[0], (ZERO,), body)
            return (head(k, t, s),)

        before, fused = gradient(f, X, S)
        assert depth(before)[0] == 2
        assert depth(fused)[0] <= 2
        gradient(f, X, S, order=2)


def test_a_cheap_sum_is_not_scaled_afterwards():
    def f(x):
        (t,) = for_loop(x.shape[0], (ZERO,), lambda i, t: (t + at(x, i) ** 2,))
        return (np.sqrt(t),)

    assert loops(f, X) == ({0: 2}, {0: 2})


def test_a_cotangent_that_is_not_linear_in_the_seed():
    def f(x):
        n = x.shape[0]
        (t,) = for_loop(n, (ZERO,), lambda i, t: (t + np.exp(at(x, i)),))
        (u,) = for_loop(n, (ZERO,), lambda i, u: (u + np.exp(at(x, i)) * np.sin(t * at(x, i)),))
        return (u,)

    gradient(f, X)
    gradient(f, X, order=2)


def test_zeros_and_infinities_with_a_seed():
    def f(x, y):
        (t,) = for_loop(x.shape[0], (ZERO,), lambda i, t: (t + np.exp(at(x, i)) * at(y, i),))
        return (np.log(t),)

    block, fused = gradient(f, X, Y)
    values = [X * 0, np.zeros(4)]  # the sum is zero, the seed infinite
    for a, b in zip(outputs(block, values), outputs(fused, values), strict=True):
        finite = np.isfinite(a)
        np.testing.assert_array_equal(np.asarray(b)[finite], np.asarray(a)[finite])

    def g(x):
        def body(i, t):
            return branch(at(x, i) > 0, lambda: (t + np.exp(at(x, i)),), lambda: (t,))

        (t,) = for_loop(x.shape[0], (ZERO,), body)
        return (np.log(t),)

    block, fused = gradient(g, X)
    np.testing.assert_array_equal(outputs(fused, [-abs(X)])[1], np.zeros(4))  # nothing was added to: no NaN


# What must stay apart.
def test_recurrences():
    def f(x, s):
        return for_loop(x.shape[0], (s,), lambda i, h: (np.tanh(h * at(x, i)),))

    assert loops(f, X, S) == ({0: 2}, {0: 2})


def test_arrays_written_in_place():
    def f(x):
        n = x.shape[0]
        (y,) = for_loop(n, (x,), lambda i, y: (put(y, i, np.sin(at(y, i)) * at(y, n - 1 - i)),))
        return (np.sum(y * y),)

    assert loops(f, X) == ({0: 2}, {0: 2})


def test_a_second_loop_that_needs_the_first():
    def f(x):
        n = x.shape[0]
        (m,) = for_loop(n, (ZERO,), lambda i, s: (s + np.exp(at(x, i)),))
        return for_loop(n, (ZERO,), lambda i, s: (s + np.exp(at(x, i)) * m,))

    block = program(f, X)
    assert depth(run(PASSES, block)) == {0: 2}


def test_loops_of_the_user_that_only_read_the_same():
    def f(x, y):
        n = x.shape[0]
        (a,) = for_loop(n, (ZERO,), lambda i, s: (s + at(x, i),))
        (b,) = for_loop(n, (ZERO,), lambda i, s: (s + at(x, i) * at(y, i),))
        return a, b

    assert depth(run(PASSES, program(f, X, Y))) == {0: 2}


def test_loops_of_the_user_that_compute_the_same():
    def f(x, y):
        n = x.shape[0]
        a, _ = for_loop(n, (ZERO, S), lambda i, s, p: (s + np.exp(at(x, i)), p * at(x, i)))
        b, p = for_loop(n, (ZERO, S), lambda i, s, p: (s + np.exp(at(x, i)) * at(y, i) * p, p * at(x, i)))
        return a, b, p

    block = program(f, X, Y)
    fused = verify(run(PASSES, block))
    same(block, fused, (X, Y))
    assert depth(fused) == {0: 1}
    (loop,) = (n for n in fused.nodes if n.regions)
    assert len(loop.outs) == 3


def test_checks_keep_their_order():
    def f(x, y):
        n = x.shape[0]
        (a,) = for_loop(n, (ZERO,), lambda i, s: (require(s < 9, "assertion: first"), (s + np.exp(at(x, i)),))[1])
        require(y.shape[0] < 9, "assertion: between")
        (b,) = for_loop(n, (ZERO,), lambda i, s: (s + np.exp(at(x, i)) * at(y, i),))
        return a, b

    assert depth(run(PASSES, program(f, X, Y, checking=True))) == {0: 2}


def test_a_check_of_the_second_loop_alone():
    def f(x, y):
        n = x.shape[0]
        (a,) = for_loop(n, (ZERO,), lambda i, s: (s + np.exp(at(x, i)),))
        (b,) = for_loop(n, (ZERO,), lambda i, s: (require(at(y, i) < 9, "assertion"), (s + np.exp(at(x, i)),))[1])
        return a, b

    block = run(PASSES, program(f, X, Y, checking=True))
    with pytest.raises(AssertionError):
        outputs(block, [X, Y + 10])


def test_a_read_after_the_write_is_left_where_it_is():
    def f(x, y):
        n = x.shape[0]

        def first(i, z, s):
            v = at(z, 0)
            return put(z, 0, v * at(y, i)), s + np.exp(at(x, i))

        z, s = for_loop(n, (x * 1.0, ZERO), first)
        (t,) = for_loop(n, (ZERO,), lambda i, t: (t + np.exp(at(x, i)) * at(z, i),))
        return s, t

    block = program(f, X, Y)
    same(block, verify(run(PASSES, block)), (X, Y))


# Counting up.
def test_a_loop_that_only_adds_up_counts_up():
    def f(x):
        def body(i, k, h):
            return (added(h, i, np.sin(at(x, i)) + real(k)),)

        return reversed_loop(x.shape[0], (np.zeros_like(x),), body)

    block = program(f, X)
    up = verify(count_up(block))
    same(block, up, (X,))
    (loop,) = (n for n in dce(up).nodes if n.regions)
    assert loop.regions[0].nodes[-1].args[2] is loop.regions[0].params[0]


def test_the_order_of_the_users_own_sums():
    def f(x):
        n = x.shape[0]
        return for_loop(n, (ZERO,), lambda k, s: (s + at(x, n - 1 - k),))

    block = program(f, X)
    assert names(count_up(block)) == names(block)


@pytest.mark.parametrize(
    "body",
    [
        lambda x, i, h, k: (put(h, 0, at(x, i)), k),  # the last write stands
        lambda x, i, h, k: (put(h, i, at(h, 0)), k),  # what has been written is read
        lambda x, i, h, k: (put(h, x.shape[0] - 1 - i, at(h, i)), k),
        lambda x, i, h, k: (added(h, i, at(h, 0)), k),  # what has been added is read
        lambda x, i, h, k: (added(h, i, k), k + at(x, i)),
        lambda x, i, h, k: (added(h, i, at(x, i)), at(x, i) - k),  # changes its sign
        lambda x, i, h, k: (added(h, i, at(x, i)), at(x, i) * 1.0),  # that of the last iteration
        lambda x, i, h, k: (added(h, i, at(x, i)), k + k),
        lambda x, i, h, k: (h, for_loop(2, (k,), lambda j, k: (k * at(x, i),))[0]),
        lambda x, i, h, k: (h, branch(at(x, i) > 0, lambda: (k + at(x, i),), lambda: (at(x, i),))[0]),
        lambda x, i, h, k: (h, branch(k > 0, lambda: (k + at(x, i),), lambda: (k,))[0]),
    ],
)
def test_a_loop_whose_order_matters(body):
    def f(x):
        return reversed_loop(x.shape[0], (np.zeros_like(x), ZERO), lambda i, _, h, s: body(x, i, h, s))

    block = program(f, X)
    up = count_up(block)
    assert [n.regions[0].params[0] for n in up.nodes if n.regions] == [
        n.regions[0].params[0] for n in block.nodes if n.regions
    ]


def test_sums_by_way_of_branches_and_loops():
    def f(x):
        def body(i, k, h, t):
            (h,) = for_loop(2, (h,), lambda j, h: (added(h, j, at(x, i)),), "j")
            (t,) = branch(at(x, i) > 0, lambda: (t + at(x, i),), lambda: (t,))
            return h, t - at(x, i)

        return reversed_loop(x.shape[0], (np.zeros_like(x), ZERO), body)

    block = program(f, X)
    up = verify(count_up(block))
    same(block, up, (X,))
    assert up.nodes[-1].regions[0].params[0] is not block.nodes[-1].regions[0].params[0]


@pytest.mark.parametrize(
    "body",
    [
        lambda x, i, h, s: (s + at(h, i), put(h, i, at(x, i) - at(h, i)))[::-1],
        lambda x, i, h, s: (added(put(h, i, at(x, i)), i, at(x, i)), s),
        lambda x, i, h, s: (branch(at(x, i) > 0, lambda: (put(h, i, at(x, i)),), lambda: (h,))[0], s - at(x, i)),
    ],
)
def test_each_iteration_has_an_element_of_its_own(body):
    def f(x):
        return reversed_loop(x.shape[0], (np.zeros_like(x), ZERO), lambda i, _, h, s: body(x, i, h, s))

    block = program(f, X)
    up = verify(count_up(block))
    same(block, up, (X,))
    assert up.nodes[-1].regions[0].params[0] is not block.nodes[-1].regions[0].params[0]


# Random programs.
class Writer:
    """Writes a function of two vectors that sums over points, with inner loops, branches, scratch and several sums."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.x = self.y = self.n = None

    def pick(self, *items):
        return items[self.rng.integers(len(items))]

    def number(self, values, level):
        """One more number, of those that there are."""
        a, b = (values[self.rng.integers(len(values))] for _ in range(2))
        kind = self.rng.integers(8 if level else 4)
        if kind < 2:
            return self.pick(np.sin, np.tanh, np.cos)(a) * b
        if kind == 2:
            return a + 0.5 * b
        if kind == 3:
            return a / (2 + b * b)
        if kind == 4:
            state = self.rng.bit_generator.state

            def region(flip):
                self.rng.bit_generator.state = state
                return self.number([a, b], level - 1) * (0.5 if flip else 1.5)

            return branch(a > 0.1, lambda: (region(False),), lambda: (region(True),))[0]
        if kind == 5:
            return for_loop(self.n, (a,), lambda j, h: (np.tanh(h * at(self.x, j)) + 0.3 * b,), "j")[0]
        if kind == 6:
            return for_loop(self.n, (ZERO,), lambda j, h: (h + np.sin(at(self.y, j) * a) * b,), "j")[0]
        (z,) = for_loop(self.n, (room(self.n.value),), lambda j, z: (put(z, j, at(self.x, j) * a),), "j")
        return for_loop(self.n, (b,), lambda j, h: (h + at(z, j) ** 2 * 0.3,), "j")[0]

    def loop(self):
        def body(i, *sums):
            values = [at(self.x, i), at(self.y, self.n - 1 - i), S]
            for _ in range(self.rng.integers(2, 6)):
                values.append(self.number(values, 2))
            return [s + values[-1 - k % 2] for k, s in enumerate(sums)]

        return for_loop(self.n, (ZERO,) * self.rng.integers(1, 3), body)

    def __call__(self, x, y):
        self.x, self.y, self.n = x, y, x.shape[0]
        sums = [s for _ in range(self.rng.integers(1, 3)) for s in self.loop()]
        total = sums[0]
        for s in sums[1:]:
            total = total * self.pick(1.0, 0.5) + s
        return (self.pick(total, np.tanh(total), np.log(1.5 + total * total), np.sqrt(1 + total * total)),)


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed):
    for order in (1, 2):
        gradient(Writer(seed), X * 0.5, Y * 0.5, order=order)


# How long it takes.
def test_time_grows_with_the_size():
    def f(x, k):
        total = ZERO
        for j in range(k):
            (s,) = for_loop(x.shape[0], (ZERO,), lambda i, s, j=j: (s + np.sin(at(x, i) * (j + 1.5)),))
            total = total + s
        return (total,)

    def seconds(k):
        block = run(SIMPLIFY, vjp(run(SIMPLIFY, program(lambda x: f(x, k), X)), [0], [(0, ONE)]))
        start = time.perf_counter()
        fused = fuse(count_up(block))
        took = time.perf_counter() - start
        assert names(run(SIMPLIFY, fused)).count("sin") == k
        assert depth(fused) == {0: k}
        return took

    few, many = (min(seconds(k) for _ in range(3)) for k in (8, 64))
    assert many < 40 * few


def test_nothing_to_do():
    block = program(lambda x: (np.sum(x),), X)
    assert fuse(block) is block
    assert isinstance(count_up(block), Block)
