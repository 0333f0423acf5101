"""Tracing of what a function reads from outside: hidden inputs, guards, and mutations that are refused."""

import dataclasses
import enum
import types

import numpy as np
import pytest
from tracing import Tracer, check, refused

from jitgrad.errors import TraceError
from jitgrad.ir.types import FLOAT64

V = np.array([1.0, 2.0, 3.0])

W = np.array([2.0, 3.0, 4.0])
ROW = np.array([[1.0, 2.0, 3.0]])
RATE = 0.5
NAME = "W"
STRONG = np.float32(0.25)
SIZE = 2
AXES = (0,)
MODE = "mean"
PARAMS = {"w": W, "layers": [W * 2, {"b": 1.5}], "name": "p"}
CONFIG = types.ModuleType("config")
CONFIG.lr, CONFIG.w = 0.1, np.ones(3)


def activation(x):
    return x * 2


def paths(tracer):
    return sorted(h.path for h in tracer.traced.hidden)


def guarded(tracer):
    assert all(g.holds() for g in tracer.traced.guards)
    names = [g.path for g in tracer.traced.guards]
    assert len(names) == len(set(names))
    return set(names)


def test_globals_are_read_at_each_call(monkeypatch):
    def f(v):
        return v * W + RATE * STRONG + ROW + np.ones(3, np.float32) * RATE

    tracer = check(f, V)
    assert paths(tracer) == ["RATE", "ROW", "STRONG", "W"]
    types_ = {h.path: h.value.type for h in tracer.traced.hidden}
    assert types_["RATE"].weak
    assert types_["RATE"].dtype == FLOAT64
    assert not types_["STRONG"].weak
    assert types_["ROW"].shape[0] == 1
    assert guarded(tracer) >= {"W", "RATE", "STRONG"}
    monkeypatch.setitem(globals(), "W", np.array([5.0, 6.0, 7.0]))
    monkeypatch.setitem(globals(), "RATE", -1.0)
    assert all(g.holds() for g in tracer.traced.guards)
    np.testing.assert_allclose(tracer.run(V), f(V))
    monkeypatch.setitem(globals(), "W", np.array([5, 6, 7]))
    assert not all(g.holds() for g in tracer.traced.guards)


def test_same_path_is_one_input():
    def f(v):
        return W * v + W

    tracer = check(f, V)
    assert paths(tracer) == ["W"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("SIZE", 3), ("MODE", "sum"), ("AXES", (0, 1)), ("activation", np.tanh), ("SIZE", 2.0), ("ROW", W)],
)
def test_a_changed_static_value_is_noticed(monkeypatch, name, value):
    def f(v):
        y = activation(v) ** SIZE + ROW
        return (y.mean(AXES) if MODE == "mean" else y.sum(AXES)).shape[0] * 1.0

    tracer = check(f, V)
    assert all(g.holds() for g in tracer.traced.guards)
    monkeypatch.setitem(globals(), name, value)
    assert not all(g.holds() for g in tracer.traced.guards)


def test_changed_code_of_a_helper_is_noticed():
    def helper(x):
        return x + 1

    def other(x):
        return x + 2

    space = {"helper": helper}

    def f(v):
        return helper(v)

    assert space
    tracer = check(f, V)
    assert "helper.__code__" in guarded(tracer)
    helper.__code__ = other.__code__
    assert not all(g.holds() for g in tracer.traced.guards)


def test_closures():
    scale, shift, k = 2.0, np.ones(3), 3

    def f(v):
        return v * scale + shift * k

    tracer = check(f, V)
    assert paths(tracer) == ["scale", "shift"]
    assert "k" in guarded(tracer)
    scale = 5.0
    np.testing.assert_allclose(tracer.run(V), f(V))
    k = 4
    assert not all(g.holds() for g in tracer.traced.guards)


def test_defaults():
    def helper(x, w=W, rate=0.5, *, power=2, bias=1.5):
        return (x * w + rate) ** power + bias

    def f(v):
        return helper(v)

    tracer = check(f, V)
    assert len(paths(tracer)) == 3
    assert len(guarded(tracer)) == len({g.path for g in tracer.traced.guards})


def test_containers():
    def f(v):
        layers = PARAMS["layers"]
        return v * PARAMS["w"] + layers[0] * layers[1]["b"], [x for x in PARAMS], PARAMS["name"]

    tracer = check(f, V)
    assert paths(tracer) == ["PARAMS['layers'][0]", "PARAMS['layers'][1]['b']", "PARAMS['w']"]
    old = PARAMS["layers"]
    try:
        PARAMS["layers"] = [W * 5, {"b": -1.0}]  # a new list of the same structure
        assert all(g.holds() for g in tracer.traced.guards)
        np.testing.assert_allclose(tracer.run(V)[0], f(V)[0])
        PARAMS["layers"] = [W, {"b": 1.0}, W]
        assert not all(g.holds() for g in tracer.traced.guards)
    finally:
        PARAMS["layers"] = old


