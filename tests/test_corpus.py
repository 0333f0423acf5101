"""Every function of the corpus, in both modes, in both dtypes: against plain NumPy, differences, and each other.

The numbers of each function are checked in the array form, which Python runs at once. Compiling takes longer, so it is
done in one mode and dtype, and must give what the array form gives.
"""

import feeding
import numpy as np
import pytest
from feeding import close, copied, direction, inner, is_float, leaves, moved, same
from lowered import levels_agree

from jitgrad.api.forward import Pushforward
from jitgrad.api.reverse import Vjp, vjp
from jitgrad.api.transforms import Gradient
from jitgrad.testing import pullback_arrays, push_arrays, run_arrays

FUNCTIONS = feeding.functions()
IN_SINGLE = {"casts", "cast_scalar"}  # what these compute in float32 makes differences rough
ROUNDING = {np.float64: 1e-11, np.float32: 2e-4}
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


def plain(function, args):
    return function(*copied(args))


def floats(x) -> list:
    return [leaf for leaf in leaves(x) if is_float(leaf)]


def set_up(name: str, dtype) -> tuple:
    """The function, its arguments, tangents, value, heads."""
    function = FUNCTIONS[name]
    args = feeding.arguments(function, dtype)
    rng = np.random.default_rng(feeding.hash_of(name) + 1)
    value = plain(function, args)
    return function, args, direction(args, rng), value, direction(value, rng)


def differentiable(args: tuple) -> tuple[int, ...]:
    """The places of the arguments that hold nothing but floats."""
    return tuple(k for k, a in enumerate(args) if leaves(a) and all(map(is_float, leaves(a))))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_first_order(name, dtype):
    function, args, tangents, value, heads = set_up(name, dtype)
    before = copied(args)

    found, dots = push_arrays(Pushforward(function), args, tangents)
    same(found, value, ROUNDING[dtype])
    zeros = feeding.replaced(value, np.zeros_like)
    assert [np.asarray(d).dtype for d in leaves(dots)] == [np.asarray(z).dtype for z in leaves(zeros)]
    assert [np.shape(d) for d in leaves(dots)] == [np.shape(z) for z in leaves(zeros)]
    dots = [d for d, y in zip(leaves(dots), leaves(value), strict=True) if is_float(y)]

    if dtype == np.float64:
        ends = {step: floats(plain(function, moved(args, tangents, step))) for step in (-2e-3, -1e-3, 1e-3, 2e-3)}
        slopes = [feeding.slope(lambda t, k=k: ends[t][k]) for k in range(len(dots))]
        close(dots, slopes, 1e-3 if name in IN_SINGLE else 1e-7)
    else:  # against the other dtype, whose numbers are checked above
        engine = Pushforward(function)
        doubled = feeding.replaced(args, lambda x: double(x))
        same_tangents = feeding.replaced(tangents, lambda x: double(x))
        exact = push_arrays(engine, doubled, same_tangents)
        close(dots, floats_of_tangents(exact), 1e-3)

    bars = pullback_arrays(Vjp(function), args, heads)
    given = floats(args)
    assert [np.shape(b) for b in leaves(bars)] == [np.shape(x) for x in given]
    assert [np.asarray(b).dtype for b in leaves(bars)] == [np.asarray(x).dtype for x in given]
    (pulled, size), (pushed, more) = inner(bars, tangents), inner(heads, dots)
    rounding = ROUNDING[np.float32 if name in IN_SINGLE else dtype]
    assert abs(pulled - pushed) <= rounding * (size + more) + 1e-300

    for x, y in zip(leaves(args), leaves(before), strict=True):
        np.testing.assert_array_equal(x, y)


def double(x):
    if not is_float(x):
        return x
    return np.asarray(x, np.float64) if isinstance(x, np.ndarray) else float(x)


def floats_of_tangents(result) -> list:
    value, dots = result
    return [d for d, y in zip(leaves(dots), leaves(value), strict=True) if is_float(y)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient_is_pullback_of_ones(name):
    function, args, _, value, _ = set_up(name, np.float64)
    places = differentiable(args)
    ones = feeding.replaced(value, lambda y: np.ones_like(y)[()] if is_float(y) else None)
    engine = Gradient(function, places, has_aux=False, with_value=True)
    found, gradients = run_arrays(engine, engine.flatten(args, {}), (1.0,))
    same(found, value)
    same(gradients, [bar for k, bar in enumerate(pullback_arrays(Vjp(function), args, ones)) if k in places])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_order(name):
    function, args, tangents, _, heads = set_up(name, np.float64)

    def cotangents(args, heads):
        return vjp(function, *args)[1](heads)

    nothing = feeding.replaced(heads, np.zeros_like)
    _, dots = push_arrays(Pushforward(cotangents), (args, heads), (tangents, nothing))
    engine = Vjp(function)
    ends = {
        step: leaves(pullback_arrays(engine, moved(args, tangents, step), heads)) for step in (-2e-3, -1e-3, 1e-3, 2e-3)
    }
    slopes = [feeding.slope(lambda t, k=k: ends[t][k]) for k in range(len(leaves(dots)))]
    close(leaves(dots), slopes, 1e-3 if name in IN_SINGLE else 1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_levels(name):
    function, args, *_ = set_up(name, np.float64)
    levels_agree(function, differentiable(args), args)


# Compiled: every function once, every fifth in forward mode and the others in reverse mode, the dtypes in turn. The
# array forms above are the same programs before lowering. A second or so each, unless they are found in the cache.
FORWARD = list(FUNCTIONS)[::5]
REVERSE = [name for name in FUNCTIONS if name not in FORWARD]


def in_turn(names: list, shift: int) -> list:
    return [(name, (np.float64, np.float32)[(k + shift) % 2]) for k, name in enumerate(names)]


@pytest.mark.parametrize(("name", "dtype"), in_turn(REVERSE, 0))
def test_compiled_gradient(name, dtype):
    function, args, _, value, heads = set_up(name, dtype)
    places = differentiable(args)
    found, gradients = Gradient(function, places, has_aux=False, with_value=True)(*args, head=heads)
    same(found, value, ROUNDING[dtype])
    same(
        gradients,
        [bar for k, bar in enumerate(pullback_arrays(Vjp(function), args, heads)) if k in places],
        ROUNDING[dtype],
    )


@pytest.mark.parametrize(("name", "dtype"), in_turn(FORWARD, 1))
def test_compiled_tangent(name, dtype):
    function, args, tangents, *_ = set_up(name, dtype)
    engine = Pushforward(function)
    same(engine(args, tangents), push_arrays(engine, args, tangents), ROUNDING[dtype])
