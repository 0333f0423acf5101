"""Elementary functions that LLVM vectorises inside the caller's loop.

`KERNELS` maps a NumPy ufunc's name (and sigmoid, softplus, erf, erfc) to a kernel for scalar
arguments, float64 or float32, to be called from compiled code: Numba without SVML calls the C library, one
element at a time, for each of these. They are within 2 ulp of the exact value over the whole range, special
cases included.

Compiled kernels are kept in Numba's cache: in `__pycache__` beside these files if that can be written, else
in the user's cache directory; NUMBA_CACHE_DIR overrides both. Code that is
cached with kernels inlined in it is stale when `SOURCE_HASH` changes.
"""

from jitgrad.runtime.vecmath._build import SOURCE_HASH
from jitgrad.runtime.vecmath.kernels import (
    KERNELS,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    cbrt,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    hypot,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logaddexp2,
    power,
    sigmoid,
    sin,
    sinh,
    softplus,
    tan,
    tanh,
)
from jitgrad.runtime.vecmath.waiting import cos_waited_for, sin_waited_for, tanh_waited_for

__all__ = [
    "KERNELS",
    "SOURCE_HASH",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "cos",
    "cos_waited_for",
    "cosh",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "hypot",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "power",
    "sigmoid",
    "sin",
    "sin_waited_for",
    "sinh",
    "softplus",
    "tan",
    "tanh",
    "tanh_waited_for",
]
