"""What the documents claim about the package."""

import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from jitgrad import grad, jvp
from jitgrad.ops import registry
from jitgrad.trace.creation import CREATION
from jitgrad.trace.math_names import MATH

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "operations.md").read_text()
FUNCTIONS, CONVENTIONS, INSIDE = (
    TEXT[TEXT.index(start) : TEXT.index(stop) if stop else None]
    for start, stop in pairwise(["## Functions", "## Conventions", "## Inside", None])
)


def name_of(function) -> str:
    """`np.sum`, `np.linalg.norm`: how one writes it."""
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{function.__name__}"


def registered() -> set[str]:
    return {name_of(f) for f in (*registry.UFUNCS, *registry.FUNCTIONS)}


def named(text: str, pattern: str) -> set[str]:
    return set(re.findall(rf"`({pattern})`", text))


def resolve(name: str):
    """The function that a name in the table means, or None where this NumPy doesn't have it."""
    found = np
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    return found


def test_the_table_names_every_registered_function():
    assert registered() <= named(FUNCTIONS, r"np\.[\w.]+")


def test_every_function_in_the_table_is_registered():
    functions = {name: resolve(name) for name in named(FUNCTIONS, r"np\.[\w.]+")}
    assert [name for name, f in functions.items() if f is not None and registry.lookup(f) is None] == []


def test_methods():
    attributes = {"x.T", "x.shape", "x.ndim", "x.dtype"}
    methods = {f"x.{name}" for name in registry.METHODS if not name.startswith("_")}
    assert named(FUNCTIONS, r"x\.\w+") - attributes == methods


def test_what_works_inside_only():
    listed = named(INSIDE, r"np\.[\w.]+")
    assert {name_of(f) for f in CREATION} - registered() == listed
    available = {f"math.{f.__name__}" for f in MATH} | {"math.log"}
    assert available <= named(INSIDE, r"math\.\w+")


ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \|", CONVENTIONS, re.MULTILINE)


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """A module with the functions of the table of conventions."""
    lines = ["import numpy as np", "from jitgrad import stop_gradient"]
    for k, (expression, _, _) in enumerate(ROWS):
        lines += [f"def f{k}(x):", f"    return {expression}"]
    path = tmp_path_factory.mktemp("docs") / "conventions.py"
    path.write_text("\n".join(lines) + "\n")
    spec = importlib.util.spec_from_file_location("conventions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("k", range(len(ROWS)), ids=[f"{e} at {at}" for e, at, _ in ROWS])
def test_conventions(functions, k):
    def value(text):
        number = eval(text, {"nan": np.nan, "inf": np.inf})
        return np.array(number) if isinstance(number, list) else number

    f, at, want = getattr(functions, f"f{k}"), value(ROWS[k][1]), value(ROWS[k][2])
    gradient = grad(f)(at)
    np.testing.assert_array_equal(gradient, want)
    direction = np.ones_like(at) if isinstance(at, np.ndarray) else 1.0
    tangent = jvp(f, (at,), (direction,))[1]
    np.testing.assert_array_equal(np.sum(tangent), np.sum(want))
