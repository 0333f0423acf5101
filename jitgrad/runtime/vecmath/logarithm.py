"""log, log1p, log2, log10, softplus, logaddexp.

Method (Cody & Waite 1980; Muller, Elementary Functions): the argument is 2**k (1 + f) with 1 + f in
[sqrt(1/2), sqrt(2)); with s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - s f + s R(s**2), and f - s f is
written so that its leading terms f - f**2/2 carry no error. R is minimax (Remez, 45-digit arithmetic) to
2**-58 of the result.
"""

from math import inf, nan

from jitgrad.runtime.vecmath._build import (
    bits,
    estrin,
    fabs,
    from_bits,
    kernel,
    mad,
    select,
    shift_right,
)
from jitgrad.runtime.vecmath.exponential import LN2_HI, LN2_LO, exp2_64, exp64

LOG10_2_HI = 0.3010299956640665  # 38 bits, as LN2_HI
LOG10_2_LO = -8.532344317057107e-14
LN2 = 0.6931471805599453
LOG2_E = 1.4426950408889634
LOG10_E = 0.4342944819032518

SQRT_HALF = 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)
ONE = 1023 << 52  # the bits of 1.0
MANTISSA = (1 << 52) - 1
TWO_52 = 1127 - 52 << 52  # the bits of 2.0**52
SMALLEST_NORMAL = 2.2250738585072014e-308

# (2 atanh(s) - 2 s) / s**3 in z = s**2, |s| <= (sqrt 2 - 1) / (sqrt 2 + 1)
LOG = (
    0.6666666666666713,
    0.3999999999952486,
    0.2857142872193822,
    0.22222200403240525,
    0.18183479051065704,
    0.15316043951193578,
    0.1477747656979198,
)


@kernel
def split(x):
    """k (as float) and 1 + f for normal positive x."""
    shifted = bits(x) + (ONE - SQRT_HALF)
    k = from_bits(shift_right(shifted, 52) | TWO_52) - (4503599627370496.0 + 1023.0)
    return k, from_bits((shifted & MANTISSA) + SQRT_HALF)


@kernel
def lift(x):
    """Subnormal x times 2**54, and the exponent to add."""
    small = x < SMALLEST_NORMAL
    return select(small, x * 18014398509481984.0, x), select(small, -54.0, 0.0)


@kernel
def log1p_parts(f):
    """log(1 + f) as f - rest for f in [sqrt(1/2) - 1, sqrt(2) - 1)."""
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    return half - s * mad(z, estrin(z, LOG), half)


@kernel
def edges(x, value):
    """The value of a logarithm with the ends of its domain put right."""
    value = select(x < inf, value, x)
    return select(x > 0.0, value, select(x == 0.0, -inf, nan))


@kernel
def log64(x):
    """Natural logarithm; at most 1 ulp."""
    lifted, offset = lift(x)
    k, m = split(lifted)
    k += offset
    f = m - 1.0
    return edges(x, mad(k, LN2_HI, f - (log1p_parts(f) - k * LN2_LO)))


@kernel
def log_one_plus_parts(u, lost, places):
    """log(2**places (u + lost)), where u > 0 is a sum of 1 and something, and `lost` what its rounding lost."""
    k, m = split(u)
    scale = select(u < 1e16, from_bits(ONE + (bits(m) - bits(u))), 0.0)  # 2**-k, where anything is lost
    f = mad(lost, scale, m - 1.0)
    k += places
    return mad(k, LN2_HI, f - (log1p_parts(f) - k * LN2_LO))


@kernel
def log_one_plus(x, u):
    """log(1 + x) for x > -1, u = 1 + x rounded."""
    return log_one_plus_parts(u, x - (u - 1.0), 0.0)


@kernel
def log1p_64(x):
    """log(1 + x); at most 1.3 ulp."""
    u = 1.0 + x
    return select(x == 0.0, x, edges(u, log_one_plus(x, u)))


@kernel
def softplus64(x):
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)); at most 2 ulp."""
    e = exp64(-fabs(x))
    return select(x > 0.0, x, 0.0) + log_one_plus(e, 1.0 + e)


@kernel
def logaddexp64(x, y):
    """log(exp(x) + exp(y)); within 2 ulp of the larger of the result and its two parts."""
    large, small = select(x > y, x, y), select(x > y, y, x)
    e = exp64(small - large)
    return select(x == y, x + LN2, large + log_one_plus(e, 1.0 + e))


@kernel
def logaddexp2_64(x, y):
    """The same to base 2."""
    large, small = select(x > y, x, y), select(x > y, y, x)
    e = exp2_64(small - large)
    return select(x == y, x + 1.0, mad(log_one_plus(e, 1.0 + e), LOG2_E, large))


@kernel
def log2_64(x):
    """Logarithm to base 2; at most 2 ulp; exact at powers of two."""
    lifted, offset = lift(x)
    k, m = split(lifted)
    f = m - 1.0
    return edges(x, mad(f - log1p_parts(f), LOG2_E, k + offset))


@kernel
def log10_64(x):
    """Logarithm to base 10; at most 2 ulp."""
    lifted, offset = lift(x)
    k, m = split(lifted)
    k += offset
    f = m - 1.0
    return edges(x, mad(k, LOG10_2_HI, mad(f - log1p_parts(f), LOG10_E, k * LOG10_2_LO)))
