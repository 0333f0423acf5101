"""Products of matrices, and what is made of them."""

from __future__ import annotations

import numpy as np

from jitgrad.errors import UnsupportedError
from jitgrad.ir.op import Op
from jitgrad.ir.types import BOOL, Type
from jitgrad.ops.control import require_equal
from jitgrad.ops.create import arange, diagonals
from jitgrad.ops.infer import broadcast, normalize_axes, normalize_axis
from jitgrad.ops.reduce import root
from jitgrad.ops.registry import METHODS, UFUNCS, numpy_function
from jitgrad.ops.rules import Bilinear, dtype_of, is_one, shape_of, sum_to
from jitgrad.ops.shape import expand_dims, greatest, least, product, reshape, transpose
from jitgrad.ops.symbolic import as_arg, current, is_building


# matmul(x, y): vectors and matrices, and batches of matrices; a vector beside a batch is made a matrix by the wrapper.
class _Batch:
    """Stands for the batch axes of an operand in the broadcasting of two."""

    def __init__(self, type: Type):
        self.type = Type(type.dtype, type.shape[:-2])


def _matmul_type(args):
    x, y = (a.type for a in args)
    if x.dtype == y.dtype == BOOL:
        message = "products of boolean arrays are not supported: take `.astype(int)` of one"
        raise UnsupportedError(message, current().loc.syntax_location())
    require_equal(x.shape[-1], y.shape[-2 if y.ndim > 1 else 0], args, "matmul")
    batch = broadcast(tuple(map(_Batch, (x, y)))) if max(x.ndim, y.ndim) > 2 else ()
    return Type(np.result_type(x.dtype, y.dtype), (*batch, *x.shape[:-1][-1:], *(y.shape[-1:] if y.ndim > 1 else ())))


def _matmul_left(g, x, y):
    """The cotangent of x: g y^T."""
    if len(shape_of(y)) == 1:
        return outer(g, y) if len(shape_of(x)) == 2 else g * y
    return matmul_(y, g) if len(shape_of(x)) == 1 else sum_to(matmul_(g, _t(y)), x)


def _matmul_right(g, x, y):
    """The cotangent of y: x^T g."""
    if len(shape_of(x)) == 1:
        return outer(x, g) if len(shape_of(y)) == 2 else g * x
    return matmul_(_t(x), g) if len(shape_of(y)) == 1 else sum_to(matmul_(_t(x), g), y)


matmul_ = Op("matmul", _matmul_type, np.matmul, Bilinear(_matmul_left, _matmul_right))


def _t(x):
    n = len(shape_of(x))
    return transpose(x, (*range(n - 2), n - 1, n - 2))


def matmul(x, y):
    """`x @ y`: vectors are a row on the left and a column on the right; further axes are batches."""
    n, m = len(shape_of(x)), len(shape_of(y))
    if not n or not m:
        raise ValueError("matmul: Input operand does not have enough dimensions")
    if n <= 2 and m <= 2:
        return matmul_(x, y)
    if n == 1:
        z = matmul_(reshape(x, (1, shape_of(x)[0])), y)
        return reshape(z, (*shape_of(z)[:-2], shape_of(z)[-1]))
    if m == 1:
        z = matmul_(x, reshape(y, (shape_of(y)[0], 1)))
        return reshape(z, tuple(shape_of(z)[:-1]))
    return matmul_(x, y)


UFUNCS[np.matmul] = matmul


@numpy_function(np.dot, method="dot")
def dot(a, b, out=None):
    """`np.dot`: a product of numbers, vectors or matrices; of more axes the sum over a's last and b's last but one."""
    if out is not None:
        a._unsupported("np.dot with out=")
    if not shape_of(a) or not shape_of(b):
        return np.multiply(*(METHODS["astype"](x, dtype_of(x)) for x in (a, b)))  # numbers count as arrays
    if len(shape_of(b)) <= 2 and len(shape_of(a)) <= 2:
        if is_building():
            x, y = as_arg(a), as_arg(b)
            first = max(y.type.ndim - 2, 0)
            last = x.type.ndim - 1
            require_equal(x.type.shape[-1], y.type.shape[first], (x, y), "dot", last=last, first=first)
        return matmul(a, b)
    return tensordot(a, b, axes=((len(shape_of(a)) - 1,), (max(len(shape_of(b)) - 2, 0),)))


