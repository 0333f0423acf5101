"""Calling a gradient from the user's own compiled functions.

Numba asks an object that it meets as a global for its `_numba_type_`. What it gets here is the type of a
dispatcher whose body is chosen when the argument types are known: then the gradient is traced and compiled for them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit, types
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.core.types import Type
from numba.extending import overload


def dispatcher(name: str, parameters: list[str], defaults: dict[str, object], build: Callable) -> Dispatcher:
    """A compiled function that is made for its argument types.

    Args:
        name: what the function is called in Numba's messages.
        parameters: its positional parameters.
        defaults: default values of the last of them.
        build: `build(representatives)` gives `(kernel, arguments, result)` for a call with values like these: a
        compiled
            function, the expressions for its arguments in terms of the parameters, and the expression for the result in
            terms of `r`. Raises `TypeError` if it can't.
    """

    def stand_in(*args):
        raise NotImplementedError("only called from compiled code")

    def choose(*given):
        try:
            kernel, arguments, result, bound = build([representative(t) for t in given])
        except (TypeError, ValueError) as error:
            raise TypingError(f"{name}: {error}") from error
        body = f"def body({', '.join(parameters)}):\n    r = kernel({', '.join(arguments)})\n    return {result}\n"
        space = {"kernel": kernel, "np": np, **bound}
        exec(body, space)
        return space["body"]

    signature = ", ".join(f"{p}={defaults[p]!r}" if p in defaults else p for p in parameters)
    space = {"stand_in": stand_in, "choose": choose}
    exec(
        f"def chooser({', '.join(parameters)}):\n    return choose({', '.join(parameters)})\n"
        f"def {name}({signature}):\n    return stand_in({', '.join(parameters)})\n",
        space,
    )
    overload(stand_in)(space["chooser"])
    return njit(space[name])


def type_of(function: Dispatcher) -> types.Dispatcher:
    """What Numba asks an object's `_numba_type_` for; it refers to the dispatcher weakly."""
    return types.Dispatcher(function)


def representative(t: Type) -> object:
    """A value that stands for a Numba type; arrays have no axis of length one, which fits all lengths.

    Raises:
        TypeError: the type has no counterpart.
    """
    t = types.unliteral(t)
    if isinstance(t, types.Omitted):
        return t.value
    if isinstance(t, types.NoneType):
        return None
    if isinstance(t, types.Optional):
        raise TypeError("an argument may be None")
    if isinstance(t, types.Array):
        array = np.ones((2,) * t.ndim, np.dtype(str(t.dtype)))
        array.flags.writeable = t.mutable
        if t.layout == "A" and t.mutable:
            return np.repeat(array, 2, -1)[..., ::2]
        return array if t.layout == "C" else np.asfortranarray(array)
    if isinstance(t, types.NamedTuple | types.NamedUniTuple):
        return t.instance_class(*(representative(e) for e in t))
    if isinstance(t, types.BaseTuple):
        return tuple(representative(e) for e in t)
    if t == types.float64:
        return 1.0
    if t == types.int64:
        return 1
    if isinstance(t, types.Boolean):
        return True
    if isinstance(t, types.Number) and not isinstance(t, types.Complex):
        return np.dtype(str(t)).type(1)
    raise TypeError(f"an argument of Numba's type {t} is not supported; pass arrays, numbers and tuples")


def contiguous(expression: str, value: object) -> str:
    """The expression for an argument as the kernel takes it."""
    if isinstance(value, np.ndarray):
        return f"np.ascontiguousarray({expression})" if value.ndim else expression
    return expression
