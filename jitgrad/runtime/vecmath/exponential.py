"""exp, expm1, exp2 and what is built on them: sigmoid, tanh, sinh, cosh.

Method (Cody & Waite 1980; Muller, Elementary Functions): x = n ln2 + r with |r| <= ln2/2, ln2 in two parts,
then 2**n times a polynomial. The polynomials are minimax on the reduced interval, by Remez exchange in
45-digit arithmetic, coefficients rounded to float64; the relative error left is stated with each.
"""

from jitgrad.runtime.vecmath._build import (
    ROUND,
    bits,
    copysign,
    estrin,
    fabs,
    fma,
    from_bits,
    halves,
    kernel,
    mad,
    select,
    shift_right,
)

LOG2_E = 1.4426950408889634
LN2_HI = 0.6931471805582987  # 38 bits: n * LN2_HI is exact for |n| < 2**15
LN2_LO = 1.6465949582897082e-12
TWICE_BIASED_ROUND = ROUND + 2046.0
BIASED_ROUND = ROUND + 1023.0  # the low bits of x + BIASED_ROUND are the exponent field of 2**rint(x)

# (exp(r) - 1 - r) / r**2 on |r| <= ln2/2; 2**-58 of exp(r)
EXP = (
    0.5000000000000012,
    0.166666666666667,
    0.04166666666651545,
    0.008333333333307325,
    0.0013888888947011125,
    0.000198412699170794,
    2.4801489944816155e-05,
    2.7557216585289434e-06,
    2.763127998024311e-07,
    2.51177702462664e-08,
)
# the same to 2**-61.7 of expm1(r)
EXPM1 = (
    0.5,
    0.16666666666666677,
    0.0416666666666667,
    0.008333333333321664,
    0.0013888888888866958,
    0.0001984126988604633,
    2.4801587360443003e-05,
    2.755724428347918e-06,
    2.7557242741970804e-07,
    2.510901353152813e-08,
    2.0924478806859828e-09,
)
# (2**r - 1) / r on |r| <= 1/2, to 2**-58
EXP2 = (
    0.6931471805599453,
    0.24022650695910133,
    0.05550410866482174,
    0.00961812910759347,
    0.0013333558146379151,
    0.00015403530457924522,
    1.5252733867552458e-05,
    1.321543488362989e-06,
    1.0178046404668016e-07,
    7.073850411443248e-09,
    4.4574021134769596e-10,
)


@kernel
def clamp(x, low, high):
    """x limited to [low, high]; NaN stays NaN."""
    x = select(x > high, high, x)
    return select(x < low, low, x)


@kernel
def powers(shifted):
    """Two powers of two whose product is 2**n, given n + TWICE_BIASED_ROUND: beyond one float64 where n is."""
    k = bits(shifted)
    half = shift_right(k, 1)
    return from_bits(half << 52), from_bits((k - half) << 52)


@kernel
def scale(p, n):
    """p * 2**n for p near 1, in an exact step and one rounding, so that subnormal results are right."""
    first, second = powers(n + TWICE_BIASED_ROUND)
    return p * first * second


@kernel
def exp64(x):
    """exp; at most 1 ulp."""
    x = clamp(x, -746.0, 710.0)
    shifted = mad(x, LOG2_E, TWICE_BIASED_ROUND)
    n = shifted - TWICE_BIASED_ROUND
    r = mad(-n, LN2_LO, mad(-n, LN2_HI, x))
    less_one = mad(r * r, halves(r, EXP), r)
    first, second = powers(shifted)
    return mad(less_one, first, first) * second


@kernel
def expm1_parts(x, x_low, places):
    """expm1(x + x_low) / 2**places as an unevaluated sum, the second part below half an ulp."""
    n = mad(x, LOG2_E, ROUND) - ROUND
    big = mad(-n, LN2_HI, x)
    r = mad(-n, LN2_LO, big)
    r_low = fma(-n, LN2_LO, big - r) + x_low
    one = from_bits(bits(BIASED_ROUND - places) << 52)
    power = from_bits(bits(n + (BIASED_ROUND - places)) << 52)
    tail = mad(r * r, estrin(r, EXPM1), mad(r_low, r, r_low))
    whole = power - one
    linear = power * r
    head = whole + linear
    low = mad(power, tail, linear - (head - whole))
    high = head + low
    return high, low - (high - head)


@kernel
def expm1_64(x):
    """expm1; at most 1 ulp."""
    high, low = expm1_parts(clamp(x, -50.0, 710.0), 0.0, 1.0)
    return select(fabs(x) < 1e-300, x, 2.0 * (high + low))


@kernel
def exp2_64(x):
    """2**x; at most 1.5 ulp; exact for whole x."""
    x = clamp(x, -1080.0, 1024.0)
    shifted = x + TWICE_BIASED_ROUND
    r = x - (shifted - TWICE_BIASED_ROUND)
    first, second = powers(shifted)
    return mad(r * estrin(r, EXP2), first, first) * second


@kernel
def divide_parts(a, a_low, b, b_low):
    """(a + a_low) / (b + b_low), nearly correctly rounded: one division and one Newton correction."""
    inverse = 1.0 / b
    q = a * inverse
    rest = fma(-q, b, a) + mad(-q, b_low, a_low)
    return mad(rest, inverse, q)


@kernel
def tanh64(x):
    """tanh = -m / (m + 2), m = expm1(-2|x|); at most 1.5 ulp."""
    size = fabs(x)
    high, low = expm1_parts(-2.0 * select(size > 20.0, 20.0, size), 0.0, 0.0)
    below = high + 2.0
    return copysign(divide_parts(high, low, below, (high - (below - 2.0)) + low), x)


@kernel
def sigmoid64(x):
    """1 / (1 + exp(-x)), through exp(-|x|) so that nothing overflows; at most 1.5 ulp."""
    e = exp64(-fabs(x))
    below = 1.0 + e
    return divide_parts(select(x >= 0.0, 1.0, e), 0.0, below, e - (below - 1.0))


@kernel
def sinh64(x):
    """sinh = (m + m/(m+1)) / 2, m = expm1|x|, all of it scaled by a quarter against overflow; at most 1.5
    ulp.
    """
    size = fabs(x)
    high, low = expm1_parts(select(size > 710.5, 710.5, size), 0.0, 2.0)
    below = high + 0.25
    part = below - high
    quotient = divide_parts(high, low, below, ((high - (below - part)) + (0.25 - part)) + low)
    value = 2.0 * (high + mad(0.25, quotient, low))
    return copysign(select(size < 1e-300, size, value), x)


@kernel
def cosh64(x):
    """cosh = e + 1/(4e), e = exp|x| / 2; at most 1.5 ulp."""
    size = fabs(x)
    size = select(size > 711.0, 711.0, size)
    n = mad(size, LOG2_E, ROUND) - ROUND
    r = mad(-n, LN2_LO, mad(-n, LN2_HI, size))
    p = mad(r * r, estrin(r, EXP), r) + 1.0
    e = p * from_bits(bits(n + (BIASED_ROUND - 2.0)) << 52)
    return 2.0 * (e + 0.0625 / e)
