"""Sums and products of truths: True + True is 2 if they are Python's, and True if they are NumPy's."""

from __future__ import annotations

import numpy as np

from jitgrad.errors import UnsupportedError
from jitgrad.ir.types import BOOL, INT64, Type
from jitgrad.ops.registry import TAKES
from jitgrad.ops.symbolic import Expr, as_expr, current

PYTHON, NUMPY, EITHER = "Python's", "NumPy's", "either's"
# There are words in Python for these as well, which give a truth of its own.
_BOTH = ("isnan", "isinf", "isfinite", "signbit")


def counted(x: object, y: object) -> tuple:
    """The operands of a sum or a product: truths of Python's as the integers that they are."""
    if not (_is_truth(x) and _is_truth(y)):
        return x, y
    owners = {_owner(x), _owner(y)}
    if NUMPY in owners:
        return x, y
    if EITHER in owners:
        message = "+ and * of truths that may be Python's or NumPy's: take int(...) of them, or np.logical_or"
        raise UnsupportedError(message, current().loc.syntax_location())
    return _integer(x), _integer(y)


TAKES.update(dict.fromkeys((np.add, np.multiply), counted))


def _integer(x: object) -> object:
    """A truth of Python's as one of its integers, which doesn't promote arrays."""
    if not isinstance(x, Expr):
        return int(x)
    number = np.add(x, 0)
    number.value.type = Type(INT64, (), weak=True)
    return number


def _is_truth(x: object) -> bool:
    return x.dtype == BOOL if isinstance(x, Expr) else isinstance(x, bool | np.bool_)


def _owner(x: object) -> str:
    """Whose truth something is: Python's if it is made of Python's numbers alone."""
    if not isinstance(x, Expr):
        return PYTHON if isinstance(x, bool) else NUMPY
    if x.ndim or x.type.weak:
        return PYTHON if x.type.weak else NUMPY
    maker = current().maker(x)
    if maker is None or maker.regions or not maker.args or maker.op.name in _BOTH:
        return EITHER
    owners = {_owner(as_expr(a)) if a.type.dtype == BOOL else PYTHON if a.type.weak else NUMPY for a in maker.args}
    if maker.op.name == "logical_not" and NUMPY in owners:
        return EITHER  # what `not` gives is Python's
    return next(owner for owner in (NUMPY, EITHER, PYTHON) if owner in owners)
