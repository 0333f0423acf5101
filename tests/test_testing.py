"""`check_grads` passes what is right, and says what is wrong."""

import numpy as np
import pytest

from jitgrad import stop_gradient
from jitgrad.api.reverse import Pullback
from jitgrad.ops.elementwise import sin, tanh
from jitgrad.ops.rules import Custom, Elementwise
from jitgrad.testing import check_grads

X = np.array([0.5, -1.25, 3.0])


def test_nested_arguments_with_integers_and_strings():
    def f(p, n, kind):
        x = getattr(np, kind)(p["w"] * p["b"][0]) ** n
        return {"y": x, "k": n, "kind": kind, "sum": (np.sum(x),)}

    check_grads(f, ({"w": X, "b": [2.0, np.float64(1)], "name": "layer"}, 3, "tanh"), order=1)


def test_second_order_in_both_modes():
    check_grads(lambda x: np.sum(np.exp(x) * x), (X,), order=2)


def test_float32():
    check_grads(lambda x: np.tanh(x) * 2.0, (X.astype(np.float32),), order=1)


def wrong_sine(monkeypatch, slope):
    monkeypatch.setattr(sin, "rule", Elementwise((slope,)))


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_a_wrong_rule(monkeypatch, mode):
    wrong_sine(monkeypatch, lambda z, x: np.cos(x) * 1.001)
    with pytest.raises(AssertionError, match=r"order 1, \w+ mode against a central difference: .* instead of .* apart"):
        check_grads(lambda x: np.sin(x), (X,), order=1, modes=mode)


def test_a_rule_that_is_wrong_in_the_second_order_only(monkeypatch):
    # The slope at the value, as a constant: right in the first order.
    wrong_sine(monkeypatch, lambda z, x: stop_gradient(np.cos(x)))
    check_grads(lambda x: np.sin(x), (X,), order=1)
    with pytest.raises(AssertionError, match="order 2"):
        check_grads(lambda x: np.sin(x), (X,), order=2)


def test_two_modes_that_differ_by_little(monkeypatch):
    # Less than differences can tell.
    rule = Custom(lambda tangents, z, x: tangents[0] * (1 - z * z), lambda g, z, x: (g * (1 - z * z) * (1 + 1e-8),))
    monkeypatch.setattr(tanh, "rule", rule)
    with pytest.raises(AssertionError, match=r"reverse mode against forward mode \(argument b\)"):
        check_grads(lambda a, b: a * np.tanh(b), (2.0, X), order=1)


def test_not_finite():
    with pytest.raises(AssertionError, match="proves nothing"), np.errstate(all="ignore"):
        check_grads(lambda x: np.log(x), (np.array([0.0, 1.0]),), order=1)


def test_a_place_is_named(monkeypatch):
    wrong_sine(monkeypatch, lambda z, x: np.where(x > 2, 0.0, np.cos(x)))
    with pytest.raises(AssertionError, match=r"result_y\[2\] is .*; 1 of 3 differ"):
        check_grads(lambda x: {"y": np.sin(x)}, (X,), order=1)


def test_a_pullback_that_spoils_its_arguments(monkeypatch):
    x = X.copy()
    call = Pullback.__call__

    def spoiling(self, head):
        x[0] = 7.0
        return call(self, head)

    monkeypatch.setattr(Pullback, "__call__", spoiling)
    with pytest.raises(AssertionError, match="argument x was modified"):
        check_grads(lambda x: x * 2.0, (x,), order=1, modes="rev")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"order": 0}, ValueError),
        ({"order": 1.5}, ValueError),
        ({"modes": ()}, ValueError),
        ({"modes": "forward"}, ValueError),
    ],
)
def test_wrong_options(options, error):
    with pytest.raises(error):
        check_grads(lambda x: x, (X,), **options)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="tuple"):
        check_grads(lambda x: x, X)
    with pytest.raises(TypeError, match="floating-point"):
        check_grads(lambda x: x, (3,))
    with pytest.raises(TypeError, match="no floating-point"):
        check_grads(lambda x: 3, (X,))
