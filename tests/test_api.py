"""What a user calls: argnums, heads, structures, signatures, errors; nothing is confused, stale or modified."""

import copy
import dataclasses
import pickle
import threading
from typing import NamedTuple

import numpy as np
import pytest

import jitgrad
from jitgrad import grad, jit, jvp, stop_gradient, value_and_grad, vjp
from jitgrad.errors import JitgradError, LeakedValueError, TraceError, UnsupportedError

X = np.array([1.0, -2.0, 3.0])
Y = np.array([0.5, 4.0, -1.0])


def product(x, y, scale=1.0):
    return np.sum(x * y) * scale


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert np.shape(found) == np.shape(expected)


# argnums.
PRODUCT = {k: grad(product, argnums=k) for k in (0, 1, -1, "y", "scale", (0, 1), ("y", 0), (0,), 2)}


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 2 * Y),
        (1, 2 * X),
        ("y", 2 * X),
        ((0, 1), (2 * Y, 2 * X)),
        (("y", 0), (2 * X, 2 * Y)),
        ((0,), (2 * Y,)),
        (2, np.sum(X * Y)),
        (-1, np.sum(X * Y)),
        ("scale", np.sum(X * Y)),
    ],
)
def test_argnums(argnums, expected):
    found = PRODUCT[argnums](X, Y, 2.0)
    assert isinstance(found, tuple) == isinstance(expected, tuple)
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    assert len(found) == len(expected)
    for f, e in zip(found, expected, strict=True):
        equal(f, e)


def test_arguments_by_keyword():
    equal(PRODUCT[0](y=Y, x=X), Y)
    equal(PRODUCT[0](X, y=Y, scale=3.0), 3 * Y)
    equal(PRODUCT["scale"](X, Y, scale=3.0), np.sum(X * Y))


@pytest.mark.parametrize(
    ("argnums", "error"),
    [
        ("z", ValueError),
        (-4, ValueError),
        ((), ValueError),
        ((0, 0), ValueError),
        (("x", 0), ValueError),
        (1.0, TypeError),
        (True, TypeError),
        ((0, None), TypeError),
    ],
)
def test_wrong_argnums_at_once(argnums, error):
    with pytest.raises(error):
        grad(product, argnums=argnums)


def test_an_argument_that_the_call_does_not_have():
    with pytest.raises((ValueError, TypeError)):
        grad(product, argnums=2)(X, Y)
    with pytest.raises(ValueError):  # noqa: PT011 (no more is promised than that there is no such argument)
        grad(lambda *xs: xs[0], argnums=5)(X)


@pytest.mark.parametrize("bad", [np.arange(3), 3, True, np.array([True, False, True]), np.int32(3)])
def test_integers_cannot_be_differentiated(bad):
    with pytest.raises(TypeError, match=r"'x'.*floating-point"):
        grad(lambda x, y: np.sum(x * y))(bad, Y)


def test_parts_of_an_argument_must_be_floats():
    with pytest.raises(TypeError, match="p_n"):
        grad(lambda p: np.sum(p["w"]) * p["n"])({"w": X, "n": 3})


def test_no_number_in_the_argument():
    with pytest.raises(TypeError, match="nothing to differentiate"):
        grad(lambda x, kind: np.sum(x), argnums="kind")(X, "plain")


@pytest.mark.parametrize(
    "bad", [X + 1j, np.array(["a"]), np.array([None]), 1j, np.ma.masked_array(X), X.astype(np.float16)]
)
def test_unsupported_arrays(bad):
    with pytest.raises(TypeError, match="'x'"):
        grad(lambda x: np.sum(x))(bad)


def test_output_must_be_a_float():
    with pytest.raises(TypeError, match="floating-point output"):
        grad(lambda x: np.argmax(x))(X)
    with pytest.raises(TypeError, match="derivative"):
        grad(lambda x: None)(X)
    with pytest.raises(TypeError, match="function"):
        grad(3.0)


# has_aux and values.
def test_value_and_aux():
    f = lambda x: (np.sum(x**2), {"x": x, "n": 3, "none": None, "k": np.argmax(x)})  # noqa: E731
    slope, aux = grad(f, has_aux=True)(X)
    equal(slope, 2 * X)
    equal(aux["x"], X)
    assert (aux["n"], aux["none"], aux["k"]) == (3, None, 2)
    (value, aux), slope = value_and_grad(f, has_aux=True)(X)
    equal(value, 14.0)
    equal(slope, 2 * X)
    assert list(aux) == ["x", "n", "none", "k"]
    with pytest.raises(TypeError, match="pair"):
        grad(lambda x: x, has_aux=True)(X)


