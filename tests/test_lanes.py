"""Loops of generated programs, looked at in the assembly: they work on as many numbers as a register holds."""

import re

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_features
from numba import typeof

from jitgrad import grad, jit
from jitgrad.compile import compile_function

DTYPES = [np.float64, np.float32]

pytestmark = pytest.mark.skipif(
    not get_host_cpu_features().get("avx2"), reason="the assembly that is looked for is that of a processor with AVX2"
)


def assembly(function, *arguments):
    """The compiled function for these arguments, without what Numba puts around it."""
    source = jit(function).source(*arguments, form="numba")
    signature = tuple(map(typeof, arguments))
    dispatcher = compile_function(source, f"{function.__name__}_jit", signature, cache=False).dispatcher
    return dispatcher.inspect_asm(signature).split(".Lfunc_end")[0]


def packed(code):
    """The instructions on whole registers, without what tells float64 from float32."""
    return {
        name.removesuffix("pd").removesuffix("ps") for name in re.findall(r"^\s*(v\w+)\s.*%[yz]mm", code, re.MULTILINE)
    }


def elementary(x, y):
    return np.sign(x), np.where(x > y, x, y * y), np.abs(x), np.sqrt(x), np.floor(x), np.maximum(x, y)


def waves(x):
    return np.sum(np.sin(x) * np.cos(x))


def slopes(x):
    return grad(waves)(x)


def sums(x):
    total, up = 0.0, 0.0
    for i in range(x.shape[0]):
        total += x[i] * x[i]
        if x[i] > 0:
            up += x[i]
    return total * up


def highest(x):
    return np.max(x, axis=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
def test_elementary_operations(dtype):
    x = np.ones(9, dtype)
    found = packed(assembly(elementary, x, x))
    assert {"vsqrt", "vround", "vmax", "vmul"} <= found
    assert any(name.startswith("vcmplt") for name in found)
    assert any(name.startswith("vblend") for name in found)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
def test_functions_in_a_gradient(dtype):
    code = assembly(slopes, np.ones(9, dtype))
    assert any(name.startswith("vfmadd") for name in packed(code))
    assert re.search(rf"jitgrad\.rare\.sin\.{dtype.__name__}\.\d", code)
    assert not re.search(r"\$(sin|cos)\b", code)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
def test_sums(dtype):
    found = packed(assembly(sums, np.ones(9, dtype)))
    assert "vadd" in found
    assert any(name.startswith("vfmadd") for name in found)


def test_maxima_along_columns():
    code = assembly(highest, np.ones((9, 9)))
    assert "vmax" in packed(code)
    assert "vmaskmov" not in code
