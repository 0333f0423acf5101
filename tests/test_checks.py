"""Bad input: what raises, with which words, and that what is certain isn't asked for again and again."""

import linecache
import pickle
import random

import numba
import numpy as np
import pytest
from index_programs import generate
from numba.core.runtime import _nrt_python, rtsys

from jitgrad import grad, jit, jvp, value_and_grad, vjp
from jitgrad.api.transforms import Jitted
from jitgrad.errors import TraceError
from jitgrad.ir.interpret import outputs
from jitgrad.ops.control import check
from jitgrad.ops.flow import for_
from jitgrad.ops.index import add_at, getitem_, setitem
from jitgrad.runtime.errors import Mismatch, OutOfBounds
from jitgrad.testing.arrays import run_arrays

X = np.arange(10.0) + 1
MATRIX = np.arange(20.0).reshape(4, 5)


def gather(x, idx):
    s = 0.0
    for i in range(idx.shape[0]):
        s += x[idx[i]] ** 2
    return s


def up_to(x, n):
    s = 0.0
    for i in range(n):
        s += x[i] * x[i]
    return s


def strided(x, a, b):
    s = 0.0
    for i in range(a, b, 2):
        s += x[i] * x[i]
    return s


def downwards(x, a, b):
    s = 0.0
    for i in range(a, b, -3):
        s += x[i]
    return s


def counted(x, y):
    k, s = 0, 0.0
    while k < x.shape[0]:
        s += x[k] * y[k]
        k += 2
    return s


def product(a, b):
    c = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                c[i, j] += a[i, k] * b[k, j]
    return np.sum(c)


def convolved(x, y):
    s = 0.0
    for i in range(x.shape[0]):
        for j in range(i + 1):
            s += x[j] * y[i - j]
    return s


def written(x, k):
    y = np.zeros(4)
    for i in range(3):
        y[i + k] = x[i]
    return np.sum(y * x[0])


def straight(x, k):
    return x[k] * 2.0


def under_a_condition(x, n):
    s = 0.0
    for i in range(n):
        if x[0] > 0.0:
            s += x[i]
    return s


def leaves_early(x, n):
    s = 0.0
    for i in range(n):
        if x[i] < 0.0:
            break
        s += x[i]
    return s


def triangular(x, n):
    s = 0.0
    for i in range(n):
        for j in range(i - 5):
            s += x[j + 3]
    return s


BAD = [
    (gather, (X, np.array([1, 3, -11]))),
    (gather, (X, np.array([1, 30, -1]))),
    (up_to, (X, 12)),
    (strided, (X, 1, 18)),
    (strided, (X, -13, 4)),
    (downwards, (X, 8, -16)),
    (downwards, (X, 11, 5)),
    (counted, (X, X[:4])),
    (product, (MATRIX, MATRIX)),
    (convolved, (X, X[:6])),
    (written, (X, 2)),
    (written, (X, -6)),
    (straight, (X, 10)),
    (straight, (X, -11)),
    (under_a_condition, (X, 12)),
    (leaves_early, (X, 12)),
    (triangular, (X, 14)),
]
bad = pytest.mark.parametrize(("function", "args"), BAD, ids=[f"{f.__name__}{k}" for k, (f, _) in enumerate(BAD)])


def numpys_error(function, args):
    with pytest.raises(IndexError) as info:
        function(*args)
    return str(info.value)


def has_its_line(error, function):
    """Whether an error shows a line of the function."""
    rest = str(error).partition("\n")[2]
    source = {line.strip() for line in linecache.getlines(function.__code__.co_filename)}
    return 'test_checks.py", line' in rest and rest.partition(": ")[2] in source


@bad
def test_numpys_words_with_the_line(function, args):
    wanted = numpys_error(function, args)
    for call in (jit(function), grad(function)):
        with pytest.raises(IndexError) as info:
            call(*args)
        assert type(info.value) is IndexError
        assert str(info.value).partition("\n")[0] == wanted
        assert has_its_line(info.value, function)
    engine = Jitted(function)
    with pytest.raises(IndexError) as info:
        run_arrays(engine, engine.flatten(args, {}), ())
    assert str(info.value).partition("\n")[0] == wanted


def test_in_all_modes():
    wanted = numpys_error(gather, (X, np.array([10])))
    calls = [
        lambda: jvp(gather, (X, np.array([10])), (X, None)),
        lambda: vjp(gather, X, np.array([10])),
        lambda: value_and_grad(gather)(X, np.array([10])),
        lambda: jvp(grad(gather), (X, np.array([10])), (X, None)),
    ]
    for call in calls:
        with pytest.raises(IndexError, match=wanted):
            call()


