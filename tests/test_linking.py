"""What generated code is linked with: kernels without machine code of their own, its allocator, and BLAS."""

import subprocess
import sys

import numba
import numpy as np
import pytest

from jitgrad import grad, jit
from jitgrad.compile import lowering
from jitgrad.runtime import linalg
from jitgrad.runtime.linking import Linked
from jitgrad.testing import check_grads

PRODUCTS = {
    "nn": linalg.matmul_nn,
    "nt": linalg.matmul_nt,
    "tn": linalg.matmul_tn,
    "tt": linalg.matmul_tt,
}
SHAPES = [(1, 1, 3), (3, 2, 0), (1, 7, 900), (7, 1, 900), (1, 1, 5000), (20, 9, 31)]

# One process: the sum of what a kernel that is cached gives, and whether it was.
CHILD = """
import numba, numpy as np
from jitgrad.runtime.vecmath.kernels import tanh

@numba.njit
def total(x):
    s = 0.0
    for v in x:
        s += tanh(v)
    return s

print(total(np.linspace(-1, 2, 9)), tanh.dispatcher.stats.cache_hits != {})
"""


def test_linked_functions_have_no_machine_code_but_that_of_their_callers():
    @numba.njit(pipeline_class=Linked, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    def square(x):
        return x * x

    @numba.njit
    def caller(x):
        return square(x) + 1

    assert caller(3.0) == 10
    (result,) = square.overloads.values()
    assert list(result.library.get_defined_functions()) == []
    assert result.library.get_pointer_to_function(result.fndesc.mangled_name) == 0


def test_linked_functions_that_call_themselves_have():
    @numba.njit("f8(i8)", pipeline_class=Linked, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    def factorial(n):
        return 1.0 if n < 2 else n * factorial(n - 1)

    @numba.njit
    def caller(n):
        return factorial(n) + 1

    assert caller(5) == 121


def test_linked_functions_come_from_the_cache_of_an_earlier_process(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    command = [sys.executable, "-c", CHILD]
    first, second = (subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in "ab")
    assert first.split()[1] == "False"
    assert second.split() == [first.split()[0], "True"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.bool_, np.int8])
def test_arrays_are_made_of_any_rank_and_kind(dtype):
    @numba.njit(pipeline_class=lowering.Compiler, error_model="numpy")
    def make(n):
        return np.empty(n, dtype), np.empty((n, 3, n + 1), dtype)

    for n in (0, 2):
        for array, shape in zip(make(n), [(n,), (n, 3, n + 1)], strict=True):
            assert (array.shape, array.dtype) == (shape, dtype)
            assert array.strides == np.empty(shape, dtype).strides or not array.size
            array[...] = 1


def test_lengths_that_no_array_has_are_errors():
    @numba.njit(pipeline_class=lowering.Compiler, error_model="numpy")
    def make(n, m):
        return np.empty((n, m))

    with pytest.raises(ValueError, match="negative dimensions"):
        make(-1, -1)
    with pytest.raises(ValueError, match="too big"):
        make(2**31, 2**31)
    with pytest.raises(MemoryError):
        make(2**29, 2**29)


@pytest.mark.parametrize("kind", PRODUCTS)
def test_products_small_and_large(kind):
    product = PRODUCTS[kind]

    @numba.njit
    def run(a, b, out):
        product(a, b, out)

    rng = np.random.default_rng(0)
    for m, n, k in SHAPES:
        a, b, out = rng.random((m, k)), rng.random((k, n)), np.full((m, n), np.nan)
        run(*(np.ascontiguousarray(x.T) if t == "t" else x for x, t in zip((a, b), kind, strict=True)), out)
        np.testing.assert_allclose(out, a @ b, rtol=1e-13)


@pytest.mark.parametrize(("m", "n"), [(3, 4), (70, 80), (1, 3000), (3000, 1)])
def test_products_with_vectors(m, n):
    @numba.njit
    def run(a, x, y, out):
        linalg.matrix_vector(a, x, out[0])
        linalg.vector_matrix(y, a, out[1])

    rng = np.random.default_rng(0)
    a, x, y = rng.random((m, n)), rng.random(n), rng.random(m)
    out = np.empty(m), np.empty(n)
    run(a, x, y, out)
    np.testing.assert_allclose(out[0], a @ x, rtol=1e-13)
    np.testing.assert_allclose(out[1], y @ a, rtol=1e-13)


def many(x):
    a, b = x[0], x[1]
    for _ in range(x.shape[0]):
        a, b = np.sin(a) + np.hypot(a, b), np.tanh(b * a)
    for k in (1, 2, 3, 4, 5):
        a, b = np.sin(a * k), np.cos(b) + np.arctan2(a, b) / k
    return a * b


def few(x):
    return np.sin(x[0]) * np.tanh(x[1])


def test_many_elementary_functions_of_single_numbers_are_called():
    x = np.array([0.3, 0.7, 0.1])
    source = grad(many).source(x, form="numba")
    assert "called_sin(" in source
    assert "called_arctan2(" in source
    assert "called_" not in grad(few).source(x, form="numba")
    check_grads(many, (x,), order=1)
    assert jit(many)(x.astype(np.float32)) == pytest.approx(many(x), rel=1e-5)
