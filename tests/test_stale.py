"""What is changed outside between two calls: the next call sees it, with a new trace only where one is needed."""

import collections
import dataclasses
import enum
import functools
import importlib
import types

import numpy as np
import pytest

from jitgrad import grad, jit, value_and_grad
from jitgrad.api.caller import Miss, make_caller
from jitgrad.api.structure import unflatten

X = np.array([1.0, 2.0, 3.0])
SPACE = globals()
CASES = []


def case(traces):
    """Decorator: the function gives `f, change`; so many traces are made, before and after the change."""
    return lambda make: CASES.append(pytest.param(make, traces, id=make.__name__))


def call(engine):
    """A call without machine code, and the generated way of the next one, which gives None or raises `Miss`."""
    flat = engine.flatten((X,), {})
    entry, results = engine.execute(flat, None, (), interpreted=True)
    nothing = dataclasses.replace(entry, structure=("static", types.SimpleNamespace(value=None)))
    fast = make_caller(entry.program, lambda *values: None, engine.parameters(flat), nothing)
    return unflatten(entry.structure, results), fast


def check(f, change, traces):
    engine = jit(f)
    before, fast = call(engine)
    same(before, f(X))
    call(engine)
    fast(X)
    assert engine.stats().traces == 1
    change()
    after, _ = call(engine)
    same(after, f(X))
    assert engine.stats().traces == traces
    if traces == 1:
        fast(X)
        return
    with pytest.raises(Miss):
        fast(X)


def same(a, b):
    assert np.asarray(a).dtype == np.asarray(b).dtype
    np.testing.assert_allclose(a, b)


# Globals, closures and defaults.
A = 1.0
ITEMS = [1, 2]


def _global(before, after, use):
    def make():
        SPACE["A"] = before

        def change():
            SPACE["A"] = after

        return use, change

    return make


KIND = enum.Enum("KIND", "ONE TWO")
Point = collections.namedtuple("Point", "x y")
Size = collections.namedtuple("Size", "x y")

