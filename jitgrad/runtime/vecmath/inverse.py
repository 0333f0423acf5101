"""arctan, arcsin, arccos, cbrt.

Method (Cody & Waite 1980; Muller, Elementary Functions): the argument is brought to [-1/2, 1/2] by an
identity that needs one division or square root, whose rounding error is computed and added back, and a
minimax polynomial (Remez, 45-digit arithmetic) does the rest.
"""

from math import inf

from jitgrad.runtime.vecmath._build import (
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
    sqrt,
)
from jitgrad.runtime.vecmath.exponential import BIASED_ROUND
from jitgrad.runtime.vecmath.logarithm import MANTISSA, ONE, TWO_52, lift

PI_2 = 1.5707963267948966
PI_2_LOW = 6.123233995736766e-17
PI_4 = 0.7853981633974483
PI_4_LOW = 3.061616997868383e-17
TAN_3PI_8 = 2.414213562373095
CBRT_2 = 1.2599210498948732
CBRT_4 = 1.5874010519681996

# (atan(r) - r) / r**3 in r**2, |r| <= 1/2, to 2**-57.6 of r
ARCTAN = (
    -0.3333333333333324,
    0.1999999999994995,
    -0.1428571427956613,
    0.11111110772278605,
    -0.09090898629604229,
    0.07692106280990166,
    -0.06664102415716358,
    0.05860066297476682,
    -0.05129116917356871,
    0.04204733394955137,
    -0.027704418730903724,
    0.010291675705760032,
)
# (asin(s) - s) / s**3 in s**2, |s| <= 1/2, to 2**-59.6 of s
ARCSIN = (
    0.16666666666666688,
    0.0749999999998538,
    0.04464285716333661,
    0.03038194316687119,
    0.02237220368382038,
    0.017351793121090153,
    0.013978854678507034,
    0.011413646957362201,
    0.010703891562787783,
    0.003975134127457617,
    0.02109441958004596,
    -0.020181312280991813,
    0.0321443643657287,
)
# m**(-1/3) on [1, 2], to 2**-14.7 of it
INVERSE_CBRT = (
    1.670021026790868,
    -1.1728982373518144,
    0.6954782172452784,
    -0.22122575275523554,
    0.02858742194595232,
)


@kernel
def arctan64(x):
    """atan|x|: as it is to 1/2, pi/4 + atan((t-1)/(t+1)) to tan(3 pi/8), then pi/2 - atan(1/t); at most 1
    ulp.
    """
    t = fabs(x)
    t = select(t > 1e18, 1e18, t)
    middle = t > 0.5
    large = t > TAN_3PI_8
    a = select(large, -1.0, select(middle, t - 1.0, t))
    above = t + 1.0
    b = select(large, t, select(middle, above, 1.0))
    b_low = select(middle, select(large, 0.0, t - (above - 1.0)), 0.0)
    inverse = 1.0 / b
    q = a * inverse
    q_low = mad(-q, b_low, fma(-q, b, a)) * inverse
    z = q * q
    base_low = select(large, PI_2_LOW, select(middle, PI_4_LOW, 0.0))
    base = select(large, PI_2, select(middle, PI_4, 0.0))
    tail = mad(z * q, halves(z, ARCTAN), q_low + base_low)
    return copysign(base + (q + tail), x)


@kernel
def arcsin_parts(t):
    """asin(t) for t <= 1/2, else acos(t) = 2 asin(sqrt((1 - t) / 2)), as a sum; and which."""
    large = t > 0.5
    z = select(large, 0.5 - 0.5 * t, t * t)
    root = sqrt(z)
    s = select(large, root, t)
    s_low = select(large & (root > 0.0), fma(-root, root, z) / (root + root), 0.0)
    double = select(large, 2.0, 1.0)
    return double * s, double * mad(s * z, halves(z, ARCSIN), s_low), large


@kernel
def add_parts(base, base_low, a, a_low):
    """base + base_low + a + a_low, where base is 0 or larger than a."""
    total = base + a
    return total + ((a - (total - base)) + (a_low + base_low))


@kernel
def arcsin64(x):
    """Inverse sine; at most 1 ulp; NaN beyond 1."""
    a, a_low, large = arcsin_parts(fabs(x))
    sign = select(large, -1.0, 1.0)
    value = add_parts(select(large, PI_2, 0.0), select(large, PI_2_LOW, 0.0), sign * a, sign * a_low)
    return copysign(value, x)


@kernel
def arccos64(x):
    """Inverse cosine; at most 1 ulp; NaN beyond 1."""
    a, a_low, large = arcsin_parts(fabs(x))
    sign = select(large == (x > 0.0), 1.0, -1.0)
    turns = select(large, select(x > 0.0, 0.0, 2.0), 1.0)
    return add_parts(turns * PI_2, turns * PI_2_LOW, sign * a, sign * a_low)


@kernel
def cbrt64(x):
    """Cube root; at most 1 ulp.

    |x| = 2**(3 q) M, M in [1, 8): one step of fourth order towards M**(-1/3), then one Newton step for the
    root itself with an exact residual.
    """
    lifted, offset = lift(fabs(x))
    pattern = bits(lifted)
    k = from_bits(shift_right(pattern, 52) | TWO_52) - (4503599627370496.0 + 1023.0) + offset
    m = from_bits((pattern & MANTISSA) | ONE)
    shifted = mad(k - 1.0, 0.3333333333333333, BIASED_ROUND)
    rest = k - 3.0 * (shifted - BIASED_ROUND)
    y = estrin(m, INVERSE_CBRT) * select(rest == 0.0, 1.0, select(rest == 1.0, 1.0 / CBRT_2, 1.0 / CBRT_4))
    m *= select(rest == 0.0, 1.0, select(rest == 1.0, 2.0, 4.0))
    h = mad(-m * y, y * y, 1.0)
    y = mad(y * h, mad(h, mad(h, 14.0 / 81.0, 2.0 / 9.0), 1.0 / 3.0), y)
    square = y * y
    c = m * square
    c2 = c * c
    residual = mad(-fma(c, c, -c2), c, fma(-c2, c, m))
    value = mad(residual, square * 0.3333333333333333, c) * from_bits(bits(shifted) << 52)
    return select((x != 0.0) & (fabs(x) < inf), copysign(value, x), x)
