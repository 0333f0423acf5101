"""Where functions have kinks, ties, zeros, infinities and no elements: the documented convention, never a stray NaN.

The expected numbers are written out. Here the gradients are looked at, by the array form, in both modes.
"""

import numpy as np
import pytest

from jitgrad import grad
from jitgrad.api.forward import Pushforward
from jitgrad.api.reverse import Vjp
from jitgrad.api.transforms import Gradient
from jitgrad.testing import push_arrays, run_arrays

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
INF, NAN = np.inf, np.nan


def gradient(f, *args, argnums=0):
    """The gradient by the array form; forward mode must give the same, column by column."""
    engine = Gradient(f, argnums, has_aux=False, with_value=False)
    reverse = run_arrays(engine, engine.flatten(args, {}), (1.0,))
    x = args[argnums]
    engine = Pushforward(f)
    forward = np.zeros(np.shape(x))
    for place in np.ndindex(np.shape(x)):
        tangents = [np.zeros_like(a) if np.ndim(a) else 0.0 for a in args]
        if np.ndim(x):
            tangents[argnums][place] = 1.0
        else:
            tangents[argnums] = 1.0
        _, dot = push_arrays(engine, args, tuple(tangents))
        forward[place] = np.sum(dot)
    np.testing.assert_allclose(forward, reverse, rtol=1e-13, atol=1e-300)
    return reverse


def v(*numbers):
    return np.array(numbers, float)


# f, x, gradient of the sum of f.
TIES = {
    "max, two tie": (np.max, v(1, 3, 3), v(0, 0.5, 0.5)),
    "max, all tie": (np.max, v(2, 2, 2, 2), v(0.25, 0.25, 0.25, 0.25)),
    "min, ties along an axis": (
        lambda x: np.min(x, axis=0),
        np.array([[1.0, 2], [1, 3]]),
        np.array([[0.5, 1], [0.5, 0]]),
    ),
    "max with keepdims": (
        lambda x: x.max(axis=1, keepdims=True),
        np.array([[1.0, 1], [0, 3]]),
        np.array([[0.5, 0.5], [0, 1]]),
    ),
    "ptp of equals": (np.ptp, v(2, 2), v(0, 0)),
    "max of one": (np.max, v(7), v(1)),
    "maximum of the same": (lambda x: np.maximum(x, x), v(1, -1), v(1, 1)),
    "maximum with a tie": (lambda x: np.maximum(x, v(1, 1, 1)), v(0, 1, 2), v(0, 0.5, 1)),
    "minimum with a tie": (lambda x: np.minimum(x, v(1, 1, 1)), v(0, 1, 2), v(1, 0.5, 0)),
    "relu at 0": (lambda x: np.maximum(x, 0), v(-1, 0, 1), v(0, 0, 1)),
    "relu at 0, the other way round": (lambda x: np.maximum(0.0, x), v(-1, 0, 1), v(0, 0, 1)),
    "relu by product": (lambda x: x * (x > 0), v(-1, 0, 1), v(0, 0, 1)),
    "relu by where": (lambda x: np.where(x > 0, x, 0.0), v(-1, 0, 1), v(0, 0, 1)),
    "abs at 0": (np.abs, v(-2, 0, 2), v(-1, 0, 1)),
    "abs at -0.0": (np.abs, v(-0.0), v(0)),
    "norm of 0": (np.linalg.norm, v(0, 0, 0), v(0, 0, 0)),
    "norm of rows, one of them 0": (
        lambda x: np.linalg.norm(x, axis=1),
        np.array([[0.0, 0], [3, 4]]),
        np.array([[0, 0], [0.6, 0.8]]),
    ),
    "norm 3 of 0": (lambda x: np.linalg.norm(x, 3), v(0, 0), v(0, 0)),
    "hypot at 0": (lambda x: np.hypot(x, 0.0), v(0, 3), v(0, 1)),
    "std of constants": (np.std, v(2, 2, 2), v(0, 0, 0)),
    "std along axes, one constant": (
        lambda x: np.std(x, axis=1),
        np.array([[1.0, 1], [0, 2]]),
        np.array([[0, 0], [-0.5, 0.5]]),
    ),
    "var of constants": (np.var, v(2, 2, 2), v(0, 0, 0)),
    "clip at its bounds": (lambda x: np.clip(x, -1, 1), v(-2, -1, 0, 1, 2), v(0, 1, 1, 1, 0)),
    "sign, floor, round": (
        lambda x: np.sign(x) + np.floor(x) + np.round(x) + np.trunc(x),
        v(-1, 0, 0.5),
        v(0, 0, 0),
    ),
    "sinc at 0": (np.sinc, v(0, 1e-9), v(0, -(np.pi**2) / 3 * 1e-9)),
    "logaddexp of equals": (lambda x: np.logaddexp(x, v(1, -INF, INF)), v(1, -INF, INF), v(0.5, 0.5, 0.5)),
    "logaddexp with -inf": (lambda x: np.logaddexp(x, -INF), v(1, 2), v(1, 1)),
    "sorting by max and min": (lambda x: np.maximum(x[0], x[1]) - np.minimum(x[0], x[1]), v(1, 1), v(0, 0)),
    "fmax with NaN": (lambda x: np.fmax(x, v(NAN, 1)), v(1, NAN), v(1, 0)),
}