GLOBALS = {
    # name: before, after, use, traces
    "length": (np.ones(2), np.ones(4), lambda x: x * len(A), 1),
    "length_one": (np.ones(1), np.ones(4), lambda x: x * len(A), 2),
    "dtype": (np.ones(3), np.ones(3, np.float32), lambda x: x * (2 if A.dtype == np.float64 else 3), 2),
    "ndim": (np.ones(3), np.ones((3, 2)), lambda x: x * A.ndim, 2),
    "array_is_none": (np.ones(3), None, lambda x: x if A is None else x * 2, 2),
    "none_is_array": (None, np.ones(3), lambda x: x if A is None else x * A * 2, 2),
    "float_is_none": (1.0, None, lambda x: x if A is None else x * 2, 2),
    "in_a_list_is_none": ([1.0, "a"], [None, "a"], lambda x: x if A[0] is None else x * 2, 2),
    "in_a_dict_dtype": (
        {"w": np.ones(3)},
        {"w": np.ones(3, int)},
        lambda x: x * (2 if A["w"].dtype.kind == "f" else 3),
        2,
    ),
    "isinstance_of_an_array": (np.ones(3), 2.0, lambda x: x * 2 if isinstance(A, np.ndarray) else x, 2),
    "value": (np.ones(3), np.ones(3) * 2, lambda x: x * A, 1),
    "float_value": (1.0, 2.0, lambda x: x * A, 1),
    "int": (1, 2, lambda x: x * A, 2),
    "int_to_float": (1, 1.5, lambda x: x * A, 2),
    "int_to_equal_float": (1, 1.0, lambda x: np.sum(x.astype(np.int32)) * A, 2),
    "float_to_int": (1.5, 2, lambda x: x * A, 2),
    "bool_to_numpys": (True, np.bool_(True), lambda x: x if A is True else x * 2, 2),
    "bool_to_int": (True, 1, lambda x: x if A is True else x * 2, 2),
    "scalar_dtype": (np.float32(2), np.float64(2), lambda x: x.astype(np.float32) * A, 2),
    "scalar_value": (np.float32(2), np.float32(3), lambda x: x * A, 1),
    "int_scalar_dtype": (np.int32(2), np.int64(2), lambda x: x.astype(np.int32) * A, 2),
    "string": ("sum", "mean", lambda x: x.sum() if A == "sum" else x.mean(), 2),
    "equal_string": ("ab", "".join(["a", "b"]), lambda x: x if A == "ab" else x * 2, 1),
    "large_int": (1000, int("1000"), lambda x: x * A, 1),
    "list_to_tuple": ([1, 2], (1, 2), lambda x: x * len(A) if isinstance(A, list) else x, 2),
    "list_to_tuple_of_floats": ([1.0], (1.0,), lambda x: x * 5 if isinstance(A, list) else x, 2),
    "tuple_of_equals": ((1, 2), (True, 2), lambda x: x if A[0] is True else x * 2, 2),
    "list_longer": ([1.0], [1.0, 2.0], lambda x: x * sum(A), 2),
    "list_of_new_arrays": ([np.ones(3), 2.0], [np.ones(3) * 3, 4.0], lambda x: x * A[0] * A[1], 1),
    "equal_list": ([1, "a"], [1, "a"], lambda x: x * A[0], 1),
    "key_order": ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}, lambda x: x * next(iter(A.values())), 2),
    "key_order_of_ints": ({"a": 1, "b": 2}, {"b": 2, "a": 1}, lambda x: x * next(iter(A.values())), 2),
    "key_missing": ({"a": 1.0}, {"a": 1.0, "b": 2.0}, lambda x: x * A.get("b", 5.0), 2),
    "key_types": ({1: 1.0}, {True: 1.0}, lambda x: x if next(iter(A)) is True else x * 2, 2),
    "empty_dict_to_list": ({}, [], lambda x: x if isinstance(A, list) else x * 2, 2),
    "proxy": (
        types.MappingProxyType({"n": 2, "w": 3.0}),
        types.MappingProxyType({"n": 3, "w": 3.0}),
        lambda x: x * A["n"] * A.get("w"),
        2,
    ),
    "frozenset": (frozenset({1, 2}), frozenset({1, 3}), lambda x: x if 2 in A else x * 2, 2),
    "equal_set": ({1, 2}, {2, 1}, lambda x: x if 2 in A else x * 2, 1),
    "enum": (KIND.ONE, KIND.TWO, lambda x: x if A is KIND.ONE else x * 2, 2),
    "namedtuple": (Point(1.0, 2), Point(2.0, 2), lambda x: x * A.x * A.y, 1),
    "namedtuple_static": (Point(1.0, 2), Point(1.0, 3), lambda x: x * A.x * A.y, 2),
    "namedtuple_class": (Point(1, 2), Size(1, 2), lambda x: x if isinstance(A, Point) else x * 2, 2),
    "ufunc": (np.sin, np.cos, lambda x: A(x), 2),
    "names": (np.array(["a", "b"]), np.array(["b", "a"]), lambda x: x * list(A).index("b"), 2),
    "partial": (functools.partial(np.multiply, 2.0), functools.partial(np.multiply, 3.0), lambda x: A(x), 2),
}
for name_, (before_, after_, use_, traces_) in GLOBALS.items():
    CASES.append(pytest.param(_global(before_, after_, use_), traces_, id=name_))


@case(2)
def global_deleted():
    SPACE["B"] = 2

    def f(x):
        return x * (B if "B" in SPACE_OF else 1)  # noqa: F821

    return f, lambda: SPACE.__setitem__("B", 3)


SPACE_OF = ("B",)


@case(2)
def builtin_shadowed():
    return lambda x: abs(x) * len([1]), lambda: SPACE.__setitem__("abs", lambda v: v * 10)


@case(2)
def builtin_shadowed_for_a_generator():
    def ones():
        for k in range(2):
            yield abs(k)

    return lambda x: sum(x * k for k in ones()), lambda: SPACE.__setitem__("abs", lambda v: v * 10)


@case(2)
def closure_kind():
    n = 1.0

    def change():
        nonlocal n
        n = 2

    return lambda x: x * n, change


@case(1)
def closure_value():
    n, w = 1.0, X

    def change():
        nonlocal n, w
        n, w = 3.0, X + 1

    return lambda x: x * n + w, change


