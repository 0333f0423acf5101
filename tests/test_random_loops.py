"""Random programs with loops, branches and writes, the same ones each time; `python -m tests.fuzz` tries others.

`KEPT` are the programs that once failed, shrunk: what the fuzzer prints goes there.
"""

import numpy as np
import programs
import pytest
from programs import Program

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
CHUNK = 50

KEPT: list[Program] = []


@pytest.mark.parametrize("start", range(0, 2000, CHUNK))
def test_array_form(start):
    reports = programs.run(range(start, start + CHUNK))
    assert not reports, "\n\n".join(reports)


@pytest.mark.parametrize("start", range(5000, 5100, CHUNK // 5))
def test_twice(start):
    reports = programs.run(range(start, start + CHUNK // 5), size=3, second=True)
    assert not reports, "\n\n".join(reports)


@pytest.mark.parametrize("seed", range(10_000, 10_100))
def test_compiled(seed):
    reports = programs.run([seed], size=2, compiled=True)
    assert not reports, reports[0]


@pytest.mark.parametrize("program", KEPT)
def test_kept(program):
    programs.check(program, compiled=True, second=True)


def test_most_programs_prove_something():
    """They run in plain Python, and no decision changes where differences are taken."""
    proofs = 0
    for seed in range(200):
        program = Program.written(seed)
        try:
            _, seen = program.run(program.args)
            proofs += (
                program.run(
                    programs.moved(program.args, programs.direction(program.args, np.random.default_rng(seed)), 1e-4)
                )[1]
                == seen
            )
        except programs.Invalid:
            pass
    assert proofs > 180
