"""Each pass keeps the numbers and dtypes of a program, and does what it is for."""

import numpy as np
import pytest

from jitgrad import grad
from jitgrad.api.forward import Pushforward
from jitgrad.api.transforms import Gradient, Jitted
from jitgrad.ir.graph import Const, Value
from jitgrad.ir.verify import verify
from jitgrad.ops.index import add_at, setitem
from jitgrad.ops.shape import copy_
from jitgrad.passes import SIMPLIFY, run, split
from jitgrad.passes.accumulate import accumulate
from jitgrad.passes.copies import make_copies
from jitgrad.passes.cse import cse
from jitgrad.passes.dce import dce
from jitgrad.passes.simplify import IDENTITIES, simplify
from jitgrad.testing import push_arrays, run_arrays

X = np.array([0.5, -1.25, 3.0])
Y = np.array([2.0, 4.0, -0.5])


def traced(f, *args):
    """The block of a function as it is traced, before any pass."""
    engine = Jitted(f)
    return engine.entry(engine.flatten(args, {}), None).primal.block


def evaluated(block, *args):
    """The block's results, node by node."""
    env = dict(zip(block.params, args, strict=True))
    for node in block.nodes:
        results = node.op.evaluate(*(a.value if isinstance(a, Const) else env[a] for a in node.args), **node.attrs)
        env.update(zip(node.outs, results if len(node.outs) > 1 else (results,), strict=False))
    return [r.value if isinstance(r, Const) else env[r] for r in block.results]


def names(block):
    return [node.op.name for node in block.nodes if node.op.name not in ("axis_length", "check", "equal")]


def write(pattern, letters):
    """An identity's side as Python."""
    if isinstance(pattern, str):
        return letters[pattern]
    if not isinstance(pattern, tuple):
        return repr(pattern)
    function = pattern[0].ufunc.__name__ if pattern[0].ufunc else pattern[0].name
    return f"np.{function}({', '.join(write(p, letters) for p in pattern[1:])})"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("number", range(len(IDENTITIES)))
def test_identities(number, scalar, dtype):
    pattern, _ = IDENTITIES[number]
    text = write(pattern, {"x": "x", "y": "y", "c": "x > 0"})
    f = eval(f"lambda x, y: {text} * y", {"np": np})
    args = (dtype(0.75), dtype(-2.0)) if scalar else (X.astype(dtype), Y.astype(dtype))
    block = traced(f, *args)
    simple = verify(dce(simplify(dce(block))))
    assert len(names(simple)) < len(names(dce(block))) or "square" in names(simple)
    (before,), (after,) = evaluated(block, *args), evaluated(simple, *args)
    assert before.dtype == after.dtype == f(*args).dtype
    np.testing.assert_allclose(after, before, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x * np.float64(1) * y,  # would make float32 into float64: stays
        lambda x, y: x.astype(np.float64).astype(np.float32) * y,
        lambda x, y: x.reshape(1, -1).reshape(-1) * y,
        lambda x, y: x[None].T.T[0] + y,
        lambda x, y: np.broadcast_to(np.broadcast_to(x, (1, 3)), (2, 3)) * y,
        lambda x, y: x + np.zeros(3, x.dtype) * y,
        lambda x, y: x * np.full(3, 2, np.int64),
        lambda x, y: 1 * (x > 0) * y,
        lambda x, y: np.where(x > 0, 1, 1) * y,
        lambda x, y: np.negative(-x) - -y,
        lambda x, y: (2.0 * 3.0 - 1) * x + y,
        lambda x, y: np.full(3, 2.0) * x - y,
        lambda x, y: x * np.ones(3, np.float64) + y,
        lambda x, y: True * x + y,
        lambda x, y: (x.astype(int) * 1.0) * y,
        lambda x, y: np.copysign(x, 0.0) * np.copysign(y, -0.0),
        lambda x, y: x / 1 + y / True,
        lambda x, y: x**1 + y**2 + x**True,
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dtypes_and_numbers_are_kept(f, dtype):
    x, y = X.astype(dtype), Y.astype(dtype)
    engine = Jitted(f)
    found = run_arrays(engine, engine.flatten((x, y), {}), ())
    expected = f(x, y)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == np.float32 else 1e-15)


def test_cse_computes_once_but_not_too_much():
    block = cse(
        traced(
            lambda x, y: np.sin(x) * np.sin(x) + np.sin(y) + np.sum(x, axis=0) + np.sum(x, axis=0, keepdims=True),
            X,
            Y,
        )
    )
    assert names(verify(block)).count("sin") == 2
    assert names(block).count("sum") == 2  # keepdims differs


