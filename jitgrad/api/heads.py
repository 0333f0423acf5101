"""Head gradients and tangents as the user passes them."""

from __future__ import annotations

import numpy as np

from jitgrad.api.signature import is_leaf, normalize
from jitgrad.api.structure import flatten
from jitgrad.ops.symbolic import Expr

SCALAR, ARRAY = "scalar", "array"  # kinds of heads: one number for all elements, or an array for each output


def is_number(x: object) -> bool:
    """Whether a head stands for every element of every output."""
    return isinstance(x, int | float | np.generic) or (isinstance(x, Expr | np.ndarray) and x.ndim == 0)


def number(head: object) -> object:
    """A scalar head.

    Raises:
        TypeError: it is no real number.
    """
    if isinstance(head, Expr):
        return head
    kind = np.asarray(head).dtype.kind
    if kind not in "iuf" or isinstance(head, bool):
        raise TypeError(f"the head gradient must be a real number or an array of floats, not {head!r}")
    return float(head)


def leaves(given: object) -> list:
    """The arrays of a head gradient inside a trace; the operations check them."""
    return flatten(given, "head gradient", lambda x, name: x is not None)[0]


def arrays(given: object, like: list[tuple[str, np.dtype, int]], what: str) -> list:
    """The leaves of a head gradient or of tangents, one for each of `like` (name, dtype, number of axes).

    Raises:
        TypeError: a wrong dtype, or something that is no array.
        ValueError: a wrong number of leaves, or of axes.
    """
    if isinstance(given, list) and len(like) == 1:
        given = np.asarray(given, like[0][1])
    found, _, _ = flatten(given, what, lambda x, name: x is not None and is_leaf(x, name))
    if len(found) != len(like):
        raise ValueError(f"the {what} has {len(found)} arrays where there are {len(like)} to match")
    out = []
    for leaf, (name, dtype, ndim) in zip(found, like, strict=True):
        out.append(_checked(leaf, name, dtype, ndim, what))
    return out


def _checked(x: object, name: str, dtype: np.dtype, ndim: int, what: str) -> object:
    if isinstance(x, Expr):
        found, axes = x.dtype, x.ndim
    elif isinstance(x, int | float) and not isinstance(x, np.generic | bool):
        if ndim:
            raise ValueError(f"the {what} for {name!r} is a number; an array of {ndim} axes is expected")
        return dtype.type(x) if dtype == np.float32 else float(x)
    else:
        x = normalize(np.asarray(x))
        found, axes = x.dtype, np.ndim(x)
    if found != dtype:
        raise TypeError(f"the {what} for {name!r} has dtype {found}; {dtype} is expected")
    if axes != ndim:
        raise ValueError(f"the {what} for {name!r} has {axes} axes; {ndim} are expected")
    return x
