"""The algorithms, in both modes and twice: against plain Python, differences, each other, and compiled.

As in `test_corpus`, the numbers are checked in the array form, which Python runs at once; what is compiled must give
the same.
"""

import os
import zlib
from functools import lru_cache

import feeding
import numpy as np
import pytest
from algorithms import ALGORITHMS
from feeding import close, copied, direction, inner, is_float, leaves, moved, same
from lowered import levels_agree

from jitgrad.api.forward import Pushforward
from jitgrad.api.reverse import Vjp
from jitgrad.api.transforms import Gradient
from jitgrad.testing import pullback_arrays, push_arrays

FIXED = "tolerance"  # arguments of this name are moved in no direction: they are small, and must stay positive
CASES = [(name, k) for name, algorithm in ALGORITHMS.items() for k in range(len(algorithm.makes))]
each_case = pytest.mark.parametrize(("name", "k"), CASES, ids=[f"{name}-{k}" for name, k in CASES])
each = pytest.mark.parametrize("name", ALGORITHMS)


class Case:
    """An algorithm with arguments, and directions in which these are moved."""

    def __init__(self, name: str, k: int = 0):
        algorithm = ALGORITHMS[name]
        rng = np.random.default_rng(zlib.crc32(f"{name} {k}".encode()))
        self.function, self.step = algorithm.function, algorithm.step
        self.args = algorithm.makes[k](rng)
        self.reference = algorithm.reference(*copied(self.args)) if algorithm.reference else self.function
        self.tangents = direction(self.args, rng)
        if FIXED in self.names():
            place = self.names().index(FIXED)
            self.tangents = (*self.tangents[:place], 0.0, *self.tangents[place + 1 :])
        self.value = self.plain()
        self.heads = direction(self.value, rng)

    def names(self) -> list[str]:
        code = self.function.__code__
        return list(code.co_varnames[: code.co_argcount])

    def plain(self, by: float = 0.0) -> object:
        """What plain Python gives for the arguments moved by as much."""
        return self.reference(*copied(moved(self.args, self.tangents, by)))

    def floats(self, by: float) -> list:
        return [x for x in leaves(self.plain(by)) if is_float(x)]

    def places(self) -> tuple[int, ...]:
        """The arguments that are floating-point."""
        return tuple(k for k, x in enumerate(self.args) if is_float(x))


def slopes(function, step: float) -> list:
    """The derivatives at 0 of the arrays that a function of a number gives, each one's values computed once."""
    values = lru_cache(function)
    return [feeding.slope(lambda t, k=k: values(t)[k], step) for k in range(len(values(0.0)))]


@each_case
def test_first_order(name, k):
    case = Case(name, k)
    before = copied(case.args)

    found, dots = push_arrays(Pushforward(case.function), case.args, case.tangents)
    same(found, case.value)
    dots = [dot for dot, y in zip(leaves(dots), leaves(case.value), strict=True) if is_float(y)]
    close(dots, slopes(case.floats, case.step), 1e-7)

    bars = pullback_arrays(Vjp(case.function), case.args, case.heads)
    given = [x for x in leaves(case.args) if is_float(x)]
    assert [np.shape(b) for b in leaves(bars)] == [np.shape(x) for x in given]
    (pulled, size), (pushed, more) = inner(bars, case.tangents), inner(case.heads, dots)
    assert abs(pulled - pushed) <= 1e-9 * (size + more)

    for x, y in zip(leaves(case.args), leaves(before), strict=True):
        np.testing.assert_array_equal(x, y)


@each
def test_second_order(name):
    """Forward over reverse and reverse over reverse, against differences of the gradient and each other."""
    case = Case(name)
    engine = Gradient(case.function, case.places(), has_aux=False, with_value=False)
    weights = tuple(direction(x, np.random.default_rng(3)) for x in case.args if is_float(x))
    heads = case.heads

    def gradient(*args):
        return engine(*args, head=heads)

    def slope_of_gradient(*args):
        return sum(np.sum(w * g) for w, g in zip(weights, engine(*args, head=heads), strict=True))

    _, dots = push_arrays(Pushforward(gradient), case.args, case.tangents)
    bars = pullback_arrays(Vjp(slope_of_gradient), case.args, 1.0)
    (pulled, size), (pushed, more) = inner(bars, case.tangents), inner(weights, dots)
    assert abs(pulled - pushed) <= 1e-9 * (size + more)

    if ALGORITHMS[name].second:

        def at(by):
            return leaves(run_gradient(engine, moved(case.args, case.tangents, by), heads)[1])

        close(leaves(dots), slopes(at, case.step), 1e-6)


@each
def test_levels(name):
    case = Case(name)
    levels_agree(case.function, case.places(), case.args)


def run_gradient(engine: Gradient, args: tuple, head: object) -> object:
    """The gradient by its array form."""
    flat = engine.flatten(args, {})
    request, extras = engine._head(flat, head)
    entry, results = engine.execute(flat, request, extras, interpreted=True)
    return entry, list(results)


# Compiling takes some seconds each. Every fourth is compiled each time, all of them with JITGRAD_TEST_ALL=1; that the
# machine code computes what the array form does is tested op by op and region by region elsewhere.
EVERY = 1 if os.environ.get("JITGRAD_TEST_ALL") else 4
COMPILED, FORWARD = list(ALGORITHMS)[::EVERY], list(ALGORITHMS)[2 :: 2 * EVERY]


@pytest.mark.parametrize("name", COMPILED)
def test_compiled(name):
    """Value and gradient; other sizes and numbers of steps neither trace nor compile again."""
    cases = [Case(name, k) for k in range(len(ALGORITHMS[name].makes))]
    places = cases[0].places()
    engine = Gradient(cases[0].function, places, has_aux=False, with_value=True)
    done = set()
    for case in cases:
        before = copied(case.args)
        found, gradients = engine(*case.args, head=case.heads)
        same(found, case.value)
        _, wanted = run_gradient(engine, case.args, case.heads)
        close(leaves(gradients), wanted[-len(leaves(gradients)) :], 1e-10)
        same(case.args, before, 0)
        done.add(engine.stats()[:2])
    assert len(done) == 1


@pytest.mark.parametrize("name", FORWARD)
def test_compiled_tangent(name):
    case = Case(name)
    engine = Pushforward(case.function)
    same(engine(case.args, case.tangents), push_arrays(engine, case.args, case.tangents))
