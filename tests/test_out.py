"""`out=`: results in arrays of the caller's, against the same results in new arrays."""

import feeding
import numba
import numpy as np
import pytest

from jitgrad import grad, jit, jvp, value_and_grad, vjp
from jitgrad.codegen import module_source
from jitgrad.lower import into

W, X, Y = (np.linspace(1.0, 2.0, 4) + k for k in range(3))
SCALE = np.array([1.0, 2.0, 3.0, 4.0])


def loss(w, x, y):
    return np.sum((x * w - y) ** 2)


def model(params, x):
    return np.sum(np.tanh(x * params["a"] + params["b"]) * params["c"][0])


PARAMS = {"a": W, "b": X, "c": (Y, 2.0)}


def step(x, n):
    """Two arrays that change places: which of them is the result isn't known before."""
    other = np.zeros_like(x)
    for _ in range(n):
        other[1:-1] = x[2:] + x[:-2]
        x, other = other, x
    return x


def rows(m):
    """Results of all kinds: a product, a view of memory of its own, a transpose, a mask, numbers, an argument."""
    return m @ m, (2.0 * m).reshape(-1), m[m > 1.0], np.sum(m), m, {"none": None, "row": m.T[0]}


def csr(points, k):
    """The arrays of a sparse matrix: two entries a row."""
    n = points.shape[0]
    data, indices, indptr = np.zeros(2 * n), np.zeros(2 * n, np.int32), np.zeros(n + 1, np.int64)
    for i in range(n):
        data[2 * i], data[2 * i + 1] = points[i], k * points[i]
        indices[2 * i], indices[2 * i + 1] = i, (i + 1) % n
        indptr[i + 1] = 2 * (i + 1)
    return data, indices, indptr