def _helper():
    def helper(x, a=2.0, b=3.0, *, c=1.0):
        return x * a - b + c

    return helper


def _defaults(traces, name, value):
    def make():
        helper = _helper()
        return lambda x: helper(x, 1.5), lambda: setattr(helper, name, value)

    CASES.append(pytest.param(make, traces, id=f"{name}_{len(CASES)}"))


_defaults(1, "__defaults__", (5.0, 7.0))
_defaults(1, "__defaults__", (7.0,))
_defaults(2, "__defaults__", (5.0, 7))
_defaults(1, "__kwdefaults__", {"c": 5.0})
_defaults(2, "__kwdefaults__", {"c": 5})
_defaults(2, "__code__", (lambda x, a, b, c=0: x * 100).__code__)


@case(2)
def own_code():
    def f(x):
        return x

    return f, lambda: setattr(f, "__code__", (lambda x: x * 2).__code__)


@case(1)
def partial_array_in_place():
    w = np.ones(3)
    return functools.partial(lambda w, x: w * x, w), lambda: w.__setitem__(0, 5.0)


@case(1)
def partial_keyword_value():
    p = functools.partial(lambda x, k: x * k, k=2.0)
    return p, lambda: p.keywords.update(k=3.0)


@case(2)
def partial_keyword_added():
    p = functools.partial(lambda x, k=2: x * k)
    return lambda x: p(x), lambda: p.keywords.update(k=3)


@case(1)
def partial_of_a_method():
    m = model()
    p = functools.partial(m.scaled)
    return lambda x: p(x), lambda: setattr(m, "w", 5.0)


@case(2)
def without_source():
    space = {"N": 2}
    exec("def helper(x):\n    return x * N\ndef f(x):\n    return helper(x)", space)
    f = space["f"]
    return lambda x: f(x), lambda: space.__setitem__("N", 3)


@case(2)
def module_attribute():
    module = types.ModuleType("settings")
    module.n = 2
    return lambda x: x * module.n, lambda: setattr(module, "n", 3)


@case(2)
def module_attribute_missing():
    module = types.ModuleType("settings")
    return lambda x: x * getattr(module, "n", 1), lambda: setattr(module, "n", 3)


@case(2)
def module_reloaded(tmp_path=None):
    import sys
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp())
    file = folder / "stale_settings.py"
    file.write_text("def scale(x):\n    return x * 2\n")
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module("stale_settings")
    finally:
        sys.path.remove(str(folder))

    def change():
        file.write_text("def scale(x):\n    return x * 2.5 + 1\n")
        module.__spec__.loader.exec_module(module)

    return lambda x: module.scale(x), change


# Objects and their classes.
def model():
    class Base:
        def above(self, x):
            return x * self.w

        @property
        def size(self):
            return self.w

    class Model(Base):
        def __init__(self):
            self.w = 2.0
            self.items = [1.0, 2.0]
            self.names = ["a"]

        __array_ufunc__ = None  # NumPy leaves operators to the class

        def __call__(self, x):
            return x * self.w

        def scaled(self, x):
            return x * self.w

        @property
        def rate(self):
            return self.w

        @staticmethod
        def static(x):
            return x * 2

        @classmethod
        def of_class(cls, x):
            return x * 2

        def above(self, x):
            return super().above(x)

        @property
        def size(self):
            return super().size

        def __getitem__(self, k):
            return self.items[k]

        def __len__(self):
            return len(self.items)

        def __iter__(self):
            return iter(self.items)

        def __contains__(self, x):
            return x in self.names

        def __add__(self, other):
            return other * self.w

        __radd__ = __add__

        def __neg__(self):
            return self.w

        def __enter__(self):
            return self.w

        def __exit__(self, *error):
            return None

        def __eq__(self, other):
            return self.w

        def __hash__(self):
            return 0

    return Model()


def five(*_):
    return 5.0


def times_five(*args):
    return args[-1] * 5


def _of(obj, name, value, use, traces=2):
    """`obj` is the class, its base or the instance."""

    def make():
        m = model()
        target = {"class": type(m), "base": type(m).__mro__[1], "instance": m}[obj]
        return lambda x: use(m, x), lambda: setattr(target, name, value)

    CASES.append(pytest.param(make, traces, id=f"{obj}_{name}_{len(CASES)}"))


