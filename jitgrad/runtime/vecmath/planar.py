"""hypot and arctan2: length and angle of a vector.

Both work on the larger and the smaller of |x| and |y|, brought to a middling size by powers of two where squares or
quotients could leave the range of float64.
"""

from math import inf

from jitgrad.runtime.vecmath._build import bits, copysign, fabs, fma, halves, kernel, mad, select, sqrt
from jitgrad.runtime.vecmath.inverse import ARCTAN, PI_4, PI_4_LOW

UP, DOWN = 2.0**600, 2.0**-600
TINY, HUGE = 2.0**-450, 2.0**500  # whose squares are well within the range


@kernel
def sorted_sizes(x, y):
    """The larger and the smaller of |x| and |y|, and whether |x| is the larger."""
    a, b = fabs(x), fabs(y)
    first = a > b
    return select(first, a, b), select(first, b, a), first


@kernel
def hypot64(x, y):
    """sqrt(x**2 + y**2); at most 1.3 ulp; infinite if either is, whatever the other."""
    large, small, _ = sorted_sizes(x, y)
    scale = select(large > HUGE, DOWN, select(large < TINY, UP, 1.0))
    back = select(large > HUGE, UP, select(large < TINY, DOWN, 1.0))
    a, b = large * scale, small * scale
    value = sqrt(fma(a, a, b * b)) * back
    return select((fabs(x) == inf) | (fabs(y) == inf), inf, value)


@kernel
def hypot32(x, y):
    """The same for float32 arguments held in float64, which has room for their squares."""
    value = sqrt(mad(x, x, y * y))
    return select((fabs(x) == inf) | (fabs(y) == inf), inf, value)


@kernel
def ratio(small, large):
    """small / large in [0, 1] as whether it is over 1/2 and q + q_low.

    Over 1/2 it is (1 + q) / (1 - q), which turns the angle by pi/4.
    """
    over = small > 0.5 * large
    above = small + large
    a = select(over, small - large, small)
    b = select(over, above, large)
    b_low = select(over, small - (above - large), 0.0)
    inverse = 1.0 / b
    q = a * inverse
    q_low = mad(-q, b_low, fma(-q, b, a)) * inverse
    return over, q, select(small < 2.0**-900, 0.0, q_low)  # its remainder is nothing that a float64 can hold


@kernel
def finite_sizes(large, small):
    """Sizes with the same ratio whose quotient neither over- nor underflows on the way; (1, 1) for (inf, inf)."""
    small = select(large == inf, select(small == inf, 1.0, 0.0), small)
    large = select((large == inf) | (large == 0.0), 1.0, large)
    scale = select(large > 2.0**1000, 2.0**-100, select(large < 2.0**-800, 2.0**200, 1.0))
    return large * scale, small * scale


@kernel
def arctan2_64(y, x):
    """The angle of the vector (x, y); at most 1.5 ulp.

    The angle in the first eighth of the circle, then reflected at the diagonal and the axes: k quarters of pi, plus or
    minus what is left.
    """
    large, small, steep = sorted_sizes(y, x)
    large, small = finite_sizes(large, small)
    over, q, q_low = ratio(small, large)
    z = q * q
    tail = mad(z * q, halves(z, ARCTAN), q_low)
    left = bits(x) < 0
    k = select(over, 1.0, 0.0)
    k = select(steep, 2.0 - k, k)
    k = select(left, 4.0 - k, k)
    sign = select(steep != left, -1.0, 1.0)
    base = k * PI_4
    base_low = mad(k, PI_4_LOW, fma(k, PI_4, -base))
    q, tail = sign * q, sign * tail
    total = base + q
    value = total + ((q - (total - base)) + (tail + base_low))
    return select((x != x) | (y != y), x + y, copysign(value, y))
