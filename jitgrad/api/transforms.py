"""`grad`, `value_and_grad` and `jit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.api import heads
from jitgrad.api.engine import Engine
from jitgrad.api.fast import Miss
from jitgrad.api.heads import ARRAY, SCALAR
from jitgrad.api.signature import Flat
from jitgrad.api.structure import LEAF
from jitgrad.ops.symbolic import is_building

if TYPE_CHECKING:
    from jitgrad.api.caller import Parameter
    from jitgrad.api.derive import Derived
    from jitgrad.api.residuals import Residuals
    from jitgrad.api.tracing import Primal

Argnums = int | str | Sequence[int | str]


class Gradient(Engine):
    """The compiled gradient of a function: what `grad` and `value_and_grad` make.

    Call it with the function's arguments; `head=` takes a head gradient. See `source`, `graph` and `stats`.
    """

    def __init__(
        self,
        function: Callable,
        argnums: Argnums,
        has_aux: bool,
        with_value: bool,
        boundscheck: bool = True,
        parallel: bool = False,
    ):
        super().__init__(function, boundscheck, parallel)
        if "head" in self.arguments.keywords:
            raise TypeError("a parameter called 'head' would hide the head gradient; give it another name")
        self.single = isinstance(argnums, int | str | np.integer)
        given = (argnums,) if self.single else tuple(argnums)
        if not given:
            raise ValueError("argnums is empty: there is nothing to differentiate by")
        self.places = tuple(self.arguments.position(a) for a in given)
        if len(set(self.places)) != len(self.places):
            raise ValueError(f"argnums={argnums!r} names an argument twice")
        self.has_aux, self.with_value = has_aux, with_value
        self.made_from = (function, argnums, has_aux, with_value, boundscheck, parallel)
        self.suffix = "value_and_grad" if with_value else "grad"
        self.share(self.places, self.single, has_aux, with_value)

    def _key(self) -> tuple:
        return self.function, self.places, self.single, self.has_aux, self.with_value, self.boundscheck, self.parallel

    def __eq__(self, other: object) -> bool:
        """Gradients of one function by the same arguments are the same: `jvp(grad(f), ...)` is traced once."""
        return isinstance(other, Gradient) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple:
        return type(self), self.made_from

    def __call__(self, *args, **kwargs):
        try:
            return self.ways.last(*args, **kwargs)
        except (Miss, TypeError):
            pass
        return self._call(args, kwargs)

    def __jitgrad_trace__(self, *args, head: object = 1.0, **kwargs):
        """A call inside another trace."""
        refuse_out(self.take_out(kwargs))
        flat = self.flatten(args, kwargs)
        kind = SCALAR if heads.is_number(head) else ARRAY
        return self.inline(flat, kind, (head,) if kind == SCALAR else tuple(heads.leaves(head)))

    def _call(self, args: tuple, kwargs: dict) -> object:
        if is_building():
            return self.__jitgrad_trace__(*args, **kwargs)
        out = self.take_out(kwargs)
        try:
            return self.ways(*args, **kwargs) if out is None else self.ways(*args, **kwargs, out=out)
        except Miss:
            pass
        head = kwargs.pop("head", 1.0)
        flat = self.flatten(args, kwargs)
        request, extras = self._head(flat, head)
        return self.run(flat, request, extras, self._parameters(flat, request, head, extras), out)

    def _parameters(self, flat: Flat, request: object, head: object, extras: tuple) -> list[Parameter]:
        """The function's parameters and the head, for the fast way; none where there is none."""
        from jitgrad.api.caller import Parameter, passed_on

        if request == SCALAR:
            last = Parameter("head", "extra", LEAF, [head], default="=1.0", lenient=True, by_name=True)
        else:
            last = passed_on("head", head, extras, by_name=True)
        ours = self.parameters(flat)
        return [*ours, last] if ours and last is not None else []

    def _head(self, flat: Flat, head: object) -> tuple[str, tuple]:
        """The kind of head, and its leaves."""
        if heads.is_number(head):
            return SCALAR, (heads.number(head),)
        from jitgrad.api.derive import float_outputs, outputs_of

        primal = self.entry(flat, SCALAR).primal
        _, _, n = outputs_of(primal, self.has_aux)
        results = [(primal.results[k], primal.block.results[k].type) for k in float_outputs(primal, n)]
        like = [(name, t.dtype, t.ndim) for name, t in results]
        return ARRAY, tuple(heads.arrays(head, like, "head gradient"))

    def derive(self, primal: Primal, flat: Flat, request: object, extras: tuple | None) -> Derived:
        from jitgrad.api.derive import gradient

        return gradient(primal, flat, self.places, self.single, self.has_aux, self.with_value, request, extras)

    @cached_property
    def _dispatcher(self):
        from jitgrad.api.njit import kernel_for, make_dispatcher

        def build(values: list) -> tuple:
            return kernel_for(self, SCALAR, values[:-2], ["head"], (1.0,), values[-1])

        return make_dispatcher(self, self.suffix, build, head=True)

    def residuals(self, *args, **kwargs) -> Residuals:
        """What is kept of the forward pass for the adjoint: a table of values, their lines, sizes, and why.

        Args:
            args, kwargs: as in a call; the sizes are those for these arguments.

        Example:
            >>> import numpy as np
            >>> from jitgrad import grad
            >>> kept = grad(lambda x: np.sum(np.exp(np.sin(x)))).residuals(np.ones(1000))
            >>> [(r.shape, r.nbytes) for r in kept]
            [((1000,), 8000)]
        """
        from jitgrad.api.residuals import residuals_of

        flat = self.flatten(args, kwargs)
        entry = self.entry(flat, SCALAR)
        return residuals_of(entry.program.block, self.values(entry, flat, (1.0,)))

    def request(self) -> object:
        return SCALAR

    def describe(self) -> str:
        return "Value and gradient of" if self.with_value else "Gradient of"