def _last(items):
    for item in items:  # noqa: B007
        pass
    return item


def _with(m, x):
    with m as w:
        return x * w


Other = type("Other", (), {"scaled": times_five, "__call__": times_five, "rate": 5.0})
_of("class", "__call__", times_five, lambda m, x: m(x))
_of("class", "scaled", times_five, lambda m, x: m.scaled(x))
_of("class", "static", staticmethod(times_five), lambda m, x: m.static(x))
_of("class", "static", staticmethod(times_five), lambda m, x: type(m).static(x))
_of("class", "of_class", classmethod(times_five), lambda m, x: m.of_class(x))
_of("class", "of_class", classmethod(times_five), lambda m, x: type(m).of_class(x))
_of("class", "rate", property(five), lambda m, x: x * m.rate)
_of("class", "rate", 5.0, lambda m, x: x * m.rate)
_of("class", "__getitem__", five, lambda m, x: x * m[0])
_of("class", "__len__", lambda self: 5, lambda m, x: x * len(m))
_of("class", "__len__", lambda self: 0, lambda m, x: x * 2 if m else x)
_of("class", "__bool__", lambda self: False, lambda m, x: x * 2 if m else x)
_of("class", "__iter__", lambda self: iter([5.0]), lambda m, x: x * sum(m))
_of("class", "__iter__", lambda self: iter([5.0]), lambda m, x: _last(x * k for k in m))
_of("class", "__contains__", lambda self, x: False, lambda m, x: x if "a" in m else x * 2)
_of("class", "__add__", times_five, lambda m, x: m + x[0])
_of("class", "__radd__", times_five, lambda m, x: x[0] + m)
_of("class", "__neg__", five, lambda m, x: x * -m)
_of("class", "__enter__", five, _with)
_of("class", "__getattr__", five, lambda m, x: x * getattr(m, "nothing", 1.0))
_of("base", "above", times_five, lambda m, x: m.above(x))
_of("base", "size", property(five), lambda m, x: x * m.size)
_of("instance", "w", 7.0, lambda m, x: x * m.size, 1)
_of("instance", "w", 7.0, lambda m, x: m.above(m(m.scaled(x))) * m.rate, 1)
_of("instance", "w", 7, lambda m, x: m.above(x))
_of("instance", "scaled", times_five, lambda m, x: m.scaled(x))
_of("instance", "scaled", times_five, lambda m, x: m.scaled(m(m.above(x))))
_of("instance", "of_class", times_five, lambda m, x: m.of_class(x))
_of("instance", "static", times_five, lambda m, x: m.static(x))
_of("instance", "other", 5.0, lambda m, x: m.scaled(x), 1)
_of("instance", "scale", 5.0, lambda m, x: x * m.scale if hasattr(m, "scale") else x)
_of("class", "scale", 5.0, lambda m, x: x * m.scale if hasattr(m, "scale") else x)
_of("class", "scale", 5.0, lambda m, x: x * 2 if hasattr(type(m), "scale") else x)
_of("instance", "scale", 5.0, lambda m, x: x * getattr(m, "scale", 2.0))
_of("instance", "scale", 5.0, lambda m, x: x * 2 if "scale" in m.__dict__ else x)
_of("instance", "scale", 5.0, lambda m, x: x * 2 if "scale" in vars(m) else x)
_of("instance", "__class__", Other, lambda m, x: m.scaled(x))
_of("instance", "__class__", Other, lambda m, x: m(x))
_of("instance", "__class__", Other, lambda m, x: x * m.rate)
_of("instance", "__class__", Other, lambda m, x: x if isinstance(m, Other) else x * 2)
_of("instance", "__class__", Other, lambda m, x: x if type(m) is Other else x * 2)


def _attempt(m, x):
    try:
        return x * m.scale
    except AttributeError:
        return x


def _matched(m, x):
    match m:
        case object(scale=s):
            return x * s
        case _:
            return x


_of("instance", "scale", 5.0, _attempt)
_of("instance", "scale", 5.0, _matched)


@case(2)
def the_object_itself():
    m = model()
    return m, lambda: setattr(type(m), "__call__", times_five)