def test_in_compiled_callers():
    compiled = grad(gather)

    @numba.njit
    def caller(x, idx):
        return compiled(x, idx)[0]

    assert caller(X, np.array([0])) == 2.0
    with pytest.raises(IndexError) as info:
        caller(X, np.array([10]))
    assert str(info.value).startswith(numpys_error(gather, (X, np.array([10]))))
    assert has_its_line(info.value, gather)


def test_errors_with_numbers():
    error = OutOfBounds("index {0} of {1}", "here: {}", 3, 2)
    assert str(error) == "index 3 of 2\n  here: {}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert isinstance(Mismatch("{0}", "", 1), ValueError)


def test_no_iterations_no_error():
    assert jit(up_to)(np.zeros(0), 0) == jit(up_to)(np.zeros(0), -3) == 0.0
    assert jit(strided)(np.zeros(2), 50, 50) == 0.0
    assert jit(product)(np.ones((3, 0)), np.ones((2, 4))[:0]) == 0.0
    assert jit(triangular)(np.zeros(8), 11) == triangular(np.zeros(8), 11) == 0.0
    assert jit(under_a_condition)(-np.ones(2), 9) == 0.0
    assert jit(leaves_early)(-np.ones(2), 9) == 0.0


def test_from_the_end():
    assert jit(strided)(X, -9, 4) == strided(X, -9, 4)
    assert jit(gather)(X, np.array([-1, -10])) == gather(X, np.array([-1, -10]))
    assert grad(gather)(X, np.array([-1, 0]))[-1] == 2 * X[-1]


def test_more_iterations_than_there_can_be():
    """Sums that wrap around don't hide that an index is out of range."""
    for function, args in ((up_to, (X, 2**63 - 1)), (strided, (X, 0, 2**62)), (strided, (X, 2**63 - 9, 2**63 - 3))):
        with pytest.raises(IndexError):
            jit(function)(*args)


# Where checks are.


def heat(u, c, steps):
    v = np.zeros_like(u)
    for _ in range(steps):
        for i in range(1, u.shape[0] - 1):
            v[i] = u[i] + c * (u[i - 1] - 2.0 * u[i] + u[i + 1])
        for i in range(1, u.shape[0] - 1):
            u[i] = v[i]
    return np.sum(u)


def cholesky(a):
    n = a.shape[0]
    low = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= low[i, k] * low[j, k]
            low[i, j] = np.sqrt(s) if i == j else s / low[j, j]
    return np.sum(low)


def ring(x, n):
    s = 0.0
    for i in range(n):
        s += x[i % x.shape[0]] if x.shape[0] > 0 else 0.0
    return s


def neighbours(x):
    s = 0.0
    for i in range(x.shape[0]):
        if i > 0:
            s += x[i] * x[i - 1]
        if i + 1 < x.shape[0]:
            s += x[i + 1]
        if not (i < 2 or i >= x.shape[0] - 2):
            s += x[i - 2] * x[i + 2]
    return s


def windows(x):
    s = 0.0
    for i in range(x.shape[0] - 2):
        s += np.sum(x[i : i + 3]) ** 2
    return s


def halves(x):
    s = 0.0
    for i in range(x.shape[0] // 2):
        s += x[2 * i] * x[2 * i + 1] + x[-1 - i] + x[i // 3]
    return s


def stepping(x):
    i, s = 0, 0.0
    while i < x.shape[0]:
        s += x[i]
        i += 1
    return s


def twice(x, k):
    return x[k] * x[k] + x[k]


def checks(function, *args, transform=jit):
    """How many checks there are, and how many of them in loops and branches."""
    engine = transform(function)
    block = engine.entry(engine.flatten(args, {}), engine.request()).program.block
    every = sum(node.op is check for node in block.walk())
    return every, every - sum(node.op is check for node in block.nodes)


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        (heat, (X, 0.1, 3), (0, 0)),
        (ring, (X, 3), (0, 0)),
        (neighbours, (X,), (0, 0)),
        (windows, (X,), (0, 0)),
        (halves, (X,), (0, 0)),
        (stepping, (X,), (0, 0)),
        (cholesky, (np.eye(3),), (1, 0)),  # the second axis of `a`
        (up_to, (X, 3), (1, 0)),
        (strided, (X, 1, 3), (2, 0)),
        (product, (MATRIX, MATRIX.T), (1, 0)),
        (convolved, (X, X), (1, 0)),
        (twice, (X, 1), (1, 0)),
        (triangular, (X, 3), (1, 0)),
        (gather, (X, np.array([1, 2])), (1, 1)),
        (counted, (X, X), (1, 1)),
        (under_a_condition, (X, 3), (2, 1)),  # that of x[0] is done once
    ],
)
def test_where_checks_are(function, args, expected):
    assert checks(function, *args) == expected
    assert checks(function, *args, transform=grad)[0] <= expected[0]
    value = function(*[np.copy(a) if isinstance(a, np.ndarray) else a for a in args])
    np.testing.assert_allclose(jit(function)(*args), value, rtol=1e-13)


