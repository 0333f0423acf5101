"""Integers of few bits, unsigned ones and truths: indices, bounds, comparisons and sums as NumPy has them."""

import numpy as np
import pytest

from jitgrad import grad, jit
from jitgrad.errors import UnsupportedError

INTEGERS = (np.int8, np.uint8, np.int16, np.uint32, np.uint64)
X = np.random.default_rng(3).normal(size=300)  # longer than what eight bits can count


def gather(x, i):
    return np.sum(x[i] ** 2 * np.arange(1.0, i.size + 1))


def loop(x, i):
    total = 0.0
    for k in range(i.shape[0]):
        total += x[i[k]] ** 2 * (k + 1)
    return total


def span(x, i):
    total = 0.0
    for k in range(i[0], i[1]):
        total += x[k] * x[k - 1]
    return total + np.sum(x[i[0] : i[1]] ** 2)


def compared(x, i):
    return np.sum(x[:4] * (i > -1) + x[:4] * (i < 1000) + x[:4] * (i >= x.size - 299) + x[:4] * (i == 2))


@pytest.mark.parametrize("function", [gather, loop, span, compared], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda t: t.__name__)
def test_integers(function, dtype):
    i = np.array([1, 100, 2, 1], dtype)
    assert jit(function)(X, i) == pytest.approx(function(X, i), rel=1e-13)
    np.testing.assert_allclose(grad(function)(X, i), grad(function)(X, i.astype(np.int64)), rtol=1e-13)


@pytest.mark.parametrize("function", [gather, loop], ids=lambda f: f.__name__)
def test_from_the_end_in_eight_bits(function):
    i = np.array([-1, -100, 127, -128], np.int8)
    assert jit(function)(X, i) == pytest.approx(function(X, i), rel=1e-13)
    with pytest.raises(IndexError, match="is out of bounds for axis 0 with size 100"):
        jit(function)(X[:100], i[3:])


def doubled(k, x):
    return np.sum((k + k) * x) + np.sum((k * k) * x) + np.sum((k + True) * x) + x[0] * (k[0] + k[1])


def both(k, x):
    return np.sum(((x > 0.0) + (x > 0.2)) * x) + np.sum((x > 0.0) * (x > 0.2) * x)


@pytest.mark.parametrize("function", [doubled, both], ids=lambda f: f.__name__)
def test_truths_of_arrays_are_joined(function):
    k, x = np.array([True, True, False]), np.array([1.0, 2.0, -4.0])
    assert jit(function)(k, x) == function(k, x)
    e = np.eye(3) * 1e-6
    wanted = [(function(k, x + d) - function(k, x - d)) / 2e-6 for d in e]
    np.testing.assert_allclose(grad(function, argnums=1)(k, x), wanted, rtol=1e-8)


def test_truths_of_numbers_are_counted():
    def f(x):
        return x * ((x > 0) + (x > -1) * (x < 5))

    assert jit(f)(2.0) == f(2.0) == 4.0
    assert grad(f)(2.0) == 2.0
    single = jit(lambda x, y: y * ((x > 0) + (x > 1)))(2.0, np.ones(3, np.float32))
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, 2)


def carried(x, n):
    c = x > 0
    for i in range(n):
        c = x > i
    return x * (c + c)


def negated(x, n):
    y = np.full(n, x)
    return x * ((not y[0] > 0) + (not y[1] > 0))


@pytest.mark.parametrize("function", [carried, negated, lambda x, b: x * (b + b)])
def test_truths_of_either_kind_are_refused(function):
    with pytest.raises(UnsupportedError, match="truths that may be Python's or NumPy's"):
        jit(function)(-2.0, np.True_ if function not in (carried, negated) else 3)


def test_differences_and_products_of_truths():
    b = np.array([True, False, False])
    assert jit(lambda b, x: x * np.sum(np.diff(b)))(b, 3.0) == 3.0
    with pytest.raises(UnsupportedError, match=r"(?s)boolean.*test_narrow\.py"):
        jit(lambda b, x: x * (b @ b))(b, 3.0)


@pytest.mark.parametrize("number", ["x[0] * np.nan", "x[0] * np.inf", "x[0] * 0 - 1e30", "np.float32(x[0]) * np.nan"])
def test_what_is_no_integer_is_no_index(number, tmp_path):
    """LLVM takes a conversion that doesn't fit for whatever it likes, if it sees it while compiling."""
    path = tmp_path / "program.py"
    path.write_text(f"import numpy as np\ndef f(x):\n    return x[int({number})] * 2.0\n")
    space = {}
    exec(compile(path.read_text(), path, "exec"), space)
    for make in (jit, grad):
        with pytest.raises(IndexError, match="-9223372036854775808 is out of bounds for axis 0 with size 5"):
            make(space["f"])(np.arange(1.0, 6.0))
