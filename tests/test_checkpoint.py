"""`checkpoint`: the same gradients, and less kept."""

import numpy as np

from jitgrad import checkpoint, grad
from jitgrad.testing import check_grads

X = np.linspace(0.1, 1.0, 5)


def plain(x, n):
    h = x
    for i in range(n):
        h = np.tanh(h * 1.01 + 0.1 * np.sin(x * i))
    return np.sum(h)


def chunked(x, n):
    h = x
    for i in checkpoint(range(n)):
        h = np.tanh(h * 1.01 + 0.1 * np.sin(x * i))
    return np.sum(h)


def test_loop():
    for n in (0, 1, 2, 7, 100):
        np.testing.assert_allclose(grad(chunked)(X, n), grad(plain)(X, n), rtol=1e-13)
    kept = [grad(f).residuals(X, 10_000).nbytes for f in (chunked, plain)]
    assert kept == [100 * X.nbytes, 10_000 * X.nbytes]


def body(x, w):
    y = np.sin(x * w)
    return np.exp(y) * y, y


def test_function():
    def inline(x, w):
        a, b = body(x, w)
        return np.sum(a * b * x)

    def marked(x, w):
        a, b = checkpoint(body)(x, w)
        return np.sum(a * b * x)

    w = np.cos(X)
    for f in (inline, marked):
        check_grads(f, (X, w), order=2)
    np.testing.assert_allclose(grad(marked)(X, w), grad(inline)(X, w), rtol=1e-13)
    assert "body" in grad(marked).source(X, w)
    assert checkpoint(body) is body


def test_closure_in_a_loop():
    def f(x, n):
        h = x
        for i in range(n):
            h = checkpoint(lambda u, i=i: np.tanh(u * x + i))(h)
        return np.sum(h)

    check_grads(f, (X, 3))