def test_cse_tells_attributes_and_constants_apart():
    f = lambda x: (  # noqa: E731
        np.cumsum(x, axis=0),
        np.cumsum(x, axis=1),
        x * 2,
        x * 2.0,
        np.copysign(x, 0.0),
        np.copysign(x, -0.0),
    )
    A = np.array([[1.0, 2.0], [3.0, 4.0]])
    engine = Jitted(f)
    for found, expected in zip(run_arrays(engine, engine.flatten((A,), {}), ()), f(A), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_dce_drops_what_is_dead_and_keeps_checks():
    def f(x, y):
        np.exp(x)
        x * y
        return np.sin(x)

    block = traced(f, X, Y)
    assert "exp" in names(block)
    block = verify(dce(block))
    assert names(block) == ["sin"]
    assert [n.op.name for n in block.nodes].count("check") == 1  # x * y must fit all the same


def test_accumulate_adds_in_place():
    f = lambda x: np.sum(x[1:] * x[:-1]) + x[0] * x[2]  # noqa: E731
    engine = Gradient(f, 0, has_aux=False, with_value=False)
    block = engine.entry(engine.flatten((X,), {}), engine.request()).program.block
    zeros = [
        n for n in block.nodes if n.op.name == "broadcast_to" and isinstance(n.args[0], Const) and n.args[0].value == 0
    ]
    assert len(zeros) == 1
    assert [n.op for n in block.nodes].count(add_at) == 4
    np.testing.assert_allclose(
        run_arrays(engine, engine.flatten((X,), {}), (1.0,)), [X[1] + X[2], X[0] + X[2], X[1] + X[0]]
    )


def test_accumulate_does_not_touch_shared_scatters():
    # z_bar is used twice: as a result and in a sum.
    f = lambda x, y: np.sum((x + y)[1:] ** 2) + np.sum(x * y)  # noqa: E731
    engine = Gradient(f, (0, 1), has_aux=False, with_value=False)
    a, b = run_arrays(engine, engine.flatten((X, Y), {}), (1.0,))
    s = np.r_[0, 2 * (X + Y)[1:]]
    np.testing.assert_allclose(a, s + Y)
    np.testing.assert_allclose(b, s + X)


def test_copies_make_writers_sole_owners():
    def f(x):
        y = x.copy()
        y[0] = 1.0
        z = y.copy()
        z[1] = 2.0
        x[2] = 5.0
        return x, y, z

    block = verify(make_copies(run(SIMPLIFY, traced(f, X))))
    made = {out: node for node in block.nodes for out in node.outs}
    reads = [a for node in block.nodes for a in node.args] + list(block.results)
    for node in block.nodes:
        if node.op in (add_at, setitem):
            target = node.args[0]
            assert made[target].op in (copy_, setitem, add_at) or isinstance(made[target].args[0], Const)
            assert reads.count(target) == 1
    x = X.copy()
    for found, expected in zip(evaluated(block, x), f(X.copy()), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(x, X)


def test_split_needs_the_head_in_the_second_part_only():
    f = lambda x: np.tanh(np.exp(x))  # noqa: E731
    engine = Gradient(f, 0, has_aux=False, with_value=True)
    flat = engine.flatten((X,), {})
    program = engine.entry(flat, engine.request()).program
    head = program.block.params[-1]
    first, second = split(program.block, {head}, 1)
    verify(first)
    verify(second)
    assert head not in first.params
    assert {"exp", "tanh"} <= set(names(first))
    assert not {"exp", "tanh"} & set(names(second))
    value, *residuals = evaluated(first, X)
    (slope,) = evaluated(second, *residuals, 2.0)
    np.testing.assert_allclose(value, f(X))
    np.testing.assert_allclose(slope, 2 * (1 - f(X) ** 2) * np.exp(X))


def test_every_pass_is_verified(monkeypatch):
    from jitgrad.ir import verify as checker
    from jitgrad.ir.verify import VerifyError

    def spoil(block):
        block.results = (Value(block.results[0].type),)
        return block

    monkeypatch.setattr(checker, "ENABLED", True)
    with pytest.raises(VerifyError, match="after spoil"):
        run([(spoil, "breaks it")], traced(lambda x: x * 2, X))


def test_passes_can_be_repeated():
    block = run(SIMPLIFY, traced(lambda x, y: (x * 1 + -y) / (x * x + 1) - np.negative(x.T), X, Y))
    again = run(SIMPLIFY, block)
    assert names(again) == names(block)
    (a,), (b,) = evaluated(block, X, Y), evaluated(again, X, Y)
    np.testing.assert_array_equal(a, b)


def test_a_second_derivative_is_simplified_too():
    _, dot = push_arrays(Pushforward(grad(lambda x: np.sum(x**2))), (X,), (Y,))
    np.testing.assert_allclose(dot, 2 * Y)


def test_simplify_leaves_other_dtypes_alone():
    block = simplify(traced(lambda x, y: x * y, X.astype(np.float32), Y))
    assert names(block) == ["multiply"]
    assert isinstance(accumulate(block).results[0], Value)
