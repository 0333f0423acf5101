"""The twelve problems of `benchmarks/problems`, on small inputs of our own; and the memory of a few derivatives."""

import json
import pkgutil

import numpy as np
import pytest

from benchmarks.problems import NAMES, ba, check, differences, gmm, handwritten, ht, lstm, speed

BY_HAND = [module.name for module in pkgutil.iter_modules(handwritten.__path__)]
ODD_SIZES = {  # such that vectorised loops have a rest
    "det": {"ell": 3},
    "gmm": {"d": 3, "k": 7, "n": 19},
    "ba": {"n": 3, "m": 5, "p": 17},
    "ht": {"vertices": 37, "points": 11, "complicated": False},
    "kmeans": {"k": 7, "n": 45, "d": 3},
    "llsq": {"n": 19, "m": 7},
    "lse": {"n": 45},
    "lstm": {"layers": 3, "steps": 8, "bits": 7},
    "ode": {"n": 9, "s": 5},
    "particle": {"w": 0.2},
    "saddle": {"scale": 2.0},
}


@pytest.mark.parametrize("name", NAMES)
def test_derivative(name):
    ((_, _, _, function, input, expected),) = check.own_cases("small", [name])
    assert check.error(function(input), expected) <= check.OF_DIFFERENCES
    if name in BY_HAND:
        module = check.problem(name)
        for size in (module.SIZES["small"], ODD_SIZES[name]):
            input = module.generate(**size, seed=1)
            programs, hand = module.programs(input), speed.handwritten(name)
            assert speed.disagreement(programs, hand, module.arguments(input)) <= speed.TOLERANCE


def test_ba_by_hand_of_all_sorts_of_cameras():
    """The generated input has one camera and one point only; some of these aren't turned."""
    rng = np.random.default_rng(0)
    input = ba.generate(**ODD_SIZES["ba"])
    *arrays, camera_of, point_of = ba.arguments(input)
    cameras, points, weights, features = (rng.normal(size=a.shape) for a in arrays)
    cameras[1, :3] = 0.0
    points[:, 2] += 5.0
    values = cameras, points, weights, features, camera_of, point_of
    assert speed.disagreement(ba.programs(input), speed.handwritten("ba"), values) <= speed.TOLERANCE


@pytest.mark.parametrize("size", ["small", "odd"])
def test_ht_by_hand_of_all_sorts_of_hands(size):
    """Mirrored, with bones that hang on the bones of other fingers."""
    rng = np.random.default_rng(0)
    input = ht.generate(**(ht.SIZES["small"] if size == "small" else ODD_SIZES["ht"]))
    input["data"]["model"] |= {
        "is_mirrored": True,
        "parents": [-1, *(int(rng.integers(b)) for b in range(1, ht.BONES))],
    }
    jacobian = speed.handwritten("ht")(*ht.arguments(input))
    assert check.error(jacobian, ht.expected(input)) <= check.OF_DIFFERENCES


def test_lines_of_speed():
    seconds = {"plain": 1e-3, "ours": 8e-4, "derivative": 1.2e-3, "hand": 1e-3, "descent": 5e-3}
    row = {"problem": "ode", "size": "middle", "seconds": seconds, "bound": 1.1, "compile": 0.5}
    row["ratios"] = {"plain": 1.2, "ours": 1.5, "hand": 1.2, "descent": 1.5}
    row |= {"evaluations": {"primal": 2, "derivative": 2}, "counted": 4e-3}
    first, second = speed.lines(row)
    assert first.endswith("MISSED: plain, hand")
    assert "1.50 of 2 primals and 2 derivatives" in second


def test_lines_of_speed_of_what_is_short():
    """The loop of compiled code counts, not the call from Python."""
    seconds = dict.fromkeys(("plain", "ours", "derivative", "hand"), 1e-6)
    row = {"problem": "det", "size": "small", "seconds": seconds, "compile": 0.5}
    row |= {
        "ratios": {"plain": 1.0, "ours": 1.0, "hand": 3.0, "inside": 1.1},
        "inside": {"derivative": 2e-7, "hand": 1e-7},
    }
    first, second = speed.lines(row)
    assert "MISSED" not in first
    assert second.split() == ["called", "from", "compiled", "code", "0.20", "0.10", "1.10"]


def test_calls_from_compiled_code():
    module = check.problem("saddle")
    arguments = module.arguments(module.generate(**module.SIZES["small"]))
    loop, _ = speed.looped(module.PROGRAMS.derivative)
    np.testing.assert_array_equal(loop(*arguments), module.PROGRAMS.derivative(*arguments))


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
