"""Arguments of generated functions are not counted again, and none is freed too early or too late."""

import sys

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from jitgrad.compile.lowering import Compiler


def same(x, n):
    return x


def pair(x, n):
    return x, x


def replaced(x, n):
    x = np.zeros(n)
    x[0] = 1.0
    return x


def either(x, n):
    if n > 2:
        x = np.zeros(n)
    return x


def alternating(x, n):
    y = np.zeros(3)
    for _ in range(n):
        x, y = y, x
    return x


def part(x, n):
    y = x[1:]
    return y[:n]


def raising(x, n):
    y = np.zeros(n)
    if n > 2:
        raise ValueError("n")
    y[0] = x[0]
    return y


@numba.njit(numba.float64[::1](numba.float64[::1], numba.int64), pipeline_class=Compiler)
def descending(x, n):
    if n == 0:
        return x
    y = descending(x, n - 1)
    y[0] += 1.0
    return y


@numba.njit(numba.float64(numba.float64[::1], numba.int64), pipeline_class=Compiler, no_cfunc_wrapper=True)
def total(x, n):
    if n >= x.shape[0]:
        raise ValueError("too long")
    return x[n] + (total(x, n - 1) if n > 0 else 0.0)


def caller(x, n):
    y = np.zeros(2)
    return descending(y, n)[0] + descending(x, n)[0]


def balance(x):
    stats = rtsys.get_allocation_stats()
    return sys.getrefcount(x), stats.alloc - stats.free


@pytest.mark.parametrize("function", [same, pair, replaced, either, alternating, part, raising, caller])
def test_references_balance(function):
    machine = numba.njit((numba.float64[::1], numba.int64), pipeline_class=Compiler)(function)
    _nrt_python.memsys_enable_stats()
    x = np.arange(5.0)
    before = balance(x)
    for n in (1, 2, 3, 4):
        expected = None if function is raising and n > 2 else function(x.copy(), n)
        try:
            result = machine(x, n)
        except ValueError:
            assert expected is None
        else:
            np.testing.assert_array_equal(result, expected)
        result = None
    assert balance(x) == before


def test_arguments_are_not_counted():
    (text,) = total.inspect_llvm().values()
    assert "NRT_incref" not in text
    assert total(np.arange(5.0), 4) == 10.0
    with pytest.raises(ValueError, match="long"):
        total(np.arange(5.0), 5)