def arrays(tree):
    """The arrays of a result, in order."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    return [a for part in tree for a in arrays(part)] if isinstance(tree, tuple) else [tree]


def like(tree):
    """Arrays of other content for a result, with None for numbers."""
    if isinstance(tree, dict):
        return {key: like(part) for key, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map(like, tree))
    return np.full_like(tree, 77) if isinstance(tree, np.ndarray) else None


CALLS = {
    "grad": (grad(loss), (W, X, Y)),
    "argnums": (grad(loss, argnums=(2, 0)), (W, X, Y)),
    "dict": (grad(model), (PARAMS, X)),
    "jit": (jit(rows), (np.arange(9.0).reshape(3, 3),)),
    "csr": (jit(csr), (W, 3.0)),
    "swap": (jit(step), (W, 5)),
    "hidden": (jit(lambda x: SCALE * x), (X,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_are_written_into_the_arrays(name):
    engine, args = CALLS[name]
    expected = engine(*args)
    out = like(expected)
    for _ in range(2):  # the slow way, the fast way
        given = engine(*args, out=out)
        for result, wanted, array in zip(arrays(given), arrays(expected), arrays(out), strict=True):
            assert array is None or result is array
            np.testing.assert_array_equal(result, wanted)
            if array is not None:
                array[...] = 77


def test_the_gradient_part_of_a_value_and_gradient():
    engine, buffer = value_and_grad(loss), np.empty(4)
    value, gradient = engine(W, X, Y, out=buffer)
    assert gradient is buffer
    assert value == engine(W, X, Y)[0]
    both = value_and_grad(lambda w: (np.sum(w * w), w + 1.0), has_aux=True)
    (value, aux), gradient = both(W, out=buffer)
    assert gradient is buffer
    np.testing.assert_array_equal(gradient, 2 * W)
    np.testing.assert_array_equal(aux, W + 1)


def test_heads_of_both_kinds():
    engine, buffer = grad(lambda x: x * x), np.empty(4)
    for head in (3.0, W):
        for _ in range(2):
            np.testing.assert_array_equal(engine(X, head=head, out=buffer), 2 * X * head)


def test_vjp_and_jvp():
    f = lambda x, s: np.sin(x) * s  # noqa: E731
    _, pullback = vjp(f, X, 2.0)
    expected, (a, b) = pullback(Y), (np.empty(4), np.empty(()))
    for _ in range(2):
        given = pullback(Y, out=(a, b))
        assert given[0] is a
        assert given[1] is b
        np.testing.assert_array_equal(a, expected[0])
        assert b == expected[1]
    assert pullback(Y, out=(None, b))[0] is not a
    expected = jvp(f, (X, 2.0), (Y, 1.0))
    c = np.empty(4)
    for _ in range(2):
        value, dot = jvp(f, (X, 2.0), (Y, 1.0), out=(None, c))
        assert dot is c
        np.testing.assert_array_equal(value, expected[0])
        np.testing.assert_array_equal(c, expected[1])


@pytest.mark.parametrize("make", [lambda: np.empty(8)[::2], lambda: np.empty((4, 1)).T[0], lambda: np.empty(4, ">f8")])
def test_arrays_in_any_layout(make):
    engine, out = CALLS["grad"][0], make()
    for _ in range(2):
        assert engine(W, X, Y, out=out) is out
        np.testing.assert_array_equal(out, engine(W, X, Y))
        out[:] = 0


def test_columns_of_one_array():
    both = jit(lambda x: (x + 1.0, 2.0 * x))
    table = np.zeros((4, 2))
    for _ in range(2):
        both(X, out=(table[:, 0], table[:, 1]))
        np.testing.assert_array_equal(table, np.stack([X + 1.0, 2.0 * X], axis=1))
        with pytest.raises(ValueError, match=r"out\[1\] shares memory with another part"):
            both(X, out=(table[:, 0], table[:, 0]))


def test_arrays_that_share_memory_with_an_argument():
    engine = CALLS["grad"][0]
    expected = engine(W, X, Y)
    for _ in range(3):  # nothing may be written while it is still read
        w = np.append(W, 0.0)
        assert engine(w[:-1], X, Y, out=w[:-1]) is not None
        np.testing.assert_array_equal(w[:-1], expected)
    shifted = jit(lambda x: x[:-1] + x[1:])
    for _ in range(3):
        x = np.arange(5.0)
        shifted(x, out=x[1:])
        np.testing.assert_array_equal(x, [0, 1, 3, 5, 7])


def test_arrays_that_share_memory_with_what_is_read_from_outside():
    engine, before = CALLS["hidden"][0], SCALE.copy()
    try:
        for _ in range(2):
            SCALE[:] = before
            np.testing.assert_array_equal(engine(X, out=SCALE), before * X)
    finally:
        SCALE[:] = before


WRONG = {
    "shape": (np.empty(3), ValueError, r"out has shape \(3,\), where the result has shape \(4,\)"),
    "no broadcasting": (np.empty((4, 1)), ValueError, "out has 2 axes, where the result has 1"),
    "dtype": (np.empty(4, np.float32), TypeError, "out has dtype float32; float64 is expected"),
    "list": ([0.0] * 4, TypeError, "out is a list"),
    "read-only": (np.broadcast_to(0.0, (4,)), ValueError, "out is read-only"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(name):
    out, error, text = WRONG[name]
    for _ in range(2):
        with pytest.raises(error, match=text):
            CALLS["grad"][0](W, X, Y, out=out)


def test_refused_parts():
    engine, args = CALLS["dict"]
    a, b = np.empty(4), np.empty(4)
    with pytest.raises(ValueError, match=r"out\['b'\] shares memory with another part"):
        engine(*args, out={"a": a, "b": a[:], "c": (b, None)})
    with pytest.raises(TypeError, match="out is a dict of 1; a dict of 3 with the keys 'a', 'b', 'c' is expected"):
        engine(*args, out={"a": a})
    with pytest.raises(ValueError, match=r"out\['c'\]\[0\] has shape \(2,\), where the result has shape \(4,\)"):
        engine(*args, out={"a": a, "b": None, "c": (b[:2], None)})


def test_a_parameter_called_out_is_the_functions_own():
    double = jit(lambda x, out: x + out)
    np.testing.assert_array_equal(double(X, out=Y), X + Y)


def test_inside_a_trace_it_is_refused():
    inner = grad(lambda x: np.sum(x * x))
    with pytest.raises(TypeError, match=r"out= can't be given inside a function that is traced"):
        jit(lambda x, buffer: inner(x, out=buffer))(X, Y)


def test_in_compiled_code():
    gradient, functions = grad(loss), jit(lambda x: (x + 1.0, 2.0 * x))

    @numba.njit
    def run(w, x, y, buffer):
        gradient(w, x, y, 2.0, buffer)
        functions(x, out=(None, w))
        return buffer.sum()

    buffer, w = np.empty(4), W.copy()
    assert run(w, X, Y, buffer) == buffer.sum()
    np.testing.assert_array_equal(buffer, gradient(W, X, Y, head=2.0))
    np.testing.assert_array_equal(w, 2.0 * X)
    with pytest.raises(ValueError, match="shares memory"):
        run(w, X, Y, w)
    with pytest.raises(numba.TypingError, match="inside compiled code the arrays of out have axes, and are C-contig"):
        run(w, X, Y, np.empty(8)[::2])


@pytest.mark.parametrize(("name", "saved"), [("grad", 1), ("dict", 3), ("csr", 3), ("swap", 0)])
def test_nothing_is_allocated_for_the_results(name, saved):
    engine, args = CALLS[name]
    program = engine.entry(engine.flatten(args, {}), engine.request()).program
    names = {k: f"out_{k}" for k, r in enumerate(program.results) if r.ndim}
    given = module_source(into(program.lowered, names), "f", "numba")
    assert program.source("numba").count("np.empty") - given.count("np.empty") == saved


def test_a_long_tuple_is_joined_of_short_ones():
    """Numba refuses the code that CPython makes of a tuple of more than 30 items."""
    engine, params = jit(lambda params: params), {f"p{k}": X for k in range(35)}
    program = engine.entry(engine.flatten((params,), {}), None).program
    block = into(program.lowered, {k: f"out_{k}" for k in range(35)})
    assert "out_29), (p" not in module_source(block, "f", "numba")
    assert "out_29) + (out_30" in module_source(block, "f", "numba")


@pytest.mark.parametrize("name", list(feeding.functions())[::8])
def test_any_program_can_be_given_arrays(name):
    """The verifier looks at each of these programs."""
    function = feeding.functions()[name]
    engine = jit(function)
    entry = engine.entry(engine.flatten(feeding.arguments(function, np.float64), {}), None)
    results = [k for k, r in enumerate(entry.program.results) if r.ndim]
    if results:
        block = into(entry.program.lowered, {k: f"out_{k}" for k in results})
        assert len(block.results) == len(entry.program.results) - len(results)
