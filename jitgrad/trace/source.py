"""The AST of a function, found through its code object, and what Python's compiler knows of its names."""

from __future__ import annotations
import __future__

import ast
import copy
import dis
import inspect
import linecache
import sys
import types
import weakref
from dataclasses import dataclass, field

from jitgrad.ir.graph import Loc

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(eq=False, slots=True)
class File:
    """A parsed source file, and where its functions are."""

    name: str
    lines: list[str]
    functions: dict[int, list[FunctionNode]]

    def text(self, line: int) -> str:
        return self.lines[line - 1].rstrip("\n") if 0 < line <= len(self.lines) else ""


@dataclass(frozen=True, slots=True)
class Scope:
    """How the names of a function are bound."""

    locals: frozenset[str]
    globals: frozenset[str]
    nonlocals: frozenset[str]
    generator: bool = False
    asynchronous: bool = False


@dataclass(eq=False, slots=True)
class Source:
    """A function's node in its file. `name` is the qualified name, for error messages."""

    file: File
    node: FunctionNode
    name: str
    scopes: dict[ast.AST, Scope] = field(default_factory=dict)
    locations: dict[ast.AST, Loc] = field(default_factory=dict)

    def loc(self, node: ast.AST, function: str) -> Loc:
        """The node's place; nodes are shared by all calls, so it is made once."""
        known = self.locations.get(node)
        if known is None:
            text = self.file.text(node.lineno)
            known = Loc(
                self.file.name, node.lineno, node.col_offset, node.end_lineno or node.lineno,
                node.end_col_offset or node.col_offset, text, function,
            )  # fmt: skip
            self.locations[node] = known
        return known

    def scope(self, node: ast.AST) -> Scope:
        known = self.scopes.get(node)
        if known is None:
            known = self.scopes[node] = analyse(node)
        return known


# Functions that were defined while tracing, with what evaluates them.
TRACED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

_files: dict[str, File] = {}
# By identity: equal code of two files would share a file name.
_sources: dict[int, tuple[types.CodeType, Source | None]] = {}


def source_of(function: types.FunctionType) -> Source | None:
    """The source of a Python function, or None if there is none that fits its code."""
    code = function.__code__
    if id(code) not in _sources:
        _sources[id(code)] = (code, _find(function, code))
    return _sources[id(code)][1]


def _find(function: types.FunctionType, code: types.CodeType) -> Source | None:
    linecache.checkcache(code.co_filename)  # the module may have been reloaded
    lines = linecache.getlines(code.co_filename, function.__globals__)
    if not lines:
        try:  # an interactive session keeps its lines elsewhere
            lines, _ = inspect.findsource(function)
        except (OSError, TypeError):
            return None
    file = _parse(code.co_filename, lines)
    if file is None:
        return None
    candidates = [n for n in file.functions.get(code.co_firstlineno, ()) if _fits(n, code)]
    node = candidates[0] if len(candidates) == 1 else _by_position(candidates, code)
    return None if node is None else Source(file, node, getattr(function, "__qualname__", code.co_name))


def _parse(name: str, lines: list[str]) -> File | None:
    known = _files.get(name)
    if known is not None and known.lines == lines:
        return known
    try:
        tree = ast.parse("".join(lines), name)
    except (SyntaxError, ValueError):
        return None
    functions: dict[int, list[FunctionNode]] = {}
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode):
            decorators = getattr(node, "decorator_list", ())
            first = min([node.lineno, *(d.lineno for d in decorators)])
            functions.setdefault(first, []).append(node)
    file = _files[name] = File(name, list(lines), functions)
    return file


def _fits(node: FunctionNode, code: types.CodeType) -> bool:
    """Whether the node can be what the code was compiled from: a file may change after its import."""
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    a = node.args
    names = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    names += [p.arg for p in (a.vararg, a.kwarg) if p is not None]
    plain = [_unmangled(n) for n in code.co_varnames[: len(names)]]
    if name != code.co_name or [_unmangled(n) for n in names] != plain:
        return False
    words = {_unmangled(w) for w in _words(node)}
    return all(_unmangled(part) in words for n in code.co_names for part in n.split(".")) and _computes(node, code)


def _computes(node: FunctionNode, code: types.CodeType) -> bool:
    """Whether the node has the numbers and operators of the code."""
    if any(isinstance(n, ast.Assert) for n in ast.walk(node)):
        return True  # left out by `python -O`, rewritten by pytest
    plain = copy.copy(node)
    plain.args = copy.copy(node.args)
    plain.args.defaults, plain.args.kw_defaults = [], [None] * len(node.args.kw_defaults)
    if isinstance(node, ast.Lambda):
        tree: ast.AST = ast.Expression(plain)
    else:
        plain.decorator_list, plain.returns = [], None
        tree = ast.Module([plain], [])
    flags = code.co_flags & __future__.annotations.compiler_flag
    try:
        made = compile(tree, code.co_filename, "eval" if isinstance(node, ast.Lambda) else "exec", flags, True)
    except SyntaxError:  # a `nonlocal` without the function around
        return True
    inner = next((c for c in made.co_consts if isinstance(c, types.CodeType) and c.co_name == code.co_name), None)
    return inner is None or _essence(inner) == _essence(code)


def _essence(code: types.CodeType) -> list:
    """Numbers and operators of a code object and those in it; what variables it reads where is left out."""
    found: list[object] = [(i.opname, i.arg) for i in dis.get_instructions(code) if i.opname.startswith(_OPERATORS)]
    stack = list(code.co_consts)
    while stack:
        constant = stack.pop()
        if isinstance(constant, types.CodeType):
            found.append(_essence(constant))
        elif isinstance(constant, tuple | frozenset):
            stack.extend(constant)
        elif isinstance(constant, int | float | complex):
            found.append((type(constant), repr(constant)))
    return found


