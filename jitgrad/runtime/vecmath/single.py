"""The most used functions for float32 arguments, but for sin and cos computed in float64.

Shorter polynomials, one-part constants and no care for subnormals: float64 has the room. Method and
notation are those of the float64 kernels; at most 0.75 ulp.
"""

import numpy as np

from jitgrad.runtime.vecmath._build import (
    ROUND_SINGLE,
    bits,
    copysign,
    estrin,
    fabs,
    fma,
    from_bits,
    is_odd,
    kernel,
    mad,
    select,
    turned,
)
from jitgrad.runtime.vecmath._rare import rarely
from jitgrad.runtime.vecmath.exponential import BIASED_ROUND, LOG2_E, clamp
from jitgrad.runtime.vecmath.logarithm import edges, split

LN2 = 0.6931471805599453
# to 2**-28 of exp
EXP = (
    0.5000000094447282,
    0.16666519269585733,
    0.04166621026567148,
    0.008368860547373198,
    0.001395017074839476,
)
# to 2**-36
LOG = (0.6666666564521052, 0.4000033528145891, 0.2853730143495347, 0.2358230390845879)

# The rest in float32 itself.
UNIT, MINUS_HALF = np.float32(1.0), np.float32(-0.5)
TWO_OVER_PI_32 = np.float32(0.63661975)
PIO2_1_32, PIO2_2_32, PIO2_3_32 = np.float32(1.5707964), np.float32(-4.371139e-08), np.float32(-1.7151245e-15)
LARGEST_32 = np.float32(131072.0)  # up to here the first product is subtracted exactly
rare_sin32, rare_cos32 = (rarely(name, LARGEST_32) for name in ("sin", "cos"))
# to 2**-28
SIN = tuple(map(np.float32, (-0.16666654866915434, 0.008332175289988034, -0.0001951696102224418)))
# to 2**-33
COS = tuple(map(np.float32, (0.04166665055091059, -0.0013887516900436946, 2.4453141460526196e-05)))


@kernel
def expm1_parts32(x):
    """p = expm1(r) and 2**n, for exp(x) = 2**n (1 + p)."""
    shifted = mad(x, LOG2_E, BIASED_ROUND)
    r = mad(-(shifted - BIASED_ROUND), LN2, x)
    return mad(r * r, estrin(r, EXP), r), from_bits(bits(shifted) << 52)


@kernel
def exp32(x):
    """exp."""
    p, power = expm1_parts32(clamp(x, -160.0, 160.0))
    return mad(p, power, power)


@kernel
def log32(x):
    """Natural logarithm, to 2**-36 because power multiplies the error."""
    k, m = split(x)
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    return edges(x, mad(k, LN2, mad(s * z, estrin(z, LOG), s + s)))


@kernel
def tanh32(x):
    """tanh = m / (m + 2), m = expm1(2|x|)."""
    size = fabs(x)
    p, power = expm1_parts32(2.0 * select(size > 12.0, 12.0, size))
    m = mad(p, power, power - 1.0)
    return copysign(m / (m + 2.0), x)


@kernel
def sigmoid32(x):
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + exp32(-x))


@kernel
def sin_cos32(x):
    """n + ROUND_SINGLE, and sin and cos of x - n pi/2, all in float32: each product is rounded with its sum."""
    shifted = mad(x, TWO_OVER_PI_32, ROUND_SINGLE)
    n = shifted - ROUND_SINGLE
    r = fma(-n, PIO2_3_32, fma(-n, PIO2_2_32, fma(-n, PIO2_1_32, x)))
    z = r * r
    return shifted, mad(z * r, estrin(z, SIN), r), mad(z * z, estrin(z, COS), mad(z, MINUS_HALF, UNIT))


@kernel
def sin32(x):
    """Sine; at most 1.7 ulp."""
    shifted, sine, cosine = sin_cos32(x)
    value = turned(select(is_odd(shifted), cosine, sine), shifted)
    return select(fabs(x) > LARGEST_32, rare_sin32(x), select(x == 0, x, value))


@kernel
def cos32(x):
    """Cosine; at most 1.7 ulp."""
    shifted, sine, cosine = sin_cos32(x)
    value = turned(select(is_odd(shifted), sine, cosine), shifted + UNIT)
    return select(fabs(x) > LARGEST_32, rare_cos32(x), value)
