"""NumPy's functions that make views of arrays, and those that write to them."""

from __future__ import annotations

import numpy as np

from jitgrad.errors import UnsupportedError
from jitgrad.ops.registry import FUNCTIONS, METHODS
from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace.arrays import as_array
from jitgrad.trace.creation import make_array
from jitgrad.trace.values import Cell, View, own, plain, snapshot


def _as_cell(x: object) -> object:
    return own(x) if isinstance(x, Expr) else own(make_array(x))


def _by_shape(function):
    """A function that changes the shape only: its result is another shape of the same cell."""

    def view(a, *args, **kwargs):
        a = _as_cell(a)
        if not isinstance(a, Cell):
            return FUNCTIONS[function](a, *args, **kwargs)
        new = FUNCTIONS[function](plain(a), *snapshot(args), **snapshot(kwargs))
        return a if new.value is a.value else a.reshaped(new)

    return view


def _reshape(a, /, shape=None, order="C", *, newshape=None, copy=None):
    return _as_cell(a).reshape(newshape if shape is None else shape, order=order, copy=copy)


def _by_order(function):
    """A function that changes the order of the axes only."""

    def view(a, *args, **kwargs):
        a = _as_cell(a)
        # NumPy itself says which axis goes where, on an array whose lengths tell the axes apart.
        probe = function(np.empty(tuple(range(2, 2 + a.ndim)), np.bool_), *args, **kwargs)
        return a.transpose(tuple(n - 2 for n in probe.shape)) if isinstance(a, Cell) else a

    return view


def _by_index(function):
    """A function that is written over basic indexing, so that cells give views by themselves."""
    return lambda a, *args, **kwargs: FUNCTIONS[function](_as_cell(a), *snapshot(args), **snapshot(kwargs))


def _read_only(function, applies=lambda a: True):
    """A function whose result is a view that can't be written to."""

    def view(a, *args, **kwargs):
        a = _as_cell(as_array(a))
        args, kwargs = snapshot(args), snapshot(kwargs)
        result = FUNCTIONS[function](plain(a), *args, **kwargs)
        if not isinstance(a, Cell) or not applies(a) or not result.ndim:
            return result
        return View(a, result, lambda b: FUNCTIONS[function](b, *args, **kwargs), None, False)

    return view


def _copyto(dst, src, casting="same_kind", where=True):
    if where is True:
        dst[...] = src
    else:
        dst.store(np.where(plain(where), METHODS["astype"](plain(src), dst.dtype), plain(dst)))


def _refused(name: str):
    def refused(*args, **kwargs):
        raise UnsupportedError(f"np.{name} is not supported", current().loc.syntax_location())

    return refused


_ORDER = (
    np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, getattr(np, "matrix_transpose", None),
    getattr(np, "permute_dims", None),
)  # fmt: skip
_WRITE = ("put", "place", "putmask", "fill_diagonal", "put_along_axis", "resize")

VIEWS = {
    np.reshape: _reshape,
    np.ravel: lambda a, order="C": _as_cell(a).ravel(order),
    np.broadcast_to: _read_only(np.broadcast_to),
    np.copyto: _copyto,
    **{f: _by_shape(f) for f in (np.squeeze, np.expand_dims, np.atleast_1d, np.atleast_2d) if f in FUNCTIONS},
    **{f: _by_order(f) for f in _ORDER if f is not None},
    **{f: _by_index(f) for f in (np.flip, np.flipud, np.fliplr, np.split, np.array_split) if f in FUNCTIONS},
    **{f: _read_only(f, lambda a: a.ndim > 1) for f in (np.diag, np.diagonal) if f in FUNCTIONS},
    **{getattr(np, n): _refused(n) for n in _WRITE},
}
