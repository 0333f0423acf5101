"""Tracing of arrays: NumPy's functions, in-place writes, and views, as NumPy has them."""

import operator

import numpy as np
import pytest
from tracing import check, refused

from jitgrad.errors import TraceError, UnsupportedError

A = np.arange(12.0).reshape(3, 4) + 1
V = np.array([1.0, 2.0, 3.0])
N = np.array([3, 1, 2])
CASES = []


def case(*args, **kwargs):
    """Decorator: trace this function on these arguments."""

    def add(function):
        CASES.append(pytest.param(function, args, kwargs, id=function.__name__))
        return function

    return add


@pytest.mark.parametrize(("function", "args", "kwargs"), CASES)
def test_like_numpy(function, args, kwargs):
    check(function, *args, **kwargs)


@case(A, V)
def creation(a, v):
    n, m = a.shape
    return (
        np.zeros(3), np.zeros((2, n)), np.ones((n, m), dtype=np.float32), np.full((2, 2), 7.0), np.full(n,
        v[0]),
        np.eye(3), np.identity(2), np.arange(4), np.arange(1.0, 2.0, 0.25), np.arange(n), np.linspace(0, 1,
        5),
        np.zeros_like(a), np.ones_like(v, dtype=int), np.full_like(a, 2), np.zeros(shape=[2, 2]),
        np.zeros(2, int),
        np.empty(3) * 0, np.arange(2, 8, 2), np.zeros(a.shape), np.zeros_like(v) + a[:, 0],
    )  # fmt: skip


@case(V, 2.0)
def arrays_of_lists(v, x):
    return (
        np.array([v[0], v[1] * 2]), np.array([[x, 1.0], [v[0], 3]]), np.array([v, v * 2]), np.asarray([[v,
        v]]),
        np.array([1, 2, 3]), np.array([[1.5, 2.5], [1, 2]]), np.array([x, x], dtype=np.float32), np.array(v,
        copy=True),
        np.array([1, 2, 3], float), np.array([True, False]), np.array([[0.0, 0.0]]), np.array([len(v), 2]),
        np.stack([v, v + 1]), np.concatenate([v, [x, 1.0], np.zeros(2)]), np.sum([x, v[0]]), np.dot([1.0,
        2.0, x], v),
        np.array([v, [1.0, 2.0, x]]), v - [1.0, 2.0, x], np.vstack((v, v)), np.array((x, x)), np.exp([x,
        1.0]),
        np.maximum(v, [x, 0, 1]), np.array(v[0]), np.atleast_1d(x), np.array(3.0) * v, np.array([v[0]],
        ndmin=2),
    )  # fmt: skip


@case(A)
def static_arrays(a):
    order = np.argsort(np.array([3, 1, 2]))
    grid = np.cumsum(np.ones(3)) + np.sort([3.0, 1.0, 2.0])
    w = np.fft.fftfreq(4)
    return a[order], grid, a * np.abs(w), np.diff(np.linspace(0, 1, 4)), a * np.sqrt(2.0)


@case(V)
def setting(v):
    y = np.zeros(3)
    y[0] = v[1]
    y[1:] = v[:2]
    y[-1] += 10
    z = y.copy()
    z[:] = 1
    w = np.zeros((2, 3))
    w[0] = v
    w[1, ::2] = [5, 6]
    w[:, 1] *= 2
    w[...] += 1
    return y, z, w


@case(V)
def aliasing(v):
    a = v * 1
    b = a
    b[0] = 100.0
    c = a.copy()
    c[1] = -1.0
    d = [a, a]
    d[0][2] = 7.0

    def write(x):
        x[1] = 50.0

    write(a)
    return a, b, c, d


@case(V)
def writing_to_an_argument(v):
    v[0] = 10
    v += 1
    v *= v
    return v


@case(A)
def views(a):
    row = a[1]
    row[2] = 100.0
    column = a[:, 0]
    column += 1000
    part = a[1:, 1:3]
    part[...] = part * 2
    part[0][0] = -1
    a[0, 0] = 5.0
    return row, column, part, a


@case(A)
def views_of_views(a):
    t = a.T
    t[0] = 7.0
    last = t[1:][::-1][0]
    last[1] = 9.0
    r = a.reshape(2, 6)
    r[0, 5] = -3.0
    flat = a.ravel()
    flat[0] = -4.0
    b = a[1:].reshape(-1)
    b[-1] = 0.5
    s = np.transpose(a)[None].squeeze()
    s[3, 0] = 0.25
    m = np.moveaxis(a[:, :, None], 0, 2)
    m[0, 0, 1] = 0.125
    np.swapaxes(a, 0, 1)[2, 2] = 42
    np.flip(a, 0)[0, 0] = 77
    np.expand_dims(a, 0)[0, 1, 1] = 88
    _, q = np.split(a, [1])
    q[0, 3] = 66
    return a, t, last, r, flat, b, s, m


@case(A)
def copies(a):
    x = a[[0, 1]]
    x[0] = 0.0
    y = a[a > 3]
    y[0] = 100.0
    z = a.flatten()
    z[0] = 5.0
    w = np.concatenate([a])
    w[0, 0] = -9.0
    u = np.array(a)
    u[0] = 1.0
    c = np.clip(a, None, None) if False else np.copy(a)
    c[0, 0] = 3.0
    t = a.astype(float)
    t[0, 0] = 2.0
    b = +a
    b[0] = 0.0
    return a, x, y, z, w, u, c, t, b


