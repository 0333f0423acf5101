"""The most used functions for float32 arguments, computed in float64.

Shorter polynomials, one-part constants and no care for subnormals: float64 has the room. Method and
notation are those of the float64 kernels; at most 0.75 ulp.
"""

from math import nan

from jitgrad.runtime.vecmath._build import (
    ROUND,
    bits,
    copysign,
    estrin,
    fabs,
    fma,
    from_bits,
    kernel,
    mad,
    select,
)
from jitgrad.runtime.vecmath.exponential import BIASED_ROUND, LOG2_E, clamp
from jitgrad.runtime.vecmath.logarithm import edges, split
from jitgrad.runtime.vecmath.trigonometric import LARGEST, PIO2_1, PIO2_2, TWO_OVER_PI

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
# to 2**-28
SIN = (-0.16666654866915434, 0.008332175289988034, -0.0001951696102224418)
# to 2**-33
COS = (0.04166665055091059, -0.0013887516900436946, 2.4453141460526196e-05)


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
def reduce32(x):
    """n as an integer and sin and cos of the rest."""
    shifted = mad(x, TWO_OVER_PI, ROUND)
    n = shifted - ROUND
    r = mad(-n, PIO2_2, fma(-n, PIO2_1, x))
    z = r * r
    return bits(shifted), mad(z * r, estrin(z, SIN), r), mad(z * z, estrin(z, COS), mad(z, -0.5, 1.0))


@kernel
def sin32(x):
    """Sine."""
    n, sine, cosine = reduce32(x)
    value = select((n & 1) == 0, sine, cosine)
    value = from_bits(bits(value) ^ ((n & 2) << 62))
    return select(fabs(x) <= LARGEST, select(x == 0.0, x, value), nan)


@kernel
def cos32(x):
    """Cosine."""
    n, sine, cosine = reduce32(x)
    value = select((n & 1) == 0, cosine, sine)
    return select(fabs(x) <= LARGEST, from_bits(bits(value) ^ (((n + 1) & 2) << 62)), nan)