@case(1)
def a_bound_method_of_outside():
    m = model()
    g = m.scaled
    return lambda x: g(x), lambda: setattr(m, "w", 5.0)


@case(1)
def a_derivative_of_a_bound_method():
    m = model()
    g = jit(m.scaled)
    return lambda x: g(x), lambda: setattr(m, "w", 5.0)


@case(2)
def a_derivative_of_an_object():
    m = model()
    g = jit(m)
    return lambda x: g(x), lambda: setattr(type(m), "__call__", times_five)


@case(1)
def objects_in_a_set():
    m = model()
    models = {m}
    return lambda x: _last(k(x) for k in models), lambda: setattr(m, "w", 5.0)


@case(1)
def objects_as_keys():
    m = model()
    models = {m: 2.0}
    return lambda x: _last(k(x) * v for k, v in models.items()), lambda: setattr(m, "w", 5.0)


@case(2)
def the_class_of_an_instance_made_inside():
    kind = type(model())
    return lambda x: kind().scaled(x), lambda: setattr(kind, "scaled", times_five)


@case(2)
def the_constructor():
    kind = type(model())
    return lambda x: kind().scaled(x), lambda: setattr(kind, "__init__", lambda self: setattr(self, "w", 5.0))


@case(2)
def a_method_of_a_list():
    class Layers(list):
        def run(self, x):
            return x * self[0]

    layers = Layers([2.0])
    return lambda x: layers.run(x), lambda: setattr(Layers, "run", times_five)


@case(2)
def an_attribute_of_a_list():
    class Layers(list):
        pass

    layers = Layers([2.0])
    return lambda x: x * getattr(layers, "scale", layers[0]), lambda: setattr(layers, "scale", 5.0)


@case(2)
def single_dispatch():
    @functools.singledispatch
    def chosen(x):
        return x

    return lambda x: chosen(x), lambda: chosen.register(np.ndarray, times_five)


@case(2)
def an_item_of_a_deque():
    items = collections.deque([1, 2])
    return lambda x: x * items[0], lambda: items.appendleft(5)


@case(2)
def a_member_of_a_deque():
    items = collections.deque([1, 2])
    return lambda x: x * 5 if 7 in items else x, lambda: items.append(7)


@case(1)
def a_generator_that_reads_an_attribute():
    m = model()

    def steps():
        for _ in range(2):
            yield m.w

    return lambda x: sum(x * k for k in steps()), lambda: setattr(m, "w", 5.0)


@case(1)
def a_generator_method():
    m = model()

    def steps(self):
        for k in self.items:
            yield k * self.w

    type(m).steps = steps
    return lambda x: sum(x * k for k in m.steps()), lambda: setattr(m, "w", 5.0)


@pytest.mark.parametrize(("make", "traces"), CASES)
def test_a_change_outside(make, traces):
    f, change = make()
    try:
        check(f, change, traces)
    finally:
        SPACE.pop("abs", None)


def test_compiled_calls_see_changes():
    m = model()
    g = value_and_grad(lambda x: m(x) * len(m.items))
    assert g(2.0) == (8.0, 4.0)
    m.w = 3.0
    assert g(2.0) == (12.0, 6.0)
    assert g.stats().traces == 1
    m.items.append(1.0)
    assert g(2.0) == (18.0, 9.0)
    type(m).__call__ = lambda self, x: x * x * self.w
    assert g(2.0) == (36.0, 36.0)
    assert g.stats().traces == 3
    assert grad(lambda x: m(x))(1.0) == 6.0


@pytest.mark.parametrize(
    "after", [X.astype(np.float32) + 1, np.ones((2, 3)), np.arange(3), np.ones((1, 3))[:, ::-1], 2.0]
)
def test_compiled_calls_see_another_kind_of_array(after):
    w = X
    f = jit(lambda x: x * w)
    for w in (X, X + 1, np.array([[4.0, 0.0], [5.0, 0.0], [6.0, 0.0]])[:, 0], X[::-1]):
        same(f(X), X * w)
    assert f.stats().traces == 1
    w = after
    same(f(X), X * w)
    assert f.stats().traces == 2
    w = X
    same(f(X), X * w)
    assert f.stats().traces == 2