ZEROS = {
    "prod, no zero": (np.prod, v(2, 3, 4), v(12, 8, 6)),
    "prod, one zero": (np.prod, v(2, 0, 4), v(0, 8, 0)),
    "prod, two zeros": (np.prod, v(0, 0, 4), v(0, 0, 0)),
    "prod of one": (np.prod, v(0), v(1)),
    "prod along an axis": (
        lambda x: np.prod(x, axis=0),
        np.array([[0.0, 2], [3, 0]]),
        np.array([[3, 0], [0, 2]]),
    ),
    "x**0": (lambda x: x**0, v(-1, 0, 2), v(0, 0, 0)),
    "x**0.0 by an array": (lambda x: x ** v(0, 0), v(0, 2), v(0, 0)),
    "x**1 at 0": (lambda x: x**1, v(0, -1), v(1, 1)),
    "x**2 at 0": (lambda x: x**2, v(0, -1), v(0, -2)),
    "x**2.0 by an array": (lambda x: x ** v(2, 2, 1), v(0, -1, 0), v(0, -2, 1)),
    "x**3 below 0": (lambda x: x**3, v(-2), v(12)),
    "0**y": (lambda y: 0.0**y, v(1, 2), v(0, 0)),
    "x**y by y at x = 0": (lambda y: v(0, 0, 1) ** y, v(2, 0.5, 3), v(0, 0, 0)),
    "square at 0": (np.square, v(0), v(0)),
    "x * x at 0": (lambda x: x * x, v(0), v(0)),
    "cumsum of zeros": (np.cumsum, v(0, 0), v(2, 1)),
    "arctan2 on the axes": (lambda x: np.arctan2(x, v(1, -1)), v(0, 0), v(1, -1)),
}

# Where another branch would give NaN or an infinity.
BRANCHES = {
    "log": (lambda x: np.where(x > 0, np.log(x), 0.0), v(-1, 0, 2), v(0, 0, 0.5)),
    "log of a safe argument": (lambda x: np.log(np.where(x > 0, x, 1.0)), v(-1, 0, 2), v(0, 0, 0.5)),
    "sqrt": (lambda x: np.where(x > 0, np.sqrt(x), x), v(-1, 0, 4), v(1, 1, 0.25)),
    "division": (lambda x: np.where(x != 0, 1 / x, 0.0), v(0, 2), v(0, -0.25)),
    "division by an expression": (lambda x: np.where(x == 1, 3 * x, x / (x - 1)), v(1, 2), v(3, -1)),
    "exp overflows": (lambda x: np.where(x > 0, x, np.exp(x) - 1), v(1000, -1), v(1, np.exp(-1))),
    "exp overflows in a quotient": (
        lambda x: np.where(x > 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x))),
        v(800, -800, 0),
        v(0, 0, 0.25),
    ),
    "nested": (
        lambda x: np.where(x > 1, np.log(x), np.where(x > 0, np.sqrt(x), x)),
        v(-1, 0, 0.25, 2),
        v(1, 1, 1, 0.5),
    ),
    "power": (lambda x: np.where(x > 0, x**1.5, 0.0), v(-1, 0, 4), v(0, 0, 3)),
    "arcsin outside": (lambda x: np.where(np.abs(x) < 1, np.arcsin(x), 0.0), v(-2, 1, 0), v(0, 0, 1)),
    "a chain": (lambda x: np.where(x > 0, np.log(np.sqrt(x) * x), 0.0), v(-1, 0, 2), v(0, 0, 0.75)),
    "a reduction in the branch": (
        lambda x: np.where(np.sum(x) > 0, np.log(np.sum(x)), 0.0),
        v(0, 0),
        v(0, 0),
    ),
    "a mask": (lambda x: np.log(x[x > 0]), v(-1, 0, 2), v(0, 0, 0.5)),
    "an index": (lambda x: np.log(x)[2], v(-1, 0, 2), v(0, 0, 0.5)),
    "a slice": (lambda x: np.sqrt(x)[1:], v(0, 4), v(0, 0.25)),
    "max of roots": (lambda x: np.max(np.sqrt(x)), v(0, 4), v(0, 0.25)),
    "maximum": (lambda x: np.maximum(np.sqrt(x), 1.0), v(0, 4), v(0, 0.25)),
    "clip": (lambda x: np.clip(np.sqrt(x), 1.0, None), v(0, 4), v(0, 0.25)),
    "nan_to_num": (lambda x: np.nan_to_num(x), v(NAN, 1), v(0, 1)),
    "a write over it": (lambda x: _overwritten(np.log(x)), v(0, 2), v(0, 0.5)),
    "tan beside": (lambda x: np.where(x > 5, 0.0, np.cosh(x)), v(1000, 0), v(0, 0)),
}


