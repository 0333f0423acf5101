"""Products of matrices: BLAS when they are large, loops when they are small.

A call of BLAS from compiled code costs some hundred nanoseconds, as much as a product of 8 x 8 matrices takes in
loops. The
names say how the operands lie in memory: `n` as they are, `t` transposed. All are C-contiguous. The `_plain` ones
are for dtypes that BLAS doesn't know.
"""

from __future__ import annotations

from numba import njit

from jitgrad.runtime import blas
from jitgrad.runtime.linking import Linked

SMALL = 1024  # multiplications; below, loops are faster than a call
_OPTIONS = {
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},  # every addition below is the step of a sum
    "cache": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": Linked,
}


class Apart(Linked):
    """Numba's compiler, which tells LLVM that what is written to is in no other argument's memory.

    Else LLVM asks that at run time, which takes as long as the product of two small matrices.
    """

    def define_pipelines(self):
        self.state.flags.noalias = True
        return super().define_pipelines()


_PLAIN = {**_OPTIONS, "pipeline_class": Apart}


@njit(**_PLAIN)
def matrix_vector_plain(a, x, out):
    """out = a x."""
    for i in range(a.shape[0]):
        total = out.dtype.type(0)
        for k in range(a.shape[1]):
            total += a[i, k] * x[k]
        out[i] = total


@njit(**_PLAIN)
def vector_matrix_plain(x, a, out):
    """out = a^T x."""
    out[:] = 0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[j] += x[i] * a[i, j]


@njit(**_OPTIONS)
def matrix_vector(a, x, out):
    """out = a x."""
    if a.size <= SMALL:
        matrix_vector_plain(a, x, out)
    else:
        blas.times_vector(a, x, out)


@njit(**_OPTIONS)
def vector_matrix(x, a, out):
    """out = a^T x."""
    if a.size <= SMALL:
        vector_matrix_plain(x, a, out)
    else:
        blas.transposed_times_vector(a, x, out)


@njit(**_PLAIN)
def matmul_nn_plain(a, b, out):
    """out = a b."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            out[i, j] = 0
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[i, k] * b[k, j]


@njit(**_PLAIN)
def matmul_nt_plain(a, b, out):
    """out = a b^T."""
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            total = out.dtype.type(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[j, k]
            out[i, j] = total


@njit(**_PLAIN)
def matmul_tn_plain(a, b, out):
    """out = a^T b."""
    out[:] = 0
    for k in range(a.shape[0]):
        for i in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[k, i] * b[k, j]


@njit(**_PLAIN)
def matmul_tt_plain(a, b, out):
    """out = a^T b^T."""
    for i in range(a.shape[1]):
        for j in range(b.shape[0]):
            total = out.dtype.type(0)
            for k in range(a.shape[0]):
                total += a[k, i] * b[j, k]
            out[i, j] = total


@njit(**_OPTIONS)
def matmul_nn(a, b, out):
    """out = a b."""
    if a.size * b.shape[1] <= SMALL:
        matmul_nn_plain(a, b, out)
    elif out.shape[1] == 1:
        blas.times_vector(a, b, out)
    elif out.shape[0] == 1:
        blas.transposed_times_vector(b, a, out)
    else:
        blas.times(a, b, out)


@njit(**_OPTIONS)
def matmul_nt(a, b, out):
    """out = a b^T."""
    if a.size * b.shape[0] <= SMALL:
        matmul_nt_plain(a, b, out)
    elif out.shape[1] == 1:
        blas.times_vector(a, b, out)
    elif out.shape[0] == 1:
        blas.times_vector(b, a, out)
    else:
        blas.times_transposed(a, b, out)


@njit(**_OPTIONS)
def matmul_tn(a, b, out):
    """out = a^T b."""
    if a.size * b.shape[1] <= SMALL:
        matmul_tn_plain(a, b, out)
    elif out.shape[1] == 1:
        blas.transposed_times_vector(a, b, out)
    elif out.shape[0] == 1:
        blas.transposed_times_vector(b, a, out)
    else:
        blas.transposed_times(a, b, out)


@njit(**_OPTIONS)
def matmul_tt(a, b, out):
    """out = a^T b^T."""
    if a.size * b.shape[0] <= SMALL:
        matmul_tt_plain(a, b, out)
    elif out.shape[1] == 1:
        blas.transposed_times_vector(a, b, out)
    elif out.shape[0] == 1:
        blas.times_vector(b, a, out)
    else:
        blas.transposed_times_transposed(a, b, out)


@njit(**_OPTIONS)
def matmul_batch(a, b, out):
    """out[k] = a[k] b[k]."""
    for k in range(a.shape[0]):
        matmul_nn(a[k], b[k], out[k])


@njit(**_OPTIONS)
def matmul_batch_plain(a, b, out):
    """out[k] = a[k] b[k]."""
    for k in range(a.shape[0]):
        matmul_nn_plain(a[k], b[k], out[k])