def test_unused_elements_are_no_inputs():
    def f(v):
        return v * PARAMS["w"]

    tracer = check(f, V)
    assert paths(tracer) == ["PARAMS['w']"]

    def lengths(v):
        return v * len(W)

    assert paths(check(lengths, V)) == ["W"]


class Model:
    rate = 0.5

    def __init__(self):
        self.W = np.array([1.0, 2.0, 3.0])
        self.depth = 2
        self.layers = [Layer(2.0), Layer(3.0)]
        self.calls = 0

    def loss(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.norm(x * self.W) * self.rate**self.depth

    def norm(self, x):
        return np.sum(x * x)

    @property
    def doubled(self):
        return self.W * 2

    def counted(self, x):
        self.calls += 1
        return x

    def updated(self, x):
        self.W[0] = 1.0
        return x

    def grown(self, x):
        self.layers.append(None)
        return x


class Layer:
    def __init__(self, k):
        self.k = k

    def __call__(self, x):
        return x * self.k


def test_instances():
    model = Model()
    tracer = check(model.loss, V)
    assert paths(tracer) == ["self.W", "self.layers[0].k", "self.layers[1].k", "self.rate"]
    model.W = np.array([-1.0, 5.0, 2.0])
    model.layers[1].k = 7.0
    assert all(g.holds() for g in tracer.traced.guards)
    np.testing.assert_allclose(tracer.run(V), model.loss(V))
    model.depth = 3
    assert not all(g.holds() for g in tracer.traced.guards)
    model.depth = 2
    model.layers[0] = Layer(1.0)
    assert not all(g.holds() for g in tracer.traced.guards)


def test_a_changed_method_is_noticed(monkeypatch):
    tracer = check(Model().loss, V)
    monkeypatch.setattr(Model, "norm", lambda self, x: x.sum())
    assert not all(g.holds() for g in tracer.traced.guards)


def test_properties_class_data_and_modules():
    model = Model()

    def f(v):
        return model.doubled * v + Model.rate + CONFIG.lr * CONFIG.w

    tracer = check(f, V)
    assert paths(tracer) == ["CONFIG.lr", "CONFIG.w", "Model.rate", "model.W"]
    model.W = model.W + 1
    CONFIG.lr = 3.0
    np.testing.assert_allclose(tracer.run(V), f(V))


def test_an_instance_as_argument():
    model = Model()

    def f(m, v):
        return m.loss(v)

    tracer = Tracer(f, model, V, static=(0,))
    model.W = model.W * 2
    np.testing.assert_allclose(tracer.run(model, V), f(model, V))


@dataclasses.dataclass
class Config:
    rate: float
    names: tuple = ("a", "b")


class Kind(enum.Enum):
    A = 1
    B = 2


KIND = Kind.A
SETTINGS = Config(0.5)


def test_dataclasses_and_enums(monkeypatch):
    def f(v):
        return v * SETTINGS.rate if KIND is Kind.A and "a" in SETTINGS.names else v

    tracer = check(f, V)
    assert paths(tracer) == ["SETTINGS.rate"]
    monkeypatch.setitem(globals(), "KIND", Kind.B)
    assert not all(g.holds() for g in tracer.traced.guards)


def test_guards_are_few():
    def helper(x):
        return np.sum(np.exp(x))

    def f(v):
        return helper(v) + helper(v * 2) + len([1]) + float(2)

    tracer = check(f, V)
    builtins = f"builtins in {__name__}"  # len and float: one guard for both
    assert guarded(tracer) == {"f.__code__", "helper", "helper.__code__", builtins}


LOG = []
TABLE = {"n": 0}
SEEN = set()
COUNT = 0


def test_mutation_of_outside_objects_is_refused():
    model = Model()

    def append(v):
        LOG.append(v)
        return v

    def write(v):
        TABLE["n"] = 1
        return v

    def add(v):
        SEEN.add(1)
        return v

    def extend(v):
        global LOG
        LOG += [1]
        return v

    def count(v):
        global COUNT
        COUNT = COUNT + 1
        return v

    def in_place(v):
        W[0] = 1.0
        return v

    def through_a_view(v):
        w = W[1:]
        w += v[1:]
        return v

    def attribute(v):
        CONFIG.lr = 2.0
        return v

    for function, text in (
        (append, "LOG.append(v)"), (write, 'TABLE["n"] = 1'), (add, "SEEN.add(1)"), (extend, "LOG += [1]"),
        (count, "COUNT = COUNT + 1"), (in_place, "W[0] = 1.0"), (through_a_view, "w += v[1:]"),
        (attribute, "CONFIG.lr = 2.0"), (model.counted, "self.calls += 1"), (model.updated,
        "self.W[0] = 1.0"),
        (model.grown, "self.layers.append(None)"),
    ):  # fmt: skip
        refused(function, V, match="existed before|global variable|assigned to", text=text)
    assert LOG == []
    assert TABLE == {"n": 0}
    assert model.calls == 0
    assert len(model.layers) == 2


def test_closure_variables_are_not_assigned():
    n = 0

    def f(v):
        nonlocal n
        n += 1
        return v

    refused(f, V, match="closure variable 'n'", text="n += 1")
    assert n == 0


def test_outside_containers_come_back_as_ordinary_ones():
    def f(v):
        return {"a": AXES, "p": list(PARAMS), "l": PARAMS["layers"][1]}, v

    result = check(f, V).traced.result
    assert type(result[0]["l"]) is dict


GENERATOR = np.random.default_rng(0)


def test_random_numbers_are_refused():
    import random

    def legacy(v):
        return v * np.random.rand(3)  # noqa: NPY002

    def outside(v):
        return v + GENERATOR.normal(size=3)

    def fresh(v):
        return v + np.random.default_rng().normal(size=3)

    def python(v):
        return v * random.random()

    for function, text in (
        (legacy, "np.random.rand(3)"), (outside, "GENERATOR"), (fresh, "default_rng()"), (python,
        "random.random()"),
    ):  # fmt: skip
        refused(function, V, match="random numbers", text=text)

    def seeded(v):
        return v + np.random.default_rng(3).normal(size=3)

    check(seeded, V)


def test_the_world_is_left_alone():
    refused(lambda v: v * float(input()), V, match="input")
    refused(lambda v: open("x") and v, V, match="file")  # noqa: SIM115
    import time

    refused(lambda v: v * time.time(), V, match="clock")


def test_generators_see_hidden_inputs():
    def pairs(n):
        for k in range(n):
            yield W[k] * RATE

    def f(v):
        return sum(x * v for x in pairs(2))

    tracer = check(f, V)
    assert paths(tracer) == ["RATE", "W"]


def test_strings_and_masked_arrays():
    names = np.array(["a", "b"])
    masked = np.ma.masked_array([1.0, 2.0], [True, False])

    def f(v):
        return v * 2 if names[0] == "a" else v

    tracer = check(f, V)
    names[0] = "c"
    assert not all(g.holds() for g in tracer.traced.guards)
    with pytest.raises(TraceError, match="MaskedArray"):
        Tracer(lambda v: v[:2] * masked, V)


def test_other_containers_and_iterators():
    import collections

    ordered = collections.OrderedDict(w=np.ones(3))
    queue = collections.deque([1.0, np.ones(3)])
    space = types.SimpleNamespace(rate=2.0, inner=types.SimpleNamespace(w=np.ones(3)))
    iterator = iter([1, 2])

    def f(v):
        assert isinstance(queue, collections.deque)
        assert len(queue) == 2
        return v * ordered["w"] * space.rate + space.inner.w + sum(x * 2 for x in queue) + queue[0]

    tracer = check(f, V)
    assert paths(tracer) == [
        "ordered['w']",
        "queue[0]",
        "queue[0]",
        "queue[1]",
        "space.inner.w",
        "space.rate",
    ]
    queue[1] = np.array([3.0, 4.0, 5.0])
    space.inner.w = np.zeros(3)
    assert all(g.holds() for g in tracer.traced.guards)
    np.testing.assert_allclose(tracer.run(V), f(V))
    refused(lambda v: v * sum(iterator), V, match="iterator")
    refused(lambda v: [queue.append(v), v], V, match="existed before")


class AttrDict(dict):
    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        self[name] = value


def test_dicts_with_attributes():
    config = AttrDict(lr=0.5, w=np.ones(3), n=2)

    def f(v):
        assert isinstance(config, AttrDict)
        return v * config.lr + config["w"] * config.n

    tracer = check(f, V)
    assert paths(tracer) == ["config['lr']", "config['w']"]
    config.lr = 2.0
    np.testing.assert_allclose(tracer.run(V), f(V))
    config.n = 3
    assert not all(g.holds() for g in tracer.traced.guards)

    def write(v):
        config.lr = 1.0
        return v

    refused(write, V, match="existed before", text="config.lr = 1.0")


def test_functions_that_look_into_objects():
    import copy
    import operator

    model, settings = Model(), Config(0.25)

    def f(v):
        other = dataclasses.replace(settings, names=())
        twin = copy.copy(model)
        twin.W = twin.W * 2
        twin.depth += 1
        return v * getattr(model, NAME) * other.rate + getattr(model, "missing", 1.0) + twin.W + vars(model)["W"]

    tracer = check(f, V)
    model.W = model.W * 3
    settings.rate = 0.75
    assert all(g.holds() for g in tracer.traced.guards)
    np.testing.assert_allclose(tracer.run(V), f(V))
    assert model.depth == 2
    refused(lambda v: v * operator.attrgetter("W")(model), V, match="once and for all")
    refused(lambda v: v * dataclasses.asdict(settings)["rate"], V, match="once and for all")
    refused(lambda v: [setattr(model, "W", v), v], V, match="existed before")
    assert isinstance(model.W, np.ndarray)
