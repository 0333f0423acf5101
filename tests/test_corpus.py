"""Every function of the corpus, in both modes, in both dtypes: against plain NumPy, differences, and each other.

The numbers of each function are checked in the array form, which Python runs at once. Compiling takes longer, so many
functions are compiled as one, and must give what the array form gives.
"""

import feeding
import numpy as np
import pytest
from feeding import close, copied, direction, inner, is_float, leaves, moved, same

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
        slopes = [
            feeding.slope(lambda t, k=k: ends[t][k])
            for k in range(len(dots))
        ]  # fmt: skip
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
    places = tuple(k for k, a in enumerate(args) if leaves(a) and all(map(is_float, leaves(a))))
    if not places:
        places = (0,)
    ones = feeding.replaced(value, lambda y: np.ones_like(y)[()] if is_float(y) else None)
    engine = Gradient(function, places, has_aux=False, with_value=True)
    found, gradients = run_arrays(engine, engine.flatten(args, {}), (1.0,))
    same(found, value)
    same(gradients, [bar for k, bar in enumerate(pullback_arrays(Vjp(function), args, ones)) if k in places])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_order(name):
    function, args, tangents, value, heads = set_up(name, np.float64)

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


# Compiled: many functions as one; each in both modes and in both dtypes, but not in all four combinations.
def in_batches(names: list, size: int) -> list:
    return [tuple(names[k : k + size]) for k in range(0, len(names), size)]


BATCHES = in_batches(list(FUNCTIONS), 8)
CROSSED = [
    pytest.param(names, mode, dtype, id=f"{names[0]}-{mode}-{dtype.__name__}")
    for k, names in enumerate(BATCHES)
    for mode, dtype in (("fwd", np.float64), ("rev", np.float32))[:: 1 if k % 2 else -1]
    for dtype in [dtype if k % 2 else {np.float64: np.float32, np.float32: np.float64}[dtype]]
]


def all_of(names):
    functions = [FUNCTIONS[name] for name in names]

    def batch(*groups):
        return [function(*args) for function, args in zip(functions, groups, strict=True)]

    return batch


@pytest.mark.parametrize(("names", "mode", "dtype"), CROSSED)
def test_compiled(names, mode, dtype):
    batch = all_of(names)
    cases = [set_up(name, dtype) for name in names]
    args, tangents, heads = (tuple(case[k] for case in cases) for k in (1, 2, 4))
    if mode == "fwd":
        values, derivatives = Pushforward(batch)(args, tangents)
    else:
        values, pullback = Vjp(batch)(*args)
        derivatives = pullback(list(heads))
    for k, (name, (function, *_)) in enumerate(zip(names, cases, strict=True)):
        if mode == "fwd":
            value, derivative = push_arrays(Pushforward(function), args[k], tangents[k])
        else:
            value, derivative = cases[k][3], pullback_arrays(Vjp(function), args[k], heads[k])
        for what, found, wanted in (("value", values[k], value), ("derivative", derivatives[k], derivative)):
            try:
                same(found, wanted, ROUNDING[dtype])
            except AssertionError as error:
                raise AssertionError(f"{name}, {what}: {error}") from error
