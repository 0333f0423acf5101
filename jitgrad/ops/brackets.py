"""What stands between the brackets of an index, as a pattern and operands; see `jitgrad.ops.index`."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Value
from jitgrad.ir.op import Op
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.control import require_equal, require_in_bounds
from jitgrad.ops.create import iota
from jitgrad.ops.registry import numpy_function
from jitgrad.ops.rules import Constant, dtype_of, shape_of
from jitgrad.ops.shape import ravel
from jitgrad.ops.slices import from_start, known, plain_bounds, slice_bounds, wide
from jitgrad.ops.symbolic import Expr, current


# nonzero(mask): the indices of the true elements, an int64 vector for each axis; `count` says how many there are.
def _nonzero_type(args):
    mask, count = args
    length = count if isinstance(count, Value) else int(count.value)
    return tuple(Type(INT64, (length,)) for _ in mask.type.shape)


nonzero_ = Op("nonzero", _nonzero_type, lambda mask, count: np.nonzero(mask), Constant())


@numpy_function(np.nonzero, method="nonzero")
def nonzero(a):
    """The indices of the true elements, an array for each axis."""
    mask = a if dtype_of(a) == np.bool_ else np.not_equal(a, 0)
    return nonzero_(mask, np.sum(mask))


@numpy_function(np.flatnonzero)
def flatnonzero(a):
    """The indices of the true elements of the flattened array."""
    return nonzero(ravel(a))[0]


def parse_index(x, index) -> tuple[tuple, list]:
    """Pattern and operands of an index of NumPy's; run-time bounds are clamped, and numbers are checked."""
    lengths = shape_of(x)
    parts = _expand_masks(_as_parts(index), lengths)
    used = sum(1 for p in parts if p is not None and p is not Ellipsis)
    if used > len(lengths):
        message = f"too many indices for array: array is {len(lengths)}-dimensional, but {used} were indexed"
        raise IndexError(f"{message}\n  {current().loc}")
    fill = [slice(None)] * (len(lengths) - used)
    where = next((k for k, p in enumerate(parts) if p is Ellipsis), None)
    parts = parts + fill if where is None else parts[:where] + fill + parts[where + 1 :]
    pattern, operands, axis = [], [], 0

    def operand(value) -> int:
        operands.append(value)
        return len(operands) - 1

    for part in parts:
        if part is None:
            pattern.append(("new",))
            continue
        length = lengths[axis]
        if isinstance(part, slice):
            start, count, step = slice_bounds(part, length)
            pattern.append(("slice", operand(start), operand(count), step, plain_bounds(part)))
        elif isinstance(part, _InRange):
            pattern.append(("array", operand(part.indices)))
        elif not shape_of(part):
            pattern.append(("at", operand(checked_number(part, length, axis))))
        else:
            pattern.append(("array", operand(_checked_array(part, length, axis))))
        axis += 1
    return tuple(pattern), operands


