"""Who may import whom, read from the files, with the imports inside functions; and how long a file may be."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jitgrad"
LIMIT = 400

BELOW = {
    "errors": set(),
    "runtime": set(),
    "ir": {"errors"},
    "ops": {"ir", "errors", "runtime"},
    **{name: {"ops", "ir", "errors", "runtime"} for name in ("trace", "passes", "tape")},
    "ad": {"ops", "ir", "errors", "runtime", "passes"},  # residuals are what is left when all that is dead is removed
    "lower": {"ops", "ir", "errors", "runtime", "passes"},  # passes.dce, passes.rename
    "codegen": {
        "ops",
        "ir",
        "errors",
        "runtime",
        "passes",
    },  # passes.dce: the array form has no use for lengths
    "compile": {"errors", "runtime"},
}
BELOW["api"] = set(BELOW)
BELOW["testing"] = BELOW["__init__"] = {"api", "tape", "ops", "errors"}

FILES = sorted(PACKAGE.rglob("*.py"))


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(p): p for p in FILES}


def layer(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path, inside: bool) -> set[str]:
    """The modules of the package that a file imports, inside functions too or not; TYPE_CHECKING doesn't count."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.FunctionDef | ast.Lambda) and not inside:
            return
        if isinstance(node, ast.Import):
            found.update(a.name for a in node.names if a.name.split(".")[0] == "jitgrad")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports aren't read by this test"
            if (node.module or "").split(".")[0] == "jitgrad":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    found.add(whole if whole in MODULES else node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_what_lies_below(name):
    own = layer(name)
    assert own in BELOW, f"{own} has no place in the table"
    for other in imports(MODULES[name], inside=True):
        assert layer(other) == own or layer(other) in BELOW[own], f"{name} imports {other}"


def test_no_cycle_at_module_level():
    graph = {name: imports(path, inside=False) - {name} for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(graph.get(name, ())):
                # A package whose __init__ collects its modules is imported by them only by way of the module itself.
                visit(other, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])


@pytest.mark.parametrize("name", MODULES)
def test_length(name):
    assert len(MODULES[name].read_text().splitlines()) <= LIMIT


def test_the_table_is_about_what_there_is():
    assert {layer(name) for name in MODULES} == set(BELOW)
