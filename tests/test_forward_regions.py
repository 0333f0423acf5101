"""Tangents of loops and branches, against differences, and again of tangents."""

import numpy as np
import pytest
from region_programs import PROGRAMS, S, X, at, case, program  # noqa: F401

from jitgrad.ad.activity import varied
from jitgrad.ad.forward import jvp
from jitgrad.ir.interpret import outputs
from jitgrad.ir.verify import verify
from jitgrad.ops.flow import branch, for_, for_loop
from jitgrad.passes import SIMPLIFY, run
from jitgrad.passes.dce import dce

FLOATS = (np.ndarray, np.float64)


def floats(values):
    return [k for k, v in enumerate(values) if isinstance(v, FLOATS)]


def directions(values, seed):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=np.shape(values[k])))[()] for k in floats(values)]


def moved(values, dots, step):
    out = list(values)
    for k, dot in zip(floats(values), dots, strict=True):
        out[k] = out[k] + step * dot
    return out


def difference(block, values, dots, step=1e-4):
    """Central differences of fourth order."""
    f = [outputs(block, moved(values, dots, k * step)) for k in (-2, -1, 1, 2)]
    return [(a - 8.0 * b + 8.0 * c - d) / (12 * step) for a, b, c, d in zip(*f, strict=True)]


def pushed(block, values):
    wrt = floats(values)
    tangents = [k for k, r in enumerate(block.results) if r.type.is_float]
    return verify(jvp(block, wrt, tangents), "jvp"), tangents


@pytest.mark.parametrize("name", PROGRAMS)
def test_tangents(name):
    function, values = PROGRAMS[name]
    block = program(function, *values)
    dotted, tangents = pushed(block, values)
    dots = directions(values, 1)
    expected = difference(block, values, dots)
    for b in (dotted, run(SIMPLIFY, dotted)):
        found = outputs(b, [*values, *dots])
        for before, after in zip(outputs(block, list(values)), found, strict=False):
            np.testing.assert_array_equal(after, before)
        for k, dot in zip(tangents, found[len(block.results) :], strict=True):
            np.testing.assert_allclose(dot, expected[k], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("simplified", [False, True])
def test_tangents_of_tangents(name, simplified):
    function, values = PROGRAMS[name]
    block, _ = pushed(program(function, *values), values)
    block = run(SIMPLIFY, block) if simplified else block
    values = (*values, *directions(values, 2))
    twice, tangents = pushed(block, values)
    dots = directions(values, 3)
    expected = difference(block, values, dots)
    found = outputs(run(SIMPLIFY, twice), [*values, *dots])[len(block.results) :]
    for k, dot in zip(tangents, found, strict=True):
        np.testing.assert_allclose(dot, expected[k], rtol=1e-7, atol=1e-8)


def test_what_is_varied_is_found_over_the_iterations():
    function, values = PROGRAMS["tangent_from_within"]
    block = program(function, *values)
    (loop,) = (n for n in block.nodes if n.op is for_)
    active = varied(block, [block.params[0]])
    assert set(loop.outs) <= active
    assert set(loop.regions[0].params[1:]) <= active
    assert loop.regions[0].params[0] not in active


def test_what_does_not_vary_has_no_tangent():
    block = program(lambda x, s: for_loop(4, (s, s), lambda i, a, b: (a * 2, b + at(x, i))), X, S)
    (loop,) = (n for n in jvp(block, [0], [0, 1]).nodes if n.op is for_)
    assert len(loop.outs) == 3  # a has none


def test_tangents_that_nobody_asks_for_are_not_carried():
    function, values = PROGRAMS["sum_of_products"]

    def both(x, y):
        return (*for_loop(4, (S,), lambda i, t: (t * at(y, i),)), *function(x, y))

    block = program(both, *values)
    loops = [n for n in dce(jvp(block, [0, 1], [1])).nodes if n.op is for_]
    assert [len(n.outs) for n in loops] == [1, 2]


def test_a_branch_without_a_tangent_gives_zero():
    block = program(lambda x, s: branch(s > 0, lambda: (s * 0.0 + 1.0,), lambda: (at(x, 0) ** 2,)), X, S)
    dotted = jvp(block, [0], [0])
    assert outputs(dotted, [X, 1.0, np.ones(4)])[1] == 0
    assert outputs(dotted, [X, -1.0, np.ones(4)])[1] == 2 * X[0]
