"""Indexing: reading, writing and accumulating at basic, integer-array and boolean indices.

An index is split into a *pattern*, which is known while tracing, and operands, which are known at run time. The pattern
is a tuple with an entry for each axis of the array:

    ("at", k)                one element; operand k is the number
    ("slice", a, b, step, bounds)   operands a and b are where it starts and how long it is; step is an int, and
                             bounds is the user's (start, stop) if both were plain numbers, for the printer
    ("array", k)             operand k is an integer array
    ("new",)                 a new axis of length one (takes no axis of the array)

Boolean masks become integer arrays first. So there is one operation to read, one to write, one to accumulate, and the
transpose of each is among them.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Value
from jitgrad.ir.op import Op
from jitgrad.ir.types import BOOL, INT64, Type
from jitgrad.ops.control import require, require_equal
from jitgrad.ops.create import arange, iota
from jitgrad.ops.infer import broadcast
from jitgrad.ops.registry import FUNCTIONS, METHODS, numpy_function
from jitgrad.ops.rules import Constant, Custom, Linear, dtype_of, shape_of, sum_to
from jitgrad.ops.shape import ravel, reshape
from jitgrad.ops.slices import known, plain_bounds, slice_bounds
from jitgrad.ops.symbolic import Expr, as_arg, current


def index_key(pattern: tuple, operands: tuple) -> tuple:
    """The index as NumPy takes it."""
    key = []
    for part in pattern:
        if part[0] == "slice":
            start, count, step = int(operands[part[1]]), int(operands[part[2]]), part[3]
            stop = start + count * step
            key.append(slice(start, stop if stop >= 0 else None, step) if count else slice(0, 0))
        elif part[0] == "new":
            key.append(None)
        else:
            operand = operands[part[1]]
            key.append(operand if part[0] == "array" else int(operand))
    return tuple(key)


def array_axes(pattern: tuple) -> tuple[list[int], bool]:
    """The places of integer arrays in a pattern, and whether they stand together.

    NumPy puts their broadcast axes where they stand, or in front when a slice comes between them; a single number
    beside an array counts as an array there.
    """
    arrays = [k for k, part in enumerate(pattern) if part[0] == "array"]
    if not arrays:
        return [], True
    places = [k for k, part in enumerate(pattern) if part[0] in ("array", "at")]
    return places, places[-1] - places[0] == len(places) - 1


def indexed_shape(pattern: tuple, operands: tuple[Arg, ...]) -> tuple[int | Value, ...]:
    """The shape of what an index reads."""
    places, together = array_axes(pattern)
    picked = broadcast(tuple(operands[pattern[k][1]] for k in places)) if places else ()
    out: list[int | Value] = []
    for k, part in enumerate(pattern):
        if places and together and k == places[0]:
            out.extend(picked)
        if part[0] == "new":
            out.append(1)
        elif part[0] == "slice":
            count = operands[part[2]]
            out.append(count if isinstance(count, Value) else int(count.value))
    return tuple(out) if together else (*picked, *out)


def _getitem_type(args, pattern):
    return Type(args[0].type.dtype, indexed_shape(pattern, args[1:]))


def _scatter_into_zeros(g, x, *operands, pattern):
    zeros = np.zeros_like(x, dtype=dtype_of(g))
    return add_at(zeros, g, *operands, pattern=pattern)


getitem_ = Op(
    "getitem", _getitem_type, lambda x, *operands, pattern: x[index_key(pattern, operands)],
    Linear(_scatter_into_zeros, masks=True),
)  # fmt: skip


def _evaluate_add_at(x, v, *operands, pattern):
    out = np.array(x)
    key = index_key(pattern, operands)
    if any(part[0] == "array" for part in pattern):
        np.add.at(out, key, v)
    else:
        out[key] += v
    return out


def _add_at_transpose(g, x, v, *operands, pattern):
    return g, sum_to(getitem_(g, *operands, pattern=pattern), v)


# add_at(x, v, *operands): x with v added at the index; repeated indices add up.
add_at = Op("add_at", lambda args, pattern: _like_first(args), _evaluate_add_at, Linear(_add_at_transpose, arity=2))


def _evaluate_setitem(x, v, *operands, pattern):
    out = np.array(x)
    out[index_key(pattern, operands)] = v
    return out


def _setitem_jvp(tangents, z, x, v, *operands, pattern):
    x_dot = np.zeros_like(x) if tangents[0] is None else tangents[0]
    v_dot = dtype_of(x).type(0) if tangents[1] is None else tangents[1]
    return setitem(x_dot, v_dot, *operands, pattern=pattern)


def _setitem_vjp(g, z, x, v, *operands, pattern):
    gv = getitem_(g, *operands, pattern=pattern)
    if any(part[0] == "array" for part in pattern):
        # Where an index comes up more than once the last write stands, and only that one has a cotangent.
        gv = np.where(_last_write(g, gv, *operands, pattern=pattern), gv, dtype_of(g).type(0))
    rest = (None,) * len(operands)
    return setitem(g, dtype_of(g).type(0), *operands, pattern=pattern), sum_to(gv, v), *rest


setitem = Op(
    "setitem", lambda args, pattern: _like_first(args), _evaluate_setitem,
    Custom(_setitem_jvp, _setitem_vjp, masks=True),
)  # fmt: skip


def _like_first(args):
    return Type(args[0].type.dtype, args[0].type.shape)


def _last_write(x, v, *operands, pattern):
    """Whether each written element is the one that stands at its place in the end."""
    count = METHODS["size"](v)
    order = _iota(count, v)
    order = reshape(order, shape_of(v))
    final = setitem(np.zeros_like(x, dtype=INT64), order, *operands, pattern=pattern)
    return np.equal(getitem_(final, *operands, pattern=pattern), order)


def _iota(count, like):
    return arange(count) if isinstance(like, Expr) else np.arange(count)


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
            pattern.append(("at", operand(_checked_number(part, length, axis))))
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
                _check_mask(part, lengths, first)
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


def _check_mask(mask, lengths: tuple, first: int) -> None:
    for axis, n in enumerate(shape_of(mask), start=first):
        if axis >= len(lengths):
            raise IndexError(f"too many indices for array: array is {len(lengths)}-dimensional\n  {current().loc}")
        a, b = (m.value if isinstance(m, Expr) else m for m in (lengths[axis], n))
        require_equal(a, b, (), "mask", axis=axis)


def _checked_number(part, length, axis: int):
    """A single index, from 0 up; `IndexError` if it is out of range."""
    if not isinstance(part, Expr):
        part = int(part.__index__())
        if known(length):
            if not -length <= part < length:
                raise IndexError(f"index {part} is out of bounds for axis {axis} with size {length}\n  {current().loc}")
            return part % length
        least = part + 1 if part >= 0 else -part
        require(length >= least, f"index {part} is out of bounds for axis {axis}")
        return part if part >= 0 else length + part
    if part.dtype.kind not in "iu":
        raise IndexError(f"only integers, slices and arrays of integers or bools are indices\n  {current().loc}")
    require((part >= -length) & (part < length), f"index is out of bounds for axis {axis}")
    return np.where(part < 0, part + length, part)


def _checked_array(part, length, axis: int):
    """An index array, whose elements may count from the end; `IndexError` if one is out of range."""
    if dtype_of(part).kind not in "iu":
        raise IndexError(f"arrays used as indices must be of integer (or boolean) type\n  {current().loc}")
    if not isinstance(part, Expr):
        part = np.asarray(part)
        if not part.size:
            return part.astype(np.int64)
        low, high = int(part.min()), int(part.max())
        message = f"index {high if high >= -low else low} is out of bounds for axis {axis}"
        if known(length):
            if high >= length or low < -length:
                raise IndexError(f"{message} with size {length}\n  {current().loc}")
        else:
            require(length >= max(high + 1, -low), message)
        return part if low >= 0 else np.where(part < 0, part + length, part)
    maker = current().maker(part)
    if maker is not None and maker.op is iota:
        count = maker.args[0]
        require(
            (Expr(count) if isinstance(count, Value) else int(count.value)) <= length,
            f"index is out of bounds for axis {axis}",
        )
        return part
    require(np.all((part >= -length) & (part < length)), f"index is out of bounds for axis {axis}")
    return np.where(part < 0, part + length, part)


def getitem(x, index):
    """`x[index]`."""
    if not isinstance(x, Expr):
        return _concrete_getitem(x, index)
    if isinstance(index, Expr) and index.dtype == BOOL and not index.ndim:
        raise IndexError("a single boolean as an index is not supported")
    pattern, operands = parse_index(x, index)
    return x if _is_everything(pattern, operands, x) else getitem_(x, *operands, pattern=pattern)


def _is_everything(pattern, operands, x) -> bool:
    return all(
        part[0] == "slice" and part[3] == 1 and _is(operands[part[1]], 0) and _same(operands[part[2]], n)
        for part, n in zip(pattern, shape_of(x), strict=False)
    ) and len(pattern) == len(shape_of(x))


def _is(a, number: int) -> bool:
    return isinstance(a, int) and a == number


def _same(a, b) -> bool:
    if isinstance(a, Expr) and isinstance(b, Expr):
        return a.value is b.value
    return isinstance(a, int) and isinstance(b, int) and a == b


def _concrete_getitem(x, index):
    """For arrays of the tape, whose lengths and indices are numbers: the same patterns, nothing to check."""
    pattern, operands = concrete_pattern(shape_of(x), index)
    return getitem_(x, *operands, pattern=pattern)


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


METHODS["__getitem__"] = getitem


def part(x, axis: int, start, length):
    """The elements from `start` on along an axis, `length` of them, which are known to exist."""
    pattern, operands = [], []
    for k, n in enumerate(shape_of(x)):
        first, count, bounds = (start, length, None) if k == axis else (0, n, (None, None))
        operands += [first, count]
        pattern.append(("slice", len(operands) - 2, len(operands) - 1, 1, bounds))
    return getitem_(x, *operands, pattern=tuple(pattern))


@numpy_function(np.take, method="take")
def take(a, indices, axis=None, out=None, mode="raise"):
    """Elements along an axis; None is the flattened array."""
    if out is not None or mode not in ("raise", "wrap", "clip"):
        a._unsupported("np.take in this form")
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis % len(shape_of(a))
    n = shape_of(a)[axis]
    indices = np.asarray(indices) if isinstance(indices, list | tuple) else indices
    if mode == "wrap":
        indices = indices % n
    elif mode == "clip":
        indices = np.minimum(np.maximum(indices, 0), n - 1)
    return a[(slice(None),) * axis + (indices,)]


@numpy_function(np.take_along_axis)
def take_along_axis(arr, indices, axis=-1):
    """Elements at an index array of the same rank."""
    if axis is None:
        return take_along_axis(ravel(arr), indices, 0)
    n = len(shape_of(arr))
    axis = axis % n
    key = []
    for k, length in enumerate(shape_of(indices)):
        if k == axis:
            key.append(indices)
        else:
            ticks = _iota(length, arr)
            key.append(reshape(ticks, tuple(-1 if j == k else 1 for j in range(n))))
    return arr[tuple(key)]


def assign(x, index, value):
    """`x` with `value` at the index: what an in-place write makes of `x`."""
    if isinstance(index, Expr) and index.dtype == BOOL and index.ndim == len(shape_of(x)) and not shape_of(value):
        _check_mask(index, shape_of(x), 0)
        return FUNCTIONS[np.where](index, METHODS["astype"](_expr(value), dtype_of(x)), x)
    pattern, operands = parse_index(x, index)
    value = _expr(value)
    target = Type(dtype_of(x), indexed_shape(pattern, tuple(as_arg(o) for o in operands)))
    value = value if dtype_of(value) == target.dtype else METHODS["astype"](value, target.dtype)
    lengths = list(shape_of(value))
    while len(lengths) > target.ndim and lengths[0] == 1:
        lengths.pop(0)
    value = reshape(value, tuple(lengths)) if len(lengths) < len(shape_of(value)) else value
    for n, m in zip(reversed(as_arg(value).type.shape), reversed(target.shape), strict=False):
        if not (isinstance(n, int) and n == 1):
            require_equal(n, m, (as_arg(value), _Place(target)), "assign")
    return setitem(x, value, *operands, pattern=pattern)


class _Place:
    def __init__(self, type: Type):
        self.type = type


def _expr(value):
    value = np.asarray(value) if isinstance(value, list | tuple) else value
    return Expr(as_arg(value)) if isinstance(value, np.ndarray) and value.ndim else value