@case(A, V)
def masks(a, v):
    a[a > 5] = 0.0
    a[a < 2] += 10
    b = a * 1
    b[v > 1.5] = -1.0
    c = v * 1
    c[c > 1] *= 2
    return a, b, c, a[a > 3].sum()


@case(V, N)
def fancy_writes(v, n):
    x = np.zeros(5)
    x[n] = v
    x[n - 1] += v
    x[[0, 0]] += 1.0
    y = np.zeros(4)
    np.add.at(y, [0, 0, 1], v)
    np.subtract.at(y, n, 1.0)
    return x, y


@case(V)
def dtypes(v):
    k = np.zeros(3, dtype=int)
    k[0] = 2.7
    k += 2
    k[1:] *= 3
    h = np.ones(3, np.float32)
    h += v
    h[0] = v[1]
    h /= 3
    return k, h, h * 2.0, k / 2


@case(V)
def methods(v):
    x = v * 1
    x.fill(2.0)
    y = np.empty(3)
    np.multiply(v, 2, out=y)
    np.copyto(x[1:], y[:2])
    np.add(y, 1, y) if False else np.add(y, 1, out=y)
    z = operator.iadd(x, 1)
    return (
        x,
        y,
        z is x,
        v.mean(),
        v.reshape(3, 1),
        v.item(0),
        v[0].item(),
        v.sum().item(),
        v.tolist()[1] if False else 0,
    )


@case(A)
def read_only_views(a):
    d = np.diag(a[:, :3])
    b = np.broadcast_to(a[0], (2, 4))
    a[0, 0] = 50.0
    return d, b, np.diag(a[0])


@case(V)
def in_containers(v):
    state = {"h": np.zeros(3), "n": 0}
    for k in range(3):
        state["h"][k] = v[k] * 2
        state["n"] += 1
    history = [state["h"]]
    state["h"] += 1
    return state, history


@case(V)
def swap(v):
    a, b = v * 1, v * 2
    a, b = b, a
    a[0] = 0.0
    a[1], a[2] = a[2], a[1]
    return a, b


class Box:
    def __init__(self, x):
        self.x = x


@case(V)
def attributes_in_place(v):
    box = Box(v * 1)
    inside = box.x
    box.x += 1
    box.x[0] *= 5
    return box.x, inside, inside is box.x


@case(A, 1.5)
def loops_with_writes(a, x):
    out = np.zeros((3, 4))
    out[0] = a[0]
    for i in range(1, 3):
        for j in range(4):
            out[i, j] = out[i - 1, j] * x + a[i, j]
    return out


def test_shape_is_not_written_to():
    def f(v):
        v[0] += np.ones(3)
        return v

    with pytest.raises(ValueError, match="sequence"):
        check_trace(f, V)

    def g(v):
        v += np.ones((2, 3))
        return v

    with pytest.raises(ValueError, match="non-broadcastable output"):
        check_trace(g, V)


def check_trace(function, *args):
    from tracing import Tracer

    return Tracer(function, *args)


def test_casting_errors_are_numpys():
    def f(n, x):
        n += x
        return n

    with pytest.raises(TypeError, match=r"Cannot cast ufunc 'add' output from .*float64.* to .*int64") as caught:
        check_trace(f, N, V)
    with pytest.raises(TypeError, match="Cannot cast ufunc 'divide' output"):
        check_trace(lambda n: operator.itruediv(n, 2), N)
    if hasattr(caught.value, "__notes__"):
        assert "n += x" in caught.value.__notes__[0]


def test_read_only_results():
    def f(v):
        b = np.broadcast_to(v, (2, 3))
        b[0, 0] = 1.0
        return b

    with pytest.raises(ValueError, match="read-only"):
        check_trace(f, V)


def test_reshape_of_a_transpose_may_be_either():
    def f(a):
        r = a.T.reshape(2, 6)
        r[0, 0] = 1.0
        return r

    refused(f, A, match="copy", kind=TraceError, text="r[0, 0] = 1.0")

    def g(a):
        r = a.T.reshape(2, 6)
        return r * 2

    check(g, A)


def test_sort_is_refused():
    def f(v):
        v.sort()
        return v

    refused(f, V, match="sort", kind=UnsupportedError, text="v.sort()")


def test_unknown_functions_and_methods():
    refused(lambda v: np.fft.fft(v).sum(), V, match=r"np\.fft", kind=UnsupportedError, text="np.fft.fft(v)")
    refused(lambda v: v.byteswap(), V, match="byteswap", kind=UnsupportedError, text="byteswap")
    refused(lambda v: np.put(v, [0], 1.0), V, match=r"np\.put", kind=UnsupportedError)
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        check_trace(lambda v: v.colour, V)


@case(V)
def no_copies(v):
    x = v * 1
    y = x.astype(float, copy=False)
    y[0] = 10.0
    z = np.asarray(x)
    z[1] = 20.0
    w = np.asarray(x, dtype=np.float32)
    w[2] = 30.0
    u = x.astype(float)
    u[0] = -1.0
    np.add(x, 1, x)
    np.nan_to_num(x, copy=False)
    return x, y, z, w, u
