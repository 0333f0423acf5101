"""`np.empty` in generated functions.

Numba has it as five functions that call each other, made anew for each rank and in each process: more to compile than
many a program. It is one call of the allocator.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir as llvm
from numba.core import types
from numba.core.base import BaseContext
from numba.core.typing import Signature
from numba.np.arrayobj import populate_array

_TOO_BIG = "array is too big; `arr.size * arr.dtype.itemsize` is larger than the maximum possible size."


def signature(args: Sequence[types.Type]) -> Signature | None:
    """The types of a call of `np.empty` as generated code has it: lengths and perhaps a dtype; None for others."""
    shape, *dtype = args
    lengths = tuple(shape) if isinstance(shape, types.BaseTuple) else (shape,)
    if not (lengths and all(isinstance(t, types.Integer) for t in lengths)):
        return None
    number = types.float64
    if dtype:
        if not isinstance(dtype[0], types.NumberClass):
            return None
        number = dtype[0].instance_type
    return types.Array(number, len(lengths), "C")(*args)


def allocate(context: BaseContext, builder: llvm.IRBuilder, kind: types.Array, lengths: Sequence[llvm.Value]):
    """A new array, or NumPy's error for lengths that no array has."""
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    zero = context.get_constant(types.intp, 0)
    negative = too_big = llvm.Constant(llvm.IntType(1), 0)
    strides = [itemsize]
    for length in reversed(lengths):
        negative = builder.or_(negative, builder.icmp_signed("<", length, zero))
        size = builder.smul_with_overflow(strides[0], length)
        too_big = builder.or_(too_big, builder.extract_value(size, 1))
        strides.insert(0, builder.extract_value(size, 0))
    for wrong, message in ((negative, "negative dimensions are not allowed"), (too_big, _TOO_BIG)):
        with builder.if_then(wrong, likely=False):
            context.call_conv.return_user_exc(builder, ValueError, (message,))
    alignment = context.get_preferred_array_alignment(kind.dtype)
    memory = context.nrt.meminfo_alloc_aligned(builder, strides.pop(0), alignment)
    array = context.make_array(kind)(context, builder)
    data = builder.bitcast(context.nrt.meminfo_data(builder, memory), array.data.type)
    populate_array(array, data, lengths, strides, itemsize, memory)
    return array._getvalue()
