"""Operations with a derivative of the user's own."""

from __future__ import annotations

import copy
import inspect

import numpy as np

from jitgrad.errors import ModifiedError, TapeError
from jitgrad.tape.array import Array, _parents
from jitgrad.tape.engine import CUSTOM, PAUSED, PLAIN, UNATTACHED, UNRECORDED
from jitgrad.tape.nodes import CLOCK, Output, is_number
from jitgrad.tape.state import OUTSIDE, PAUSE, RECORD, state


class Function:
    """Base class: write `forward`, and a `backward` that maps cotangents of results to cotangents of array
    arguments.

    Both run with recording off, on a copy of the instance made for each call, so that one instance can be
    called many times; what `forward` keeps on `self`, or with `save_for_backward`, is there in `backward`.

    For second derivatives (`grad(..., create_graph=True)`), `backward` is recorded: it must then read nothing
    of `forward` but inputs and outputs that were saved with `save_for_backward`.

    Example:
        >>> class Cube(Function):
        ...     def forward(self, x):
        ...         self.save_for_backward(x)
        ...         return x * x * x
        ...     def backward(self, y_bar):
        ...         (x,) = self.saved_tensors
        ...         return y_bar * 3 * x * x
        >>> from jitgrad.tape import array, record
        >>> x = array([1.0, 2.0])
        >>> x.attach_grad()
        >>> with record():
        ...     y = Cube()(x)
        >>> y.backward()
        >>> x.grad
        tape.array([ 3., 12.])
    """

    _saved: tuple = ()
    _escaped = False

    def forward(self, *args):
        """The results, an array or a tuple of arrays."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, *cotangents):
        """For each array argument its cotangent, or None; gets one array for each result."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def save_for_backward(self, *arrays) -> None:
        """Keep arrays for `saved_tensors`."""
        self._saved = arrays

    @property
    def saved_tensors(self) -> tuple:
        return self._saved

    def __call__(self, *args, **kwargs):
        """Run `forward`, and record it as one operation.

        Raises:
            TypeError: `forward` returned something else than arrays of the tape.
        """
        if kwargs:
            bound = inspect.signature(self.forward).bind(*args, **kwargs)
            args, kwargs = bound.args, bound.kwargs
        context = copy.copy(self)
        inner = [Array._wrap(a._data, None, a._cell, CUSTOM) if isinstance(a, Array) else a for a in args]
        outs = _run(context, context.forward, inner, kwargs, OUTSIDE if state.mode == RECORD else state.mode)
        single = not isinstance(outs, tuple | list)
        outs = [outs] if single else list(outs)
        for o in outs:
            if not isinstance(o, Array):
                name = type(self).__name__
                raise TypeError(f"{name}.forward returned {type(o).__name__}, not an array of the tape")
        results = _record(context, args, inner, outs)
        return results[0] if single else tuple(results)


def _run(context: Function, method, args, kwargs, mode: int):
    before = state.mode, state.function
    state.mode, state.function = mode, context
    try:
        return method(*args, **kwargs)
    finally:
        state.mode, state.function = before


class _Call:
    """The node of one call of a `Function`."""

    __slots__ = ("parents", "saved", "time", "watch")
    flows = True

    def __init__(self, saved: tuple, parents: tuple):
        self.saved = saved
        self.parents = parents
        self.time = CLOCK[0]
        self.watch = None

    def pull(self, gs: dict, wanted: list, masked: bool, wrap) -> tuple[list, bool]:
        context, inner, inputs, outs = self.saved
        name = type(context).__name__
        for array in context._saved:
            if isinstance(array, Array) and array._cell[0] > self.time:
                raise ModifiedError(f"an array that {name} saved for backward was changed in place since")
        cotangents = [gs.get(k) for k in range(len(outs))]
        cotangents = [np.zeros(o.shape, o.dtype) if g is None else g for g, o in zip(cotangents, outs, strict=True)]
        cotangents = [g if isinstance(g, Array) else Array(np.array(g)) for g in cotangents]
        running = copy.copy(context)
        if wrap is None:
            bars = _run(running, running.backward, cotangents, {}, PAUSE)
            return self._checked(name, bars, inputs, False), False
        whole = {id(o): wrap(o._data, Output(self, k), o._cell) for k, o in enumerate(outs)}
        whole |= {id(i): x for i, x in zip(inner, inputs, strict=True)}
        running._saved = tuple(whole.get(id(s), s) for s in context._saved)
        bars = _run(running, running.backward, cotangents, {}, RECORD)
        if context._escaped or running._escaped:
            raise TapeError(
                f"{name} can be differentiated once only: it computes with numbers or NumPy arrays, which "
                "are constants to a second derivative"
            )
        return self._checked(name, bars, inputs, True), False

    def _checked(self, name: str, bars, inputs: list, recorded: bool) -> list:
        """What `backward` returned, an entry for each array argument, with the right shapes and dtypes."""
        if bars is None:
            raise TypeError(f"{name}.backward returned None")
        bars = list(bars) if isinstance(bars, tuple | list) else [bars]
        if len(bars) != len(inputs):
            raise ValueError(f"{name}.backward returned {len(bars)} cotangents for {len(inputs)} arrays")
        for k, (bar, x) in enumerate(zip(bars, inputs, strict=True)):
            if bar is None:
                continue
            if is_number(bar) and not x.shape:
                bar = bars[k] = np.asarray(bar, x.dtype)
            if not isinstance(bar, Array | np.ndarray | np.generic):
                raise TypeError(f"{name}.backward returned {type(bar).__name__} for array {k}")
            if bar.shape != x.shape:
                raise ValueError(f"{name}.backward returned shape {bar.shape} for array {k}, {x.shape}")
            if bar.dtype != x.dtype:
                raise TypeError(f"{name}.backward returned {bar.dtype} for array {k} of dtype {x.dtype}")
            if isinstance(bar, Array) and not recorded:
                bars[k] = bar._data
        return bars


def _record(context: Function, args, inner: list, outs: list) -> list:
    """The results of a call: with a node behind them, or with the reason why there is none."""
    arrays = [a for a in args if isinstance(a, Array)]
    tracked = any(a._node is not None and a._node.flows for a in arrays)
    if state.mode != RECORD or not tracked:
        why = UNATTACHED if state.mode == RECORD else PLAIN
        if tracked:
            why = UNRECORDED if state.mode == OUTSIDE else PAUSED
        return [Array._wrap(o._data, None, o._cell, why) for o in outs]
    _parents(args)
    inputs = [Array._wrap(a._data, a._node, a._cell, a._why) for a in arrays]
    kept = [i for i in inner if isinstance(i, Array)]
    node = _Call((context, kept, inputs, outs), tuple(a._node for a in arrays))
    results = []
    for k, o in enumerate(outs):
        o._cell[2] = o._cell[2] or any(o._cell is i._cell for i in inputs)
        results.append(Array._wrap(o._data, Output(node, k) if o.dtype.kind == "f" else None, o._cell))
    return results
