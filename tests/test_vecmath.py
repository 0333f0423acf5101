"""The vector-math kernels: accuracy against mpmath, special cases, vectorised code in the caller."""

import itertools
import math
import os
import re
import subprocess
import sys
from functools import cache

import mpmath
import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_features
from numba import from_dtype, njit, types

from jitgrad.runtime.vecmath import KERNELS, SOURCE_HASH, cos_waited_for, sin_waited_for, tanh_waited_for

LIMIT = 2.0  # ulp

mp = mpmath.mp.clone()
mp.prec = 140

BINARY = ["arctan2", "hypot", "logaddexp", "logaddexp2", "power"]
UNARY = sorted(set(KERNELS) - set(BINARY))
DTYPES = [np.float64, np.float32]

needs_avx2 = pytest.mark.skipif(
    not get_host_cpu_features().get("avx2"), reason="the assembly that is looked for is that of a processor with AVX2"
)

# reference, and where the function's interesting values are
REFERENCE = {
    "arccos": (mp.acos, -1, 1),
    "arccosh": (mp.acosh, 1, 20),
    "arcsin": (mp.asin, -1, 1),
    "arcsinh": (mp.asinh, -20, 20),
    "arctan": (mp.atan, -5, 5),
    "arctanh": (mp.atanh, -1, 1),
    "cbrt": (lambda x: mp.cbrt(x) if x >= 0 else -mp.cbrt(-x), -10, 10),
    "cos": (mp.cos, -100, 100),
    "cosh": (mp.cosh, -711, 711),
    "erf": (mp.erf, -6, 6),
    "erfc": (mp.erfc, -6, 27),
    "exp": (mp.exp, -745, 710),
    "exp2": (lambda x: mp.power(2, x), -1075, 1024),
    "expm1": (mp.expm1, -40, 40),
    "log": (mp.log, 0, 10),
    "log10": (mp.log10, 0, 10),
    "log1p": (mp.log1p, -1, 5),
    "log2": (lambda x: mp.log(x) / mp.ln2, 0, 10),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), -745, 40),
    "sin": (mp.sin, -100, 100),
    "sinh": (mp.sinh, -711, 711),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), -745, 40),
    "tan": (mp.tan, -100, 100),
    "tanh": (mp.tanh, -20, 20),
}
SPECIAL = {  # values at nan, inf, -inf, 0.0, -0.0
    "arccos": (math.nan, math.nan, math.nan, math.pi / 2, math.pi / 2),
    "arccosh": (math.nan, math.inf, math.nan, math.nan, math.nan),
    "arcsin": (math.nan, math.nan, math.nan, 0.0, -0.0),
    "arcsinh": (math.nan, math.inf, -math.inf, 0.0, -0.0),
    "arctan": (math.nan, math.pi / 2, -math.pi / 2, 0.0, -0.0),
    "arctanh": (math.nan, math.nan, math.nan, 0.0, -0.0),
    "cbrt": (math.nan, math.inf, -math.inf, 0.0, -0.0),
    "cos": (math.nan, math.nan, math.nan, 1.0, 1.0),
    "cosh": (math.nan, math.inf, math.inf, 1.0, 1.0),
    "erf": (math.nan, 1.0, -1.0, 0.0, -0.0),
    "erfc": (math.nan, 0.0, 2.0, 1.0, 1.0),
    "exp": (math.nan, math.inf, 0.0, 1.0, 1.0),
    "exp2": (math.nan, math.inf, 0.0, 1.0, 1.0),
    "expm1": (math.nan, math.inf, -1.0, 0.0, -0.0),
    "log": (math.nan, math.inf, math.nan, -math.inf, -math.inf),
    "log10": (math.nan, math.inf, math.nan, -math.inf, -math.inf),
    "log1p": (math.nan, math.inf, math.nan, 0.0, -0.0),
    "log2": (math.nan, math.inf, math.nan, -math.inf, -math.inf),
    "sigmoid": (math.nan, 1.0, 0.0, 0.5, 0.5),
    "sin": (math.nan, math.nan, math.nan, 0.0, -0.0),
    "sinh": (math.nan, math.inf, -math.inf, 0.0, -0.0),
    "softplus": (math.nan, math.inf, 0.0, math.log(2), math.log(2)),
    "tan": (math.nan, math.nan, math.nan, 0.0, -0.0),
    "tanh": (math.nan, 1.0, -1.0, 0.0, -0.0),
}
LOGARITHMS = {"log": 0, "log2": 0, "log10": 0, "log1p": -1}


