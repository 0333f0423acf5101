"""What a call does on its way to the machine code, and what an import brings with it."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from jitgrad import grad, jit, jvp, vjp
from jitgrad.api.engine import Engine

START = """
import sys
import numpy as np
from jitgrad import checkpoint, grad, jit, jvp, value_and_grad, vjp

late = ["scipy.linalg", "astunparse"] + [f"jitgrad.{name}" for name in "trace ad passes lower codegen".split()]
decorated = grad(lambda x: x * x)
print([name for name in late if name in sys.modules])
decorated(2.0)
print([name for name in late if name not in sys.modules])
square = np.ones((40, 40))
print((grad(lambda A: np.sum(A @ A))(square) == 80.0).all(), "scipy.linalg" in sys.modules)
"""


def test_what_comes_with_an_import_and_with_calls():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['scipy.linalg']", "True True"]


X = np.array([1.0, 2.0, 3.0])


def loss(params, x):
    return np.sum(params["w"] * x + params["b"])


def add(a, b):
    return a * b + np.sin(a)


def named(x, *, scale, shift=0.0):
    return np.sum(scale * x + shift)


CALLS = {
    "by name": lambda: (grad(named), (X,), {"shift": 1.0, "scale": X}),
    "positional by name": lambda: (grad(add), (), {"b": X, "a": X}),
    "no array for the result": lambda: (grad(add), (X, X), {"out": None}),
    "grad": lambda: (grad(loss), ({"w": X, "b": 1.0}, X), {}),
    "head": lambda: (grad(add), (X, X), {"head": X[::-1]}),
    "numbers": lambda: (grad(add), (1.0, 2), {"head": 2.0}),
    "jit": lambda: (jit(add), (X, X.reshape(3, 1)), {"out": np.empty((3, 3))}),
    "jvp": lambda: (partial(jvp, add), ((X, 2.0), (X, 1.0)), {}),
    "jvp, no tangent": lambda: (partial(jvp, add), ((X, 2), (X[::-1], None)), {}),
    "vjp": lambda: (partial(vjp, add), (X, X), {}),
    "pullback": lambda: (vjp(add, X, X)[1], (X,), {}),
    "pullback into arrays": lambda: (vjp(add, X, 2.0)[1], (X,), {"out": (np.empty(3), None)}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_second_call_is_not_looked_at_closely(name, monkeypatch):
    function, args, kwargs = CALLS[name]()
    first = function(*args, **kwargs)
    monkeypatch.setattr(Engine, "flatten", None)
    monkeypatch.setattr(Engine, "call", None)
    second = function(*args, **kwargs)
    if name != "vjp":
        check_same(first, second)


def test_parameters_that_share_a_name_are_told_apart():
    engine = grad(lambda x_0, *x: x_0 * x[0])
    for _ in range(2):
        assert engine(2.0, 3.0) == 3.0


def check_same(a, b):
    if isinstance(a, dict):
        a, b = tuple(a.items()), tuple(b.items())
    if isinstance(a, tuple):
        for x, y in zip(a, b, strict=True):
            check_same(x, y)
    else:
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b)


def test_calls_of_several_kinds_take_turns(monkeypatch):
    engine = grad(add)
    kinds = [(1.0, 2.0), (np.float64(1.0), 2.0), (1.0, 2), (X, X), (X, X[:, None]), (X[::2], X[::2])]
    expected = [engine(*args) for args in kinds]
    monkeypatch.setattr(Engine, "flatten", None)
    for args, result in [*zip(kinds, expected, strict=True)] * 2:
        check_same(engine(*args), result)


def test_a_head_is_no_positional_argument():
    engine = grad(add)
    engine(1.0, 2.0)
    with pytest.raises(TypeError, match="too many positional arguments"):
        engine(1.0, 2.0, 3.0)