def test_decorator_forms():
    @grad
    def f(x):
        """Squares."""
        return x * x

    @grad(argnums="y")
    def g(x, y):
        return x * y

    @value_and_grad(argnums=(0, 1))
    def h(x, y):
        return x * y

    equal(f(3.0), 6.0)
    equal(g(3.0, 5.0), 3.0)
    value, (a, b) = h(3.0, 5.0)
    assert (value, a, b) == (15.0, 5.0, 3.0)
    assert f.__name__ == "f"
    assert f.__doc__ == "Squares."


# Heads.
@grad
def squares(x):
    return x * x


def test_heads():
    equal(squares(X), 2 * X)
    equal(squares(X, head=3.0), 6 * X)
    equal(squares(X, head=3), 6 * X)
    equal(squares(X, head=np.float64(3.0)), 6 * X)
    equal(squares(X, head=np.array(3.0)), 6 * X)
    equal(squares(X, head=Y), 2 * X * Y)
    equal(squares(X, head=Y[::-1]), 2 * X * Y[::-1])
    equal(squares(X, head=[1.0, 0.0, 0.0]), [2, 0, 0])
    equal(squares(X), 2 * X)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (np.ones(4), ValueError),
        (np.ones((1, 3)), ValueError),
        (np.ones((3, 1)), ValueError),
        (np.ones(1), ValueError),
        (np.ones(3, np.float32), TypeError),
        (np.arange(3), TypeError),
        ("x", (TypeError, ValueError)),
        (None, (TypeError, ValueError)),
        (X + 1j, TypeError),
        (1j, TypeError),
        ((X, X), ValueError),
        (True, TypeError),
    ],
)
def test_wrong_heads(head, error):
    with pytest.raises(error, match=r"head|complex"):
        squares(X, head=head)


def test_wrong_head_raises_before_anything_runs():
    @grad
    def f(x):
        return np.log(x[np.argmax(x) :]) * 1.0

    with pytest.raises(ValueError, match="axes"):
        f(X, head=np.ones((2, 2)))
    assert f.stats().compilations + f.stats().cache_hits == 0


def test_structured_heads():
    f = lambda x: {"a": x * x, "n": 3, "b": (x[0], np.argmax(x))}  # noqa: E731
    equal(grad(f)(X), 2 * X + np.array([1, 0, 0]))
    equal(grad(f)(X, head={"a": Y, "n": None, "b": (2.0, None)}), 2 * X * Y + np.array([2, 0, 0]))
    with pytest.raises(ValueError, match="head"):
        grad(f)(X, head={"a": Y})


def test_parameter_named_head_is_refused():
    with pytest.raises(TypeError, match="head"):
        grad(lambda x, head: x * head)


# No path, and zero.
def test_no_path_gives_zeros():
    equal(grad(lambda x, y: np.sum(y))(X, Y), np.zeros(3))
    equal(grad(lambda x: np.ones(2))(X), np.zeros(3))
    equal(grad(lambda x: np.sum(stop_gradient(x)) * 2.0)(X), np.zeros(3))
    equal(grad(lambda x: np.floor(x))(2.5), 0.0)
    equal(grad(lambda x: 3.0)(2.5), 0.0)
    slope = grad(lambda p: p["a"] * 2.0)({"a": X, "b": [Y, 2.0]})
    equal(slope["b"][0], np.zeros(3))
    assert slope["b"][1] == 0.0


def test_results_are_memory_of_their_own():
    identity = grad(lambda x: x)
    first, second = identity(X), identity(X)
    first[0] = 99.0
    equal(second, np.ones(3))
    out = jit(lambda x: x)(X)
    assert isinstance(out, np.ndarray)
    a, b = grad(lambda x, y: x + y, argnums=(0, 1))(X, Y)
    a[0] = 99.0
    equal(b, np.ones(3))
    head = np.ones(3)
    out = grad(lambda x: x)(X, head=head)
    out[0] = 5.0
    equal(head, np.ones(3))
    _, pullback = vjp(lambda x: x * 1.0, X)
    (bar,) = pullback(head)
    bar[0] = 7.0
    equal(pullback(head)[0], np.ones(3))