@numpy_function(np.vdot)
def vdot(a, b):
    """The dot product of two flattened arrays."""
    return matmul(reshape(a, (-1,)), reshape(b, (-1,)))


@numpy_function(np.inner)
def inner(a, b):
    """The sum of products over the last axes."""
    if not shape_of(a) or not shape_of(b):
        return np.multiply(a, b)
    return tensordot(a, b, axes=((len(shape_of(a)) - 1,), (len(shape_of(b)) - 1,)))


@numpy_function(np.outer)
def outer(a, b, out=None):
    """Every element of `a` times every element of `b`."""
    return np.multiply(reshape(a, (-1, 1)), reshape(b, (1, -1)))


@numpy_function(np.tensordot)
def tensordot(a, b, axes=2):
    """The sum of products over the given axes of both."""
    n, m = len(shape_of(a)), len(shape_of(b))
    if isinstance(axes, int):
        left, right = tuple(range(n - axes, n)), tuple(range(axes))
    else:
        left, right = (tuple(k) if isinstance(k, tuple | list) else (k,) for k in axes)
    left = tuple(normalize_axis(k, n) for k in left)
    right = tuple(normalize_axis(k, m) for k in right)
    if len(left) != len(right):
        raise ValueError("shape-mismatch for sum")
    _require_lengths(a, b, zip(left, right, strict=True), "tensordot")
    kept_a = tuple(k for k in range(n) if k not in left)
    kept_b = tuple(k for k in range(m) if k not in right)
    shape_a, shape_b = shape_of(a), shape_of(b)
    out = tuple(shape_a[k] for k in kept_a) + tuple(shape_b[k] for k in kept_b)
    x = reshape(
        transpose(a, kept_a + left), (product([shape_a[k] for k in kept_a]), product([shape_a[k] for k in left]))
    )
    y = reshape(
        transpose(b, right + kept_b), (product([shape_b[k] for k in right]), product([shape_b[k] for k in kept_b]))
    )
    return reshape(matmul_(x, y), out)


def _require_lengths(a, b, pairs, kind: str, ones: bool = False, **words) -> None:
    """Make sure that axes which are contracted are of one length (with `ones`, a length of one broadcasts)."""
    if not is_building():
        for i, j in pairs:
            n, m = shape_of(a)[i], shape_of(b)[j]
            if n != m and not (ones and 1 in (n, m)):
                tensordot = kind == "tensordot"
                raise ValueError("shape-mismatch for sum" if tensordot else "operands could not be broadcast together")
        return
    x, y = as_arg(a), as_arg(b)
    for i, j in pairs:
        n, m = x.type.shape[i], y.type.shape[j]
        if not (ones and (is_one(n) or is_one(m))):
            require_equal(n, m, (x, y), kind, **words)


@numpy_function(np.einsum)
def einsum(subscripts, *operands, optimize=False, **options):
    """`np.einsum` in its string form, with `...`; more than two operands are contracted from the left."""
    if not isinstance(subscripts, str) or options:
        operands[0]._unsupported("np.einsum in this form")
    operands = list(operands)
    dtype = np.result_type(*map(dtype_of, operands))
    inputs, output = _parse(subscripts.replace(" ", ""), [len(shape_of(x)) for x in operands])
    places = [(c, x, k) for term, x in zip(inputs, operands, strict=True) for k, c in enumerate(term)]
    for p, (c, x, k) in enumerate(places):
        for d, y, j in places[p + 1 :]:
            if c == d:
                _require_lengths(x, y, [(k, j)], "einsum", ones=True, letter=c)
    while len(operands) > 1:
        later = set("".join(inputs[2:])) | set(output)
        kept = "".join(dict.fromkeys(c for c in inputs[0] + inputs[1] if c in later))
        z = _einsum_pair(inputs[0], inputs[1], kept, operands[0], operands[1])
        operands[:2], inputs[:2] = [z], [kept]
    z = _einsum_one(inputs[0], output, operands[0])
    return z if dtype_of(z) == dtype else METHODS["astype"](z, dtype)  # sums of small integers stay small here


