"""The twelve problems of `benchmarks/problems`, on small inputs of our own; and the memory of a few derivatives."""

import json

import numpy as np
import pytest

from benchmarks.problems import NAMES, check, differences, gmm, lstm


@pytest.mark.parametrize("name", NAMES)
def test_derivative(name):
    ((_, _, _, function, input, expected),) = check.own_cases("small", [name])
    assert check.error(function(input), expected) <= check.OF_DIFFERENCES


@pytest.mark.parametrize("module", [gmm, lstm])
def test_loops_and_arrays_agree(module):
    input = module.generate(**module.SIZES["small"])
    values = module.arguments(input)
    np.testing.assert_allclose(module.objective_of_arrays(*values), module.objective(*values), rtol=1e-13)
    assert check.error(module.derivative_of_arrays(input), module.derivative(input)) <= 1e-12


def test_differences():
    x = np.array([0.5, 2.0])
    np.testing.assert_allclose(differences.gradient(lambda x: np.sum(np.sin(x)), (x,)), np.cos(x), rtol=1e-10)
    np.testing.assert_allclose(differences.gradient(np.exp, (x,)), np.diag(np.exp(x)), rtol=1e-10, atol=1e-15)


def test_check_of_files(tmp_path, capsys):
    file = {"eval": "hello", "size": "x3", "input": 3.0, "primal": 9.0, "gradient": 6.0}
    (tmp_path / "hello.json").write_text(json.dumps(file))
    assert check.main(["--golden", str(tmp_path)]) == 0
    (tmp_path / "wrong.json").write_text(json.dumps(file | {"gradient": 6.0001}))
    assert check.main(["--golden", str(tmp_path)]) == 1
    assert capsys.readouterr().out.count("WRONG") == 1


@pytest.mark.parametrize(("got", "wanted"), [([1.0], 1.0), ({"a": 1.0}, {"b": 1.0}), ([np.nan], [1.0]), ([], [1.0])])
def test_other_forms_are_wrong(got, wanted):
    assert check.error(got, wanted) == np.inf
