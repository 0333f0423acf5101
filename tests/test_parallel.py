"""Loops shared out among threads: the same numbers, the same bits for the same number of threads, no race."""

import inspect
import re
import subprocess
import sys

import numba
import numpy as np
import pytest
from lowered import lowered

from jitgrad import grad, jit, value_and_grad
from jitgrad.api.transforms import Gradient
from jitgrad.passes import parallel
from jitgrad.testing.arrays import run_arrays

RNG = np.random.default_rng(8)
X, Y = RNG.normal(size=(11, 3)), RNG.normal(size=11)


def likelihood(w, x, y):
    """Sums of numbers and arrays, with scratch in each iteration."""
    total = 0.0
    for i in range(x.shape[0]):
        scores = np.empty(x.shape[1])
        for j in range(x.shape[1]):
            scores[j] = x[i, j] * w[j]
        total += np.log1p(np.exp(-y[i] * np.sum(scores)))
    return total


def rows(w, x, y):
    """Each iteration fills a row."""
    out = np.empty(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = np.sin(w[j] * x[i, j]) * y[i]
    return np.sum(out * out)


def recurrence(w, x, y):
    """Each iteration needs the last: one thread."""
    state = 0.0
    for i in range(x.shape[0]):
        state = np.tanh(state + x[i, 0] * w[0])
    return state + np.sum(w)


def neighbours(w, x, y):
    """Iterations write to what others read: one thread."""
    out = y.copy()
    for i in range(1, y.size):
        out[i] = out[i] + out[i - 1] * w[0]
    return np.sum(out)


def gathered(w, x, index):
    """What is out of range raises, though threads have no way to."""
    total = 0.0
    for i in range(x.shape[0]):
        total += np.exp(x[index[i], 0] * w[0])
    return total


def cells(w, x, y):
    """An index computed of floats, which may come out otherwise in a second run: one thread."""
    total = 0.0
    for i in range(x.shape[0]):
        total += y[int(np.exp(0.1 * x[i, 0]) * 3.0)] * w[0]
    return total


def waiting(w, x, y):
    """A `while` asks for Ctrl-C: one thread."""
    total = 0.0
    for i in range(x.shape[0]):
        v = abs(x[i, 0]) + 1.0
        while v > 0.5:
            v *= 0.5
        total += v * w[0]
    return total


FUNCTIONS = [likelihood, rows, recurrence, neighbours]
W = np.array([0.3, -1.2, 0.7])


def shared(f, *args):
    """The lines whose work is shared out."""
    lines = inspect.getsourcelines(inspect.getmodule(f))[0]
    numbers = re.findall(r"^def part_of_line_(\d+)", f.source(*args, form="numba"), re.MULTILINE)
    return {lines[int(n) - 1].strip() for n in numbers}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_forms_agree(function):
    engine = Gradient(function, (0, 1, 2), has_aux=False, with_value=True, parallel=True)
    flat = engine.flatten((W, X, Y), {})
    value, bars = run_arrays(engine, flat, (1.0,))
    assert value == pytest.approx(function(W, X, Y), rel=1e-12)
    plain = Gradient(function, (0, 1, 2), has_aux=False, with_value=True)
    _, wanted = run_arrays(plain, plain.flatten((W, X, Y), {}), (1.0,))
    with lowered():
        _, low = run_arrays(engine, flat, (1.0,))
    for a, b, c in zip(bars, wanted, low, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(c, b, rtol=1e-12, atol=1e-12)


def test_compiled():
    f = value_and_grad(likelihood, argnums=(0, 1), parallel=True)
    value, bars = f(W, X, Y)
    wanted_value, wanted = value_and_grad(likelihood, argnums=(0, 1))(W, X, Y)
    assert value == pytest.approx(wanted_value, rel=1e-13)
    for a, b in zip(bars, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    for n in (0, 1, 2):
        np.testing.assert_allclose(f(W, X[:n], Y[:n])[1][1], grad(likelihood, argnums=1)(W, X[:n], Y[:n]))


def test_the_same_bits():
    x, y = RNG.normal(size=(1000, 3)), RNG.normal(size=1000)
    f = grad(likelihood, parallel=True)
    before = numba.get_num_threads()
    try:
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            numba.set_num_threads(threads)
            assert len({f(W, x, y).tobytes() for _ in range(20)}) == 1
    finally:
        numba.set_num_threads(before)


LOOP = "for i in range(x.shape[0]):"


def test_what_is_shared_out():
    assert shared(grad(likelihood, parallel=True), W, X, Y) == {LOOP}
    assert shared(jit(rows, parallel=True), W, X, Y) == {LOOP, "return np.sum(out * out)"}
    assert not shared(grad(likelihood), W, X, Y)
    assert shared(jit(recurrence, parallel=True), W, X, Y) == {"return state + np.sum(w)"}
    assert shared(jit(neighbours, parallel=True), W, X, Y) == {"return np.sum(out)"}


def test_an_index_out_of_range():
    f, index = jit(gathered, parallel=True), np.arange(11)
    assert shared(f, W, X, index) == {LOOP}
    assert f(W, X, index) == pytest.approx(gathered(W, X, index))
    wrong = np.where(index == 7, 11, index)
    for _ in range(3):
        with pytest.raises(IndexError, match="index 11 is out of bounds for axis 0 with size 11"):
            f(W, X, wrong)
    assert f(W, X, index) == pytest.approx(gathered(W, X, index))


@pytest.mark.parametrize("function", [cells, waiting], ids=lambda f: f.__name__)
def test_what_can_raise_in_a_thread_is_not_shared_out(function):
    assert not shared(jit(function, parallel=True), W, X, Y)
    assert not shared(grad(function, parallel=True), W, X, Y)


def test_from_the_cache(tmp_path):
    """Code that is loaded from the disk finds its threads."""
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\n"
        "from jitgrad import grad\n"
        "def f(w, x):\n"
        "    total = 0.0\n"
        "    for i in range(x.size):\n"
        "        total += np.exp(-w * x[i])\n"
        "    return total\n"
        "g = grad(f, parallel=True)\n"
        "print(g(0.5, np.arange(10.0)), g.stats().cache_hits if hasattr(g, 'stats') else '')\n"
    )
    results = [
        subprocess.run([sys.executable, program], capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    x = np.arange(10.0)
    for text in results:
        assert float(text.split()[0]) == pytest.approx(-np.sum(x * np.exp(-0.5 * x)))


# Array operations


def chain(w, x, y):
    return np.sum(np.exp(-(y**2)) * np.log1p(y * y)) + np.sum(w * w)


def stretched(w, x, y):
    """Columns, rows, numbers and arrays of fewer axes."""
    return np.sum(np.tanh(x * w + y[:, None]) * np.float32(2.0)) * np.sum(w)


def normalised(w, x, y):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    p = e / np.sum(e, axis=1, keepdims=True)
    return np.sum(np.log(p) @ w) + np.sum(np.mean(p, axis=0) ** 2)


def standardised(w, x, y):
    """What is summed over the rows is read by all of them."""
    z = (x - np.mean(x, axis=0)) / np.std(x, axis=0)
    return np.sum(np.where(z > 0, z**3, z * w) * np.sum(z, axis=1)[:, None])


def of_columns(w, x, y):
    """The first axis of one is the second of another."""
    square = x.T @ x
    return np.sum(np.sin(square) * w + np.cos(square.T) * w[:, None]) + np.sum(np.any(x > 1.0, axis=1))


def kept(w, x, y):
    """Arrays are results."""
    half = 0.5 * x
    return half * w, np.zeros_like(x), np.sum(half, axis=0)


def square(w, x, y):
    """What has a number for each row of some arrays lies along the rows of others."""
    differences = (w[:, None] - w[None, :]) ** 2
    return np.sum(np.exp(-w)) + np.sum(np.sin(differences * w) - w * differences.T) * x[0, 0] * y[0]


ARRAYS = [chain, stretched, normalised, standardised, of_columns, square]


@pytest.mark.parametrize("function", ARRAYS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("rows", [11, 1])
def test_array_operations(function, rows, monkeypatch):
    monkeypatch.setattr(parallel, "GRAIN", 1)
    x, y = np.asfortranarray(X[-rows:] + np.arange(3)), Y[:rows]
    with np.errstate(invalid="ignore"):
        wanted = [function(W, x, y), *grad(function, argnums=(0, 1, 2))(W, x, y)]
    engine = Gradient(function, (0, 1, 2), has_aux=False, with_value=True, parallel=True)
    assert shared(value_and_grad(function, argnums=(0, 1, 2), parallel=True), W, x, y)
    flat = engine.flatten((W, x, y), {})
    with np.errstate(all="ignore"):
        value, bars = run_arrays(engine, flat, (1.0,))
    with lowered():
        low_value, low = run_arrays(engine, flat, (1.0,))
    for found in ([value, *bars], [low_value, *low]):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_array_operations_on_threads():
    """Enough of them that there is more than one thread, in float32 too; and so few that there is but one."""
    f = value_and_grad(normalised, argnums=(0, 1), parallel=True)
    plain = value_and_grad(normalised, argnums=(0, 1))
    for rows, dtype, rtol in ((50_000, np.float64, 1e-9), (50_000, np.float32, 2e-3), (3, np.float64, 1e-12)):
        args = [a.astype(dtype) for a in (W, RNG.normal(size=(rows, 3)), RNG.normal(size=rows))]
        assert len({f(*args)[1][1].tobytes() for _ in range(5)}) == 1
        (value, bars), (wanted, wanted_bars) = f(*args), plain(*args)
        assert value.dtype == wanted.dtype
        np.testing.assert_allclose(value, wanted, rtol=rtol)
        for a, b in zip(bars, wanted_bars, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def test_arrays_as_results():
    for n in (0, 2, 11):
        for a, b in zip(jit(kept, parallel=True)(W, X[:n], Y[:n]), kept(W, X[:n], Y[:n]), strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_array_equal(a, b)
