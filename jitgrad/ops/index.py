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
from jitgrad.ops.brackets import check_mask, concrete_pattern, parse_index
from jitgrad.ops.control import require_equal
from jitgrad.ops.create import arange
from jitgrad.ops.infer import broadcast
from jitgrad.ops.registry import FUNCTIONS, METHODS, numpy_function
from jitgrad.ops.rules import Custom, Linear, dtype_of, shape_of, sum_to
from jitgrad.ops.shape import ravel, reshape
from jitgrad.ops.symbolic import Expr, as_arg


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


def getitem(x, index):
    """`x[index]`."""
    if not isinstance(x, Expr):
        return _concrete_getitem(x, index)
    if isinstance(index, Expr) and index.dtype == BOOL and not index.ndim:
        raise IndexError("a single boolean as an index is not supported")
    pattern, operands = parse_index(x, index)
    if not _is_everything(pattern, operands, x):
        return getitem_(x, *operands, pattern=pattern)
    lengths = iter(shape_of(x))  # only new axes: another shape of the same elements
    return reshape(x, tuple(1 if entry[0] == "new" else next(lengths) for entry in pattern))


def _is_everything(pattern, operands, x) -> bool:
    """Whether an index takes every element in order, perhaps with new axes."""
    entries = [entry for entry in pattern if entry[0] != "new"]
    return len(entries) == len(shape_of(x)) and all(
        entry[0] == "slice" and entry[3] == 1 and _is(operands[entry[1]], 0) and _same(operands[entry[2]], n)
        for entry, n in zip(entries, shape_of(x), strict=True)
    )


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
        check_mask(index, shape_of(x), 0)
        return FUNCTIONS[np.where](index, METHODS["astype"](_expr(value), dtype_of(x)), x)
    pattern, operands = parse_index(x, index)
    return setitem(x, fitted(x, pattern, operands, value), *operands, pattern=pattern)


def fitted(x, pattern: tuple, operands: list, value):
    """`value` as it is written to an index of `x`: of its dtype, and known to fit there."""
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
    return value


class _Place:
    def __init__(self, type: Type):
        self.type = type


def _expr(value):
    value = np.asarray(value) if isinstance(value, list | tuple) else value
    return Expr(as_arg(value)) if isinstance(value, np.ndarray) and value.ndim else value
