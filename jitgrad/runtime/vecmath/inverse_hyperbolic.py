"""arcsinh, arccosh, arctanh: logarithms of 1 + w, where w comes with its rounding error."""

from math import inf, nan

from jitgrad.runtime.vecmath._build import copysign, fabs, fma, kernel, mad, select, sqrt
from jitgrad.runtime.vecmath.logarithm import log_one_plus_parts

LARGE = 1e8  # from here on x**2 + 1 and x**2 - 1 are x**2


@kernel
def log_of_sum(t, w, w_low, large):
    """log(1 + w + w_low), or log(2 t) if t is large."""
    u = select(large, t, 1.0 + w)
    lost = select(large, 0.0, (w - (u - 1.0)) + w_low)
    return log_one_plus_parts(u, lost, select(large, 1.0, 0.0))


@kernel
def arcsinh64(x):
    """log(1 + w), w = t + t**2 / (1 + sqrt(1 + t**2)), t = |x|; at most 2 ulp."""
    t = fabs(x)
    large = t > LARGE
    bounded = select(large, 1.0, t)
    square = bounded * bounded
    more = square / (1.0 + sqrt(1.0 + square))
    w = bounded + more
    value = log_of_sum(t, w, more - (w - bounded), large)
    return copysign(select(t < inf, value, t), x)


@kernel
def arccosh64(x):
    """log(1 + w), w = t + sqrt(t**2 + 2 t), t = x - 1; at most 2 ulp; NaN below 1."""
    large = x > LARGE
    t = select(large, 1.0, x - 1.0)
    square = fma(t, t, t + t)
    root = sqrt(square)
    root_low = select(root > 0.0, fma(-root, root, square) / (root + root), 0.0)
    w = root + t
    value = log_of_sum(x, w, (t - (w - root)) + root_low, large)
    return select(x < inf, select(x >= 1.0, value, nan), x)


@kernel
def arctanh64(x):
    """log(1 + q) / 2, q = 2 t / (1 - t), t = |x|; at most 1.5 ulp; NaN beyond 1."""
    t = fabs(x)
    inside = t < 1.0
    bounded = select(inside, t, 0.0)
    below = 1.0 - bounded
    twice = bounded + bounded
    inverse = 1.0 / below
    q = twice * inverse
    q_low = mad(-q, (1.0 - below) - bounded, fma(-q, below, twice)) * inverse
    value = 0.5 * log_of_sum(t, q, q_low, False)
    return copysign(select(inside, value, select(t == 1.0, inf, nan)), x)