def test_the_checked_loop_is_gone_from_the_gradient():
    """What only sums up is not run for the gradient once its checks are out of it."""
    engine = grad(up_to)
    block = engine.entry(engine.flatten((X, 3), {}), engine.request()).program.block
    assert [node.op for node in block.walk() if node.regions] == [for_]


def test_without_checks():
    for call in (
        jit(up_to, boundscheck=False),
        grad(up_to, boundscheck=False),
        value_and_grad(up_to, boundscheck=False),
    ):
        assert "IndexError" not in call.source(X, 3)
    assert "IndexError" in jit(up_to).source(X, 3)
    assert jit(up_to, boundscheck=False) is not jit(up_to)
    assert grad(up_to, boundscheck=False) != grad(up_to)

    @jit(boundscheck=False)
    def shapes(x, y, k):
        return x[k] * np.sum(x * y)

    with pytest.raises(ValueError, match="broadcast"):
        shapes(X, X[:3], 0)
    copy = pickle.loads(pickle.dumps(jit(up_to, boundscheck=False)))
    assert "IndexError" not in copy.source(X, 3)
    _, pull = vjp(up_to, X, 3, boundscheck=False)
    np.testing.assert_array_equal(pull(1.0)[0], grad(up_to)(X, 3))
    np.testing.assert_array_equal(jvp(up_to, (X, 3), (X, None), boundscheck=False)[1], 2 * up_to(X, 3))


def test_without_checks_inside_of_another():
    quick = grad(up_to, boundscheck=False)
    assert "IndexError" not in jit(lambda x, n: quick(x, n)).source(X, 3)


# Integers.


@pytest.mark.parametrize("operator", ["//", "%", "<<", ">>", "**"])
def test_operators_of_integers(operator):
    function = eval(f"lambda a, b: a {operator} b")
    compiled = jit(function)
    for a in (7, -7, 2):
        for b in (3, -3, 0, 1):
            try:
                expected = function(a, b)
            except (ZeroDivisionError, ValueError) as error:
                expected = error
            if isinstance(expected, int):
                assert compiled(a, b) == expected
            else:  # Python makes a float of a negative power
                kind = ValueError if isinstance(expected, float) else type(expected)
                with pytest.raises(kind, match=r"by zero|negative"):
                    compiled(a, b)