@cache
def caller(kernel):
    """A loop over the kernel with the flags that generated code is compiled with."""

    @njit(error_model="numpy", fastmath={"contract", "nsz"})
    def loop(x, out):
        for i in range(x.size):
            out[i] = kernel(x[i])

    return loop


@cache
def binary_caller(kernel):
    """The same for two arguments."""

    @njit(error_model="numpy", fastmath={"contract", "nsz"})
    def loop(x, y, out):
        for i in range(x.size):
            out[i] = kernel(x[i], y[i])

    return loop


def apply(kernel, *arguments):
    """The kernel over arrays."""
    out = np.empty_like(arguments[0])
    (caller if len(arguments) == 1 else binary_caller)(kernel)(*arguments, out)
    return out


def samples(name, dtype):
    """One point a binade with both signs, subnormals, and a thousand where the function varies."""
    rng = np.random.default_rng(7)
    info = np.finfo(dtype)
    with np.errstate(over="ignore"):
        binades = np.ldexp(rng.uniform(1, 2, info.maxexp - info.minexp), np.arange(info.minexp, info.maxexp))
        subnormal = np.ldexp(rng.uniform(1, 2, 10), rng.integers(info.minexp - info.nmant, info.minexp, 10))
        ends = [info.tiny, info.max, info.smallest_subnormal, 1.0, 0.5, 2.0, 1 + info.eps, 1 - info.epsneg]
        positive = np.concatenate([binades, subnormal, ends]).astype(dtype)
        _, low, high = REFERENCE[name]
        dense = np.concatenate([rng.uniform(low, high, 1000), rng.uniform(-2, 2, 500), rng.uniform(0.7, 1.5, 500)])
    x = np.concatenate([positive, -positive, dense.astype(dtype)])
    if name in ("arcsin", "arccos"):
        return x[np.abs(x) <= 1]
    if name == "arctanh":
        return x[np.abs(x) < 1]
    if name == "arccosh":
        return np.concatenate([x[x >= 1], dtype(1) + np.abs(x[np.abs(x) < 1])])
    if name in LOGARITHMS:
        return x[x > LOGARITHMS[name]]
    return x


def exact(name, x):
    """The reference at x; beyond +-2000, where mpmath would compute giants, at +-2000 if no float tells
    them apart.
    """
    saturated = name in ("cosh", "erf", "erfc", "exp", "exp2", "expm1", "sigmoid", "sinh", "tanh")
    x = float(x)
    if name == "softplus" and x > 2000:
        return mp.mpf(x)
    if (saturated or name == "softplus") and abs(x) > 2000:
        x = math.copysign(2000, x)
    return REFERENCE[name][0](mp.mpf(x))


def ulps(got, reference, dtype):
    """|got - reference| in units in the last place of the reference; 0 for an overflow that is due."""
    info = np.finfo(dtype)
    largest = mp.mpf(float(info.max))
    if abs(reference) >= largest * (1 + mp.mpf(2) ** -(info.nmant + 2)):
        return 0.0 if math.isinf(got) and (got > 0) == (reference > 0) else math.inf
    if not math.isfinite(got):
        return 1.0 if math.isinf(got) and abs(reference) > largest * (1 - mp.mpf(2) ** -info.nmant) else math.inf
    exponent = mp.frexp(reference)[1] - 1 if reference else info.minexp
    return float(mp.ldexp(abs(mp.mpf(float(got)) - reference), info.nmant - max(exponent, int(info.minexp))))


def same(a, b):
    """Equal, NaN and the signs of zeros included."""
    return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (math.isnan(a) and math.isnan(b))


def test_tables_are_complete():
    assert set(REFERENCE) == set(SPECIAL)
    assert set(UNARY) <= set(REFERENCE)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", UNARY)
def test_accuracy(name, dtype):
    x = samples(name, dtype)
    got = apply(KERNELS[name], x)
    assert got.dtype == dtype
    errors = [ulps(g, exact(name, v), dtype) for v, g in zip(x, got, strict=True)]
    worst = int(np.argmax(errors))
    assert errors[worst] <= LIMIT, f"{name}({x[worst]!r}) = {got[worst]!r}: {errors[worst]} ulp"


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize(
    ("name", "kernel"), [("cos", cos_waited_for), ("sin", sin_waited_for), ("tanh", tanh_waited_for)]
)
def test_kernels_that_are_waited_for(name, kernel, dtype):
    """Both ways, where they meet, and the signs of zeros."""
    near = np.random.default_rng(2).uniform(0.9, 1.3, 1000).astype(dtype)
    x = np.concatenate([samples(name, dtype), near, np.nextafter(dtype([1, 1.25]), dtype(0))])
    got = apply(kernel, x)
    assert got.dtype == dtype
    assert max(ulps(g, exact(name, v), dtype) for v, g in zip(x, got, strict=True)) <= LIMIT
    special = np.array([math.nan, math.inf, -math.inf, 0.0, -0.0], dtype)
    assert all(map(same, apply(kernel, special), np.array(SPECIAL[name], dtype)))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", UNARY)
