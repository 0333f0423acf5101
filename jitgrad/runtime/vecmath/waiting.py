"""tanh, sin and cos for single numbers that are waited for.

In a recurrence nothing counts but how long the result of one step takes to come. The kernels for vectors go one way
for all arguments; here most arguments take a way without division or reduction, by a branch, which is foreseen where
arguments follow one another: a polynomial, x + x**3 P(x**2) or 1 + x**2 P(x**2), whose terms are added up in pairs,
of pairs. The others wait for the kernel.

The polynomials are near minimax (Chebyshev interpolation in 50-digit arithmetic), coefficients rounded to float64; the
error left, relative to the result, is stated with each. Results of both ways are within 2 ulp.
"""

from jitgrad.runtime.vecmath._build import copysign, estrin, fabs, is_single, kernel, mad, narrow, widen
from jitgrad.runtime.vecmath.kernels import cos, sin, tanh

# (tanh(x) - x) / x**3 in x**2, |x| <= 1, to 2**-57
TANH = (
    -0.3333333333333333,
    0.1333333333333309,
    -0.05396825396804637,
    0.02186948852912909,
    -0.008863235404578283,
    0.003592126679366341,
    -0.0014558246920964941,
    0.0005899792946300052,
    -0.00023895705228738225,
    9.646277743313181e-05,
    -3.8389607893147334e-05,
    1.4606131676715378e-05,
    -4.987760317520347e-06,
    1.3791814499083342e-06,
    -2.6330772232959337e-07,
    2.5155023659382105e-08,
)

# (sin(x) - x) / x**3 in x**2, |x| <= pi/2, to 2**-60; beyond 1.25 its terms cancel too much
SIN = (
    -0.16666666666666666,
    0.008333333333333316,
    -0.00019841269841254971,
    2.7557319219162273e-06,
    -2.5052107616873647e-08,
    1.6058977304519656e-10,
    -7.643970043159376e-13,
    2.731441604451164e-15,
)

# (cos(x) - 1) / x**2 in x**2, |x| <= 1, to 2**-67
COS = (
    -0.5,
    0.041666666666666664,
    -0.0013888888888888761,
    2.480158730148584e-05,
    -2.755731918411258e-07,
    2.087674847675659e-09,
    -1.1469738737883868e-11,
    4.7173894321989566e-14,
)


@kernel
def tanh_waited_for(x):
    """Hyperbolic tangent."""
    a = widen(x)
    if is_single(x) or not fabs(a) < 1.0:
        return tanh(x)
    z = a * a
    return narrow(copysign(mad(z * a, estrin(z, TANH), a), a), x)


@kernel
def sin_waited_for(x):
    """Sine."""
    a = widen(x)
    if is_single(x) or not fabs(a) < 1.25:
        return sin(x)
    z = a * a
    return narrow(copysign(mad(z * a, estrin(z, SIN), a), a), x)


@kernel
def cos_waited_for(x):
    """Cosine."""
    a = widen(x)
    if is_single(x) or not fabs(a) < 1.0:
        return cos(x)
    z = a * a
    return narrow(mad(z, estrin(z, COS), 1.0), x)
