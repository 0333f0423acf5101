"""Random programs with loops, branches and writes, the same ones each time; `python -m tests.fuzz` tries others.

`KEPT` are the programs that once failed, shrunk: what the fuzzer prints goes there.
"""

import feeding
import numpy as np
import programs
import pytest
from lowered import lowered
from programs import Program

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
CHUNK = 50

KEPT = {
    "a helper writes to what an assignment has read": Program(
        """
def helper(v0, k1):
    v0 += 0.5
    return 0.1444

def program(f0, v0, n, k0):
    v0[1] *= helper(v0, 1)
    v13 = v0
    return f0, v13
""",
        seed=132,
    ),
    "an array bound anew in one branch, then written": Program(
        """
def program(f0, f1, v0, n, k0):
    if f1 > 0.1234:
        v0 = v0 * 0.7
    v0 *= f0
    return f0, v0
""",
        seed=42,
    ),
    "no result depends on the arrays": Program(
        """
def program(f0, v0, v1, n, k0):
    f12 = 0.5
    return 1.0 if n > 2 else f12, v1[1]
""",
        seed=192,
    ),
    "two arrays written in branches of a loop": Program(
        """
def program(f0, f1, v0, m0, n):
    for i10 in range(n):
        if f0 > 0.3456:
            f0 = abs(m0[1, 1])
        else:
            m0[1] = f0
            if v0[1] < 0.2345:
                v0[n % 4] = f1
    return f0, v0
""",
        seed=344,
    ),
    "a triangular loop in the rest of a loop that may end": Program(
        """
def program(m0, n):
    m = m0.copy()
    s = 0
    while s < 3:
        if m[0, 0] > 5.4321:
            break
        for p in range(n):
            for q in range(p, n):
                m[q % 3, p % 3] = math.sin(m[p % 3, q % 3])
        s += 1
    return m[0, 0], m
""",
        seed=3,
    ),
}


@pytest.mark.parametrize("start", range(0, 2000, CHUNK))
def test_array_form(start):
    reports = programs.run(range(start, start + CHUNK), size=1 + start // CHUNK % 4)
    assert not reports, "\n\n".join(reports)


@pytest.mark.parametrize("start", range(20_000, 20_100, CHUNK // 5))
def test_lowered(start):
    with lowered():
        reports = programs.run(range(start, start + CHUNK // 5), size=1 + start // 10 % 4)
    assert not reports, "\n\n".join(reports)


@pytest.mark.parametrize("start", range(5000, 5100, CHUNK // 5))
def test_twice(start):
    reports = programs.run(range(start, start + CHUNK // 5), size=3, second=True)
    assert not reports, "\n\n".join(reports)


@pytest.mark.parametrize("seed", range(10_000, 10_100))
def test_compiled(seed):
    reports = programs.run([seed], size=2, compiled=True)
    assert not reports, reports[0]


# Right or refused: names that may stand for one array, or that are bound in some courses of the program only.
ALIASES = {
    "a loop over an array whose name is bound anew in it": Program(
        """
def program(f0, v0, n, k0):
    for f10 in v0:
        v0 += 0.5
        f0 *= f10
        v0 = np.zeros(4)
    return f0, v0
""",
        seed=1040,
    ),
    "a row that a loop before has left behind": Program(
        """
def program(f0, v0, v1, m0, n):
    for i14 in range(3):
        for i15 in range(n):
            m0[i14, 1:] += v1[1:]
        if n > 0:
            for v19 in m0:
                v1 = v19
    return f0, v1
""",
        seed=1643,
    ),
}


@pytest.mark.parametrize("program", ALIASES.values(), ids=ALIASES)
def test_right_or_refused(program):
    assert programs.finding(program) is None


# Refused though it needn't be: whether a variable is read again is asked at each `if`, and `break` is one of its ways.
UNDECIDED = {
    "a float before and after a break": Program(
        """
def program(f0, v0, v1, m0, n):
    for i13 in range(n):
        if i13:
            pass
        else:
            if f0 > 2.3456:
                break
            f0 += 1
        f0 = 0.5
    return v0[1], v0
""",
        seed=12,
    ),
}


@pytest.mark.parametrize("program", UNDECIDED.values(), ids=UNDECIDED)
def test_undecided(program):
    with pytest.raises(programs.Refused, match="isn't known after it"):
        programs.check(program)


@pytest.mark.parametrize("program", KEPT.values(), ids=KEPT)
def test_kept(program):
    programs.check(program, compiled=True, second=True)


def test_few_programs_are_refused():
    refused = 0
    for seed in range(20_000, 20_100):
        try:
            programs.check(Program.written(seed, 4))
        except programs.Refused:
            refused += 1
        except programs.Invalid:
            continue
    assert refused < 5


def test_most_programs_prove_something():
    """They run in plain Python, and no decision changes where differences are taken."""
    proofs = 0
    for seed in range(200):
        program = Program.written(seed)
        tangents = feeding.direction(program.args, np.random.default_rng(seed))
        try:
            decisions = [program.run(feeding.moved(program.args, tangents, h))[1] for h in (-1e-4, 0.0, 1e-4)]
        except programs.Invalid:
            continue
        proofs += decisions[0] == decisions[1] == decisions[2]
    assert proofs > 180
