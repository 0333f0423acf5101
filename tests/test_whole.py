"""Whole arrays that are cleared or copied are single statements of the compiled form."""

import re

import numpy as np
import pytest

from jitgrad import grad, jit


def cleared(x):
    n, m = x.shape
    a = np.zeros((n, m))
    b = np.zeros((n + 1, 1, m), dtype=np.int32)
    c = np.zeros(m, dtype=bool)
    d = np.full(n, -0.0)
    for i in range(n):
        for j in range(1, m):
            a[i, j] += x[i, j - 1] * x[i, j]
            b[i, 0, j] += np.int32(j)
            c[j] = x[i, j] > 1.0
            d[i] *= x[i, j]
    return a, b, c, d


def copied(x):
    now, part = x.copy(), x[1:].copy()
    for i in range(1, x.shape[0]):
        now[i] += now[i - 1] * x[i]
        part[i - 1] *= now[i]
    return now, part


X = np.linspace(0.5, 1.5, 12).reshape(3, 4)


@pytest.mark.parametrize("function", [cleared, copied])
def test_results(function):
    program = jit(function)
    for x in (X, X[:2, :3].astype("f4")) if function is copied else (X, X[:0]):
        for got, wanted in zip(program(x), function(x.copy()), strict=True):
            assert got.dtype == wanted.dtype
            np.testing.assert_allclose(got, wanted, rtol=1e-6 if x.dtype == np.float32 else 1e-14)
            np.testing.assert_array_equal(np.signbit(got), np.signbit(wanted))


def test_zeros_are_no_loop_and_negative_zeros_are():
    source = jit(cleared).source(X, form="numba")
    assert len(re.findall(r"^ +clear\(\w+\)$", source, re.MULTILINE)) == 2
    assert re.search(r"= -0\.0$", source, re.MULTILINE)


def test_copies_are_no_loop():
    source = jit(copied).source(X, form="numba")
    assert "copy_into(now, x)" in source
    assert source.count("copy_into(") == 1  # the other is no copy of the whole


def test_gradient():
    def total(x):
        now, part = copied(x)
        return np.sum(np.sin(now)) + np.sum(part * part) + np.sum(cleared(x)[0] * now)

    gradient = grad(total)(X)
    for index in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[index] = 1e-6
        assert gradient[index] == pytest.approx((total(X + step) - total(X - step)) / 2e-6, rel=1e-6, abs=1e-8)