def _as_parts(index) -> list:
    """The parts of an index, lists among them as arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    return [np.asarray(p) if isinstance(p, list | tuple | range) else p for p in parts]


def _expand_masks(parts: list, lengths: tuple | None = None) -> list:
    """Masks as arrays of indices, after making sure that they are as long as the axes that they stand for."""
    out: list = []
    ellipsis = next((k for k, p in enumerate(parts) if p is Ellipsis), len(parts))
    for k, part in enumerate(parts):
        if shape_of(part) and dtype_of(part) == np.bool_:
            if lengths is not None:
                after = sum(_axes_of(p) for p in parts[k:])
                before = sum(1 for p in out if p is not None and p is not Ellipsis)
                first = len(lengths) - after if k > ellipsis else before
                check_mask(part, lengths, first)
            out.extend(map(_InRange, nonzero(part)) if lengths is not None else nonzero(part))
        elif isinstance(part, bool | np.bool_):
            raise IndexError("a single boolean as an index is not supported")
        else:
            out.append(part)
    return out


class _InRange:
    """An index array that needs no check: it comes from a mask as long as the axis."""

    def __init__(self, indices):
        self.indices = indices
        self.shape, self.dtype = indices.shape, indices.dtype


def _axes_of(part) -> int:
    if part is None or part is Ellipsis:
        return 0
    return len(shape_of(part)) if shape_of(part) and dtype_of(part) == np.bool_ else 1


def check_mask(mask, lengths: tuple, first: int) -> None:
    for axis, n in enumerate(shape_of(mask), start=first):
        if axis >= len(lengths):
            raise IndexError(f"too many indices for array: array is {len(lengths)}-dimensional\n  {current().loc}")
        a, b = (m.value if isinstance(m, Expr) else m for m in (lengths[axis], n))
        require_equal(a, b, (), "mask", axis=axis)


def checked_number(part, length, axis: int):
    """A single index, from 0 up; `IndexError` if it is out of range."""
    if not isinstance(part, Expr):
        part = int(part.__index__())
        if known(length):
            if not -length <= part < length:
                raise IndexError(f"index {part} is out of bounds for axis {axis} with size {length}\n  {current().loc}")
            return part % length
        least = part + 1 if part >= 0 else -part
        require_in_bounds(length >= least, axis, length, part)
        return part if part >= 0 else length + part
    if part.dtype.kind not in "iu":
        raise IndexError(f"only integers, slices and arrays of integers or bools are indices\n  {current().loc}")
    part = wide(part)
    require_in_bounds((part >= -length) & (part < length), axis, length, part)
    return from_start(part, length)


def _checked_array(part, length, axis: int):
    """An index array, whose elements may count from the end; `IndexError` if one is out of range."""
    if dtype_of(part).kind not in "iu":
        raise IndexError(f"arrays used as indices must be of integer (or boolean) type\n  {current().loc}")
    if not isinstance(part, Expr):
        part = np.asarray(part)
        if not part.size:
            return part.astype(np.int64)
        low, high = int(part.min()), int(part.max())
        worst = high if high >= -low else low
        if not known(length):
            require_in_bounds(length >= max(high + 1, -low), axis, length, worst)
        elif high >= length or low < -length:
            raise IndexError(f"index {worst} is out of bounds for axis {axis} with size {length}\n  {current().loc}")
        part = part.astype(np.int64)
        return part if low >= 0 else np.where(part < 0, part + length, part)
    part = wide(part)
    maker = current().maker(part)
    if maker is not None and maker.op is iota:
        count = maker.args[0]
        fits = (Expr(count) if isinstance(count, Value) else int(count.value)) <= length
        require_in_bounds(fits, axis, length)
        return part
    require_in_bounds(np.all((part >= -length) & (part < length)), axis, length)
    return np.where(part < 0, part + length, part)


def concrete_pattern(lengths: tuple[int, ...], index) -> tuple[tuple, list]:
    """Pattern and operands of an index of an array whose lengths are known; `IndexError` as NumPy has it."""
    if lengths and type(index) is int:  # by far the most frequent, and worth a shortcut
        n, rest = lengths[0], lengths[1:]
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of bounds for axis 0 with size {n}")
        pattern = (("at", 0), *(("slice", 2 * k + 1, 2 * k + 2, 1) for k in range(len(rest))))
        return pattern, [index % n, *(m for length in rest for m in (0, length))]
    parts = _as_parts(index)
    np.broadcast_to(np.False_, lengths)[tuple(parts)]  # NumPy's own checks
    parts = _expand_masks(parts)
    used = sum(1 for p in parts if p is not None and p is not Ellipsis)
    fill = [slice(None)] * (len(lengths) - used)
    where = next((k for k, p in enumerate(parts) if p is Ellipsis), None)
    parts = parts + fill if where is None else parts[:where] + fill + parts[where + 1 :]
    parts = [p if p is None or isinstance(p, slice) else np.asarray(p) for p in parts]
    pattern, operands, axis = [], [], 0
    for part in parts:
        if part is None:
            pattern.append(("new",))
            continue
        if isinstance(part, slice):
            start, count, step = slice_bounds(part, lengths[axis])
            operands += [start, count]
            pattern.append(("slice", len(operands) - 2, len(operands) - 1, step))
        else:
            operands.append(part if part.ndim else int(part))
            pattern.append(("array" if part.ndim else "at", len(operands) - 1))
        axis += 1
    return tuple(pattern), operands
