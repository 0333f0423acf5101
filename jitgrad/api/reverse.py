"""`vjp`: reverse mode in two steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.api import heads
from jitgrad.api.engine import Engine
from jitgrad.api.fast import Miss
from jitgrad.api.forward import REMEMBERED
from jitgrad.api.heads import ARRAY
from jitgrad.api.signature import Flat, leaf_type
from jitgrad.api.structure import LEAF, Static, flatten, pair, unflatten
from jitgrad.api.transforms import Jitted, refuse_out
from jitgrad.ops.symbolic import is_building
from jitgrad.runtime.errors import plain

if TYPE_CHECKING:
    from jitgrad.api.chain import Entry
    from jitgrad.api.derive import Derived, Second
    from jitgrad.api.tracing import Primal


class Pullback:
    """The cotangents of the arguments for head gradients; the residuals are kept, so it may be called again.

    Call it with a head gradient of the output's structure, shapes and dtypes; a number stands for all elements. `out=`
    takes arrays for the cotangents, as that of `grad`.
    """

    __slots__ = ("_engine", "_residuals", "_second", "_shapes")

    def __init__(self, engine: Vjp, second: Second, results: tuple):
        self._engine, self._second = engine, second
        outputs, self._residuals = results
        self._shapes = second.shapes(outputs)

    def __call__(self, head: object, **kwargs) -> tuple:
        ways = self._second.ways
        try:
            return ways.last(self._residuals, head, **kwargs)
        except (Miss, TypeError):
            pass
        try:
            return ways(self._residuals, head, **kwargs)
        except Miss:
            return self._slow(head, **kwargs)

    def _slow(self, head: object, out: object = None) -> tuple:
        from jitgrad.api.caller import Parameter, passed_on

        entry, residuals = self._second.entry, self._residuals
        extras = _heads(head, self._second.outputs, self._shapes)
        given = {"leaf": residuals, "extra": extras}
        values = [given[kind][k] for kind, k in entry.program.params]
        last = passed_on("head", head, extras)
        kept = ("list", list, None, len(residuals), *[LEAF] * len(residuals))
        parameters = [] if last is None else [Parameter("residuals", "leaf", kept, residuals), last]
        try:
            results = self._engine.call(entry, values, parameters, out, self._second.ways)
        except (ValueError, IndexError) as error:
            raise plain(error) from None
        return unflatten(entry.structure, results)

    def __repr__(self) -> str:
        return f"<pullback of {self._engine.name}>"


class _Traced(Pullback):
    """A pullback inside another trace, which then becomes the whole derivative."""

    __slots__ = ("_flat", "_outputs")

    def __init__(self, engine: Vjp, flat: Flat, outputs: object):
        self._engine, self._flat, self._outputs = engine, flat, outputs

    def __call__(self, head: object, *, out: object = None) -> tuple:
        refuse_out(out)
        whole = _Whole(self._engine.function, self._engine.boundscheck)
        return whole.inline(self._flat, ARRAY, tuple(heads_inside(head, self._outputs)))


class Vjp(Engine):
    """Value of a function, with the residuals of its pullback."""

    suffix = "forward"

    def __call__(self, *primals) -> tuple[object, Pullback]:
        if not is_building():
            try:
                return self.ways.last(*primals)
            except (Miss, TypeError):
                pass
            try:
                return self.ways(*primals)
            except Miss:
                pass
        flat = self.flatten(primals, {})
        if is_building():
            return self._inside(flat)
        entry, results = self.execute(flat, None, (), self.parameters(flat))
        return self.finish(entry)(unflatten(entry.structure, results))

    def finish(self, entry: Entry) -> Callable | None:
        second = entry.companion

        def with_pullback(results: tuple) -> tuple[object, Pullback]:
            return results[0], Pullback(self, second, results)

        return None if second is None else with_pullback

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", "function")

    def derive(self, primal: Primal, flat: Flat, request: object, extras: tuple | None) -> Derived:
        from jitgrad.api.derive import in_two

        return in_two(primal, float_leaves(flat), cotangents(flat))

    def _inside(self, flat: Flat) -> tuple[object, Pullback]:
        """Inside another trace: the primal now, and the whole derivative when a head comes."""
        outputs = Jitted(self.function, self.boundscheck).inline(flat, None, ())
        return outputs, _Traced(self, flat, outputs)

    def describe(self) -> str:
        return "Value and residuals of"


class _Whole(Vjp):
    """The pullback as one program, for the inside of another trace."""

    def derive(self, primal: Primal, flat: Flat, request: object, extras: tuple | None) -> Derived:
        from jitgrad.api.derive import in_one

        return in_one(primal, float_leaves(flat), cotangents(flat), extras)


def float_leaves(flat: Flat) -> list[int]:
    return [k for k, x in enumerate(flat.leaves) if leaf_type(x).dtype.kind == "f"]


def cotangents(flat: Flat) -> tuple:
    """The structure of the cotangents: that of the arguments, None for what has no derivative."""
    floats = set(float_leaves(flat))
    leaf = iter(range(len(flat.leaves)))

    def keep(s: tuple) -> tuple:
        if s == LEAF:
            return LEAF if next(leaf) in floats else ("static", Static(None))
        return ("static", Static(None)) if s[0] == "static" else (*s[:4], *(keep(part) for part in s[4:]))

    return pair(*(keep(s) for s in flat.structures))


def _heads(head: object, outputs: list, shapes: list[tuple]) -> list:
    """The leaves of the heads; a number becomes an array of each output's shape."""
    if heads.is_number(head):
        number = heads.number(head)
        head = [
            np.full(shape, number, dtype) if shape else number
            for shape, (_, dtype, _) in zip(shapes, outputs, strict=True)
        ]
        return [heads.arrays(h, [like], "head gradient")[0] for h, like in zip(head, outputs, strict=True)]
    return heads.arrays(head, outputs, "head gradient")


def heads_inside(head: object, outputs: object) -> list:
    """The leaves of the heads, of a trace."""
    leaves = heads.leaves(head)
    floats, _, _ = flatten(outputs, "output", lambda x, name: True)
    floats = [x for x in floats if leaf_type(x).dtype.kind == "f"]
    return leaves * len(floats) if len(leaves) == 1 and heads.is_number(leaves[0]) else leaves


@lru_cache(maxsize=REMEMBERED)
def _engine(function: Callable, boundscheck: bool) -> Vjp:
    return Vjp(function, boundscheck)


def vjp(function: Callable, *primals, boundscheck: bool = True) -> tuple[object, Pullback]:
    """Value, and the function that pulls head gradients back to the arguments.

    Args:
        function, boundscheck: as for `grad`.
        primals: its arguments.

    Returns:
        `(y, pullback)`. `pullback(u)` gives a tuple with the cotangent of each argument, in its structure; None
        for what
        isn't floating-point. The primal is computed once; each call of the pullback computes the adjoint only.

    Raises:
        TypeError, ValueError: the head gradient doesn't fit the output.
        TraceError, UnsupportedError: the function does what can't be compiled; they point at the line.

    Example:
        >>> import numpy as np
        >>> from jitgrad import vjp
        >>> y, pullback = vjp(lambda x: x**2, np.array([1.0, 3.0]))
        >>> pullback(np.array([1.0, 10.0]))
        (array([ 2., 60.]),)

    The method is reverse accumulation by source transformation (Griewank & Walther, Evaluating Derivatives, 2008,
    ch. 6).
    """
    return _engine(function, boundscheck)(*primals)
