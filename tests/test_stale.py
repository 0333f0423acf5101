"""What is changed outside between two calls: the next call sees it, with a new trace only where one is needed."""

import collections
import dataclasses
import enum
import functools
import importlib
import types

import numpy as np
import pytest

from jitgrad import grad, jit
from jitgrad.api.caller import Miss, make_caller
from jitgrad.api.structure import unflatten

X = np.array([1.0, 2.0, 3.0])
CASES = []
SPACE = globals()


def case(traces):
    """Decorator: the function gives `f, change`, or `f, change, undo`; so many traces are made, changed and all."""

    def register(make):
        CASES.append(pytest.param(make, traces, id=make.__name__))
        return make

    return register


def call(engine, x):
    """The call without machine code: the array form, with whatever the engine looks at before."""
    flat = engine.flatten((x,), {})
    entry, results = engine.execute(flat, None, (), interpreted=True)
    fast = make_caller(
        entry.program, entry.primal, lambda *values: values, flat, entry.static, ("static", types.SimpleNamespace(value=None))
    )
    return unflatten(entry.structure, entry.program.unpack(results)), fast


@pytest.mark.parametrize(("make", "traces"), CASES)
def test_a_change_outside(make, traces):
    pass


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
