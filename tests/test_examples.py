"""Each example and benchmark runs, on a short setting."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(script: str, *options: str) -> str:
    """The output of a script; fails with what it printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / script), *options],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_train_digits(tmp_path):
    pytest.importorskip("sklearn")
    picture = tmp_path / "curves.png"
    out = run("examples/train_digits.py", "--epochs", "12", "--out", str(picture), "--goal", "0.95")
    assert "Stats(traces=1, " in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_train_digits_fails_below_the_goal(tmp_path):
    pytest.importorskip("sklearn")
    with pytest.raises(AssertionError, match="accuracy on 450 held-out images"):
        run("examples/train_digits.py", "--epochs", "1", "--out", str(tmp_path / "x.png"), "--goal", "1.01")


def test_train_digits_compiles_once_though_the_last_batch_is_one_image(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path / "cache"))  # nothing compiled yet
    picture = str(tmp_path / "x.png")
    out = run("examples/train_digits.py", "--epochs", "1", "--batch", "673", "--out", picture, "--goal", "0")
    assert "Stats(traces=1, compilations=1, cache_hits=0) (a batch of 1 ends each epoch)" in out


def test_tutorial():
    lines = run("examples/tutorial.py").splitlines()
    rows = lines[1:-1]
    assert rows
    assert all(row.endswith("✓") for row in rows)
    assert lines[-1] == f"{len(rows)} of {len(rows)} agree"


@pytest.mark.parametrize(("form", "line"), [("numpy", "w_bar = X.T @ z_bar"), ("numba", "for i in range(y_n):")])
def test_show_adjoint(form, line):
    assert line in run("examples/show_adjoint.py", "--form", form)


def test_show_adjoint_shows_everything():
    out = run("examples/show_adjoint.py")
    assert out.count("def loss_grad(w, X, y, head=1.0):") == 2
    assert "z: float64[X_n0] = matmul(X, w)" in out


def test_versus_tape(tmp_path):
    pytest.importorskip("autograd")
    path = tmp_path / "numbers.json"
    options = ["--quick", "--sizes", "10", "--batches", "4", "--without", "torch", "jax", "--json", str(path)]
    out = run("benchmarks/versus_tape.py", *options)
    assert "| network, training step | 4 |" in out
    assert '"tape"' in path.read_text()