# Structures.
@dataclasses.dataclass
class Layer:
    weights: np.ndarray
    bias: float
    activation: str = "tanh"


@dataclasses.dataclass(frozen=True)
class Frozen:
    w: np.ndarray


class State(NamedTuple):
    position: np.ndarray
    speed: float


def test_nested_arguments_and_gradients():
    params = {
        "layers": [Layer(np.eye(3), 0.5), Layer(2 * np.eye(3), 1.0)],
        "state": State(X, 2.0),
        "rest": (Y, [3.0]),
    }

    @grad
    def f(p, x):
        for layer in p["layers"]:
            x = layer.weights @ x + layer.bias
        return np.sum(x) + p["state"].position @ p["rest"][0] * p["state"].speed * p["rest"][1][0]

    g = f(params, X)
    assert list(g) == ["layers", "state", "rest"]
    assert type(g["layers"][1]) is Layer
    assert g["layers"][1].activation is None
    assert type(g["state"]) is State
    equal(g["layers"][1].weights, np.outer(np.ones(3), X + 0.5))
    equal(g["layers"][0].bias, 6.0)
    equal(g["state"].position, 6 * Y)
    equal(g["rest"][0], 6 * X)
    equal(g["rest"][1][0], 2 * (X @ Y))
    equal(params["layers"][0].weights, np.eye(3))
    equal(grad(lambda p: p.w @ p.w)(Frozen(X)).w, 2 * X)


def test_dict_keys_of_any_kind():
    g = grad(lambda p: p[0] * p["a"] * p[(1, 2)])({0: 2.0, "a": 3.0, (1, 2): 5.0})
    assert g == {0: 15.0, "a": 10.0, (1, 2): 6.0}


def test_other_order_of_keys_is_not_confused():
    f = grad(lambda p: p["a"] * 2.0 + p["b"] * 3.0)
    assert f({"a": 1.0, "b": 1.0}) == {"a": 2.0, "b": 3.0}
    assert f({"b": 1.0, "a": 1.0}) == {"a": 2.0, "b": 3.0}


def test_same_names_of_leaves_are_not_confused():
    f = grad(lambda p, p_a: np.sum(p["a"] * p_a) + p["a_b"] * p["a"][0], argnums=(0, 1))
    p, q = f({"a": X, "a_b": 2.0}, Y)
    equal(p["a"], Y + np.array([2.0, 0, 0]))
    equal(q, X)


@pytest.mark.parametrize(
    "names", [("head_", "np"), ("x_bar", "x"), ("t", "t_1"), ("i", "sum"), ("lambda_", "x_n"), ("r", "abs")]
)
def test_names_that_generated_code_uses_too(names):
    a, b = names
    space = {"np": np}
    exec(f"def f({a}, {b}):\n    return np_.sum(np_.exp({a}) * {b} + {a}[0] * {b})", {"np_": np}, space)
    ga, gb = grad(space["f"], argnums=(0, 1))(X, Y)
    equal(ga, np.exp(X) * Y + np.array([np.sum(Y), 0, 0]))
    equal(gb, np.exp(X) + X[0])


def test_many_arrays():
    params = {f"w{k}": np.full(2, float(k)) for k in range(35)}
    found = grad(lambda p: sum(w[0] * w[1] for w in p.values()))(params)
    assert list(found) == list(params)
    for k in range(35):
        equal(found[f"w{k}"], [k, k])


# Signatures and statistics.
def test_one_trace_for_all_lengths():
    f = grad(lambda w, x: np.mean(np.tanh(x @ w)))
    for n in (7, 2, 32):
        f(np.ones(4), np.ones((n, 4)))
    f(np.ones(9), np.ones((3, 9)))
    assert f.stats().traces == 1
    assert f.stats().compilations + f.stats().cache_hits == 1
    f(np.ones(4, np.float32), np.ones((5, 4), np.float32))
    assert f.stats().traces == 2
    assert f.stats().compilations + f.stats().cache_hits == 2
    assert f.stats()._fields == ("traces", "compilations", "cache_hits")


def test_lengths_change_between_calls():
    f = grad(lambda x: np.sum(x[1:] * x[:-1]) + np.mean(x))
    for n in (2, 3, 10):
        x = np.arange(float(n))
        expected = np.r_[x[1:], 0] + np.r_[0, x[:-1]] + 1 / n
        equal(f(x), expected)
    equal(f(np.array([3.0])), [1.0])