def test_special_values(name, dtype):
    # a vector's worth of each, so that both the vector loop and the scalar remainder see them
    x = np.repeat(np.array([math.nan, math.inf, -math.inf, 0.0, -0.0], dtype), 9)
    expected = np.repeat(np.array(SPECIAL[name], dtype), 9)
    for v, got, want in zip(x, apply(KERNELS[name], x), expected, strict=True):
        assert same(got, want), (v, got, want)


@pytest.mark.parametrize(
    ("name", "x"), [("log", -1), ("log1p", -2), ("arcsin", 1.1), ("arccos", -1.1), ("arctanh", 1.1), ("arccosh", 0.9)]
)
def test_outside_the_domain(name, x):
    assert np.isnan(apply(KERNELS[name], np.full(9, float(x)))).all()


def test_exact_values():
    n = np.arange(-1074.0, 1024.0)
    assert (apply(KERNELS["exp2"], n) == np.ldexp(1.0, n.astype(int))).all()
    assert (apply(KERNELS["log2"], np.ldexp(1.0, n.astype(int))) == n).all()


def code_of(loop, signature):
    """The assembly of a compiled loop, without what Numba puts around it."""
    asm = loop.inspect_asm(signature)
    return next(part for part in asm.split(".Lfunc_end") if re.search(r"^_ZN\d+\w*loop", part, re.MULTILINE))


def assert_vectorised(loop, signature):
    """Packed arithmetic, and no function of the C library called for single numbers."""
    loop.compile(signature)
    code = code_of(loop, signature)
    assert len(re.findall(r"^\s*v(?:f[n]?m\w+|add|sub|mul)p[sd]\s.*%[yz]mm", code, re.MULTILINE)) >= 4
    symbols = set(re.findall(r"(?:\$|call\w*\s+)([A-Za-z_][\w.]*)", code))
    assert not {s for s in symbols if not s.startswith(("_ZN", "jitgrad.rare.", "NRT_"))}


@needs_avx2
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", UNARY)
def test_vectorised(name, dtype):
    vector = from_dtype(np.dtype(dtype))[::1]
    assert_vectorised(caller(KERNELS[name]), (vector, vector))


@needs_avx2
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", BINARY)
def test_vectorised_binary(name, dtype):
    vector = from_dtype(np.dtype(dtype))[::1]
    assert_vectorised(binary_caller(KERNELS[name]), (vector, vector, vector))


POWER_VALUES = [
    *(
        0.0,
        1.0,
        2.0,
        3.0,
        0.5,
        1.5,
        math.inf,
        1e-310,
        5e-324,
        1e308,
        2.0**52 + 1,
        2.0**53 - 1,
        2.0**53 + 2,
        1e300,
        7.0,
    ),
    *(-0.0, -1.0, -2.0, -3.0, -0.5, -1.5, -math.inf, -1e-310, -1e308, -(2.0**53 - 1), -1e300, math.nan),
]


