"""`jvp`: forward mode."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.api import heads
from jitgrad.api.engine import Engine
from jitgrad.api.fast import Miss
from jitgrad.api.signature import Flat, leaf_type
from jitgrad.api.structure import flatten, places, without_statics
from jitgrad.api.transforms import refuse_out
from jitgrad.ops.symbolic import is_building

if TYPE_CHECKING:
    from jitgrad.api.caller import Parameter
    from jitgrad.api.derive import Derived
    from jitgrad.api.tracing import Primal

REMEMBERED = 256  # functions whose programs `jvp` and `vjp` keep


class Pushforward(Engine):
    """Value and tangent of a function."""

    suffix = "jvp"

    def __call__(self, primals: tuple, tangents: tuple, out: object = None) -> tuple:
        if not is_building():
            try:
                last = self.ways.last
                return last(primals, tangents) if out is None else last(primals, tangents, out=out)
            except (Miss, TypeError):
                pass
            try:
                return self.ways(primals, tangents, **({} if out is None else {"out": out}))
            except Miss:
                pass
        return self._call(primals, tangents, out)

    def _call(self, primals: tuple, tangents: tuple, out: object) -> tuple:
        if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
            raise TypeError("jvp takes the primals and the tangents as tuples: jvp(f, (x,), (x_dot,))")
        if len(primals) != len(tangents):
            raise ValueError(f"there are {len(primals)} primals, but {len(tangents)} tangents")
        flat = self.flatten(tuple(primals), {})
        dots = tuple(_tangents(flat, tuple(tangents)))
        if is_building():
            refuse_out(out)
            return self.inline(flat, None, dots)
        return self.run(flat, None, dots, self._parameters(flat, primals, tangents, dots), out)

    def _parameters(self, flat: Flat, primals: tuple, tangents: tuple, dots: tuple) -> list[Parameter]:
        """Those of the fast way; none where there is none."""
        from jitgrad.api.caller import Parameter, passed_on

        structure = ("tuple" if type(primals) is tuple else "list", type(primals), None, len(primals), *flat.structures)
        given = passed_on("tangents", tangents, dots)
        if given is None or type(primals) not in (tuple, list):
            return []
        return [Parameter("primals", "leaf", structure, flat.given, flat.changed), given]

    def derive(self, primal: Primal, flat: Flat, request: object, extras: tuple | None) -> Derived:
        from jitgrad.api.derive import Derived, forward, pair

        leaves = [k for k, x in enumerate(flat.leaves) if leaf_type(x).dtype.kind == "f"]
        block, params = forward(primal, leaves, extras)
        return Derived(block, pair(primal.structure, without_statics(primal.structure)), params)

    def describe(self) -> str:
        return "Value and tangent of"


def _tangents(flat: Flat, tangents: tuple):
    """The tangents of the float leaves; for other leaves None, or zeros, which is what there can be."""
    given, _, _ = flatten(tangents, "tangent", lambda x, name: True)
    data = [is_data for structure in flat.structures for is_data in places(structure)]
    if len(given) == len(data):  # what is no data, a string perhaps, has a place in both
        given = [dot for dot, is_data in zip(given, data, strict=True) if is_data]
    if len(given) != len(flat.leaves):
        raise ValueError(f"the tangents have {len(given)} arrays where the primals have {len(flat.leaves)}")
    for x, dot, name in zip(flat.leaves, given, flat.names, strict=True):
        type = leaf_type(x)
        if type.dtype.kind == "f" and dot is None:
            yield np.zeros(np.shape(x), type.dtype) if type.ones else 0.0 if type.weak else type.dtype.type(0)
        elif type.dtype.kind == "f":
            yield from heads.arrays(dot, [(name, type.dtype, len(type.ones))], "tangent")
        elif dot is not None and np.any(dot):
            raise TypeError(f"argument {name!r} is of type {type.dtype} and has no tangent; pass None for it")


@lru_cache(maxsize=REMEMBERED)
def _engine(function: Callable, boundscheck: bool) -> Pushforward:
    return Pushforward(function, boundscheck)


def jvp(function: Callable, primals: tuple, tangents: tuple, *, out: object = None, boundscheck: bool = True) -> tuple:
    """Value and Jacobian-vector product, compiled at the first call.

    Args:
        function, boundscheck: as for `grad`.
        primals: the arguments.
        tangents: one for each, of its structure, shapes and dtypes; None stands for zeros.
        out: arrays for `(y, y_dot)`, as for `grad`.

    Returns:
        `(y, y_dot)`, where `y_dot` has the structure of `y`.

    Raises:
        TypeError, ValueError: a tangent doesn't fit its argument.
        TraceError, UnsupportedError: the function does what can't be compiled; they point at the line.

    Example:
        >>> import numpy as np
        >>> from jitgrad import jvp
        >>> jvp(lambda x: x**2, (np.array([1.0, 3.0]),), (np.array([1.0, 1.0]),))
        (array([1., 9.]), array([2., 6.]))

    The method is forward accumulation by source transformation (Griewank & Walther, Evaluating Derivatives, 2008,
    ch. 6). The programs of the last functions are kept, so call it with the same function object, not with a new lambda
    each time.
    """
    return _engine(function, boundscheck)(primals, tangents, out)