def test_a_length_of_one_is_another_signature():
    f = grad(lambda x, y: np.sum(x * y))
    equal(f(np.ones(3), np.full(3, 2.0)), [2, 2, 2])
    equal(f(np.ones(1), np.full(3, 2.0)), [6])
    equal(f(np.ones(3), np.full(1, 2.0)), [2, 2, 2])
    equal(f(np.ones(1), np.full(1, 2.0)), [2])


@pytest.mark.parametrize("first", [(3, 4), (1, 4), (3, 1), (1, 1)])
def test_axes_of_length_one_after_others(first):
    """A program made for other lengths must not be taken where it would give another shape."""
    functions = [
        lambda x: np.squeeze(x),
        lambda x: x * x[:1],
        lambda x: x + x[:, :1],
        lambda x: x @ x.T,
        lambda x: x.T - x[0, 0],
        lambda x: np.squeeze(x[:1]),
        lambda x: np.squeeze(x[:1], axis=0),
        lambda x: x[:, 1:].squeeze() * 2,
        lambda x: np.concatenate([x, x[:1]]),
        lambda x: x[1:] * 2,
        lambda x: np.roll(x, 1, 0),
    ]
    for f in functions:
        compiled = jit(f)
        for shape in (first, (3, 4), (1, 4), (3, 1), (1, 1), (2, 4)):
            x = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
            equal(compiled(x), f(x))


def test_assigning_a_slice_of_length_one():
    def f(x, y):
        z = np.zeros(4)
        z[1:] = x[:1]
        z[:2] += y[1:]
        return z * np.arange(4.0)

    a, b = grad(f, argnums=(0, 1))(X, np.ones(2))
    equal(a, [6, 0, 0])
    equal(b, [0, 1])


def test_static_integers():
    f = grad(lambda x, axis: np.sum(np.max(x, axis=axis)))
    x = np.array([[1.0, 5.0], [2.0, 3.0]])
    equal(f(x, 0), [[0, 1], [1, 0]])
    equal(f(x, 1), [[0, 1], [0, 1]])
    equal(f(x, 0), [[0, 1], [1, 0]])
    equal(f(x, axis=-1), [[0, 1], [0, 1]])


def test_integers_at_run_time_do_not_trace_again():
    f = grad(lambda x, n: x**n)
    assert [float(f(2.0, n)) for n in (1, 2, 3)] == [1.0, 4.0, 12.0]
    assert f.stats().traces == 1


def test_number_of_iterations():
    def power(x, n):
        y = 1.0
        for _ in range(n):
            y = y * x
        return y

    f = grad(power)
    assert [float(f(2.0, n)) for n in (0, 1, 3, 2)] == [0.0, 1.0, 12.0, 4.0]


def test_flags_and_strings():
    f = grad(lambda x, kind, twice=False: (np.sin(x) if kind == "sin" else np.cos(x)) * (2 if twice else 1))
    equal(f(0.0, "sin"), 1.0)
    equal(f(0.0, "cos"), 0.0)
    equal(f(0.0, "sin", twice=True), 2.0)
    equal(f(0.0, "sin", True), 2.0)
    equal(f(0.0, "sin", False), 1.0)


def test_bool_int_and_float_are_not_confused():
    f = value_and_grad(lambda x, s: x * s)
    for s in (2, 2.0, True, np.float32(2), np.int64(2), 1, 1.0, False):
        value, slope = f(3.0, s)
        assert value == 3.0 * s
        assert slope == s


# Nothing stale.
SCALE, TABLE, LIMIT = 2.0, np.array([1.0, 2.0, 3.0]), 2


def reads_globals(x):
    return np.sum(x * TABLE) * SCALE + sum(x[k] for k in range(LIMIT))


def test_globals_are_read_at_each_call(monkeypatch):
    f = grad(reads_globals)
    module = __import__(__name__)
    equal(f(X), 2 * TABLE + np.array([1, 1, 0]))
    monkeypatch.setattr(module, "SCALE", 5.0)
    equal(f(X), 5 * TABLE + np.array([1, 1, 0]))
    monkeypatch.setattr(module, "TABLE", np.array([0.0, 1.0, 0.0]))
    equal(f(X), [1, 6, 0])
    module.TABLE[0] = 4.0
    equal(f(X), [21, 6, 0])
    monkeypatch.setattr(module, "LIMIT", 1)
    equal(f(X), [21, 5, 0])
    monkeypatch.setattr(module, "LIMIT", 2)
    equal(f(X), [21, 6, 0])


