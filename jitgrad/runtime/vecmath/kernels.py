"""The public kernels: one name for float64 and float32 (integers count as float64)."""

from jitgrad.runtime.vecmath._build import is_single, kernel, narrow, select, single, widen
from jitgrad.runtime.vecmath.error_function import erf64, erfc64
from jitgrad.runtime.vecmath.exponential import cosh64, exp2_64, exp64, expm1_64, sigmoid64, sinh64, tanh64
from jitgrad.runtime.vecmath.inverse import arccos64, arcsin64, arctan64, cbrt64
from jitgrad.runtime.vecmath.inverse_hyperbolic import arccosh64, arcsinh64, arctanh64
from jitgrad.runtime.vecmath.logarithm import log1p_64, log2_64, log10_64, log64, logaddexp2_64, logaddexp64, softplus64
from jitgrad.runtime.vecmath.planar import arctan2_64, hypot32, hypot64
from jitgrad.runtime.vecmath.powers import power32, power64
from jitgrad.runtime.vecmath.single import cos32, exp32, log32, sigmoid32, sin32, tanh32
from jitgrad.runtime.vecmath.trigonometric import cos64, sin64, tan64


@kernel
def exp(x):
    """e**x."""
    a = widen(x)
    return narrow(select(is_single(x), exp32(a), exp64(a)), x)


@kernel
def expm1(x):
    """e**x - 1, accurate near 0."""
    return narrow(expm1_64(widen(x)), x)


@kernel
def exp2(x):
    """2**x."""
    return narrow(exp2_64(widen(x)), x)


@kernel
def tanh(x):
    """Hyperbolic tangent."""
    a = widen(x)
    return narrow(select(is_single(x), tanh32(a), tanh64(a)), x)


@kernel
def sigmoid(x):
    """1 / (1 + e**-x)."""
    a = widen(x)
    return narrow(select(is_single(x), sigmoid32(a), sigmoid64(a)), x)


@kernel
def sinh(x):
    """Hyperbolic sine."""
    return narrow(sinh64(widen(x)), x)


@kernel
def cosh(x):
    """Hyperbolic cosine."""
    return narrow(cosh64(widen(x)), x)


@kernel
def log(x):
    """Natural logarithm."""
    a = widen(x)
    return narrow(select(is_single(x), log32(a), log64(a)), x)


@kernel
def log1p(x):
    """log(1 + x), accurate near 0."""
    return narrow(log1p_64(widen(x)), x)


@kernel
def log2(x):
    """Logarithm to base 2."""
    return narrow(log2_64(widen(x)), x)


@kernel
def log10(x):
    """Logarithm to base 10."""
    return narrow(log10_64(widen(x)), x)


@kernel
def softplus(x):
    """log(1 + e**x)."""
    return narrow(softplus64(widen(x)), x)


@kernel
def sin(x):
    """Sine."""
    return narrow(select(is_single(x), widen(sin32(single(x))), sin64(widen(x))), x)


@kernel
def cos(x):
    """Cosine."""
    return narrow(select(is_single(x), widen(cos32(single(x))), cos64(widen(x))), x)


@kernel
def tan(x):
    """Tangent."""
    return narrow(tan64(widen(x)), x)


@kernel
def arctan(x):
    """Inverse tangent."""
    return narrow(arctan64(widen(x)), x)


@kernel
def arcsin(x):
    """Inverse sine."""
    return narrow(arcsin64(widen(x)), x)


@kernel
def arccos(x):
    """Inverse cosine."""
    return narrow(arccos64(widen(x)), x)


@kernel
def arcsinh(x):
    """Inverse hyperbolic sine."""
    return narrow(arcsinh64(widen(x)), x)


@kernel
def arccosh(x):
    """Inverse hyperbolic cosine."""
    return narrow(arccosh64(widen(x)), x)


@kernel
def arctanh(x):
    """Inverse hyperbolic tangent."""
    return narrow(arctanh64(widen(x)), x)


@kernel
def arctan2(y, x):
    """The angle of the vector (x, y)."""
    return narrow(arctan2_64(widen(y), widen(x)), x + y)


@kernel
def hypot(x, y):
    """The length of the vector (x, y)."""
    a, b = widen(x), widen(y)
    return narrow(select(is_single(x) & is_single(y), hypot32(a, b), hypot64(a, b)), x + y)


@kernel
def logaddexp(x, y):
    """log(e**x + e**y)."""
    return narrow(logaddexp64(widen(x), widen(y)), x + y)


@kernel
def logaddexp2(x, y):
    """log2(2**x + 2**y)."""
    return narrow(logaddexp2_64(widen(x), widen(y)), x + y)


@kernel
def cbrt(x):
    """Cube root."""
    return narrow(cbrt64(widen(x)), x)


@kernel
def power(x, y):
    """x**y, as numpy.power for floating-point arguments."""
    a, b = widen(x), widen(y)
    return narrow(select(is_single(x) & is_single(y), power32(a, b), power64(a, b)), x + y)


@kernel
def erf(x):
    """Error function."""
    return narrow(erf64(widen(x)), x)


@kernel
def erfc(x):
    """1 - erf(x), accurate for large x."""
    return narrow(erfc64(widen(x)), x)


KERNELS = {
    "exp": exp,
    "expm1": expm1,
    "exp2": exp2,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "sinh": sinh,
    "cosh": cosh,
    "log": log,
    "log1p": log1p,
    "log2": log2,
    "log10": log10,
    "softplus": softplus,
    "sin": sin,
    "cos": cos,
    "tan": tan,
    "arctan": arctan,
    "arcsin": arcsin,
    "arccos": arccos,
    "arcsinh": arcsinh,
    "arccosh": arccosh,
    "arctanh": arctanh,
    "arctan2": arctan2,
    "hypot": hypot,
    "logaddexp": logaddexp,
    "logaddexp2": logaddexp2,
    "cbrt": cbrt,
    "power": power,
    "erf": erf,
    "erfc": erfc,
}
