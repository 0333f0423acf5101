"""The problems that other tools have as well are the same ones, and the programs that compare them run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lowered import agree

from benchmarks import report, versus_peers
from benchmarks.peers import NAMES, contestants, growing, problem

ROOT = Path(__file__).parents[1]
CONSTANT = {"gmm"}  # the array form leaves one out


@pytest.mark.parametrize("name", NAMES)
def test_the_function_of_arrays_is_that_of_loops(name):
    autograd = pytest.importorskip("autograd.numpy")
    this = problem(name)
    data, other = this.data(this.sizes[0]), this.peers["autograd"](autograd)
    moved = contestants.positions(this)
    changed = [1.01 * a if k in moved else a for k, a in enumerate(data)]
    values = [[f(*data), f(*changed)] for f in (getattr(this.function, "py_func", this.function), other)]
    ours, theirs = np.diff(values) if name in CONSTANT else np.array(values)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_problem_names_tools_and_sizes_that_there_are(name):
    this = problem(name)
    assert {*this.peers} <= {*contestants.PACKAGES.values()}
    assert {*this.limits} <= {*contestants.PACKAGES}
    assert max(this.quick) < len(this.sizes)


def test_what_is_missed():
    line = {"problem": "x", "size": "3", "numbers": 3, "steps": 0, "ratios": {"jax": 9.0, "torch": 0.9}}
    assert versus_peers.missed(line) == [
        "x, 3: slower than torch, 0.90",
        "x, 3: few numbers, and JAX takes only 9.0 times as long",
    ]
    assert not versus_peers.missed(line | {"numbers": 300, "ratios": {"jax": 1.0}})
    assert versus_peers.missed(line | {"numbers": 300, "steps": 2_000, "ratios": {"jax": 2.0}})


def test_versus_peers(tmp_path):
    pytest.importorskip("autograd")
    path = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "benchmarks.versus_peers", "--quick", "--problems", "rosenbrock", "--without"]
    command += ["jax", "torch", "torch.compile", "casadi", "casadi buffer", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| rosenbrock | 100,000 |" in done.stdout
    assert [row["size"] for row in json.loads(path.read_text())["rows"]] == ["2", "100", "100,000"]


@pytest.mark.parametrize("kind", growing.KINDS)
def test_growing_programs(kind, tmp_path):
    program = growing.function(kind, 3, "jitgrad", tmp_path)
    v0, v1 = growing.arguments(kind)
    for _ in range(growing.STEPS if kind == "in a loop" else 1):
        v2 = np.sin(v1) * v0 + 0.2
        v3 = np.sin(v2) * v1 + 0.3
        v0, v1 = v3, np.sin(v3) * v2 + 0.4
    np.testing.assert_allclose(program(*growing.arguments(kind)), np.sum(v1))


def test_report(tmp_path, monkeypatch):
    """What a benchmark has printed and measured becomes a section with its picture; without numbers there is none."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(report, "HERE", tmp_path)
    (tmp_path / "scale.txt").write_text("python -m benchmarks.scale\n| a table |\n")
    assert report.reported("scale", report.SECTIONS["scale"], tmp_path)[4:] == ["| a table |", ""]
    line = {"function": "f", "size": 1_000, "nanoseconds": {"gradient": 2.0}, "bytes": {"gradient": 8.0}}
    (tmp_path / "scale.json").write_text(json.dumps({"rows": [line]}))
    lines = report.reported("scale", report.SECTIONS["scale"], tmp_path)
    assert lines[0] == "## Scale"
    assert "![Scale](pictures/scale.png)" in lines
    assert (tmp_path / "pictures" / "scale.png").read_bytes().startswith(b"\x89PNG")
    assert not report.reported("memory", report.SECTIONS["memory"], tmp_path)


@pytest.mark.parametrize("name", ["garch", "hmm", "nbody", "option", "pendulum", "recurrence", "rosenbrock", "stencil"])
def test_derivatives(name):
    """In both modes, in the array form and lowered, run by Python."""
    this = problem(name)
    agree(this.function, this.data(this.sizes[0]))
