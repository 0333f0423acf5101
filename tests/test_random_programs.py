"""Random programs: the same ones each time; `python -m tests.fuzz` tries others."""

import pytest
import random_programs

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning", "ignore:Degrees of freedom")
CHUNK = 50


@pytest.mark.parametrize("start", range(0, 600, CHUNK))
def test_array_form(start):
    reports = random_programs.run(range(start, start + CHUNK))
    assert not reports, "\n\n".join(reports)


@pytest.mark.parametrize("seed", range(10_000, 10_015))
def test_compiled(seed):
    reports = random_programs.run([seed], steps=8, compiled=True)
    assert not reports, reports[0]


def test_a_wrong_rule_would_be_found(monkeypatch):
    from jitgrad.ops.elementwise import sin
    from jitgrad.ops.rules import Elementwise

    monkeypatch.setattr(sin, "rule", Elementwise((lambda z, x: 1.0 + 0 * x,)))
    reports = random_programs.run(range(20))
    assert reports
    assert all("sin" in report for report in reports)