def _overwritten(y):
    z = y * 1.0
    z[0] = 0.0
    return z


@pytest.mark.parametrize("case", [*TIES, *ZEROS, *BRANCHES])
def test_gradient(case):
    f, x, expected = (TIES | ZEROS | BRANCHES)[case]
    before = x.copy()
    np.testing.assert_allclose(gradient(f, x), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(x, before)


def second(f, x):
    """The Hessian of the sum, by the array form of forward over reverse."""
    engine = Pushforward(grad(f))
    columns = []
    for k in range(x.size):
        v = np.zeros_like(x)
        v[k] = 1.0
        columns.append(push_arrays(engine, (x,), (v,))[1])
    return np.array(columns).T


HESSIANS = {
    "prod, no zero": (np.prod, v(2, 3, 4), [[0, 4, 3], [4, 0, 2], [3, 2, 0]]),
    "prod, one zero": (np.prod, v(2, 0, 4), [[0, 4, 0], [4, 0, 2], [0, 2, 0]]),
    "prod, two zeros": (np.prod, v(0, 0, 4), [[0, 4, 0], [4, 0, 0], [0, 0, 0]]),
    "x**0": (lambda x: x**0, v(0, 2), [[0, 0], [0, 0]]),
    "x**1": (lambda x: x**1, v(0, 2), [[0, 0], [0, 0]]),
    "x**2": (lambda x: x**2, v(0, 2), [[2, 0], [0, 2]]),
    "x**3 by an array": (lambda x: x ** v(3, 2), v(0, 0), [[0, 0], [0, 2]]),
    "x*x": (lambda x: x * x, v(0, 2), [[2, 0], [0, 2]]),
    "where log": (lambda x: np.where(x > 0, np.log(x), 0.0), v(0, 2), [[0, 0], [0, -0.25]]),
    "where sqrt": (lambda x: np.where(x > 0, np.sqrt(x), x), v(0, 4), [[0, 0], [0, -1 / 32]]),
    "where exp": (lambda x: np.where(x > 0, x, np.exp(x)), v(1000, 0), [[0, 0], [0, 1]]),
    "mask": (lambda x: np.log(x[x > 0]), v(-1, 2), [[0, 0], [0, -0.25]]),
    "max, tie": (np.max, v(1, 1), [[0, 0], [0, 0]]),
    "squared max": (lambda x: np.max(x) ** 2, v(1, 3), [[0, 0], [0, 2]]),
    "relu squared": (lambda x: np.maximum(x, 0) ** 2, v(-1, 2), [[0, 0], [0, 2]]),
    "abs": (np.abs, v(0, -1), [[0, 0], [0, 0]]),
    "squared norm at 0": (lambda x: np.sum(x**2), v(0, 0), [[2, 0], [0, 2]]),
    "sinc at 0": (np.sinc, v(0), [[-(np.pi**2) / 3]]),
}


@pytest.mark.parametrize("case", HESSIANS)
def test_second_order(case):
    f, x, expected = HESSIANS[case]
    np.testing.assert_allclose(second(f, x), expected, rtol=1e-9, atol=1e-12)


def test_reverse_over_reverse_of_where():
    f = lambda x: np.sum(np.where(x > 0, np.log(x) * x, 0.0))  # noqa: E731
    twice = gradient(lambda x: np.sum(grad(f)(x) * v(1, 1)), v(0, 2))
    np.testing.assert_allclose(twice, [0, 0.5], rtol=1e-12)


# Repeated indices, both ways.
def test_reading_repeatedly_adds_up():
    i = np.array([1, 1, 1, -1, 0])
    np.testing.assert_array_equal(gradient(lambda x: x[i], v(1, 2, 3)), [1, 3, 1])


def test_of_repeated_writes_the_last_one_counts():
    i = np.array([1, 1, 2])

    def f(x):
        z = np.zeros(3)
        z[i] = x
        return z

    np.testing.assert_array_equal(gradient(f, v(5, 6, 7)), [0, 1, 1])


def test_a_write_replaces_what_was_there():
    def f(x, y):
        z = x * 2.0
        z[1:] = y
        return z

    np.testing.assert_array_equal(gradient(f, v(1, 2, 3), v(4, 5)), [2, 0, 0])
    np.testing.assert_array_equal(gradient(f, v(1, 2, 3), v(4, 5), argnums=1), [1, 1])


# Numbers that are no ordinary ones pass through as the derivative says.
def test_infinite_and_nan_values_are_kept():
    assert np.isnan(gradient(np.log, v(NAN))[0])
    assert gradient(np.log, v(0.0))[0] == INF
    assert gradient(np.sqrt, v(0.0))[0] == INF
    assert np.isnan(gradient(lambda x: x * NAN, v(1.0))[0])


def test_negative_zero_is_told_from_zero():
    f = lambda x: np.copysign(x, 0.0) + 2 * np.copysign(x, -0.0)  # noqa: E731
    np.testing.assert_array_equal(gradient(f, v(3.0)), [-1])
    g = lambda x: (x + 1) / np.where(x > 0, 0.0, 1.0) + (x + 1) / np.where(x > 0, -0.0, 1.0)  # noqa: E731
    engine = Pushforward(g)
    value, _ = push_arrays(engine, (v(1.0),), (v(1.0),))
    assert np.isnan(value[0])  # inf - inf, as in NumPy


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_no_elements(shape):
    x = np.zeros(shape)
    for f in (
        np.sum,
        np.prod,
        lambda x: x * 2,
        lambda x: np.sum(x, axis=0),
        lambda x: np.cumsum(x, axis=-1),
        lambda x: x.T,
        lambda x: np.exp(x)[..., :0],
        np.linalg.norm,
    ):
        assert gradient(f, x).shape == shape


def test_no_elements_to_compare():
    engine = Vjp(np.max)
    with pytest.raises(ValueError, match="zero-size array to reduction operation maximum which has no identity"):
        engine(np.zeros(0))


def test_float32_stays_float32():
    x = np.array([-1, 0, 2], np.float32)
    for f in (
        lambda x: x * 2.5 + 1,
        lambda x: np.maximum(x, 0.0),
        lambda x: np.where(x > 0, x, 0.5),
        lambda x: x**2,
        lambda x: 2.0**x,
        lambda x: np.mean(x),
        lambda x: np.std(x),
        lambda x: np.sum(x) / 3,
        lambda x: x / x.size,
        lambda x: x * np.float32(2),
        lambda x: np.clip(x, -1, 1),
        lambda x: np.logaddexp(x, 0),
        lambda x: x.max() * x,
        lambda x: np.linalg.norm(x),
        lambda x: np.prod(x),
        lambda x: x / x.shape[0],
        lambda x: np.sinc(x),
    ):
        engine = Gradient(f, 0, has_aux=False, with_value=True)
        value, slope = run_arrays(engine, engine.flatten((x,), {}), (1.0,))
        assert np.asarray(value).dtype == f(x).dtype == np.float32
        assert slope.dtype == np.float32
        exact = Gradient(f, 0, has_aux=False, with_value=False)
        expected = run_arrays(exact, exact.flatten((x.astype(float),), {}), (1.0,))
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)
