"""The error and gamma functions: of Python's `math` and `scipy.special`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from jitgrad.ir.op import Op
from jitgrad.ops.infer import elementwise_type
from jitgrad.ops.registry import SPECIAL
from jitgrad.ops.rules import Elementwise
from jitgrad.runtime import special


def _special(name: str, like: np.ufunc, *partials: Callable | None) -> Op:
    """A function whose dtypes are those of a ufunc of NumPy's."""
    return Op(name, elementwise_type(like), getattr(special, name), Elementwise(partials), ufunc=like)


_SLOPE = 2 / math.sqrt(math.pi)

erf = _special("erf", np.exp, lambda z, x: _SLOPE * np.exp(-x * x))
erfc = _special("erfc", np.exp, lambda z, x: -_SLOPE * np.exp(-x * x))
zeta = _special("zeta", np.arctan2, None, lambda z, s, x: -s * zeta(s + 1, x))
digamma = _special("digamma", np.exp, lambda z, x: zeta(2.0, x))
lgamma = _special("lgamma", np.exp, lambda z, x: digamma(x))

SPECIAL.update(erf=erf, erfc=erfc, gammaln=lgamma, loggamma=lgamma, psi=digamma, digamma=digamma)