def test_closures_and_containers_are_not_stale():
    scale, table, options = 2.0, [1.0, 2.0], {"power": 2}

    def f(x):
        return x ** options["power"] * scale * table[1] + len(table)

    g = value_and_grad(f)
    assert g(3.0) == (2 + 36.0, 24.0)
    scale = 1.0
    assert g(3.0) == (2 + 18.0, 12.0)
    options["power"] = 3
    assert g(3.0) == (2 + 54.0, 54.0)
    table[1] = 1.0
    assert g(3.0) == (2 + 27.0, 27.0)
    table.append(0.0)
    assert g(3.0) == (3 + 27.0, 27.0)


def test_helpers_are_not_stale(monkeypatch):
    module = __import__(__name__)
    f = grad(lambda x: helper(x))
    equal(f(3.0), 6.0)
    monkeypatch.setattr(module, "helper", lambda x: x**3)
    equal(f(3.0), 27.0)


def helper(x):
    return x * x


def test_objects_are_not_stale():
    class Model:
        def __init__(self):
            self.w = 2.0

        def loss(self, x):
            return self.w * x * x

    model = Model()
    f = grad(model.loss)
    equal(f(3.0), 12.0)
    model.w = 5.0
    equal(f(3.0), 30.0)


# Arrays of every kind.
@pytest.mark.parametrize(
    "make",
    [
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1][::-1],
        lambda x: x.astype(">f8"),
        lambda x: np.lib.stride_tricks.as_strided(x.copy(), x.shape, x.strides),
        lambda x: np.frombuffer(b"\0" + x.tobytes(), dtype="u1")[1:].view(np.float64).reshape(x.shape),
        lambda x: x.copy().T.copy().T,
    ],
    ids=["fortran", "strided", "views", "big-endian", "as_strided", "unaligned", "transposed"],
)
def test_layouts(make):
    x = np.arange(6.0).reshape(2, 3) + 1
    f = LAYOUT
    given = make(x)
    before = given.copy()
    equal(f(given), 3 * x**2 + np.array([[1.0, 0, 0], [1, 0, 0]]))
    np.testing.assert_array_equal(given, before)
    out = f(given)
    assert out.dtype == np.float64
    assert out.dtype.isnative


LAYOUT = grad(lambda x: np.sum(x**3) + np.sum(x[:, 0]))


def test_read_only_arrays():
    x = X.copy()
    x.flags.writeable = False
    f = grad(lambda x: np.sum(x**3))
    equal(f(x), 3 * X**2)
    equal(f(X), 3 * X**2)
    equal(f(x), 3 * X**2)


def test_negative_strides_and_rank_zero():
    f = grad(lambda x: np.sum(x[0] * x))
    equal(f(X[::-1]), grad(lambda x: np.sum(x[0] * x))(X[::-1].copy()))
    for x in (2.0, np.float64(2.0), np.array(2.0)):
        found = squares(x)
        assert found == 4.0
        assert np.shape(found) == ()
    assert isinstance(squares(np.float32(2.0)), np.float32)


def test_inputs_are_never_modified():
    def f(x, p):
        x[0] = 10.0
        p["w"] *= 2.0
        p["w"][1:] = x[:2]
        p["new"] = 3.0
        return np.sum(x * p["w"])

    x, p = X.copy(), {"w": Y.copy()}
    g = grad(f)
    for _ in range(2):
        g(x, p)
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(p["w"], Y)
        assert list(p) == ["w"]


def test_same_array_twice():
    f = grad(lambda x, y: np.sum(x * x * y), argnums=(0, 1))
    a, b = f(X, X)
    equal(a, 2 * X * X)
    equal(b, X * X)
    g = grad(lambda p: np.sum(p["a"] * p["b"]))({"a": X, "b": X})
    equal(g["a"], X)
    equal(g["b"], X)


def test_alternating_signatures():
    f = grad(lambda x: np.sum(x * x))
    for _ in range(3):
        equal(f(X), 2 * X)
        assert f(3.0) == 6.0
        equal(f(X.astype(np.float32)), 2 * X)
        assert f(X.astype(np.float32)).dtype == np.float32
        equal(f(X[None]), 2 * X[None])
    assert f.stats().traces == 4