def binary_error(x, y, got, dtype):
    """The error of got as x**y, x > 0, in ulp."""
    exponent = mp.mpf(float(y)) * mp.log(mp.mpf(float(x)))
    return ulps(got, mp.exp(min(max(exponent, -2000), 2000)), dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
def test_power_special_values(dtype):
    with np.errstate(all="ignore"):
        pairs = np.array(list(itertools.product(POWER_VALUES, repeat=2)), dtype)
        x, y = np.ascontiguousarray(pairs.T)
        expected = np.power(x, y)
    got = apply(KERNELS["power"], x, y)
    assert got.dtype == dtype
    for a, b, g, want in zip(x, y, got, expected, strict=True):
        close = math.isfinite(want) and want and abs(g - want) <= 2 * abs(np.spacing(want)) and (g > 0) == (want > 0)
        assert same(g, want) or close, (a, b, g, want)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
def test_power_accuracy(dtype):
    rng = np.random.default_rng(5)
    info = np.finfo(dtype)
    x = np.concatenate([np.exp2(rng.uniform(info.minexp, info.maxexp, 2000)), rng.uniform(0.5, 2, 2000)]).astype(dtype)
    result_exponent = rng.uniform(info.minexp - info.nmant, info.maxexp, x.size)
    with np.errstate(divide="ignore"):
        y = (result_exponent / np.log2(x)).astype(dtype)
    got = apply(KERNELS["power"], x, y)
    errors = [binary_error(a, b, g, dtype) for a, b, g in zip(x, y, got, strict=True)]
    worst = int(np.argmax(errors))
    assert errors[worst] <= LIMIT, f"{x[worst]!r}**{y[worst]!r} = {got[worst]!r}: {errors[worst]} ulp"


def test_power_is_exact_where_the_result_is_representable():
    x, y = (a.ravel() for a in np.meshgrid(np.arange(-40.0, 41.0), np.arange(0.0, 9.0)))
    assert (apply(KERNELS["power"], x, y) == [float(int(a) ** int(b)) for a, b in zip(x, y, strict=True)]).all()
    squares = np.arange(1.0, 200.0)
    assert (apply(KERNELS["power"], squares**2, np.full_like(squares, 0.5)) == squares).all()


PLANE = {
    "arctan2": mp.atan2,
    "hypot": mp.hypot,
    "logaddexp": lambda x, y: max(x, y) + mp.log1p(mp.exp(max(-abs(x - y), -2000))),
    "logaddexp2": lambda x, y: max(x, y) + mp.log1p(mp.power(2, max(-abs(x - y), -2000))) / mp.ln2,
}


def plane_samples(dtype):
    """Pairs of numbers of any size, and of like size."""
    rng = np.random.default_rng(9)
    info = np.finfo(dtype)
    low, high = info.minexp - info.nmant, info.maxexp
    sizes = np.exp2(rng.uniform(low, high, (2, 1500)))
    like = sizes[0, :1000] * np.exp2(rng.uniform(-4, 4, 1000))
    middling = rng.uniform(0, 20, (2, 1500))
    with np.errstate(over="ignore"):
        pairs = np.hstack([sizes, [sizes[0, :1000], like], middling]).astype(dtype)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    return pairs * rng.choice([-1, 1], pairs.shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", PLANE)
def test_accuracy_in_the_plane(name, dtype):
    x, y = plane_samples(dtype)
    got = apply(KERNELS[name], x, y)
    assert got.dtype == dtype
    for a, b, value in zip(x, y, got, strict=True):
        a, b = mp.mpf(float(a)), mp.mpf(float(b))
        reference = PLANE[name](a, b)
        error = ulps(value, reference, dtype)
        if name.startswith("logaddexp") and error > LIMIT:  # the two parts may cancel
            error *= abs(reference) / max(abs(a), abs(b))
        assert error <= LIMIT, (a, b, value, error)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", PLANE)
def test_special_values_in_the_plane(name, dtype):
    values = [0.0, -0.0, 1.0, -1.0, 1e-40, math.inf, -math.inf, math.nan]
    x, y = np.ascontiguousarray(np.array(list(itertools.product(values, repeat=2)), dtype).T)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x, y)
    for a, b, got, want in zip(x, y, apply(KERNELS[name], x, y), expected, strict=True):
        assert same(got, want) or abs(got - want) <= 2 * np.spacing(abs(want)), (a, b, got, want)


def test_argument_types():
    exp, power = KERNELS["exp"], KERNELS["power"]

    @njit
    def results(single, integer):
        return exp(single), exp(integer), power(single, 2.0), power(single, single)

    single, from_integer, mixed, power_single = typeof_all(results, np.float32(1.5), 2)
    assert single == types.float32
    assert power_single == types.float32
    assert from_integer == types.float64
    assert mixed == types.float64
    assert results(np.float32(1.5), 2) == pytest.approx((math.exp(1.5), math.exp(2), 2.25, 1.5**1.5), rel=1e-6)


def typeof_all(function, *arguments):
    """The types of the elements of the tuple that a compiled function returns."""
    function(*arguments)
    (overload,) = function.overloads.values()
    return overload.signature.return_type.types


SECOND_PROCESS = """
from numba import njit
from jitgrad.runtime.vecmath import exp

@njit
def call(x):
    return exp(x)

assert call(0.0) == 1.0
print(sum(exp.dispatcher.stats.cache_hits.values()))
"""


def test_kernels_come_from_the_disk_cache(tmp_path):
    hits = [
        int(
            subprocess.run(
                [sys.executable, "-c", SECOND_PROCESS],
                env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
                capture_output=True,
                check=True,
            ).stdout
        )
        for _ in range(2)
    ]
    assert hits == [0, 1]


def test_cache_key_holds_the_source():
    assert [cell.cell_contents for cell in KERNELS["exp"].py_func.__closure__] == [SOURCE_HASH]
