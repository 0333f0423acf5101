"""Generated code is as long as the program, and the work of making it is too: counts, not times."""

import linecache

import numpy as np
import pytest

from jitgrad import grad
from jitgrad.ir.graph import Block

STATEMENTS = (
    "s = s * x[{k}] + t",
    "t = t * 0.5 + s * x[{k}]",
    "s = s - t / (1.0 + x[{k}] * x[{k}])",
    "t = np.exp(-t) + s",
)
X = np.full(9, 0.3)


def straight(n):
    return [f"    {STATEMENTS[k % 4].format(k=k % 7)}" for k in range(n)]


def in_a_loop(n):
    return ["    for i in range(x.shape[0]):", *(f"    {line}" for line in straight(n))]


def by_calls(n):
    return ["    s, t = step(x, s, t)" for _ in range(n // 4)]


def program(body, n):
    """A function of about n statements, with its text where the tracer looks for it."""
    step = ["def step(x, s, t):", *straight(4), "    return s, t"]
    lines = [*step, "def f(x):", "    s = 1.0", "    t = 0.5", *body(n), "    return s + t"]
    name = f"<{body.__name__} {n}>"
    text = "\n".join(lines) + "\n"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    space = {"np": np}
    exec(compile(text, name, "exec"), space)
    return space["f"]


def statements(body, n):
    source = grad(program(body, n)).source(X, form="numba")
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.splitlines())


@pytest.mark.parametrize("body", [straight, in_a_loop, by_calls])
def test_source_is_linear_in_the_number_of_statements(body):
    short, middle, long = (statements(body, n) for n in (20, 40, 80))
    assert long - middle <= 1.1 * 2 * (middle - short)


@pytest.mark.parametrize("body", [straight, in_a_loop])
def test_passes_do_not_look_at_nodes_more_often_in_long_programs(body, monkeypatch):
    visited = 0
    walk = Block.walk

    def counting(block):
        nonlocal visited
        for node in walk(block):
            visited += 1
            yield node

    monkeypatch.setattr(Block, "walk", counting)

    def visits(n):
        nonlocal visited
        visited = 0
        grad(program(body, n)).source(X, form="numba")
        return visited

    short, middle, long = (visits(n) for n in (20, 40, 80))
    assert long - middle <= 1.1 * 2 * (middle - short)