# Errors.
def test_shape_mismatch():
    f = grad(lambda x, y: np.sum(x * y))
    f(X, Y)
    with pytest.raises(
        ValueError, match=r"operands could not be broadcast together with shapes \(3,\) ?\(4,\)"
    ) as caught:
        f(X, np.ones(4))
    assert "test_api.py" in str(caught.value)
    assert "lambda x, y: np.sum(x * y)" in str(caught.value)
    with pytest.raises(ValueError, match="matmul"):
        grad(lambda A, x: A @ x)(np.ones((2, 3)), np.ones(4))
    equal(f(X, Y), Y)


def test_index_out_of_range():
    f = grad(lambda x, k: x[k] * 2.0)
    equal(f(X, 1), [0, 2, 0])
    for k in (3, -4):
        with pytest.raises(IndexError, match="out of bounds"):
            f(X, k)
    with pytest.raises(IndexError, match="out of bounds"):
        grad(lambda x, i: x[i])(X, np.array([0, 3]))


def test_unknown_functions():
    with pytest.raises(UnsupportedError, match=r"fft") as caught:
        grad(lambda x: np.sum(np.fft.fft(x)))(X)
    assert caught.value.filename.endswith("test_api.py")
    assert "np.fft.fft(x)" in caught.value.text


def test_a_choice_of_python_objects():
    def f(x):
        return [1.0, 2.0][int(x)] * x

    with pytest.raises(TraceError) as caught:
        grad(f)(1.0)
    assert caught.value.filename.endswith("test_api.py")
    assert "[1.0, 2.0][int(x)]" in caught.value.text


def test_endless_recursion():
    def f(x):
        return f(x * 2.0)

    with pytest.raises((TraceError, RecursionError)):
        grad(f)(2.0)


def test_no_source():
    space = {"np": np}
    exec("def f(x):\n    return np.sum(np.sin(x) * x)", space)
    equal(grad(space["f"])(X), np.cos(X) * X + np.sin(X))
    equal(grad(np.sum)(X), np.ones(3))
    equal(grad(np.multiply)(X, Y), Y)
    exec("def g(x):\n    return x if x > 0 else -x", space)
    with pytest.raises(JitgradError):
        grad(space["g"])(2.0)


def test_leaked_value():
    kept = []

    def f(x):
        return np.sum(x * 2.0)

    exec_space = {"kept": kept}
    exec("def leak(x):\n    kept.append(x * 2.0)\n    return x * 1.0", exec_space)
    assert grad(exec_space["leak"])(2.0) == 1.0
    with pytest.raises(LeakedValueError, match="after its trace has ended"):
        kept[-1] + 1.0
    assert issubclass(LeakedValueError, JitgradError)
    equal(grad(f)(X), [2, 2, 2])


def test_an_error_leaves_nothing_behind():
    f = grad(lambda x: np.fft.fft(x))
    for _ in range(2):
        with pytest.raises(UnsupportedError):
            f(X)
    equal(squares(X), 2 * X)
    with pytest.raises(TypeError):
        f()


def test_python_errors_keep_their_kind():
    with pytest.raises(KeyError):
        grad(lambda p: p["b"])({"a": 1.0})
    with pytest.raises(ZeroDivisionError):
        grad(lambda x: x * (1 / 0))(1.0)
    with pytest.raises(AssertionError):
        grad(_asserts)(X)


def _asserts(x):
    assert x.ndim == 2
    return x


# Higher order and nesting.
def test_second_derivatives():
    f = lambda x: x**4  # noqa: E731
    assert grad(grad(f))(2.0) == 48.0
    assert grad(grad(grad(f)))(2.0) == 48.0
    assert grad(grad(grad(grad(f))))(2.0) == 24.0
    assert grad(lambda x: jvp(f, (x,), (1.0,))[1])(2.0) == 48.0
    assert jvp(grad(f), (2.0,), (1.0,)) == (32.0, 48.0)
    assert jvp(lambda x: jvp(f, (x,), (1.0,))[1], (2.0,), (1.0,)) == (32.0, 48.0)


