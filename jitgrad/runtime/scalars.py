"""Functions of numbers that generated code calls: what Numba lacks, or computes otherwise than NumPy.

The reductions' steps carry LLVM flags of their own: `reassoc` lets a sum be split over vector lanes. It is set here, on
additions that are known to be the steps of a reduction, and nowhere else: on the user's own arithmetic it would break
compensated sums and the like.
"""

from __future__ import annotations

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic


def _flagged(method: str, flags: tuple[str, ...]):
    @intrinsic
    def step(typingctx, a, b):
        if not (isinstance(a, types.Float) and a == b):
            return None

        def codegen(context, builder, signature, args):
            return getattr(builder, method)(*args, flags=flags)

        return a(a, b), codegen

    return step


_REDUCTION = ("reassoc", "contract", "nsz", "arcp")
sum_step = _flagged("fadd", _REDUCTION)
product_step = _flagged("fmul", _REDUCTION)
serial_step = _flagged("fadd", ("nsz",))


FLOAT_EXTREMA = 17  # from this version of LLVM on there is code for llvm.maximum on every processor


def _extremum(name: str, predicate: str):
    """NumPy's maximum and minimum: NaN if either is NaN."""

    @intrinsic
    def extremum(typingctx, a, b):
        if a != b or not isinstance(a, types.Float | types.Integer | types.Boolean):
            return None

        def codegen(context, builder, signature, args):
            x, y = args
            if isinstance(a, types.Float):
                return _float_extremum(builder, name, predicate, a, x, y)
            compare = builder.icmp_signed if getattr(a, "signed", False) else builder.icmp_unsigned
            return builder.select(compare(predicate, x, y), x, y)

        return a(a, b), codegen

    return extremum


def _float_extremum(builder: ir.IRBuilder, name: str, predicate: str, kind: types.Float, x: ir.Value, y: ir.Value):
    if binding.llvm_version_info[0] < FLOAT_EXTREMA:
        larger = builder.select(builder.fcmp_ordered(predicate, x, y), x, y)
        return builder.select(builder.fcmp_unordered("uno", x, y), builder.fadd(x, y), larger)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(x.type, [x.type, x.type]), f"llvm.{name}.{_suffix(kind)}"
    )
    return builder.call(function, [x, y])


def _suffix(kind: types.Float) -> str:
    return {types.float64: "f64", types.float32: "f32"}[kind]


maximum = _extremum("maximum", ">")
minimum = _extremum("minimum", "<")


@intrinsic
def truncated(typingctx, x):
    """A float as an integer of 64 bits; the least of all if it doesn't fit, or is NaN.

    That is what processors give, where LLVM gives anything: an index computed of NaN must be out of range.
    """
    if not isinstance(x, types.Float):
        return None

    def codegen(context, builder, signature, args):
        kind, limit = args[0].type, 2.0**63
        fits = builder.and_(
            builder.fcmp_ordered(">=", args[0], kind(-limit)), builder.fcmp_ordered("<", args[0], kind(limit))
        )
        word = ir.IntType(64)
        return builder.select(fits, builder.fptosi(args[0], word), word(-(2**63)))

    return types.int64(x), codegen


@intrinsic
def select(typingctx, condition, a, b):
    """`a if condition else b`, with both computed: LLVM's select, where a conditional expression would be a branch.

    Branches keep a loop from being vectorised, and Numba's compile time grows with their number more than linearly.
    """
    a, b = types.unliteral(a), types.unliteral(b)
    if a != b or not isinstance(condition, types.Boolean):
        return None

    def codegen(context, builder, signature, args):
        c, x, y = args
        if c.type != ir.IntType(1):
            c = builder.icmp_unsigned("!=", c, c.type(0))
        return builder.select(c, x, y)

    return a(condition, a, b), codegen


@intrinsic
def in_range(typingctx, i, n):
    """`-n <= i < n`, of a length: what becomes of an index is what LLVM finds in the `select` for its access."""
    i, n = types.unliteral(i), types.unliteral(n)
    if i != n or not isinstance(i, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        index, length = args
        from_end = builder.icmp_signed("<", index, index.type(0))
        place = builder.select(from_end, builder.add(index, length), index)
        return builder.icmp_unsigned("<", place, length)

    return types.boolean(i, n), codegen


@intrinsic
def stack_address(typingctx):
    """Where the stack of the running function is, as a number."""

    def codegen(context, builder, signature, args):
        place = cgutils.alloca_once(builder, ir.IntType(8))
        return builder.ptrtoint(place, ir.IntType(64))

    return types.int64(), codegen


@intrinsic
def thread_count(typingctx):
    """How many threads loops are shared out among. By Numba's own function, code that asks can't be cached."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(types.intp.bitwidth), [])
        count = builder.call(cgutils.get_or_insert_function(builder.module, kind, "get_num_threads"), [])
        return context.cast(builder, count, types.intp, types.int64)

    return types.int64(), codegen


@intrinsic
def writable(typingctx, x):
    """The same array, of the type that arrays have which may be written to: for a function that has one type only."""
    if not isinstance(x, types.Array):
        return None

    def codegen(context, builder, signature, args):
        return impl_ret_borrowed(context, builder, signature.return_type, args[0])

    return x.copy(readonly=False)(x), codegen


@intrinsic
def apart(typingctx, outs, others):
    """Whether the first arrays share no memory, neither with each other nor with the others; all are contiguous."""

    def codegen(context, builder, signature, args):
        spans = [
            _span(context, builder, array, value)
            for kinds, values in zip(signature.args, args, strict=True)
            for array, value in zip(kinds, cgutils.unpack_tuple(builder, values, len(kinds)), strict=True)
        ]
        ok = ir.Constant(ir.IntType(1), 1)
        for k in range(len(signature.args[0])):
            for other in spans[k + 1 :]:
                ok = builder.and_(ok, _separate(builder, spans[k], other))
        return ok

    return types.boolean(outs, others), codegen


def _span(context, builder, kind, value) -> tuple:
    """Where an array begins and ends."""
    array = context.make_array(kind)(context, builder, value)
    start = builder.ptrtoint(array.data, array.nitems.type)
    return start, builder.add(start, builder.mul(array.nitems, array.itemsize))


def _separate(builder, a: tuple, b: tuple):
    before, after = builder.icmp_unsigned("<=", a[1], b[0]), builder.icmp_unsigned("<=", b[1], a[0])
    empty = builder.or_(builder.icmp_unsigned("==", *a), builder.icmp_unsigned("==", *b))
    return builder.or_(empty, builder.or_(before, after))


@intrinsic
def clear(typingctx, x):
    """Zeros in all of a contiguous array."""
    if not (isinstance(x, types.Array) and x.layout == "C" and x.mutable):
        return None

    def codegen(context, builder, signature, args):
        array = context.make_array(x)(context, builder, args[0])
        size = builder.mul(array.nitems, array.itemsize)
        cgutils.memset(builder, array.data, size, 0)
        return context.get_dummy_value()

    return types.void(x), codegen


@intrinsic
def copy_into(typingctx, x, source):
    """All elements of a contiguous array in one of as many, of the same shape but for axes of length one."""
    if not all(isinstance(t, types.Array) and t.layout == "C" for t in (x, source)):
        return None
    if x.dtype != source.dtype or not x.mutable:
        return None

    def codegen(context, builder, signature, args):
        to, array = (context.make_array(t)(context, builder, a) for t, a in zip(signature.args, args, strict=True))
        cgutils.raw_memmove(builder, to.data, array.data, array.nitems, array.itemsize)
        return context.get_dummy_value()

    return types.void(x, source), codegen
