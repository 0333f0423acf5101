"""sin, cos, tan.

Method (Cody & Waite 1980; Muller, Elementary Functions): x = n pi/2 + r + r_low with |r| <= pi/4, pi/2 in
three float64 parts. The first product is subtracted exactly by a fused multiply-add (x - n PIO2_1 is a
multiple of 2**-53 below 2), the second with its error term. Both minimax polynomials (Remez, 45-digit
arithmetic) are evaluated, and the low bits of n choose between them.

This holds up to |x| = 2**47 = 1.4e14; beyond, the C library is asked, out of the loop's way (`_rare`).
"""

from jitgrad.runtime.vecmath._build import (
    ROUND,
    bits,
    estrin,
    fabs,
    fma,
    from_bits,
    kernel,
    mad,
    select,
)
from jitgrad.runtime.vecmath._rare import rarely
from jitgrad.runtime.vecmath.exponential import divide_parts

TWO_OVER_PI = 0.6366197723675814
PIO2_1 = 1.5707963267948966
PIO2_2 = 6.123233995736766e-17
PIO2_3 = -1.4973849048591815e-33
LARGEST = 140737488355328.0
rare_sin, rare_cos, rare_tan = (rarely(name, LARGEST) for name in ("sin", "cos", "tan"))

# (sin(r) - r) / r**3 in r**2, |r| <= pi/4, to 2**-58 of r
SIN = (
    -0.16666666666666638,
    0.00833333333332331,
    -0.00019841269830367248,
    2.755731385158041e-06,
    -2.505077939498737e-08,
    1.5897870561309197e-10,
)
# (cos(r) - 1 + r**2 / 2) / r**4 in r**2, to 2**-63
COS = (
    0.04166666666666666,
    -0.0013888888888882612,
    2.4801587294180202e-05,
    -2.7557315577952864e-07,
    2.087587579007431e-09,
    -1.136695288570118e-11,
)


@kernel
def reduce(x):
    """n as an integer (its low bits), r and r_low."""
    shifted = mad(x, TWO_OVER_PI, ROUND)
    n = shifted - ROUND
    first = fma(-n, PIO2_1, x)
    second = n * PIO2_2
    r = first - second
    lost = fma(n, PIO2_2, -second)
    return bits(shifted), r, ((first - r) - second) - mad(n, PIO2_3, lost)


@kernel
def sin_cos(r, r_low):
    """sin and cos of r + r_low."""
    z = r * r
    sine = r + mad(z * r, estrin(z, SIN), mad(-0.5 * z, r_low, r_low))
    half = 0.5 * z
    head = 1.0 - half
    return sine, head + (mad(z * z, estrin(z, COS), (1.0 - head) - half) - r * r_low)


@kernel
def sin64(x):
    """Sine; at most 1 ulp."""
    n, r, r_low = reduce(x)
    sine, cosine = sin_cos(r, r_low)
    value = select((n & 1) == 0, sine, cosine)
    value = from_bits(bits(value) ^ ((n & 2) << 62))
    value = select(x == 0.0, x, value)
    return select(fabs(x) > LARGEST, rare_sin(x), value)


@kernel
def cos64(x):
    """Cosine; at most 1 ulp."""
    n, r, r_low = reduce(x)
    sine, cosine = sin_cos(r, r_low)
    value = select((n & 1) == 0, cosine, sine)
    value = from_bits(bits(value) ^ (((n + 1) & 2) << 62))
    return select(fabs(x) > LARGEST, rare_cos(x), value)


@kernel
def tan64(x):
    """Tangent: sin/cos or -cos/sin, both with their low parts; at most 1.5 ulp."""
    n, r, r_low = reduce(x)
    z = r * r
    half = 0.5 * z
    sine_tail = mad(z * r, estrin(z, SIN), mad(-half, r_low, r_low))
    cosine_head = 1.0 - half
    cosine_tail = mad(z * z, estrin(z, COS), (1.0 - cosine_head) - half) - r * r_low
    sine = r + sine_tail
    sine_tail -= sine - r
    cosine = cosine_head + cosine_tail
    cosine_tail -= cosine - cosine_head
    even = (n & 1) == 0
    value = divide_parts(
        select(even, sine, -cosine),
        select(even, sine_tail, -cosine_tail),
        select(even, cosine, sine),
        select(even, cosine_tail, sine_tail),
    )
    return select(fabs(x) > LARGEST, rare_tan(x), select(x == 0.0, x, value))
