"""Operations that work on each element by itself, with broadcasting. One line an operation.

`elementwise(np.multiply, lambda z, x, y: y, lambda z, x, y: x)`: the NumPy function, then the partial derivative by
each argument, where z is the result; 1 and -1 stand for themselves, None for no derivative. At kinks the
partials give the convention documented in docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np

from jitgrad.ir.graph import Const
from jitgrad.ir.op import Op
from jitgrad.ir.types import FLOAT64, Type
from jitgrad.ops.infer import broadcast, elementwise_type, same_type, ufunc_dtypes
from jitgrad.ops.registry import FUNCTIONS, METHODS, UFUNCS, numpy_function
from jitgrad.ops.rules import Constant, Custom, Elementwise, cast_like, dtype_of, sum_to, zeros_like
from jitgrad.ops.symbolic import Expr, current

LN2, LN10, PI = float(np.log(2.0)), float(np.log(10.0)), float(np.pi)


def elementwise(ufunc: np.ufunc, *partials: Callable | int | None, masks: bool = False) -> Op:
    """An operation that is a NumPy ufunc, by its partial derivatives."""
    rules = tuple(_constant(p) if isinstance(p, int) else p for p in partials)
    op = Op(ufunc.__name__, elementwise_type(ufunc), ufunc, Elementwise(rules, masks), ufunc=ufunc)
    UFUNCS[ufunc] = op
    return op


def constant(ufunc: np.ufunc) -> Op:
    """An operation that is a NumPy ufunc and piecewise constant."""
    op = Op(ufunc.__name__, elementwise_type(ufunc), ufunc, Constant(), ufunc=ufunc)
    UFUNCS[ufunc] = op
    return op


def _constant(number: int) -> Callable:
    return lambda *_: number


# Arithmetic.
add_ = elementwise(np.add, 1, 1)
subtract = elementwise(np.subtract, 1, -1)
multiply = elementwise(np.multiply, lambda z, x, y: y, lambda z, x, y: x)
divide = elementwise(np.true_divide, lambda z, x, y: 1 / y, lambda z, x, y: -z / y)
negative = elementwise(np.negative, -1)
positive = elementwise(np.positive, 1)
square = elementwise(np.square, lambda z, x: 2 * x)
reciprocal = elementwise(np.reciprocal, lambda z, x: -z * z)
absolute = elementwise(np.absolute, lambda z, x: np.sign(x))
fabs = elementwise(np.fabs, lambda z, x: np.sign(x))
sqrt = elementwise(np.sqrt, lambda z, x: 0.5 / z)
cbrt = elementwise(np.cbrt, lambda z, x: 1 / (3 * z * z))
remainder = elementwise(np.remainder, 1, lambda z, x, y: -np.floor(x / y))
fmod = elementwise(np.fmod, 1, lambda z, x, y: -np.trunc(x / y))
copysign = elementwise(np.copysign, lambda z, x, y: np.copysign(np.copysign(1.0, x), x * y), None)
deg2rad = elementwise(np.deg2rad, lambda z, x: PI / 180)
rad2deg = elementwise(np.rad2deg, lambda z, x: 180 / PI)
UFUNCS[np.radians], UFUNCS[np.degrees] = deg2rad, rad2deg


def _power_by_base(z, x, y):
    # x**0 is constant: 0 rather than 0 * inf at x = 0. Elsewhere y * x**(y - 1) is right at y = 0, and smooth in y.
    if isinstance(y, int | float):
        return y * x ** (y - 1) if y else 0.0 * np.abs(np.sign(x))
    corner = (x == 0) & (y == 0)
    return np.where(corner, 0.0, y * x ** np.where(corner, 1, y - 1))


def _power_by_exponent(z, x, y):
    # At x = 0 the function is 0 for every y > 0, so its derivative is 0 rather than 0 * log(0).
    return np.where((x == 0) & (y >= 0), 0.0, z * np.log(np.where(x == 0, 1.0, x)))


power = elementwise(np.power, _power_by_base, _power_by_exponent)
UFUNCS[np.float_power] = lambda x, y: power(METHODS["astype"](x, FLOAT64), y)

# Exponentials and logarithms.
exp = elementwise(np.exp, lambda z, x: z)
exp2 = elementwise(np.exp2, lambda z, x: LN2 * z)
expm1 = elementwise(np.expm1, lambda z, x: np.exp(x))
log = elementwise(np.log, lambda z, x: 1 / x)
log2 = elementwise(np.log2, lambda z, x: 1 / (LN2 * x))
log10 = elementwise(np.log10, lambda z, x: 1 / (LN10 * x))
log1p = elementwise(np.log1p, lambda z, x: 1 / (1 + x))


def _softmax_weight(x, y, z, e):
    # exp(x - z). Of infinities the larger has all the weight, and equal ones share it.
    infinite = (x == z) & np.isinf(x)
    return np.where(infinite, np.where(x == y, 0.5, 1.0), e(np.where(infinite, 0.0, x - z)))


logaddexp = elementwise(
    np.logaddexp,
    lambda z, x, y: _softmax_weight(x, y, z, np.exp),
    lambda z, x, y: _softmax_weight(y, x, z, np.exp),
)
logaddexp2 = elementwise(
    np.logaddexp2,
    lambda z, x, y: _softmax_weight(x, y, z, np.exp2),
    lambda z, x, y: _softmax_weight(y, x, z, np.exp2),
)

# Trigonometric and hyperbolic functions.
sin = elementwise(np.sin, lambda z, x: np.cos(x))
cos = elementwise(np.cos, lambda z, x: -np.sin(x))
tan = elementwise(np.tan, lambda z, x: 1 + z * z)
arcsin = elementwise(np.arcsin, lambda z, x: 1 / np.sqrt((1 - x) * (1 + x)))
arccos = elementwise(np.arccos, lambda z, x: -1 / np.sqrt((1 - x) * (1 + x)))
arctan = elementwise(np.arctan, lambda z, x: 1 / (1 + x * x))
sinh = elementwise(np.sinh, lambda z, x: np.cosh(x))
cosh = elementwise(np.cosh, lambda z, x: np.sinh(x))
tanh = elementwise(np.tanh, lambda z, x: 1 - z * z)
arcsinh = elementwise(np.arcsinh, lambda z, x: 1 / np.hypot(x, 1.0))
arccosh = elementwise(np.arccosh, lambda z, x: 1 / np.sqrt((x - 1) * (x + 1)))
arctanh = elementwise(np.arctanh, lambda z, x: 1 / ((1 - x) * (1 + x)))
arctan2 = elementwise(
    np.arctan2,
    lambda z, y, x: x / np.hypot(x, y) / np.hypot(x, y),
    lambda z, y, x: -y / np.hypot(x, y) / np.hypot(x, y),
)
# At the origin the length of a vector has a kink; 0 is its subgradient of least norm.
hypot = elementwise(
    np.hypot,
    lambda z, x, y: x / np.where(z == 0, 1.0, z),
    lambda z, x, y: y / np.where(z == 0, 1.0, z),
)


# sinc'(x) = x pi^2 S(u) with u = (pi x)^2 and S the series below, which is exact to rounding for u < 1, where the
# closed form (cos(pi x) - sinc(x)) / x cancels.
_SINC_SERIES = [(-1) ** k * 2 * k / factorial(2 * k + 1) for k in range(9, 0, -1)]


def _sinc_slope(z, x):
    u = np.square(PI * x)
    near = u < 1
    v = np.where(near, u, 0.0)
    series = _SINC_SERIES[0]
    for c in _SINC_SERIES[1:]:
        series = series * v + c
    return np.where(near, PI * PI * x * series, (np.cos(PI * x) - z) / np.where(near, 1.0, x))


sinc = Op("sinc", elementwise_type(np.sin), np.sinc, Elementwise((_sinc_slope,)), ufunc=np.sin)
FUNCTIONS[np.sinc] = sinc


# Extrema. A tie is shared evenly; but a tie with a literal 0, as in the relu `maximum(x, 0)`, gives 0.
def _is_zero(x: object) -> bool:
    """Whether an operand is a 0 of the program text: a number, or an array of zeros made here."""
    if isinstance(x, Expr):
        maker = current().maker(x)
        zero = maker.args[0] if maker is not None and maker.op.name == "broadcast_to" else None
        return isinstance(zero, Const) and zero.value == 0
    return isinstance(x, int | float | np.number) and not isinstance(x, bool) and x == 0


def _extremum(ufunc: np.ufunc, better: Callable, nan_wins: bool = True) -> Op:
    def weight(z, x, y):
        number = dtype_of(z).type
        tie = number(0 if _is_zero(x) or _is_zero(y) else 0.5)
        wins = better(x, y) | np.isnan(x) if nan_wins else better(x, y)
        return np.where(wins, number(1), np.where(x == y, tie, number(0)))

    return elementwise(ufunc, weight, lambda z, x, y: weight(z, y, x), masks=True)


maximum = _extremum(np.maximum, np.greater)
minimum = _extremum(np.minimum, np.less)
fmax = _extremum(np.fmax, lambda x, y: (x > y) | np.isnan(y), nan_wins=False)
fmin = _extremum(np.fmin, lambda x, y: (x < y) | np.isnan(y), nan_wins=False)

# Piecewise constant.
sign = constant(np.sign)
floor = constant(np.floor)
ceil = constant(np.ceil)
trunc = constant(np.trunc)
rint = constant(np.rint)
floor_divide = constant(np.floor_divide)
isnan = constant(np.isnan)
isinf = constant(np.isinf)
isfinite = constant(np.isfinite)
signbit = constant(np.signbit)

# Comparison, logic and integer arithmetic.
equal = constant(np.equal)
not_equal = constant(np.not_equal)
less = constant(np.less)
less_equal = constant(np.less_equal)
greater = constant(np.greater)
greater_equal = constant(np.greater_equal)
logical_and = constant(np.logical_and)
logical_or = constant(np.logical_or)
logical_xor = constant(np.logical_xor)
logical_not = constant(np.logical_not)
bitwise_and = constant(np.bitwise_and)
bitwise_or = constant(np.bitwise_or)
bitwise_xor = constant(np.bitwise_xor)
invert = constant(np.invert)
left_shift = constant(np.left_shift)
right_shift = constant(np.right_shift)


# Selection: the branch not taken passes nothing on, NaN or not, in either mode.
def _where_type(args):
    x, y = args[1:]
    return Type(ufunc_dtypes(np.add, (x, y))[-1], broadcast(args))


def _where_jvp(tangents, z, c, x, y):
    _, x_dot, y_dot = tangents
    dots = (zeros_like(z) if d is None else cast_like(d, z) for d in (x_dot, y_dot))
    return np.broadcast_to(np.where(c, *dots), np.shape(z))


def _where_vjp(g, z, c, x, y):
    zero = dtype_of(g).type(0)
    return None, sum_to(np.where(c, g, zero), x), sum_to(np.where(c, zero, g), y)


where = Op("where", _where_type, np.where, Custom(_where_jvp, _where_vjp, masks=True))


@numpy_function(np.where)
def numpy_where(condition, *branches):
    """`np.where(c, x, y)`; with one argument the indices of the true elements."""
    if not branches:
        return FUNCTIONS[np.nonzero](condition)
    x, y = branches
    return where(as_bool(condition), x, y)


def as_bool(x):
    """`x != 0`, where `x` isn't a bool yet."""
    return x if dtype_of(x) == np.bool_ else np.not_equal(x, 0)


