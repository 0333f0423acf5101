"""The kinds of maps, and how each is differentiated in forward and in reverse mode.

An operation says what kind of map it is and writes only the mathematics. What every rule would otherwise repeat
is done here, once: zero tangents, undoing of broadcasting, casts, and keeping NaNs of unselected values out.

The functions work on whatever carries NumPy's protocols: NumPy arrays, symbolic values, arrays of the tape.

Two conventions of the cotangents (Griewank & Walther, Evaluating Derivatives, 2008, ch. 3):
a rule returns `None` for an argument that gets nothing, and a *masked* cotangent is one that has exact zeros where
an element was not selected (by `where`, `max`, an index). A masked zero stays zero however large, or however much
not-a-number, the partial derivative is there: otherwise `where(x > 0, log(x), 0)` would be NaN at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jitgrad.ir.op import Op, Rule
from jitgrad.ops.infer import elementwise_type
from jitgrad.ops.registry import METHODS


def shape_of(x: object) -> tuple:
    return getattr(x, "shape", ())


def dtype_of(x: object) -> np.dtype:
    dtype = getattr(x, "dtype", None)
    return np.dtype(type(x)) if dtype is None else dtype


def cast_like(g: object, x: object) -> object:
    """`g` in the dtype of `x`."""
    dtype = dtype_of(x)
    return g if dtype_of(g) == dtype else METHODS["astype"](g, dtype)


def is_one(axis: object) -> bool:
    return isinstance(axis, int) and axis == 1


def sum_to(g: object, x: object) -> object:
    """Undo broadcasting: `g` summed over the axes along which `x` was repeated."""
    shape, wanted = shape_of(g), shape_of(x)
    if isinstance(g, np.ndarray | np.generic) and isinstance(x, np.ndarray | np.generic) and shape == wanted:
        return g
    extra = len(shape) - len(wanted)
    axes = tuple(range(extra)) + tuple(
        extra + k for k, n in enumerate(wanted) if is_one(n) and not is_one(shape[extra + k])
    )
    if not axes:
        return g
    if len(axes) == extra:
        return np.sum(g, axis=axes)
    g = np.sum(g, axis=axes, keepdims=True)
    return np.reshape(g, tuple(shape_of(g)[extra:])) if extra else g


def spread(g: object, x: object, axis: object = None, keepdims: bool = False) -> object:
    """The transpose of a sum over `axis`: `g` repeated to the shape of `x`."""
    shape = shape_of(x)
    if axis is not None and not keepdims:
        axes = (axis,) if isinstance(axis, int) else axis
        axes = {a % len(shape) for a in axes}
        if len(axes) < len(shape):
            g = np.reshape(g, tuple(1 if k in axes else n for k, n in enumerate(shape)))
    elif axis is None and keepdims:
        g = np.reshape(g, ())
    return np.broadcast_to(g, shape)


def add(a: object, b: object) -> object:
    """Accumulate; `None` is the zero that nobody wrote down."""
    if a is None:
        return b
    return a if b is None else a + b


def zeros_like(x: object) -> object:
    return np.zeros_like(x) if shape_of(x) else dtype_of(x).type(0)


@dataclass(frozen=True)
class Constant(Rule):
    """Locally constant, or not meant to be differentiated: no derivative in either mode."""

    def pushforward(self, op: Op, tangents: list, outs: tuple, args: tuple, attrs: dict) -> list:
        return [None] * len(outs)

    def pullback(self, op: Op, cotangents: list, outs: tuple, args: tuple, attrs: dict, wanted, masked) -> list:
        return [None] * len(args)


@dataclass(frozen=True)
class Elementwise(Rule):
    """Broadcasts; `partials[i](z, *args)` is the derivative of `z` by argument `i`, or the numbers 1 and -1."""

    partials: tuple[Callable | None, ...]
    masks: bool = False

    def pushforward(self, op: Op, tangents: list, outs: tuple, args: tuple, attrs: dict) -> list:
        (z,) = outs
        z_dot = None
        for partial, x_dot in zip(self.partials, tangents, strict=True):
            if x_dot is not None and partial is not None:
                term = self._scale(cast_like(x_dot, z), partial(z, *args), False)
                z_dot = add(z_dot, cast_like(term, z))
        if z_dot is None:
            return [None]
        # The other operands may have stretched this one.
        return [np.broadcast_to(z_dot, shape_of(z)) if shape_of(z) else z_dot]

    def pullback(self, op: Op, cotangents: list, outs: tuple, args: tuple, attrs: dict, wanted, masked) -> list:
        (z,), (g,) = outs, cotangents
        bars = []
        for partial, x, want in zip(self.partials, args, wanted, strict=True):
            if not want or partial is None:
                bars.append(None)
                continue
            term = self._scale(g, partial(z, *args), masked)
            bars.append(cast_like(sum_to(term, x), x))
        return bars

    def _scale(self, g: object, p: object, masked: bool) -> object:
        """The tangent or cotangent times the partial derivative."""
        if isinstance(p, int) and p in (1, -1):
            return g if p == 1 else -g
        if self.masks:  # the partial derivative is a choice: its zeros win
            return strong_multiply(p, g)
        return strong_multiply(g, p) if masked else np.multiply(g, p)


@dataclass(frozen=True)
class Linear(Rule):
    """Linear in its first `arity` arguments together (all, if `arity` is None); the rest are parameters.

    `transpose(g, *args, **attrs)` gives the cotangent, or with several linear arguments the tuple of them.
    """

    transpose: Callable
    arity: int | None = 1
    masks: bool = False

    def pushforward(self, op: Op, tangents: list, outs: tuple, args: tuple, attrs: dict) -> list:
        n = len(args) if self.arity is None else self.arity
        dots = [zeros_like(x) if t is None else t for t, x in zip(tangents[:n], args[:n], strict=True)]
        if all(t is None for t in tangents[:n]):
            return [None]
        return [op(*dots, *args[n:], **attrs)]

    def pullback(self, op: Op, cotangents: list, outs: tuple, args: tuple, attrs: dict, wanted, masked) -> list:
        n = len(args) if self.arity is None else self.arity
        if not any(wanted[:n]):
            return [None] * len(args)
        bars = self.transpose(cotangents[0], *args, **attrs)
        bars = list(bars) if n > 1 or self.arity is None else [bars]
        bars = [cast_like(b, x) if w else None for b, x, w in zip(bars, args[:n], wanted[:n], strict=True)]
        return bars + [None] * (len(args) - n)


@dataclass(frozen=True)
class Bilinear(Rule):
    """Linear in each of two arguments: `left(g, x, y)` and `right(g, x, y)` are the two transposes."""

    left: Callable
    right: Callable

    def pushforward(self, op: Op, tangents: list, outs: tuple, args: tuple, attrs: dict) -> list:
        x, y = args
        x_dot, y_dot = tangents
        z_dot = None if x_dot is None else op(x_dot, y, **attrs)
        return [add(z_dot, None if y_dot is None else op(x, y_dot, **attrs))]

    def pullback(self, op: Op, cotangents: list, outs: tuple, args: tuple, attrs: dict, wanted, masked) -> list:
        (g,), (x, y) = cotangents, args
        return [
            cast_like(transpose(g, x, y, **attrs), arg) if want else None
            for transpose, arg, want in zip((self.left, self.right), args, wanted, strict=True)
        ]


@dataclass(frozen=True)
class Custom(Rule):
    """A map of no simpler kind writes both modes.

    `jvp(tangents, z, *args, **attrs)` gives the tangent of the result (a tangent may be None: zero), and
    `vjp(g, z, *args, **attrs)` the tuple of cotangents.
    """

    jvp: Callable
    vjp: Callable
    masks: bool = False

    def pushforward(self, op: Op, tangents: list, outs: tuple, args: tuple, attrs: dict) -> list:
        if all(t is None for t in tangents):
            return [None]
        z = outs if len(outs) > 1 else outs[0]
        z_dot = self.jvp(tuple(tangents), z, *args, **attrs)
        return list(z_dot) if len(outs) > 1 else [z_dot]

    def pullback(self, op: Op, cotangents: list, outs: tuple, args: tuple, attrs: dict, wanted, masked) -> list:
        many = len(outs) > 1
        g = tuple(cotangents) if many else cotangents[0]
        bars = self.vjp(g, outs if many else outs[0], *args, **attrs)
        return [cast_like(b, x) if w and b is not None else None for b, x, w in zip(bars, args, wanted, strict=True)]


# A product in which an exact zero of the first factor wins over inf and NaN of the second. Its derivative by
# either factor is taken with the same product, so that it stays masked when it is differentiated again.
def _strong(g: object, p: object) -> object:
    return np.where(np.equal(g, 0), dtype_of(g).type(0), np.multiply(g, p))


def _strong_jvp(tangents: tuple, z: object, g: object, p: object) -> object:
    g_dot, p_dot = tangents
    term = None if g_dot is None else strong_multiply(g_dot, p)
    return cast_like(add(term, None if p_dot is None else strong_multiply(g, p_dot)), z)


def _strong_vjp(z_bar: object, z: object, g: object, p: object) -> tuple:
    return sum_to(strong_multiply(z_bar, p), g), sum_to(strong_multiply(g, z_bar), p)


strong_multiply = Op(
    "strong_multiply", elementwise_type(np.multiply), _strong, Custom(_strong_jvp, _strong_vjp, masks=True)
)


def is_masked(op: Op, masked: bool) -> bool:
    """Whether the cotangents that the rule of `op` gives are masked."""
    return masked or getattr(op.rule, "masks", False)
