"""Calls of BLAS, by the functions through which Numba calls it.

Numba's `np.dot` puts a function around each call that compares the shapes, and one more for each length that must fit
in BLAS's integers: for a product, as much to compile as the loops of the small case. Shapes have been checked where
the product was traced.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import linalg

_LONGEST = 2**31 - 1
_CHAR, _BYTES = ir.IntType(8), ir.IntType(8).as_pointer()


def _matrix_vector(transposition: str):
    """An intrinsic (a, x, out): out = a x or a^T x for a contiguous matrix; to Fortran it lies transposed."""

    @intrinsic
    def gemv(typingctx, a, x, out):
        linalg.ensure_blas()

        def codegen(context, builder, signature, args):
            matrix, vector, result = _arrays(context, builder, signature, args)
            rows, columns = cgutils.unpack_tuple(builder, matrix.shape)
            one, zero = _factors(context, builder, a.dtype)
            _check_lengths(context, builder, (rows, columns))
            _call(
                context, builder, "numba_xxgemv",
                (_kind(a.dtype), _letter(transposition), columns, rows, one, matrix.data, columns, vector.data, zero,
                 result.data),
            )  # fmt: skip
            return context.get_dummy_value()

        return types.void(a, x, out), codegen

    return gemv


times_vector = _matrix_vector("t")
transposed_times_vector = _matrix_vector("n")


def _matrix_matrix(left: str, right: str):
    """An intrinsic (a, b, out) for contiguous matrices: out = a b, or with transposed ones ("t") as operands.

    What Fortran is told is out^T = b^T a^T.
    """

    @intrinsic
    def gemm(typingctx, a, b, out):
        linalg.ensure_blas()

        def codegen(context, builder, signature, args):
            first, second, result = _arrays(context, builder, signature, args)
            rows, columns = cgutils.unpack_tuple(builder, result.shape)
            first_shape, second_shape = (cgutils.unpack_tuple(builder, x.shape) for x in (first, second))
            inner = first_shape[0 if left == "t" else 1]
            one, zero = _factors(context, builder, a.dtype)
            _check_lengths(context, builder, (rows, columns, inner))
            _call(
                context, builder, "numba_xxgemm",
                (_kind(a.dtype), _letter(right), _letter(left), columns, rows, inner, one, second.data, second_shape[1],
                 first.data, first_shape[1], zero, result.data, columns),
            )  # fmt: skip
            return context.get_dummy_value()

        return types.void(a, b, out), codegen

    return gemm


times = _matrix_matrix("n", "n")
times_transposed = _matrix_matrix("n", "t")
transposed_times = _matrix_matrix("t", "n")
transposed_times_transposed = _matrix_matrix("t", "t")


def _arrays(context, builder, signature, args):
    return [context.make_array(t)(context, builder, a) for t, a in zip(signature.args, args, strict=True)]


def _kind(dtype: types.Type) -> ir.Constant:
    return _letter(linalg.get_blas_kind(dtype))


def _letter(letter: str) -> ir.Constant:
    return ir.Constant(_CHAR, ord(letter))


def _factors(context, builder, dtype):
    """The addresses of 1 and 0."""
    return [cgutils.alloca_once_value(builder, context.get_constant_generic(builder, dtype, x)) for x in (1.0, 0.0)]


def _check_lengths(context, builder, lengths):
    for length in lengths:
        longer = builder.icmp_signed(">", length, length.type(_LONGEST))
        with builder.if_then(longer, likely=False):
            message = "array size too large to fit in C int"
            context.call_conv.return_user_exc(builder, OverflowError, (message,))


def _call(context, builder, name, args):
    """Call a function of Numba's, which gives a number other than 0 only where there is no BLAS."""
    args = [builder.bitcast(x, _BYTES) if isinstance(x.type, ir.PointerType) else x for x in args]
    function_type = ir.FunctionType(ir.IntType(32), [x.type for x in args])
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    linalg.check_blas_return(context, builder, builder.call(function, args))
