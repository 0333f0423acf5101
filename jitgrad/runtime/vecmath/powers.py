"""power.

Method (after Cody & Waite 1980 and Muller, Elementary Functions): log|x| as a double-double to about
2**-66, times y, into an exponential whose only rounding at full size is the last, so that a representable
result (3.0**2, 1.5**4, 0.25**0.5) comes out exact. The polynomial is minimax by Remez exchange in 45-digit
arithmetic.
"""

from math import inf, nan

from jitgrad.runtime.vecmath._build import (
    ROUND,
    copysign,
    estrin,
    fabs,
    fma,
    kernel,
    mad,
    rint,
    select,
)
from jitgrad.runtime.vecmath.exponential import EXP, LN2_HI, LN2_LO, LOG2_E, clamp, scale
from jitgrad.runtime.vecmath.logarithm import lift, split
from jitgrad.runtime.vecmath.single import exp32, log32

TWO_THIRDS = 0.6666666666666666
TWO_THIRDS_LOW = 3.700743415417188e-17
# (2 atanh(s) - 2 s - 2 s**3 / 3) / s**5 in s**2, to 2**-71 of the logarithm
LOG_TAIL = (
    0.39999999999999997,
    0.28571428571432833,
    0.22222222220241059,
    0.18181818568729693,
    0.15384575673066903,
    0.13335652430609032,
    0.1168729900954737,
    0.11892407405448754,
)


@kernel
def log_parts(x):
    """log(x) for finite x > 0, as an unevaluated sum good to 2**-66."""
    lifted, offset = lift(x)
    k, m = split(lifted)
    k += offset
    f = m - 1.0
    d = 2.0 + f
    inverse = 1.0 / d
    s = f * inverse
    s_low = mad(-s, f - (d - 2.0), fma(-s, d, f)) * inverse
    z = s * s
    z_low = mad(s + s, s_low, fma(s, s, -z))
    tail = z * estrin(z, LOG_TAIL)
    c = TWO_THIRDS + tail
    c_low = (tail - (c - TWO_THIRDS)) + TWO_THIRDS_LOW
    t = z * c
    t_low = mad(z_low, c, mad(z, c_low, fma(z, c, -t)))
    w = s * t
    w_low = mad(s_low, 2.0 + t, mad(s, t_low, fma(s, t, -w)))
    whole = k * LN2_HI
    twice = s + s
    sum1 = whole + twice
    sum2 = sum1 + w
    low = (twice - (sum1 - whole)) + (w - (sum2 - sum1)) + mad(k, LN2_LO, w_low)
    high = sum2 + low
    return high, low - (high - sum2)


@kernel
def exp_parts(x, x_low):
    """exp(x + x_low) = 2**n (p + p_low), p near 1: p, p_low, n."""
    n = mad(x, LOG2_E, ROUND) - ROUND
    big = mad(-n, LN2_HI, x)
    small = mad(-n, LN2_LO, x_low)
    r = big + small
    r_low = small - (r - big)
    head = 1.0 + r
    tail = mad(r * r, estrin(r, EXP), mad(r, r_low, r_low)) + (r - (head - 1.0))
    p = head + tail
    return p, tail - (p - head), n


@kernel
def exp_of_sum(x, x_low):
    """exp(x + x_low), about 0.6 ulp; x_low is ignored where the result over- or underflows."""
    inside = (x < 710.0) & (x > -746.0)
    p, _, n = exp_parts(clamp(x, -746.0, 710.0), select(inside, x_low, 0.0))
    return scale(p, n)


@kernel
def signed_power(x, y, size):
    """The cases of power, given size = |x|**y for finite x != 0."""
    size_x = fabs(x)
    ends = select((y < 0.0) == (size_x < 1.0), inf, 0.0)
    value = select((size_x == 0.0) | (size_x == inf), ends, size)
    half = 0.5 * y
    whole = rint(y) == y
    odd = whole & (rint(half) != half)
    value = select(odd, copysign(value, x), value)
    value = select((x < 0.0) & (size_x < inf) & (not whole), nan, value)
    value = select((size_x >= 0.0) & (fabs(y) >= 0.0), value, nan)
    return select((x == 1.0) | (y == 0.0), 1.0, value)


@kernel
def power64(x, y):
    """x**y with the special cases of C's pow; at most 1 ulp."""
    high, low = log_parts(fabs(x))
    exponent = select(fabs(y) > 1e300, copysign(1e300, y), y)
    product = exponent * high
    return signed_power(x, y, exp_of_sum(product, mad(exponent, low, fma(exponent, high, -product))))


@kernel
def power32(x, y):
    """The same for float32 arguments held in float64, where a logarithm in one part is exact enough."""
    exponent = select(fabs(y) > 1e300, copysign(1e300, y), y)
    return signed_power(x, y, exp32(exponent * log32(fabs(x))))
