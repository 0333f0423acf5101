"""Ordinary small functions. The names of their arguments say what to feed them (`tests/feeding.py`):

    a, b, c     floats                              s            a Python float, whatever the dtype of the arrays
    x, y, z     vectors of 5                        u, v, w      positive vectors of 5, below 1
    A, B        3 by 4                              C, D         4 by 3
    S, Q        4 by 4                              P            positive, 3 by 4
    T, R        2 by 3 by 4                         U            2 by 4 by 5
    o           5 by 1                              r            1 by 5
    e           no elements                         E            0 by 3
    q           one element                         i, j         indices of a vector, some negative or repeated
    h           a 2 by 2 array of indices           k            one index
    m           a mask of a vector                  M            a mask of a 3 by 4 matrix
    n           2, as a number that is static       p            a dict of parameters, nested
    layers      a list of (weights, bias)           point        a dataclass
    pair        a named tuple

A digit after the letter makes another one of the kind. To add a case, add a function.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jitgrad import grad, jvp, stop_gradient, value_and_grad, vjp


@dataclass
class Point:
    x: np.ndarray
    weight: float
    label: str = "p"


class Pair(NamedTuple):
    left: np.ndarray
    right: np.ndarray


GLOBAL_ARRAY = np.array([0.5, -1.5, 2.5, 0.25, -0.75])
GLOBAL_FLOAT = 0.75
GLOBAL_INT = 3
OPTIONS = {"scale": 2.5, "power": 2, "shift": np.linspace(0.0, 1.0, 5)}


# Arithmetic and its broadcasting.
def add_(x, y):
    return x + y


def arithmetic(x, y, a):
    return (x + a) * (y - 2.0) / (1.5 + x * x) - a / 3


def reflected(x):
    return 2.0 - x, 3.0 / (x * x + 1), 2 + x, 2.0 * x, -x, +x


def scalars(a, b, c):
    return a * b + c / a - b


def scalar_powers(a):
    return a**2 + a**3 + (a * a) ** 0.5 + (a * a + 1) ** -1.5 + a**1 + a**0


def array_scalar(x, a):
    return x * a + a, a - x


def column_row(o, r):
    return o * r + o - r


def column_vector(o, x):
    return o + x, o * x


def row_vector(r, x):
    return r / (1 + x * x)


def row_row(r, r2):
    return r * r2, r - r2


def matrix_row(A, C):
    return A * C[:, 0], A + C[0, 1], A[:, :1] * A[:1, :]


def three_by_two(T, A):
    return T * A, A - T, T + A[0], T * A[:, :1]


def one_element(q, x):
    return q * x, q + q, x - q


def rank_zero_results(x):
    return x[0] * x[1], x[2] + 1.0


def floor_and_mod(x, a):
    return x % 1.3, x // 0.7, np.fmod(x, 0.9), np.remainder(x, a)


def mod_by_array(x, u):
    return np.fmod(x, u) + x % u


def divmod_(x):
    q, r = divmod(x, 0.8)
    return q * r


def signs(x, y):
    return np.sign(x) * x, np.copysign(x, y), abs(x), np.fabs(y), np.absolute(x - y)


def integer_data(x, i):
    return x.sum() * i, np.sum(i) * x, x[0] + i


def int_power(x, n):
    return x**n, x ** (n + 1)


def power_array(u, y):
    return u**y, np.power(u, 2.5), 2.0**y, np.power(2, y)


def power_scalars(a, b):
    return (a * a + 1) ** b


def power_negative_base(x):
    return x**3, x**-2, x**2.0, x**0, x**4.0


def float_power_(u, y):
    return np.float_power(u, y)


def square_reciprocal(x):
    return np.square(x), np.reciprocal(x), x * x * x


def roots(u):
    return np.sqrt(u), np.cbrt(u), u**0.5, u ** (1 / 3)


def exponentials(x):
    return np.exp(x), np.exp2(x), np.expm1(x), np.exp(-x * x)


def logarithms(u):
    return np.log(u), np.log2(u), np.log10(u), np.log1p(u)


def trigonometric(x):
    return np.sin(x), np.cos(x), np.tan(0.3 * x)


def inverse_trigonometric(u):
    return np.arcsin(u), np.arccos(u), np.arctan(u)


def hyperbolic(x):
    return np.sinh(x), np.cosh(x), np.tanh(x)


def inverse_hyperbolic(x, u):
    return np.arcsinh(x), np.arccosh(1 + u), np.arctanh(u)


def two_argument(x, y):
    return np.arctan2(x, y), np.hypot(x, y), np.logaddexp(x, y), np.logaddexp2(x, y)


def two_argument_scalar(x, a):
    return np.arctan2(x, a), np.hypot(a, x), np.logaddexp(a, x), np.logaddexp(x, 0)


def sinc_(x):
    return np.sinc(x), np.sinc(0.01 * x)


def angles(x):
    return np.deg2rad(x), np.rad2deg(x), np.radians(x) + np.degrees(x)


def math_module(a, u):
    return math.sin(a) + math.exp(a) * math.pi, math.sqrt(abs(a)) + math.log1p(a * a), math.tanh(a)


def numpy_constants(x):
    return np.pi * x, np.e * x + np.euler_gamma


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def log_softmax(A):
    shifted = A - A.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax_cross_entropy(A, i):
    A = A[:, :3]
    return -np.mean(np.log(np.exp(A) / np.sum(np.exp(A), axis=1, keepdims=True))[np.arange(3), [0, 2, 1]])


# Comparison, selection.
def comparisons(x, y):
    return x * (x > y), np.where(x <= y, x, y), x * (x != 0), (x == y) * x + (x >= y) * y + (x < 0)


def logic(x, y):
    both = np.logical_and(x > 0, y > 0)
    either = (x > 0) | (y > 0)
    return np.where(both, x * y, x), np.where(either & ~both, x, y), np.where(np.logical_not(both), 1.0, x)


def more_logic(x, y):
    return np.where(np.logical_xor(x > 0, y > 0), x, 2 * y), np.where(np.logical_or(x > 1, y > 1), x, 0)


def where_broadcast(x, o, a):
    return np.where(x > 0, o, a), np.where(o > 0, x, 0.0), np.where(x > a, 1.0, a)


def where_given_mask(x, y, m):
    return np.where(m, x * y, np.exp(x))


def where_nested(x):
    return np.where(x > 1, x, np.where(x > 0, x**2, np.where(x > -1, x**3, 2 * x)))


def extrema(x, y):
    return np.maximum(x, y), np.minimum(x, y), np.fmax(x, y) * np.fmin(x, 0.3)


def clips(x):
    return np.clip(x, -0.5, 0.5), x.clip(-1, None), np.clip(x, None, 0.7), np.clip(x, 0, 1)


def clip_by_arrays(x, y, a):
    return np.clip(x, y - 1, y + 1), np.clip(x, a - 10, a)


def relu_forms(x):
    return np.maximum(x, 0), np.maximum(0.0, x), x * (x > 0), np.where(x > 0, x, 0), (x + abs(x)) / 2


def isnan_(x):
    return np.where(np.isnan(x), 0.0, x) * np.where(np.isfinite(x), 1.0, 0.0), x * (1 - np.isinf(x))


def nan_to_num_(x):
    return np.nan_to_num(x), np.nan_to_num(x, nan=1.0) ** 2


def rounding(x):
    return x * np.floor(x), x * np.ceil(x), x + np.trunc(x), np.rint(x) * x, np.round(x, 1) + x * np.sign(x)


# Reductions.
def sums(A):
    return (
        A.sum(),
        np.sum(A, axis=0),
        np.sum(A, axis=1),
        np.sum(A, axis=-1, keepdims=True),
        A.sum(axis=(0, 1)),
    )


def sums_3d(T):
    return (
        np.sum(T, axis=1),
        np.sum(T, axis=(0, 2)),
        np.sum(T, axis=(0, -1), keepdims=True),
        T.sum(axis=2) ** 2,
        np.sum(T**2, keepdims=True),
    )


def sum_of_products(x, y):
    return np.sum(x * y) * np.sum(x) - np.sum(np.sin(x))


def means(T):
    return np.mean(T), T.mean(axis=0), np.mean(T, axis=(1, 2)), np.mean(T, axis=-1, keepdims=True)


def products(P):
    return np.prod(P), np.prod(P, axis=0), P.prod(axis=1, keepdims=True), np.prod(P - 0.5, axis=(0, 1))


def product_3d(T):
    return np.prod(T, axis=1), np.prod(T, axis=(0, 2))


def variances(A):
    return np.var(A), np.var(A, axis=0), A.var(axis=1, keepdims=True), np.var(A, axis=0, ddof=1)


def standard_deviations(A):
    return np.std(A), A.std(axis=0), np.std(A, axis=1, keepdims=True, ddof=1), np.std(A, axis=(0, 1))


def maxima(A):
    return np.max(A), A.max(axis=0), np.max(A, axis=1, keepdims=True), np.amax(A, axis=(0, 1))


def minima(T):
    return np.min(T), T.min(axis=1), np.min(T, axis=(0, 2)), np.min(T, axis=-1, keepdims=True)


def peak_to_peak(A):
    return np.ptp(A), np.ptp(A, axis=0)


def running_sums(A):
    return np.cumsum(A), np.cumsum(A, axis=0), A.cumsum(axis=1), np.cumsum(A, axis=-1) ** 2


def running_sum_3d(T):
    return np.cumsum(T, axis=1)


def positions(A):
    return (
        A * np.argmax(A),
        A[np.arange(3), A.argmax(axis=1)],
        A[A.argmin(axis=0), np.arange(4)],
        np.argmin(A),
    )


def any_all(A):
    return np.where(np.any(A > 1, axis=0), A, 0.0), np.where((A > -9).all(), A, 1), np.any(A > 0) * A.sum()


def counts(x):
    return x * np.count_nonzero(x > 0), np.sum(x > 0) * x


def averages(A, x):
    return (
        np.average(A, axis=0),
        np.average(x, weights=x**2 + 1),
        np.average(A, axis=1, weights=A[0] ** 2 + 1),
    )


def differences(x, A):
    return np.diff(x), np.diff(A, axis=0), np.diff(A, n=2)


def normalised(A):
    return (A - A.mean(axis=0)) / (A.std(axis=0) + 1e-3)


def layer_norm(A, a, b):
    mean = A.mean(axis=-1, keepdims=True)
    var = A.var(axis=-1, keepdims=True)
    return (A - mean) / np.sqrt(var + 1e-5) * a + b


def sum_with_where(x, m):
    return np.sum(x, where=m), np.sum(x, initial=2.0)


def ufunc_reduce(A):
    return np.add.reduce(A), np.multiply.reduce(A, axis=1), np.maximum.reduce(A), np.add.reduce(A, axis=1)


def ufunc_outer(x, y):
    return np.multiply.outer(x, y), np.subtract.outer(x, y)


def logsumexp(x):
    m = np.max(x)
    return m + np.log(np.sum(np.exp(x - m)))


# Linear algebra.
def dots(x, y, A, C, S):
    return np.dot(x, y), A @ C, A.dot(C), A @ C[:, 0], A[:, 0] @ A, np.matmul(S, C), x @ y


def dot_scalars(x, a):
    return np.dot(x, a), np.dot(a, x), np.dot(a, a), np.inner(a, x)


def matmul_chain(A, C, S):
    return A @ S @ C, (A @ C).T @ A


def matmul_batches(T, U, S):
    return T @ U, T @ S, np.matmul(T, U[0])


def matmul_batch_vector(T, x):
    return T @ x[:4], x[:3] @ T


def matmul_broadcast_batch(T, U):
    return T[:, None] @ U[None], T[:1] @ U


def dot_3d(T, C):
    return np.dot(T, C), np.dot(T, C[:, 0])


def products_of_vectors(x, y):
    return np.outer(x, y), np.inner(x, y), np.vdot(x, y)


def inner_matrices(A, B):
    return np.inner(A, B), np.vdot(A, B), np.outer(A, B)


def tensordots(T, U, A, B):
    return (
        np.tensordot(A, B, axes=2),
        np.tensordot(A, B, axes=([0, 1], [0, 1])),
        np.tensordot(T, U, axes=([2], [1])),
    )


def tensordot_more(T, A):
    return np.tensordot(T, A, axes=([1, 2], [0, 1])), np.tensordot(A, A, axes=0), np.tensordot(A, A.T, 1)


def einsum_common(A, B, C, S):
    return (
        np.einsum("ij,jk->ik", A, C),
        np.einsum("ij->", A),
        np.einsum("ij->ji", A),
        np.einsum("ii->i", S),
        np.einsum("ii", S),
        np.einsum("ij,ij->i", A, B),
        np.einsum("ij,ij", A, B),
        np.einsum("ij->j", A),
    )


def einsum_vectors(x, y):
    return np.einsum("i,j->ij", x, y), np.einsum("i,i->", x, y), np.einsum("i,i->i", x, y)


def einsum_batches(T, U):
    return np.einsum("bij,bjk->bik", T, U), np.einsum("bij,bjk->ik", T, U), np.einsum("bij,bjk", T, U)


def einsum_ellipsis(T, S):
    return np.einsum("...i,ij->...j", T, S), np.einsum("...ij->...ji", T), np.einsum("...ii->...i", S)


def einsum_three(A, C, S):
    return np.einsum("ij,jk,kl->il", A, S, C), np.einsum("ij,ji,jj->i", A, C, S)


def einsum_attention(T):
    scores = np.einsum("bqd,bkd->bqk", T, T)
    weights = np.exp(scores) / np.sum(np.exp(scores), axis=-1, keepdims=True)
    return np.einsum("bqk,bkd->bqd", weights, T)


def einsum_one_sided(A, x):
    return np.einsum("ij,k->k", A, x), np.einsum("ij,k->ik", A, x)


def traces(S, A, T):
    return np.trace(S), S.trace(), np.trace(A, offset=1), np.trace(T, axis1=1, axis2=2)


def diagonals(S, A, x):
    return np.diag(S), np.diag(x), np.diag(A, 1), np.diag(x, -1), np.diagonal(A, -1), A.diagonal()


def norms(x, A):
    return (
        np.linalg.norm(x),
        np.linalg.norm(A),
        np.linalg.norm(A, axis=1),
        np.linalg.norm(A, axis=0, keepdims=True),
    )


def other_norms(x, A):
    return (
        np.linalg.norm(x, 1),
        np.linalg.norm(x, np.inf),
        np.linalg.norm(x, 3),
        np.linalg.norm(A, "fro"),
        np.linalg.norm(A, ord=1, axis=0),
        np.linalg.norm(x, -np.inf),
    )


def matrix_norms(A):
    return np.linalg.norm(A, 1), np.linalg.norm(A, np.inf), np.linalg.norm(A, -1)


def normalise(x):
    return x / np.linalg.norm(x)


def cosine_distance(x, y):
    return 1 - x @ y / (np.linalg.norm(x) * np.linalg.norm(y))


def cross_(x, y):
    return np.cross(x[:3], y[:3])


def quadratic_form(S, Q):
    return np.sum(S * (Q @ S @ Q.T))


def pairwise_distances(A, B):
    return np.sum((A[:, None, :] - B[None, :, :]) ** 2, axis=-1)


def triangles(S):
    return np.tril(S), np.triu(S), np.tril(S, -1) + np.triu(S, 1)


# Shapes.
def reshapes(A):
    return (
        A.reshape(12),
        A.reshape(4, 3),
        A.reshape(-1, 2),
        np.reshape(A, (2, -1)),
        A.reshape((2, 2, 3)),
        A.reshape(-1),
    )


def ravels(A, T):
    return A.ravel(), np.ravel(T), A.flatten(), T.reshape(-1, T.shape[-1]), T.reshape(T.shape[0], -1)


def fortran_order(A):
    return A.reshape(12, order="F"), np.ravel(A, order="F")


def transposes(A, T):
    return A.T, np.transpose(A), T.T, np.transpose(T, (1, 0, 2)), T.transpose(2, 0, 1), T.transpose((0, 2, 1))


def axes_moved(T):
    return np.swapaxes(T, 0, 2), T.swapaxes(1, -1), np.moveaxis(T, 0, -1), np.moveaxis(T, (0, 1), (2, 0))


def new_axes(x, A):
    return (
        x[:, None],
        x[None],
        np.expand_dims(A, 1),
        np.expand_dims(x, (0, 2)),
        A[..., None],
        A[:, np.newaxis, :],
    )


def squeezes(o, r, q):
    return np.squeeze(o), r.squeeze(), np.squeeze(r, axis=0), o.squeeze(-1), np.squeeze(q)


def concatenations(A, B, x, y):
    return (
        np.concatenate([A, B]),
        np.concatenate((A, B), axis=1),
        np.concatenate([x, y, x]),
        np.concatenate([A, A * 2], axis=-1),
        np.concatenate([A, B], axis=None),
    )


def stacks(x, y, A, B):
    return (
        np.stack([x, y]),
        np.stack([x, y], axis=1),
        np.stack([A, B], axis=-1),
        np.vstack([x, y]),
        np.hstack([x, y]),
    )


def more_stacks(x, y, A, B):
    return np.vstack((A, B)), np.hstack((A, B)), np.column_stack([x, y]), np.vstack([A, B[:1]])


def array_of_scalars(a, b, x):
    return np.array([a, b, a * b]), np.array([[a, b], [b, x[0]]]), np.stack([a, b]), np.array([x, 2 * x])


def splits(A, x):
    left, right = np.split(A, 2, axis=1)
    first, second, third = np.split(x, [1, 3])
    return left * right, first, second**2, third


def unequal_split(x):
    return tuple(part**2 for part in np.array_split(x, [2]))


def tiles(x, A):
    return np.tile(x, 2), np.tile(A, (2, 1)), np.tile(x, (2, 2)), np.tile(A, (2, 1, 3))


def repeats(x, A):
    return (
        np.repeat(x, 3),
        np.repeat(A, 2, axis=0),
        A.repeat(2, axis=1),
        np.repeat(A, 2),
        np.repeat(x, [1, 0, 2, 1, 3]),
    )


def flips(A, x):
    return np.flip(A), np.flip(A, 0), np.flipud(A), np.fliplr(A), x[::-1], np.flip(A, (0, 1)) * A


def rolls(x, A):
    return (
        np.roll(x, 2),
        np.roll(x, -1),
        np.roll(A, 1, axis=0),
        np.roll(A, 5),
        np.roll(A, (1, 2), axis=(0, 1)),
    )


def broadcasts(x, a, q):
    return (
        np.broadcast_to(x, (3, 5)),
        np.broadcast_to(a, (2, 2)) * 2,
        np.broadcast_to(q, (4,)),
        np.broadcast_to(q, (2, 3)),
    )


def pads(x, A):
    return np.pad(x, 2), np.pad(A, ((1, 0), (0, 2))), np.pad(x, (0, 3), constant_values=1.5)


def at_least(a, x):
    return np.atleast_1d(a * 2), np.atleast_2d(x), np.atleast_1d(x)


def shape_arithmetic(A):
    rows, columns = A.shape
    return A / rows, A.sum() / A.size, A * len(A), A.reshape(rows * columns) / A.ndim, np.zeros(A.shape) + A


# Indexing.
def elements(x, A):
    return x[0], x[-1], A[1, 2], A[-1, -2], A[1][2] * A[0][0]


def slices(x):
    return x[1:], x[:-1], x[1:4], x[::2], x[::-1], x[-3:], x[3:1], x[10:], x[1::2], x[-2::-2], x[:0]


def more_slices(x):
    return x[4:0:-1], x[:-10], x[-10:3], x[100::-1], x[3::-2], x[::5], x[-1:], x[2:2]


def matrix_slices(A):
    return A[0], A[:, 1], A[1:, :2], A[::-1, ::2], A[..., 0], A[-1, 1:], A[:, -1:], A[:2][1:], A[1:][:, 1:]


def cube_slices(T):
    return T[0], T[:, 1], T[..., -1], T[1, :, 2], T[:, ::-1, 1:3], T[0, 0, 0], T[:, 0][1]


def new_axis_slices(x, A):
    return x[None, 1:], A[:, None, 1], A[None, ..., None]


def neighbours(x):
    return x[1:] - x[:-1], x[2:] - 2 * x[1:-1] + x[:-2]


def integer_arrays(x, i):
    return x[i], x[i] ** 2, np.take(x, i), x.take(i)


def integer_arrays_2d(x, h):
    return x[h], np.take(x, h)


def integer_array_rows(A, h):
    return A[h % 3], A[:, h % 3], A[h % 3, h % 4]


def integer_list(x, A):
    return x[[0, 0, 3]], A[[2, 0]], A[:, [1, 1, 3]], A[[0, 1], [2, 3]]


def mixed_indices(T, i):
    return T[1, :, i % 4], T[:, i % 3, 0], T[:, i % 3, 1:], T[i % 2, :, i % 4]


def index_by_argument(x, k):
    return x[k] * 2.0, x[k - 1]


def slice_by_argument(x, k):
    return x[k:], x[:k], x[k : k + 2], x[:-k]


def take_axes(A, i):
    return np.take(A, [0, 2], axis=0), np.take(A, i % 4, axis=1), np.take(A, 1, axis=1), np.take(A, i % 12)


def take_along(A):
    return np.take_along_axis(A, np.argsort(np.array([[3.0, 1.0, 2.0, 0.0]] * 3), axis=1), axis=1)


def boolean_masks(x, m):
    return x[m], x[x > 0], x[~m] * 2, np.sum(x[x > 0.5]), x[m].sum()


def boolean_masks_2d(A, M):
    return A[M], A[A > 0] ** 2, A[:, A[0] > 0], A[A[:, 0] > -9]


def nonzero_(x):
    return x[np.nonzero(x > 0)], x[np.where(x < 0)[0]], x[np.flatnonzero(x)]


def embedding(A, i):
    return np.tanh(A[i % 3]).sum(axis=0)


def same_element_twice(x):
    return x[0] * x[0] + x[1] * x[0]


# Writes.
def write_element(x, a):
    y = np.zeros(5)
    y[0] = a
    y[1] = x[2] * a
    y[-1] += a
    return y * x


def write_slice(x, y):
    z = x.copy()
    z[1:3] = y[:2]
    z[3:] *= 2.0
    z[::2] += y[:3]
    return z


def write_column(A, a):
    B = np.empty_like(A)
    B[:, 0] = A[:, 1]
    B[:, 1:] = a
    B[0] = A[1] * 2
    return B


def write_mask(x, m):
    y = x * 1.0
    y[m] = 0.0
    y[x < -0.5] *= 3.0
    return y


def write_repeated(x, y, i):
    z = np.zeros(5)
    z[i[:5]] = x
    return z * y


def accumulate_repeated(x, i):
    z = np.zeros(5)
    np.add.at(z, i[:5], x**2)
    return z


def write_through_view(A):
    B = A.copy()
    row = B[1]
    row[2] = A[0, 0] ** 2
    B.T[0] = A[:, 1]
    return B


def write_argument(x):
    x[0] = 2.0 * x[1]
    x[1:] = x[:-1] * x[1:]
    return x


def fill_in_loop(x):
    y = np.zeros_like(x)
    for k in range(5):
        y[k] = x[k] * x[k - 1]
    return y


def out_argument(x, y):
    z = np.empty(5)
    np.multiply(x, y, out=z)
    np.sin(z, out=z)
    return z


# Creation, dtypes.
def created(x):
    return (
        x + np.zeros(5),
        x * np.ones(5),
        x * np.full(5, 2.0),
        x @ np.eye(5),
        x + np.arange(5),
        x * np.linspace(0, 1, 5),
        np.eye(2, 3) * x[0],
        np.identity(2) * x[1],
    )


def created_like(x):
    return np.zeros_like(x) + x, np.ones_like(x) * x, np.full_like(x, 3) * x, x + np.empty_like(x) * 0 + 1


def filled(x, a):
    return np.full(3, a), np.full((2, 2), x[0]) * 2, np.full_like(x, a) + x


def ranges(x, a):
    return (
        np.arange(1, 6) * x,
        np.arange(0.0, 1.0, 0.2) * x,
        np.arange(4, -1, -1) * a,
        np.arange(x.shape[0]) + x,
    )


def linspaces(a, b):
    return np.linspace(a, b, 4), np.linspace(0, b, 3, endpoint=False)


def casts(x):
    return (
        x.astype(np.float64) * 2,
        x.astype(np.float32) ** 2,
        x * x.astype(int),
        x.astype(float),
        np.float64(2) * x,
    )


def cast_scalar(a, x):
    return np.float32(a) * x, float(2) * a, np.asarray(x, dtype=np.float64)


def weak_scalars(x, s):
    return x * s, s * s + x, x * (s + 1), s - x, np.maximum(x, s), np.where(x > 0, x, s)


def weak_filled(x, s):
    return np.full(5, s) * x, np.broadcast_to(s, (5,)) + x, np.array([s, 2 * s]), x + np.float64(1.5)


def weak_result(s):
    return s * 2, np.sin(s), s**3


def python_floats(x):
    return 0.1 * x, x + 1, x / 3, 2**x, x - 1e-3, np.arctan2(x, 2.0), np.hypot(x, 1), np.logaddexp(0.0, x)


def integer_times_float(x, i):
    return x * i[:5], x / (1 + abs(i[:5])), i[0] * x, x[0] * np.arange(3)


# Zero paths.
def constant_result(x):
    return np.ones(3) * 2.0, x


def unused_argument(x, y):
    return x * 2.0


def identity(x):
    return x


def same_twice(x):
    return x, x, x * 1


def nested_results(x, a):
    return {"loss": np.sum(x), "parts": [x * a, (a, x[0])], "nothing": None, "n": 3}


def integer_results(x):
    return x * 2, np.argmax(x), x > 0, 7


# No elements, and one.
def no_elements(e, x):
    return e * 2.0, np.sum(e), e @ e, np.concatenate([e, x]), np.prod(e), np.sum(e) + x


def no_rows(E):
    return E.sum(axis=0), E.T, E.sum(), E @ np.ones(3), E[:, 0], np.cumsum(E, axis=0), np.prod(E, axis=0)


def reductions_of_one(q, o):
    return (
        q.sum(),
        q.max(),
        np.var(q),
        np.mean(o, axis=1),
        np.max(o, axis=1),
        np.cumsum(q),
        np.prod(o, axis=1),
        q[0] * q[-1],
    )


# Python.
def loop_over_layers(layers, x):
    for W, b in layers:
        x = np.tanh(W @ x + b)
    return x


def dict_of_parameters(p, x):
    hidden = np.maximum(p["first"]["W"] @ x + p["first"]["b"], 0.1)
    return p["scale"] * hidden, {k: v for k, v in p["first"].items()}


def dataclass_argument(point, y):
    return point.weight * point.x * y, Point(point.x * 2, 1.0)


def named_tuple(pair, a):
    return pair.left @ pair.right * a, Pair(pair.left * 2, right=pair[0])


def default_argument(x, scale=2.0, *, shift=0.5):
    return x * scale + shift


def helper(x, y):
    return sigmoid(x) * log_sum(y) + logsumexp(x)


def log_sum(values):
    return np.log(sum(values[k] ** 2 for k in range(3)) + 1)


def closure(x, a):
    def inner(t):
        return t * a + x[0]

    return inner(x), (lambda t: inner(t) ** 2)(x)


def globals_read(x):
    return x * GLOBAL_ARRAY + GLOBAL_FLOAT**GLOBAL_INT, OPTIONS["scale"] * x ** OPTIONS["power"] + OPTIONS["shift"]


def comprehension(x):
    return np.array([x[k] * k for k in range(1, 5) if k != 2]), sum([x[k] ** k for k in range(3)])


def static_branches(x, n):
    if n > 1:
        x = x * 2
    elif n:
        x = x + 1
    return x if n else -x


def while_loop(x):
    n = 0
    while n < 3:
        x = np.sin(x) + n
        n += 1
    return x


def break_and_continue(x):
    total = 0.0
    for k in range(10):
        if k == 3:
            continue
        if k > 4:
            break
        total = total + x[k]
    else:
        total = None
    return total


def unpacking(x, A):
    a, b, *rest = x[0], x[1], x[2], x[3]
    first, second, third = A[0], A[1], A[2]
    return a * b + sum(rest), first * second - third


def augmented(x, a):
    total = a
    total += x[0]
    total *= a
    total -= 1
    x = x * 1
    x /= 2 + a * a
    x **= 2
    return total, x


def chained(x, a):
    return x[0] * (1 if 0 < len(x.shape) < 3 else 0) + a if x.ndim == 1 and a is not None else None


def functools_reduce(x, y):
    return functools.reduce(lambda p, q: p * q, [x, y, x + y])


def zip_and_enumerate(x, y):
    pairs = zip([x[0], x[1], x[2]], (y[0], y[1], y[2]), strict=True)
    return sum(k * p * q for k, (p, q) in enumerate(pairs))


def min_max_builtin(a, b, x):
    return abs(a) + pow(b, 2), sum([a, b]), round(2.6) * a


def list_building(x):
    out = []
    for k in range(3):
        out.append(x * k)
    out.extend([x[:5], x[::-1]])
    return np.stack(out), out[-1]


def starred_call(x, y):
    args = (x, y)
    return add_(*args) + add_(**{"x": x, "y": x})


def walrus(x):
    return (y := np.exp(x)) * y


def assertion(x):
    assert x.ndim == 1, "a vector"
    return x * 2


def try_else(x):
    value = np.sin(x)
    return value * 2


def string_options(x, kind="tanh"):
    activations = {"tanh": np.tanh, "sin": np.sin}
    return activations[kind](x), getattr(np, kind)(x)


def numerically_iterated(a):
    t = 1.0
    for _ in range(4):
        t = 0.5 * (t + (a * a + 1) / t)
    return t


def horner(x, layers):
    y = 0.0
    for c in (1.0, -2.0, 0.5, 3.0):
        y = y * x + c
    return y


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def mlp_loss(p, A):
    hidden = np.tanh(A @ p["first"]["W"].T[:4] + p["first"]["b"])
    return np.mean(hidden**2) + 0.1 * np.sum(p["first"]["W"] ** 2)


def convolution(x, y):
    return np.array([np.sum(x[k : k + 3] * y[:3]) for k in range(3)])


def gaussian_log_density(x, a):
    sigma = np.exp(a)
    return -0.5 * np.sum(((x - 1) / sigma) ** 2) - x.size * np.log(sigma) - 0.5 * len(x) * np.log(2 * np.pi)


def rotation(a):
    c, s = np.cos(a), np.sin(a)
    return np.array([[c, -s], [s, c]]) @ np.array([1.0, 2.0])


# Derivatives in derivatives, and stopped ones.
def gradient_inside(x):
    return grad(lambda t: np.sum(np.sin(t) ** 3))(x)


def gradient_penalty(x, y):
    value, slope = value_and_grad(lambda t: np.sum(np.tanh(t * y)))(x)
    return value + np.sum(slope**2)


def tangent_inside(x, y):
    return jvp(lambda t: np.exp(t) * y, (x,), (y,))


def pullback_inside(x, y):
    value, pullback = vjp(lambda t: t**2 * y, x)
    return value, pullback(y)[0]


def stopped(x):
    return x * stop_gradient(x) * 0 + x


def newton_step(a):
    def f(t):
        return t**3 + t - 2 * a

    slope = grad(f)
    t = a
    for _ in range(2):
        t = t - f(t) / slope(t)
    return t