class Jitted(Engine):
    """A function compiled as it is: what `jit` makes."""

    suffix = "jit"

    def __init__(self, function: Callable, boundscheck: bool = True, parallel: bool = False):
        super().__init__(function, boundscheck, parallel)
        self.share()

    def __call__(self, *args, **kwargs):
        try:
            return self.ways.last(*args, **kwargs)
        except (Miss, TypeError):
            pass
        return self._call(args, kwargs)

    def __jitgrad_trace__(self, *args, **kwargs):
        """A call inside another trace: as if the function weren't compiled."""
        refuse_out(self.take_out(kwargs))
        return self.inline(self.flatten(args, kwargs), None, ())

    def _call(self, args: tuple, kwargs: dict) -> object:
        if is_building():
            return self.__jitgrad_trace__(*args, **kwargs)
        out = self.take_out(kwargs)
        try:
            return self.ways(*args, **kwargs) if out is None else self.ways(*args, **kwargs, out=out)
        except Miss:
            pass
        flat = self.flatten(args, kwargs)
        return self.run(flat, None, (), self.parameters(flat), out)

    @cached_property
    def _dispatcher(self):
        from jitgrad.api.njit import kernel_for, make_dispatcher

        def build(values: list) -> tuple:
            return kernel_for(self, None, values[:-1], [], (), values[-1])

        return make_dispatcher(self, self.suffix, build, head=False)

    def derive(self, primal: Primal, flat: Flat, request: object, extras: tuple | None) -> Derived:
        from jitgrad.api.derive import Derived

        return Derived(primal.block, primal.structure)

    def describe(self) -> str:
        return "The function"


def refuse_out(out: object) -> None:
    """Refuse `out` in a call inside another trace, where values don't change."""
    if out is not None:
        raise TypeError("out= can't be given inside a function that is traced; assign the result: buffer[:] = ...")