def _parse(subscripts: str, ranks: list[int]) -> tuple[list[str], str]:
    """The letters of each operand's axes and of the result's; `...` becomes capital letters not in use."""
    left, arrow, right = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        fewer = "more" if len(terms) < len(ranks) else "fewer"
        raise ValueError(f"{fewer} operands provided to einstein sum function than specified in the subscripts string")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in subscripts]
    longest = ""
    for k, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        if "..." in term:
            count = rank - len(term) + 3
            letters = "".join(free[:count][::-1])
            longest = max(longest, letters, key=len)
            terms[k] = term.replace("...", letters)
        if len(terms[k]) != rank:
            raise ValueError(f"einstein sum subscripts string {term!r} doesn't fit an operand of {rank} axes")
    if arrow:
        right = right.replace("...", longest)
    else:
        once = "".join(terms)
        right = longest + "".join(sorted(c for c in set(once) if once.count(c) == 1 and c not in longest))
    missing = [c for c in right if c not in "".join(terms)]
    if missing or len(set(right)) != len(right):
        raise ValueError(f"einstein sum subscripts string has an output {right!r} that its inputs don't give")
    return terms, right


def _einsum_one(term: str, output: str, x):
    """Diagonals, then a sum over what is left out, then the axes in order."""
    while len(set(term)) < len(term):
        c = next(c for c in term if term.count(c) > 1)
        i = term.index(c)
        j = term.index(c, i + 1)
        x = np.diagonal(x, 0, i, j)
        term = term[:i] + term[i + 1 : j] + term[j + 1 :] + c
    gone = tuple(k for k, c in enumerate(term) if c not in output)
    if gone:
        x = np.sum(x, axis=gone)
        term = "".join(c for c in term if c in output)
    return transpose(x, tuple(term.index(c) for c in output))


def _einsum_pair(left: str, right: str, output: str, x, y):
    """Two operands as one batched matrix product: batch axes, own axes of each, contracted axes."""
    x = _einsum_one(left, "".join(dict.fromkeys(c for c in left if c in right or c in output)), x)
    y = _einsum_one(right, "".join(dict.fromkeys(c for c in right if c in left or c in output)), y)
    left = "".join(dict.fromkeys(c for c in left if c in right or c in output))
    right = "".join(dict.fromkeys(c for c in right if c in left or c in output))
    shared = [c for c in left if c in right]
    batch = [c for c in shared if c in output]
    inside = [c for c in shared if c not in output]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    length = {c: n for c, n in zip(right, shape_of(y), strict=True)}
    length |= {c: n for c, n in zip(left, shape_of(x), strict=True) if not (c in length and is_one(n))}
    if not inside:  # nothing to contract: a broadcast product
        order = batch + rows + columns
        z = np.multiply(_aligned(x, left, order), _aligned(y, right, order))
        return _einsum_one("".join(order), output, z)
    for c in shared:  # a contracted axis of length one broadcasts, too
        if is_one(shape_of(x)[left.index(c)]) != is_one(shape_of(y)[right.index(c)]):
            x, y = _grown(x, left, c, length), _grown(y, right, c, length)
    x = transpose(x, tuple(left.index(c) for c in batch + rows + inside))
    y = transpose(y, tuple(right.index(c) for c in batch + inside + columns))
    b, r, s, k = ([length[c] for c in group] for group in (batch, rows, inside, columns))
    x = reshape(x, (*b, product(r), product(s)))
    y = reshape(y, (*b, product(s), product(k)))
    z = reshape(matmul_(x, y), (*b, *r, *k))
    return _einsum_one("".join(batch + rows + columns), output, z)


def _grown(x, term: str, c: str, length: dict):
    k = term.index(c)
    return np.broadcast_to(x, tuple(length[c] if j == k else n for j, n in enumerate(shape_of(x))))