@numpy_function(np.clip, method="clip")
def clip(x, a_min=None, a_max=None, *, min=None, max=None):
    """Limits from below and above; inside the closed interval the derivative is 1, outside it is 0.

    The limits themselves are constants or, where a derivative by them is asked for, get what `x` doesn't.
    """
    low, high = a_min if min is None else min, a_max if max is None else max
    y = x if low is None else where(_beyond(x < low, low), low, x)
    return y if high is None else where(_beyond(y > high, high), high, y)


def _beyond(outside, limit):
    """Whether the limit stands in place of the value; a limit that is NaN does."""
    return outside if isinstance(limit, int | float) and limit == limit else outside | np.isnan(limit)


# Dtypes, and constants on purpose.
def _astype_type(args, dtype):
    return args[0].type.with_dtype(dtype)


def _astype_jvp(tangents, z, x, dtype):
    return astype(tangents[0], dtype=dtype) if np.dtype(dtype).kind == "f" else None


def _astype_vjp(g, z, x, dtype):
    return (g if np.dtype(dtype).kind == "f" else None,)


def _evaluate_astype(x, dtype):
    return np.asarray(x).astype(dtype)[()]


astype = Op("astype", _astype_type, _evaluate_astype, Custom(_astype_jvp, _astype_vjp))


@numpy_function(np.astype if hasattr(np, "astype") else None, method="astype")
def numpy_astype(x, dtype, copy=True):
    """`x` in another dtype; through an integer dtype no derivative passes."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "biuf":
        raise TypeError(f"dtype {dtype} is not supported: only booleans, integers and real floats are")
    return astype(x, dtype=dtype)


def _identity(x):
    return x


stop_gradient = Op("stop_gradient", same_type, _identity, Constant())


@numpy_function(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """NaN and infinities replaced by numbers, which have no derivative."""
    if dtype_of(x).kind != "f":
        return x
    info = np.finfo(dtype_of(x))
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    return where(np.isnan(x), nan, where(x == np.inf, high, where(x == -np.inf, low, x)))


@numpy_function(np.round, np.around, method="round")
def round_(x, decimals=0):
    """Piecewise constant."""
    if dtype_of(x).kind in "iu":
        return x
    return np.rint(x) if decimals == 0 else np.rint(x * 10.0**decimals) / 10.0**decimals
