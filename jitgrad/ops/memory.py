"""Operations of the lowered form: loops, and memory that is read and written an element at a time.

A buffer is a value like any other: `store` takes one and gives the next version of it. Both name the same memory; the
former version has no reader after the store.
"""

from __future__ import annotations

import numpy as np

from jitgrad.ir.op import Op
from jitgrad.ir.types import BOOL, INT64, Type
from jitgrad.ops.infer import length_args, same_type

# empty(*lengths, dtype=): a new buffer, C-contiguous, of any content.
empty = Op("empty", lambda args, dtype: Type(np.dtype(dtype), length_args(args)))

# load(x, *index): one element.
load = Op("load", lambda args: Type(args[0].type.dtype))

# store(x, v, *index): the buffer x with v at the index.
store = Op("store", same_type)

# view(x, *lengths): the same memory in another shape.
view = Op("view", lambda args: Type(args[0].type.dtype, length_args(args[1:])))

# call_into(out, *args, function=): a function of the runtime that fills a buffer; gives the filled buffer.
call_into = Op("call_into", lambda args, function: same_type(args))

# reassociable sums, and extrema that NaN passes through: what lets LLVM vectorise a reduction that is known to be one.
# They compute where both are known, as the one element of a constant array is.
sum_step = Op("sum_step", lambda args: Type(args[0].type.dtype), np.add)
product_step = Op("product_step", lambda args: Type(args[0].type.dtype), np.multiply)
# the step of a sum in a loop that doesn't vectorise: never fused with a product.
serial_step = Op("serial_step", lambda args: Type(args[0].type.dtype))

# library(*args, function=): a function of the C library, for single numbers.
library = Op("library", lambda args, function: Type(args[0].type.dtype))

# waited_for(x, function=): an elementary function of a single number, with a short way for small ones.
waited_for = Op("waited_for", lambda args, function: Type(args[0].type.dtype))

# called(*args, function=): an elementary function of our own, called where others are inlined.
called = Op("called", lambda args, function: Type(args[0].type.dtype))

# in_range(i, n): whether -n <= i < n, of a length n.
in_range = Op("in_range", lambda args: Type(BOOL))

# stack_address(): where the stack of the running function is.
stack_address = Op("stack_address", lambda args: Type(INT64))

# apart(*arrays, outs=): whether the first `outs` arrays share no memory, neither with each other nor with the rest.
apart = Op("apart", lambda args, outs: Type(BOOL))