def test_division_in_a_loop():
    @jit
    def f(x, n):
        s = 0.0
        for i in range(5):
            s += x[i] * (10 // (n - i))
        return s

    assert f(X, 5) == sum(X[i] * (10 // (5 - i)) for i in range(5))
    with pytest.raises(ZeroDivisionError, match=r"n - i"):
        f(X, 3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numpys_integers_are_not_checked():
    f = jit(lambda a, b: a // b + a % b)
    assert f(np.int64(7), np.int64(0)) == 0
    np.testing.assert_array_equal(f(np.arange(3), np.arange(3) - 1), [0, 0, 2])
    shifted = jit(lambda a, b: a << b)
    counts = np.array([0, 3, 63, 64, 100, -1])
    np.testing.assert_array_equal(shifted(np.full(6, 5), counts), np.left_shift(np.full(6, 5), counts))
    with pytest.raises(ValueError, match="negative integer powers"):
        jit(lambda a, b: a**b)(np.arange(3), np.arange(3) - 1)


def test_divisors_that_are_certain():
    def f(x, n):
        s = 0.0
        for i in range(n):
            s += x[i % n] * (n // (i + 1)) + (i // 3)
        return s

    assert "ZeroDivisionError" not in jit(f).source(X, 3)
    assert jit(f)(X, 4) == f(X, 4)


# Memory.


def allocated():
    stats = rtsys.get_allocation_stats()
    return stats.alloc - stats.free


def test_errors_leak_nothing():
    """An exception in a compiled function gives back the arrays of the function."""

    def f(x, idx):
        y = np.zeros(x.shape[0])
        for i in range(idx.shape[0]):
            y[idx[i]] += x[idx[i]] ** 2
        return np.sum(y * y)

    for call in (jit(f), grad(f)):
        call(X, np.array([1]))
        _nrt_python.memsys_enable_stats()
        before = allocated()
        for _ in range(10):
            with pytest.raises(IndexError):
                call(X, np.array([1, 10]))
        assert allocated() == before


# What is written is read.


def test_what_was_just_written_is_not_read():
    def f(x):
        y = np.zeros(x.shape[0])
        s = 0.0
        for i in range(x.shape[0]):
            y[i] = np.sin(x[i])
            s += y[i] * y[i]
        return s

    engine = jit(f)
    block = engine.entry(engine.flatten((X,), {}), None).program.block
    assert sum(node.op is getitem_ for node in block.walk()) == 1
    assert engine(X) == pytest.approx(np.sum(np.sin(X) ** 2), rel=1e-14)

    def rounded(x):
        y = np.zeros(x.shape[0], dtype=np.float32)
        s = 0.0
        for i in range(x.shape[0]):
            y[i] = x[i] / 3.0
            s = y[i] * 1.0 - s
        return s

    assert jit(rounded)(X) == rounded(X)


# Random programs, run by the interpreter with reads and writes that know no negative indices.


class Unsafe(Exception):
    """A program reads or writes what isn't there."""


@pytest.fixture
def strict(monkeypatch):
    for op, skipped in ((getitem_, 0), (setitem, 1), (add_at, 1)):

        def evaluate(x, *rest, pattern, plain=op.evaluate, skipped=skipped):
            axes = [part for part in pattern if part[0] != "new"]
            for n, part in zip(x.shape, axes, strict=True):
                if part[0] == "at" and not 0 <= rest[skipped + part[1]] < n:
                    raise Unsafe(part, rest, x.shape)
            return plain(x, *rest, pattern=pattern)

        monkeypatch.setattr(op, "evaluate", evaluate)


def result(function, *args):
    try:
        with np.errstate(all="ignore"):
            return float(function(*args))
    except (IndexError, ZeroDivisionError, UnboundLocalError) as error:
        return str(error).partition("\n")[0] if isinstance(error, IndexError) else type(error)


@pytest.mark.parametrize("seed", range(120))
def test_random_programs(seed, strict):
    rng = random.Random(seed)
    source = generate(rng)
    name = f"<index program {seed}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space = {"np": np}
    exec(compile(source, name, "exec"), space)
    engine = Jitted(space["f"])
    for _ in range(4):
        x, y = (np.arange(float(rng.randint(2, 6))) + k for k in (1, 2))
        idx = np.array([rng.randint(-2, 4) for _ in range(rng.randint(2, 5))])
        args = (x, y, idx, rng.randint(-1, 6), rng.randint(-1, 6))
        expected = result(space["f"], *args)
        flat = engine.flatten(args, {})
        entry = engine.entry(flat, None)
        found = result(
            lambda *v, block=entry.program.block: outputs(block, list(v))[0], *engine.values(entry, flat, ())
        )
        if isinstance(expected, float):
            assert found == pytest.approx(expected, rel=1e-9, nan_ok=True), source
        else:
            assert not isinstance(found, float), source


def test_an_index_must_be_an_integer():
    with pytest.raises(IndexError, match="only integers"):
        jit(lambda x, k: x[k])(X, 1.0)
    with pytest.raises((IndexError, TraceError)):
        jit(lambda x: x[0, 0])(X)


# What checks read is there.


def at_total(x, k):
    return x[np.sum(k) - 8] * 2.0


def at_greatest(x, k):
    return x[np.argmax(k)] ** 2


def as_far_as_greatest(x, k):
    total = 0.0
    for j in range(np.argmax(k)):
        total += x[j] ** 2
    return total


@pytest.mark.parametrize("function", [at_total, at_greatest, as_far_as_greatest], ids=lambda f: f.__name__)
def test_computed_of_an_array_whose_length_nothing_else_reads(function):
    """The check moves in front with the sum over the array, and so does the array's length."""
    x, k = np.arange(1.0, 7.0), np.array([1, 2, 5, 1])
    assert jit(function)(x, k) == function(x, k)
    np.testing.assert_allclose(grad(function)(x, k), _differences(lambda x: function(x, k), x), rtol=1e-6)


def _differences(function, x):
    steps = np.eye(x.size) * 1e-6
    return [(function(x + h) - function(x - h)) / 2e-6 for h in steps]
