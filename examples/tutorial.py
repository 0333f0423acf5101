"""Every example of the MXNet autograd tutorial, twice: on the tape, and compiled.

    python examples/tutorial.py

The tutorial (x = 0, 1, 2, 3 throughout) explains `attach_grad`, `record`, `backward`, `detach` and head
gradients. Each row below is one of its examples: the left column is `jitgrad.tape`, where it runs nearly as
it stands; the right column says the same thing with `grad`, `vjp` and `stop_gradient`, which compile a plain
function. A row is checked by comparing both with the result that the tutorial states. Where the tutorial
isn't right (what recording does to an old gradient, what detach copies, what `attach_grad` on an intermediate
value means, what a head gradient does) there is a row for what is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from jitgrad import grad, stop_gradient, value_and_grad, vjp
from jitgrad import tape as mx
from jitgrad.errors import TapeError

X = np.arange(4.0)
ROWS: list[tuple[str, Callable, Callable, object]] = []


def example(title: str, want: object):
    """Decorator for a class with two functions, `tape` and `compiled`, that must both give `want`."""

    def register(pair: type) -> type:
        ROWS.append((title, pair.tape, pair.compiled, want))
        return pair

    return register


def variable(values=X) -> mx.Array:
    x = mx.array(np.array(values))
    x.attach_grad()
    return x


def fails(function: Callable) -> bool:
    """Whether the tape refuses."""
    try:
        function()
    except TapeError:
        return True
    return False


# The functions of the tutorial, as plain NumPy: these are what gets compiled.
def quadratic(x):
    return 2 * np.dot(x, x)


def cubic(x):
    return 3 * x * x * x


def cubic_by_dot(x):
    return np.dot(3 * x * x * x, np.ones(4))


def cubic_summed(x):
    return np.sum(3 * x * x * x)


def square(x):
    return 3 * x * x


def chained(x):
    y = 3 * x * x
    return y * x


def chained_with_constant(x):
    y = stop_gradient(3 * x * x)
    return y * x


def times(y, x):
    return y * x


def linear(x, M):
    return M @ x


# ------------------------------------------------------------------------- gradients of scalar functions


@example("1  the gradient has the shape of the variable; data has none", [0, 1])
class _:
    def tape():
        data, w = mx.array([1.0, 2.0]), variable([3.0, 4.0])
        with mx.record():
            loss = np.dot(data, w)
        loss.backward()
        assert data.grad is None
        return w.grad - 1

    def compiled():
        return grad(lambda w, data: np.dot(data, w))(np.array([3.0, 4.0]), np.array([1.0, 2.0])) - 1


@example("2  steps down the gradient make 2 x.x smaller", [28, 10.08, 3.6288, 1.306368])
class _:
    def tape():
        x, losses = variable(), []
        for _ in range(4):
            with mx.record():
                y = 2 * np.dot(x, x)
            y.backward()
            losses.append(y.item())
            x -= 0.1 * x.grad
        return losses

    def compiled():
        x, losses = X.copy(), []
        step = value_and_grad(quadratic)
        for _ in range(4):
            value, gradient = step(x)
            losses.append(value)
            x -= 0.1 * gradient
        return losses


@example("3  y = 2 x.x", 28)
class _:
    def tape():
        x = variable()
        with mx.record():
            return 2 * np.dot(x, x)

    def compiled():
        return value_and_grad(quadratic)(X)[0]


@example("4  its gradient is 4x, and gathers the partial derivatives", [0, 4, 8, 12])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 2 * np.dot(x, x)
        y.backward()
        return x.grad

    def compiled():
        return grad(quadratic)(X)


@example("5  attach_grad: the gradient is there at once, zeros", [0, 0, 0, 0])
class _:
    def tape():
        return variable().grad

    def compiled():
        return grad(lambda x: stop_gradient(x).sum())(X)  # there is nothing to attach: no dependence, zeros


@example("6  outside record() nothing can be differentiated", True)
class _:
    def tape():
        x = variable()
        y = 2 * np.dot(x, x)
        return fails(y.backward)

    def compiled():
        return bool(np.all(grad(quadratic)(X) == 4 * X))  # nothing to record: a function is known as it is


@example("7  the dot product of two vectors is a number, of shape ()", 0)
class _:
    def tape():
        return len(np.dot(mx.arange(4), mx.arange(4)).shape)

    def compiled():
        return np.ndim(value_and_grad(quadratic)(X)[0])


@example("8  arange and array make floats", True)
class _:
    def tape():
        return mx.arange(4).dtype == mx.array([1, 1, 1, 1]).dtype == np.float64

    def compiled():
        return grad(quadratic)(X).dtype == np.float64


@example("9  recording again doesn't touch the gradient (the tutorial says it does) ...", [0, 4, 8, 12])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 2 * np.dot(x, x)
        y.backward()
        with mx.record():
            3 * x * x * x
        return x.grad

    def compiled():
        first = grad(quadratic)(X)
        grad(cubic)(X)
        return first  # results are arrays of their own


@example("10 ... the next backward overwrites it", [0, 9, 36, 81])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 2 * np.dot(x, x)
        y.backward()
        with mx.record():
            z = np.dot(3 * x * x * x, mx.ones(4))
        z.backward()
        return x.grad

    def compiled():
        return grad(cubic_by_dot)(X)


# ---------------------------------------------------------------------------------- non-scalar functions


@example("11 z = sum 3x^3, by a dot product with ones", 108)
class _:
    def tape():
        x = variable()
        with mx.record():
            return np.dot(3 * x * x * x, mx.array([1, 1, 1, 1]))

    def compiled():
        return value_and_grad(cubic_by_dot)(X)[0]


@example("12 backward on a vector: the derivative of its sum", [0, 9, 36, 81])
class _:
    def tape():
        x = variable()
        with mx.record():
            z = 3 * x * x * x
        z.backward()
        return x.grad

    def compiled():
        return grad(cubic)(X)


@example("13 summing by hand first: the same", [0, 9, 36, 81])
class _:
    def tape():
        x = variable()
        with mx.record():
            z = (3 * x * x * x).sum()
        z.backward()
        return x.grad

    def compiled():
        return grad(cubic_summed)(X)


@example("14 z = y x with y = 3x^2", [0, 9, 36, 81])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 3 * x * x
            z = y * x
        z.backward()
        return x.grad

    def compiled():
        return grad(chained)(X)


@example("15 y.backward() in the same graph: z is ignored", [0, 6, 12, 18])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 3 * x * x
            y * x
        y.backward()
        return x.grad

    def compiled():
        return grad(square)(X)


# ------------------------------------------------------------------------------------------------ detach


@example("16 z = t x with t = y.detach(), a constant", [0, 3, 12, 27])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 3 * x * x
            t = y.detach()
            z = t * x
        z.backward()
        return x.grad

    def compiled():
        return grad(chained_with_constant)(X)


@example("17 t equals y", [0, 3, 12, 27])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 3 * x * x
        return y.detach()

    def compiled():
        return value_and_grad(lambda x: stop_gradient(3 * x * x))(X)[0]


@example("18 y keeps its history: y.backward() after z.backward()", [0, 6, 12, 18])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 3 * x * x
            t = y.detach()
            z = t * x
        z.backward()
        y.backward()
        return x.grad

    def compiled():
        grad(chained_with_constant)(X)
        return grad(square)(X)


@example("19 detach copies (in MXNet it doesn't: there, both change)", [-1, 1, 2, 3])
class _:
    def tape():
        x = variable()
        t = x.detach()
        x[:] = 7
        t[0] = -1
        assert (x.asnumpy() == 7).all()
        return t

    def compiled():
        x = X.copy()
        t = value_and_grad(stop_gradient)(x)[0]
        x[:] = 7
        return np.where(np.arange(4) == 0, -1, t)


@example("20 y = y.detach() erases the history of y", [0, 3, 12, 27])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 3 * x * x
            y = y.detach()
            z = y * x
        z.backward()
        return x.grad

    def compiled():
        return grad(chained_with_constant)(X)


@example("21 y.attach_grad() inside record(): the same for x ...", [0, 3, 12, 27])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 3 * x * x
            y.attach_grad()
            z = y * x
        z.backward()
        return x.grad

    def compiled():
        return grad(times, argnums=1)(square(X), X)


@example("22 ... but y has a gradient of its own (so they aren't equivalent)", [0, 1, 2, 3])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 3 * x * x
            y.attach_grad()
            z = y * x
        z.backward()
        return y.grad

    def compiled():
        return grad(times)(square(X), X)


@example("23 attach_grad on a variable refreshes it: zeros", [0, 0, 0, 0])
class _:
    def tape():
        x = variable()
        with mx.record():
            y = 3 * x * x
        y.backward()
        x.attach_grad()
        return x.grad

    def compiled():
        return 0 * grad(square)(X)  # no state: nothing to refresh


@example("24 what has no place in the graph: .grad is nothing, backward an error", True)
class _:
    def tape():
        x = variable()
        with mx.record():
            t = (3 * x * x).detach()
            t * x
        return t.grad is None and fails(t.backward)

    def compiled():
        return bool(np.all(grad(lambda x: stop_gradient(3 * x * x))(X) == 0))  # a constant: zeros


@example("25 after backward the graph is gone; the gradient stays", [0, 9, 36, 81])
class _:
    def tape():
        x = variable()
        with mx.record():
            z = 3 * x * x * x
        z.backward()
        assert fails(z.backward)
        return x.grad

    def compiled():
        derivative = grad(cubic)
        derivative(X)
        return derivative(X)  # a function can be called again


# ---------------------------------------------------------------------------------------- head gradients


def pieces():
    """A = dz/dx; B = dz/dx with y constant; C = dz/dy; D = dy/dx, from one recording."""
    x = variable()
    with mx.record():
        z = 3 * x * x * x
    z.backward()
    A = x.grad.copy()
    with mx.record():
        t = 3 * x * x
        y = t.detach()
        y.attach_grad()
        z = y * x
    z.backward()
    B, C = x.grad.copy(), y.grad.copy()
    t.backward()  # still there: z's graph ended at y
    return A, B, C, x.grad.copy()


def compiled_pieces():
    C, B = grad(times, argnums=(0, 1))(square(X), X)
    return grad(cubic)(X), B, C, grad(square)(X)


for k, (name, want) in enumerate(
    {"A = dz/dx": [0, 9, 36, 81], "B = dz/dx, y constant": [0, 3, 12, 27], "C = dz/dy": [0, 1, 2, 3],
     "D = dy/dx": [0, 6, 12, 18]}.items()
):  # fmt: skip
    ROWS.append((f"{26 + k} {name}", lambda k=k: pieces()[k], lambda k=k: compiled_pieces()[k], want))


@example("30 the chain rule: A = C D + B", [0, 9, 36, 81])
class _:
    def tape():
        A, B, C, D = pieces()
        assert bool((A == C * D + B).all())
        return C * D + B

    def compiled():
        _, B, C, D = compiled_pieces()
        return C * D + B


@example("31 a gradient must be copied to be kept", [0, 9, 36, 81])
class _:
    def tape():
        x = variable()
        with mx.record():
            z = 3 * x * x * x
        z.backward()
        alias, kept = x.grad, x.grad.copy()
        with mx.record():
            z = 3 * x * x
        z.backward()
        assert alias.tolist() == [0, 6, 12, 18]
        return kept

    def compiled():
        kept = grad(cubic)(X)
        grad(square)(X)
        return kept


@example("32 a head gradient: t.backward(y.grad) gives E = C D", [0, 6, 24, 54])
class _:
    def tape():
        x = variable()
        with mx.record():
            t = 3 * x * x
            y = t.detach()
            y.attach_grad()
            z = y * x
        z.backward()
        t.backward(y.grad)
        return x.grad

    def compiled():
        return grad(square)(X, head=grad(times)(square(X), X))


@example("33 the default head gradient is all ones", [0, 6, 12, 18])
class _:
    def tape():
        x = variable()
        with mx.record():
            t = 3 * x * x
        t.backward(mx.ones(4))
        return x.grad

    def compiled():
        return grad(square)(X, head=np.ones(4))


@example("34 it multiplies the derivative for elementwise functions only; in general: J^T u", [531, 642])
class _:
    def tape():
        M, x = mx.array([[1, 2], [3, 4], [5, 6]]), variable([1.0, 1.0])
        with mx.record():
            t = np.dot(M, x)
        t.backward(mx.array([1, 10, 100]))
        return x.grad

    def compiled():
        M = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        _, pullback = vjp(lambda x: linear(x, M), np.ones(2))
        return pullback(np.array([1.0, 10.0, 100.0]))[0]


def text(value: object) -> str:
    """A result in one line."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    value = value.asnumpy() if isinstance(value, mx.Array) else np.asarray(value, float)
    return np.array2string(value, precision=6, separator=" ").replace("\n", "")


def same(value: object, want: object) -> bool:
    if isinstance(want, bool):
        return bool(value) is want
    value = value.asnumpy() if isinstance(value, mx.Array) else np.asarray(value)
    return value.shape == np.shape(want) and np.allclose(value, want, rtol=1e-12, atol=1e-12)


def main() -> int:
    """Print the table; the number of rows that differ."""
    mistakes = 0
    print(f"{'':84} {'tape':34} compiled")
    for title, on_tape, compiled, want in ROWS:
        left, right = on_tape(), compiled()
        good = same(left, want) and same(right, want)
        mistakes += not good
        print(f"{title:84} {text(left):34} {text(right):34} {'✓' if good else f'✗ expected {want}'}")
    print(f"{len(ROWS) - mistakes} of {len(ROWS)} agree")
    return mistakes


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
