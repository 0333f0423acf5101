"""Generated sources of a few functions, in both forms, as accepted by `JITGRAD_ACCEPT=1 pytest tests/test_golden.py`.

The files in `golden/` are to be read: a change of the generator shows in them as the change of a program.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jitgrad import grad, value_and_grad
from jitgrad.api.forward import Pushforward

GOLDEN = Path(__file__).parent / "golden"
X, A = np.ones(3), np.ones((3, 2))


def logistic_loss(w, X, y):
    z = X @ w
    return np.mean(np.log1p(np.exp(-y * z)))


def two_layers(params, x):
    hidden = np.tanh(params["W"] @ x + params["b"])
    return np.sum(hidden**2)


def standardise(x):
    centred = x - np.mean(x, axis=0)
    return centred / np.std(x, axis=0)


def gather(table, i):
    rows = table[i]
    return np.max(rows, axis=1)


def stencil(u, rate):
    v = u.copy()
    v[1:-1] = u[1:-1] + rate * (u[2:] - 2 * u[1:-1] + u[:-2])
    return v


def scalar(a, b):
    return a * b + np.sin(a)


CASES = {
    "logistic_loss": (value_and_grad(logistic_loss), (np.ones(2), A, X)),
    "two_layers": (grad(two_layers), ({"W": A, "b": X}, np.ones(2))),
    "standardise": (grad(standardise), (A,)),
    "gather": (grad(gather), (A, np.array([0, 1, 1]))),
    "stencil": (grad(stencil, argnums=(0, 1)), (np.ones(5), 0.1)),
    "scalar": (grad(scalar, argnums=(0, 1)), (1.0, 2.0)),
    "second": (grad(lambda x: np.sum(grad(_cube)(x))), (X,)),
}


def _cube(x):
    return np.sum(x**3)


def cholesky(a):
    n = a.shape[0]
    c = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= c[i, k] * c[j, k]
            if i == j:
                c[i, i] = np.sqrt(s)
            else:
                c[i, j] = s / c[j, j]
    return c


def recurrence(w, x):
    h = 0.0
    for i in range(x.shape[0]):
        h = np.tanh(w * h + x[i])
        if h > 0.9:
            break
    return h


def sum_of_losses(w, X, y):
    total = 0.0
    for i in range(X.shape[0]):
        z = 0.0
        for j in range(X.shape[1]):
            z += X[i, j] * w[j]
        total += np.log1p(np.exp(-y[i] * z))
    return total


CASES |= {
    "cholesky": (grad(cholesky), (np.eye(3),)),
    "recurrence": (grad(recurrence, argnums=(0, 1)), (0.5, X)),
    "sum_of_losses": (value_and_grad(sum_of_losses), (np.ones(2), A, X)),
}


def text(name: str) -> str:
    function, args = CASES[name]
    parts = [f"# {form}\n\n{function.source(*args, form=form).strip()}\n" for form in ("numpy", "numba")]
    return "\n\n".join(parts).replace(str(Path(__file__)), Path(__file__).name)


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    path = GOLDEN / f"{name}.py.txt"
    found = text(name)
    if os.environ.get("JITGRAD_ACCEPT"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(found)
    assert path.exists(), "accept it with JITGRAD_ACCEPT=1"
    assert found == path.read_text(), "if this is as it should be, accept it with JITGRAD_ACCEPT=1"


@pytest.mark.parametrize("name", CASES)
def test_no_machine_paths(name):
    assert str(Path(__file__).parents[1]) not in text(name)
    assert sys.prefix not in text(name)


def test_same_text_in_every_process():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_golden, hashlib; "
        "print(hashlib.sha256(''.join(map(test_golden.text, test_golden.CASES)).encode()).hexdigest())"
    )
    found = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program, str(Path(__file__).parent)]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_names_lines_and_bars():
    source = text("logistic_loss")
    assert "# line" in source
    assert "z = X @ w" in source
    assert "_bar" in source
    value = Pushforward(logistic_loss).source(np.ones(2), A, X)
    assert "def logistic_loss_jvp(" in value
    assert "_dot" in value