_OPERATORS = ("BINARY_", "INPLACE_", "COMPARE_", "UNARY_")


def _unmangled(name: str) -> str:
    """A class-private name without the class, so that both spellings compare equal."""
    at = name.find("__", 1)
    return name[at:] if name.startswith("_") and not name.startswith("__") and at > 0 else name


# Names that the compiler brings in by itself.
_IMPLICIT = {"AssertionError", "__annotations__", "__name__", "__module__", "__qualname__", "@py_assert"}


def _words(node: ast.AST) -> set[str]:
    words = set(_IMPLICIT) | {"@pytest_ar", "@py_builtins"}
    for n in ast.walk(node):
        for attribute in ("id", "attr", "arg", "name", "asname", "module", "rest"):
            word = getattr(n, attribute, None)
            if isinstance(word, str):
                words.update(word.split("."))
        if isinstance(n, ast.Assert):  # pytest rewrites assertions, and calls helpers of its own
            words.update(_PYTEST)
        if isinstance(n, ast.Global | ast.Nonlocal):
            words.update(n.names)
    return words


_PYTEST = {
    "_call_reprcompare", "_saferepr", "_should_repr_global_name", "_format_explanation", "_format_assertmsg",
    "_format_boolop", "locals", "globals", "append", "_call_assertion_pass", "_check_if_assertion_pass_impl",
}  # fmt: skip


def _by_position(candidates: list[FunctionNode], code: types.CodeType) -> FunctionNode | None:
    """Which of several functions on one line was compiled to this code."""
    if not candidates or len({ast.dump(c) for c in candidates}) == 1:
        return candidates[0] if candidates else None
    if sys.version_info >= (3, 11):
        places = [p for p in code.co_positions() if None not in p and p[3] > 0 and p[:2] + p[2:] != (p[0], p[0], 0, 0)]
        starts, ends = [(p[0], p[2]) for p in places], [(p[1], p[3]) for p in places]

        def holds(node: FunctionNode) -> bool:
            body = node.body if isinstance(node, ast.Lambda) else node
            start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
            return all(s >= start for s in starts) and all(e <= end for e in ends)

        candidates = [c for c in candidates if holds(c)]
        candidates.sort(key=lambda c: len(list(ast.walk(c))))
        return candidates[0] if candidates else None
    fitting = [c for c in candidates if _compiled_alike(c, code)]
    return fitting[0] if len(fitting) == 1 else None


def _compiled_alike(node: FunctionNode, code: types.CodeType) -> bool:
    if not isinstance(node, ast.Lambda):
        return False
    made = compile(ast.Expression(node), "<lambda>", "eval").co_consts[0]
    names = set(made.co_names) | set(made.co_freevars)
    return (
        names == set(code.co_names) | set(code.co_freevars)
        and [c for c in made.co_consts if not isinstance(c, types.CodeType)]
        == [c for c in code.co_consts if not isinstance(c, types.CodeType)]
        and len(made.co_code) == len(code.co_code)
        and made.co_code[0::2] == code.co_code[0::2]
        if not code.co_freevars
        else names >= set(code.co_freevars)
    )


def analyse(node: ast.AST) -> Scope:
    """Which names a function, lambda, comprehension or class body binds."""
    bound: set[str] = set()
    globals_: set[str] = set()
    nonlocals: set[str] = set()
    flags = {"generator": False}

    def visit(n: ast.AST) -> None:
        if isinstance(n, ast.Name):
            if not isinstance(n.ctx, ast.Load):
                bound.add(n.id)
        elif isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(n.name)
            outside = [*n.decorator_list, *(n.bases if isinstance(n, ast.ClassDef) else _defaults(n.args))]
            for child in outside:
                visit(child)
        elif isinstance(n, ast.Lambda):
            for child in _defaults(n.args):
                visit(child)
        elif isinstance(n, COMPREHENSIONS):
            visit(n.generators[0].iter)
            for child in ast.walk(n):  # a walrus binds in the function around the comprehension
                if isinstance(child, ast.NamedExpr):
                    bound.add(child.target.id)
        elif isinstance(n, ast.Global):
            globals_.update(n.names)
        elif isinstance(n, ast.Nonlocal):
            nonlocals.update(n.names)
        elif isinstance(n, ast.Import | ast.ImportFrom):
            bound.update(a.asname or a.name.split(".")[0] for a in n.names)
        else:
            if isinstance(n, ast.Yield | ast.YieldFrom):
                flags["generator"] = True
            name = getattr(n, "name", None) or getattr(n, "rest", None)
            if isinstance(n, ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.MatchMapping) and name:
                bound.add(name)
            for child in ast.iter_child_nodes(n):
                visit(child)

    if isinstance(node, COMPREHENSIONS):
        for generator in node.generators:
            visit(generator.target)
    else:
        if isinstance(node, FunctionNode):
            a = node.args
            bound.update(p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs))
            bound.update(p.arg for p in (a.vararg, a.kwarg) if p is not None)
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            visit(statement)
    outer = globals_ | nonlocals
    return Scope(
        frozenset(bound - outer), frozenset(globals_), frozenset(nonlocals), flags["generator"],
        isinstance(node, ast.AsyncFunctionDef),
    )  # fmt: skip


def _defaults(a: ast.arguments) -> list[ast.expr]:
    return [*a.defaults, *(d for d in a.kw_defaults if d is not None)]
