"""Making arrays of the tape, and attaching gradients to several at once."""

from __future__ import annotations

import numpy as np

from jitgrad.ops import elementwise
from jitgrad.ops.registry import FUNCTIONS, METHODS
from jitgrad.tape.array import Array


def array(obj, dtype=None) -> Array:
    """An array of the tape.

    The dtype of NumPy arrays is kept; Python numbers, ints too, become float64 (MXNet makes all of them
    float32). Of an array of the tape it is a copy, recorded inside `record()`.

    Raises:
        TypeError: the dtype is none of booleans, integers and real floats.

    Example:
        >>> array([1, 2, 3])
        tape.array([1., 2., 3.])
    """
    if isinstance(obj, list | tuple) and any(isinstance(o, Array) for o in obj):
        obj = FUNCTIONS[np.stack]([o if isinstance(o, Array) else array(o) for o in obj])
    if isinstance(obj, Array):
        return obj.copy() if dtype is None else METHODS["astype"](obj, np.dtype(dtype))
    data = np.array(obj, dtype=dtype)
    if dtype is None and data.dtype.kind in "iu" and not isinstance(obj, np.ndarray | np.generic):
        data = data.astype(np.float64)
    if data.dtype.kind not in "biuf":
        raise TypeError(f"dtype {data.dtype} is not supported: only booleans, integers and real floats are")
    return Array(data)


def zeros(shape, dtype=np.float64) -> Array:
    """An array of zeros."""
    return Array(np.zeros(shape, dtype))


def ones(shape, dtype=np.float64) -> Array:
    """An array of ones."""
    return Array(np.ones(shape, dtype))


def arange(start, stop=None, step=1, dtype=np.float64) -> Array:
    """Evenly spaced numbers, floats by default."""
    return Array(np.arange(*((0, start) if stop is None else (start, stop)), step, dtype=dtype))


def stop_gradient(x):
    """`x` with derivative zero. Unlike `detach()` it stays in the graph: a head behind it is no error."""
    return elementwise.stop_gradient(x)


def mark_variables(variables, gradients, grad_reqs="write") -> None:
    """Attach the given arrays as gradient buffers.

    Args:
        variables: an array, or a list of arrays.
        gradients: a buffer for each, of its shape and dtype; no two variables may share one.
        grad_reqs: one for all, or a list.

    Raises:
        ValueError, TypeError: counts, shapes or dtypes differ; nothing has been attached then.
    """
    variables = [variables] if isinstance(variables, Array) else list(variables)
    gradients = [gradients] if isinstance(gradients, Array) else list(gradients)
    reqs = [grad_reqs] * len(variables) if isinstance(grad_reqs, str) else list(grad_reqs)
    if not len(variables) == len(gradients) == len(reqs):
        raise ValueError(f"{len(variables)} variables, {len(gradients)} gradients and {len(reqs)} grad_reqs")
    for k, (v, g) in enumerate(zip(variables, gradients, strict=True)):
        if not isinstance(v, Array) or not isinstance(g, Array):
            raise TypeError(f"variable {k} and its gradient must be arrays of the tape")
        if v.shape != g.shape:
            raise ValueError(f"variable {k} has shape {v.shape}, its gradient {g.shape}")
        if v.dtype != g.dtype:
            raise TypeError(f"variable {k} has dtype {v.dtype}, its gradient {g.dtype}")
        if any(np.shares_memory(g._data, other._data) for other in gradients[:k]):
            raise ValueError(f"variable {k} shares its gradient buffer with another: one would be lost")
        if np.shares_memory(v._data, g._data):
            raise ValueError(f"variable {k} and its gradient share memory")
    for v, g, req in zip(variables, gradients, reqs, strict=True):
        v._attach(g, req)


def zero_grad(*arrays: Array) -> None:
    """Set the gradients of attached arrays to zeros.

    Raises:
        ValueError: no gradient is attached to one of them.
    """
    for a in arrays:
        a.zero_grad()