def test_perturbations_are_not_confused():
    # Siskind & Pearlmutter, Perturbation confusion and referential transparency, 2005: 1 and not 2.
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1.0

    def d(f):
        return lambda x: jvp(f, (x,), (1.0,))[1]

    assert d(lambda x: x * d(lambda y: x + y)(1.0))(1.0) == 1.0
    assert d(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert grad(lambda x: x * d(lambda y: x + y)(1.0))(1.0) == 1.0
    # d/dx (x * d/dy (x * y * y) at y = 2) = d/dx 4 x^2 = 8 x
    assert grad(lambda x: x * grad(lambda y: x * y * y)(2.0))(3.0) == 24.0
    # The inner argument is the outer one: d/dx (d/dy y^3 at y = x) = 6 x
    assert grad(lambda x: grad(lambda y: y**3)(x))(2.0) == 12.0
    # Manzyuk et al., Perturbation confusion in forward automatic differentiation of higher-order functions, 2019.
    shift = lambda u: lambda f: lambda x: f(x + u)  # noqa: E731
    assert d(lambda u: shift(u)(lambda x: x**3)(2.0))(0.0) == 12.0
    assert d(lambda u: d(shift(u)(lambda x: x**3))(2.0))(0.0) == 12.0
    # The same name on both levels.
    assert grad(lambda x: x * grad(lambda x: x * x)(x + 1.0))(2.0) == 2 * 3.0 + 2 * 2.0


def test_hessian_by_composition():
    f = lambda x: np.sum(x**3) + x[0] * x[1] * x[2]  # noqa: E731
    hessian = np.array([jvp(HESSIAN, (X,), (e,))[1] for e in np.eye(3)])
    expected = np.diag(6 * X) + np.array([[0, X[2], X[1]], [X[2], 0, X[0]], [X[1], X[0], 0]])
    equal(hessian, expected)
    product = grad(lambda x, v: grad(f)(x) @ v)
    equal(product(X, Y), expected @ Y)


HESSIAN = grad(lambda x: np.sum(x**3) + x[0] * x[1] * x[2])


def test_gradient_of_a_gradient_step():
    def loss(w, x):
        return np.sum((x * w) ** 2)

    def after_a_step(w, rate):
        return loss(w - rate * grad(loss)(w, X), X)

    f = grad(after_a_step, argnums=1)
    w, h = Y, 1e-6
    plain = lambda r: np.sum((X * (w - r * 2 * X * X * w)) ** 2)  # noqa: E731
    np.testing.assert_allclose(f(w, 0.1), (plain(0.1 + h) - plain(0.1 - h)) / (2 * h), rtol=1e-6)


def test_captured_arrays_inside():
    f = lambda x: np.sum(grad(lambda y: np.sum(y * x * TABLE))(Y) * x)  # noqa: E731
    equal(grad(f)(X), 2 * X * TABLE)


def test_value_and_grad_inside():
    def f(x):
        value, slope = value_and_grad(lambda y: np.sum(y**2))(x)
        return value * np.sum(slope)

    equal(grad(f)(X), 2 * X * np.sum(2 * X) + np.sum(X**2) * 2)


def test_jit_inside():
    inner = jit(lambda x: x * x)
    equal(grad(lambda x: np.sum(inner(x) * x))(X), 3 * X**2)
    equal(inner(X), X**2)


def test_stop_gradient():
    f = lambda x: x * stop_gradient(x)  # noqa: E731
    equal(grad(f)(3.0), 3.0)
    assert jvp(f, (3.0,), (1.0,)) == (9.0, 3.0)
    assert grad(grad(f))(3.0) == 0.0
    assert stop_gradient(3.0) == 3.0
    equal(stop_gradient(X), X)


# jvp and vjp.
def test_pullback_several_times():
    f = lambda x, y: np.sin(x) * y  # noqa: E731
    value, pullback = vjp(f, X, Y)
    equal(value, np.sin(X) * Y)
    for u in (np.ones(3), Y, np.zeros(3)):
        a, b = pullback(u)
        equal(a, u * np.cos(X) * Y)
        equal(b, u * np.sin(X))
    equal(pullback(2.0)[1], 2 * np.sin(X))
    _, second = vjp(f, Y, X)
    equal(pullback(np.ones(3))[1], np.sin(X))
    equal(second(np.ones(3))[1], np.sin(Y))
    with pytest.raises(ValueError, match="head"):
        pullback(np.ones(4))
    with pytest.raises(TypeError, match="head"):
        pullback(np.ones(3, np.float32))
    assert "pullback" in repr(pullback)


def test_pullback_does_not_see_later_changes_of_the_arguments():
    x = X.copy()
    _, pullback = vjp(lambda x: x * x, x)
    x[:] = 100.0
    equal(pullback(np.ones(3))[0], 2 * X)


def test_vjp_of_mixed_arguments():
    y, pullback = vjp(lambda x, n, p: {"a": x * n, "k": n}, X, 3, {"w": 2.0, "s": "text"})
    assert y["k"] == 3
    bars = pullback({"a": np.ones(3), "k": None})
    equal(bars[0], 3 * np.ones(3))
    assert bars[1] is None
    assert bars[2] == {"w": 0.0, "s": None}


def test_jvp_checks():
    f = lambda x, n: x * n  # noqa: E731
    _, dot = jvp(f, (X, 2), (Y, None))
    equal(dot, 2 * Y)
    equal(jvp(f, (X, 2), (Y, 0))[1], 2 * Y)
    with pytest.raises(TypeError):
        jvp(f, (X, 2), (Y, 1))
    with pytest.raises(ValueError):  # noqa: PT011 (any text)
        jvp(f, (X, 2), (Y,))
    with pytest.raises(TypeError):
        jvp(f, X, Y)
    with pytest.raises(ValueError, match="tangent"):
        jvp(f, (X, 2), (np.ones(4), None))
    with pytest.raises(TypeError, match="tangent"):
        jvp(f, (X, 2), (np.ones(3, np.float32), None))


def test_float32():
    x = X.astype(np.float32)
    assert grad(lambda x: np.sum(x * 0.1))(x).dtype == np.float32
    value, dot = jvp(lambda x: x * 0.1 + 2, (x,), (x,))
    assert value.dtype == dot.dtype == np.float32
    mixed = grad(lambda x, y: np.sum(x * y), argnums=(0, 1))(x, Y)
    assert [m.dtype for m in mixed] == [np.float32, np.float64]


# Everything else that people do with functions.
def test_threads():
    f = grad(lambda x: np.sum(np.sin(x) ** 2))
    results, errors = {}, []

    def work(k):
        try:
            for _ in range(20):
                results[k] = f(np.full(k + 2, float(k)))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    for k in range(8):
        equal(results[k], np.full(k + 2, np.sin(2.0 * k)))


def module_level(x):
    return x * x


MODULE_LEVEL = grad(module_level)


def test_copies():
    f = copy.copy(MODULE_LEVEL)
    assert f(3.0) == 6.0
    assert copy.deepcopy(MODULE_LEVEL)(3.0) == 6.0


def test_pickle():
    MODULE_LEVEL(3.0)
    assert pickle.loads(pickle.dumps(MODULE_LEVEL))(3.0) == 6.0


def test_methods():
    class Model:
        def __init__(self, w):
            self.w = w

        @grad(argnums="x")
        def slope(self, x):
            return self.w * x * x

    assert Model(2.0).slope(3.0) == 12.0
    assert Model(5.0).slope(3.0) == 30.0


def test_source_and_graph():
    for form in ("numpy", "numba"):
        text = squares.source(X, form=form)
        compile(text, "generated", "exec")
        assert "def squares_grad(" in text
        assert text == squares.source(Y, form=form)
    assert "multiply(x, x)" in squares.graph(X)
    with pytest.raises(ValueError, match="form"):
        squares.source(X, form="c")


def test_public_names():
    assert set(jitgrad.__all__) >= {"grad", "value_and_grad", "jvp", "vjp", "jit", "stop_gradient"}
    for name in jitgrad.__all__:
        assert getattr(jitgrad, name).__doc__ or name == "errors"


def test_a_long_chain_of_array_statements(tmp_path):
    """Expressions don't become deeper than the stack."""
    path = tmp_path / "chain.py"
    path.write_text(
        "import numpy as np\ndef f(x):\n    y = x\n" + "    y = np.sin(y) * 0.5 + x\n" * 400 + "    return np.sum(y)\n"
    )
    space = {}
    exec(compile(path.read_text(), path, "exec"), space)
    assert "sin(" in jit(space["f"]).source(np.ones(3), form="numba")


def test_arrays_of_numbers_cost_a_call_nothing():
    """What tracing has computed is passed as compiled code takes it: no call converts it, or looks for another code."""

    def padded(x):
        return np.sum(np.pad(x, 2)[4:] * x)

    f, x = jit(padded), np.arange(5.0)
    assert f(x) == padded(x)
    assert f.ways.last(x) == padded(x)
