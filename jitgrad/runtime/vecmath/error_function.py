"""erf and erfc.

Both polynomials are minimax (Remez, 60-digit arithmetic) in the relative error of the result. erfc's change
of variable is that of Shepherd & Laframboise (1981).
"""

from jitgrad.runtime.vecmath._build import (
    copysign,
    fabs,
    fma,
    horner,
    kernel,
    mad,
    select,
)
from jitgrad.runtime.vecmath.exponential import expm1_parts, scale
from jitgrad.runtime.vecmath.powers import exp_parts

# log(erfc(t)) / t on [0, 5.95]
LOG_ERFC = (
    -1.1283791670955126,
    -0.6366197723675836,
    -0.10277260330178863,
    0.019128447005067994,
    0.00020919469486349444,
    -0.001696206385852724,
    0.0005901255532234582,
    -2.587860484434956e-05,
    -6.449186060091851e-05,
    2.9724047438619234e-05,
    -3.407269215124815e-06,
    -2.8351348149012478e-06,
    1.7415425808129634e-06,
    -3.363620154051039e-07,
    -1.3718253727857898e-07,
    1.4176136072423258e-07,
    -6.57328774115395e-08,
    2.0962326394014754e-08,
    -4.9975878015036535e-09,
    9.081930067281113e-10,
    -1.24835532884741e-10,
    1.2610291632491487e-11,
    -8.844956344597634e-13,
    3.850199345664526e-14,
    -7.833392995018478e-16,
)
# exp(t**2) erfc(t) (t + 3) in u = (t - 3) / (t + 3), t in [0, 27.4], to 2**-57
SCALED_ERFC = (
    1.0740069070883398,
    -0.8833944531698835,
    0.5902283571040995,
    -0.3104672619005736,
    0.11952776128743416,
    -0.026827234624320146,
    -0.0012124166305762072,
    0.0030340619992096397,
    -0.000548309651739913,
    -0.0002767778307586152,
    0.00010756121228356961,
    3.039807475247264e-05,
    -1.7469407752274496e-05,
    -4.748847240304943e-06,
    2.7622911486044527e-06,
    9.977368326780763e-07,
    -4.0272432684792987e-07,
    -2.3113219881385476e-07,
    4.0699088315039255e-08,
    4.746434657673392e-08,
    1.9078124366677624e-09,
    -6.002774346545239e-09,
    -1.40841901097006e-09,
)
SCALED_ERFC_LOW = (-8.215797026754496e-17, -3.765288471990549e-17)  # what rounding took from the first two
# the first terms of its derivative, for a correction that needs three bits
SLOPE = (
    -0.8834,
    1.1805,
    -0.9314,
    0.4781,
    -0.1341,
)


@kernel
def erf64(x):
    """erf = -expm1(log(erfc|x|)), the logarithm being a polynomial; at most 1.5 ulp."""
    t = fabs(x)
    t = select(t > 5.95, 5.95, t)
    factor = horner(t, LOG_ERFC)
    high, low = expm1_parts(t * factor, fma(t, factor, -(t * factor)), 0.0)
    return copysign(high + low, x)


@kernel
def two_sum(a, b):
    """a + b rounded, and its rounding error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@kernel
def erfc64(x):
    """erfc = exp(-t**2) P(u) / (t + 3), t = |x|, u = (t - 3) / (t + 3) = 1 - 6 / (t + 3); at most 1.5 ulp.

    The error of each factor is carried along: four plain roundings would add up to 3 ulp.
    """
    t = fabs(x)
    t = select(t > 28.0, 28.0, t)
    below, below_low = two_sum(t, 3.0)
    inverse = 1.0 / below
    inverse_low = mad(-inverse, below_low, fma(-inverse, below, 1.0)) * inverse
    six = 6.0 * inverse
    u, u_low = two_sum(1.0, -six)
    u_low -= mad(6.0, inverse_low, fma(6.0, inverse, -six))
    p, p_low = two_sum(SCALED_ERFC[0], u * horner(u, SCALED_ERFC[1:]))
    p_low = mad(u_low, horner(u, SLOPE), p_low + horner(u, SCALED_ERFC_LOW))
    square = t * t
    e, e_low, n = exp_parts(-square, -fma(t, t, -square))
    r = e * inverse
    r_low = mad(e, inverse_low, mad(e_low, inverse, fma(e, inverse, -r)))
    value = r * p
    value += mad(r_low, p, mad(r, p_low, fma(r, p, -value)))
    value = scale(value, n)
    return select(x < 0.0, 2.0 - value, value)