def grad(
    function: Callable | None = None,
    *,
    argnums: Argnums = 0,
    has_aux: bool = False,
    boundscheck: bool = True,
    parallel: bool = False,
) -> Gradient | Callable[[Callable], Gradient]:
    """The gradient of a function, compiled at its first call.

    Args:
        function: takes and returns arrays (float64, float32; ints and bools as data), numbers, and nested dicts, lists,
            tuples, named tuples and dataclasses of them. Left out, `grad` is a decorator with arguments.
        argnums: by which arguments: a position, a name, or a sequence of these.
        has_aux: the function returns `(output, auxiliary)`, and the result is `(gradient, auxiliary)`.
        boundscheck: raise `IndexError` for an index out of range. Most checks are done in front of loops or can be
            proved to be needless; without them, such an index reads or writes what lies there, or ends the process.
        parallel: share out work among threads (`numba.set_num_threads` says how many): array operations, by rows, and
            loops in no other loop, whose iterations add to sums, or read and write their own parts of arrays, and which
            call no recursive function and hold no `while`. The same number of threads gives the same bits. Starting
            threads takes some 20 microseconds, and compiling for them longer. Where Numba's threads are OpenMP's, a
            process that has used them must not fork.

    Returns:
        A function of the same arguments that gives the gradient in the structure of the argument (a tuple of them if
        `argnums` is a sequence). An output that isn't scalar has the derivative of its sum. `head=` takes a head
        gradient: an array of the output's shape and dtype, or a number for all its elements.

        `out=` takes arrays for the gradient, in its structure, which are filled and returned; None stands for one that
        is to be made. They may share memory with arguments, but not with each other. After an exception their content
        is undefined. If the function has a parameter `out`, that is what the keyword means.

    Raises:
        TypeError: an argument in `argnums` isn't floating-point; the head has another dtype than the output, or an
            array of `out` than the gradient.
        ValueError: the head has another shape than the output, or an array of `out` than the gradient; shapes that
            NumPy would refuse.
        IndexError, ZeroDivisionError: as in Python, with the line.
        TraceError, UnsupportedError: the function does what can't be compiled; they point at the line.

    Example:
        >>> import numpy as np
        >>> from jitgrad import grad
        >>> @grad
        ... def loss(w, x):
        ...     return np.sum(np.tanh(x @ w))
        >>> loss(np.zeros(2), np.ones((3, 2)))
        array([3., 3.])
        >>> loss(np.zeros(2), np.ones((3, 2)), head=2.0)
        array([6., 6.])

    The method is reverse accumulation by source transformation (Griewank & Walther, Evaluating Derivatives, 2008,
    ch. 6).
    """
    if function is None:
        return lambda f: Gradient(f, argnums, has_aux, False, boundscheck, parallel)
    return Gradient(function, argnums, has_aux, False, boundscheck, parallel)


def value_and_grad(
    function: Callable | None = None,
    *,
    argnums: Argnums = 0,
    has_aux: bool = False,
    boundscheck: bool = True,
    parallel: bool = False,
) -> Gradient | Callable[[Callable], Gradient]:
    """The value of a function and its gradient, from one run.

    Args:
        function, argnums, has_aux, boundscheck, parallel: as for `grad`.

    Returns:
        A function that gives `(value, gradient)`, or with `has_aux` `((value, auxiliary), gradient)`. `out=` is for the
        gradient, as with `grad`.

    Raises:
        What `grad` raises.

    Example:
        >>> import numpy as np
        >>> from jitgrad import value_and_grad
        >>> value, gradient = value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
        >>> float(value), gradient
        (5.0, array([2., 4.]))
    """
    if function is None:
        return lambda f: Gradient(f, argnums, has_aux, True, boundscheck, parallel)
    return Gradient(function, argnums, has_aux, True, boundscheck, parallel)


def jit(
    function: Callable | None = None, *, boundscheck: bool = True, parallel: bool = False
) -> Jitted | Callable[[Callable], Jitted]:
    """A function compiled as its gradient would be, without differentiating it.

    Args:
        function, boundscheck, parallel: as for `grad`.

    Returns:
        A function of the same arguments and results. `out=` takes arrays for the results, as with `grad`.

    Raises:
        TraceError, UnsupportedError: the function does what can't be compiled; they point at the line.

    Example:
        >>> import numpy as np
        >>> from jitgrad import jit
        >>> jit(lambda x: np.mean(x, axis=0, keepdims=True))(np.ones((3, 2)))
        array([[1., 1.]])
    """
    if function is None:
        return lambda f: Jitted(f, boundscheck, parallel)
    return Jitted(function, boundscheck, parallel)