def _aligned(x, term: str, order: list[str]):
    """x with its axes in the given order and ones for those it doesn't have."""
    present = [c for c in order if c in term]
    x = transpose(x, tuple(term.index(c) for c in present))
    return expand_dims(x, tuple(k for k, c in enumerate(order) if c not in term)) if len(present) < len(order) else x


@numpy_function(np.diagonal, method="diagonal")
def diagonal(a, offset=0, axis1=0, axis2=1):
    """The diagonal of two axes, as the last axis."""
    n = len(shape_of(a))
    i, j = normalize_axis(axis1, n), normalize_axis(axis2, n)
    order = (i, j, *(k for k in range(n) if k not in (i, j)))
    a = transpose(a, order)
    rows, columns = shape_of(a)[:2]
    if offset >= 0:
        columns = greatest(columns - offset, 0)
    else:
        rows = greatest(rows + offset, 0)
    same = getattr(rows, "value", 0) is getattr(columns, "value", 1)
    count = rows if same else least(rows, columns)
    index = _range(count, a)
    picked = a[index + max(-offset, 0), index + max(offset, 0)]
    return np.moveaxis(picked, 0, -1)


def _range(count, a):
    return arange(count) if hasattr(a, "type") else np.arange(count)


@numpy_function(np.trace, method="trace")
def trace(a, offset=0, axis1=0, axis2=1):
    """The sum of a diagonal."""
    return np.sum(diagonal(a, offset, axis1, axis2), axis=-1)


@numpy_function(np.diag)
def diag(v, k=0):
    """The diagonal of a matrix, or the matrix that has `v` on its diagonal."""
    if len(shape_of(v)) == 2:
        return diagonal(v, k)
    n = shape_of(v)[0]
    row = np.pad(v, (max(k, 0), max(-k, 0)))
    square = np.broadcast_to(np.reshape(row, (1, -1)), (n + abs(k), n + abs(k)))
    return np.where(diagonals(square) == k, square, dtype_of(v).type(0))


@numpy_function(np.linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """The 2-norm of vectors, the Frobenius norm of matrices, or the norm `ord` of vectors; 0 at 0 has derivative 0."""
    n = len(shape_of(x))
    axes = normalize_axes(axis, n)
    x = x if dtype_of(x).kind == "f" else METHODS["astype"](x, np.dtype(np.float64))
    if ord is None or (ord == 2 and len(axes) == 1) or (ord == "fro" and len(axes) == 2):
        return root(np.sum(np.square(x), axis=axes, keepdims=keepdims))
    if len(axes) == 1:
        if ord == 1:
            return np.sum(np.abs(x), axis=axes, keepdims=keepdims)
        if ord == np.inf:
            return np.max(np.abs(x), axis=axes, keepdims=keepdims)
        if ord == -np.inf:
            return np.min(np.abs(x), axis=axes, keepdims=keepdims)
        if ord == 0:
            return np.sum(METHODS["astype"](x != 0, dtype_of(x)), axis=axes, keepdims=keepdims)
        if not isinstance(ord, str):
            total = np.sum(np.abs(x) ** ord, axis=axes, keepdims=keepdims)
            zero = total == 0  # the kink: 0 with derivative 0
            return np.where(zero, dtype_of(x).type(0), np.where(zero, dtype_of(x).type(1), total) ** (1.0 / ord))
    if len(axes) == 2 and ord in (1, -1, np.inf, -np.inf):
        down, across = axes if ord in (1, -1) else reversed(axes)
        sums = np.sum(np.abs(x), axis=down, keepdims=True)
        pick = np.max if ord > 0 else np.min
        out = pick(sums, axis=across, keepdims=True)
        return out if keepdims else np.squeeze(out, axes)
    return x._unsupported(f"np.linalg.norm with ord={ord!r}")


@numpy_function(np.cross)
def cross(a, b, axis=-1):
    """The cross product of vectors of length three."""
    a, b = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)
    if is_building():
        for x in map(as_arg, (a, b)):
            require_equal(x.type.shape[-1], 3, (x,), "cross")
    (a0, a1, a2), (b0, b1, b2) = ([x[..., k] for k in range(3)] for x in (a, b))
    return np.moveaxis(np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], -1), -1, axis)
