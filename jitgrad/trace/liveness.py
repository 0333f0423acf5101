"""Which variables may be read after a branch, or in the next iteration of a loop: only those need to be kept there."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def live_after(frame, node: ast.stmt) -> Callable[[object], bool]:
    """Whether a variable may be read after a statement. Of other frames, all may."""
    return _asking(frame, node, lambda found: found.after)


def live_in(frame, node: ast.stmt) -> Callable[[object], bool]:
    """Whether a variable may be read when another iteration of a loop begins, or after the loop."""
    return _asking(frame, node, lambda found: found.heads)


def live_during_call(frame) -> Callable[[str], bool]:
    """Whether a variable of a function may be read once the call that is running in it has returned."""
    if not isinstance(frame.node, ast.FunctionDef) or frame.calling is None:
        return lambda name: True
    found = _liveness(frame.node)
    after, rest = found.after.get(frame.running), _read_besides(frame.running, frame.calling)
    if found.everything or after is None or rest is None:
        return lambda name: True
    live = found.always | after | rest
    return lambda name: name in live


@functools.lru_cache(maxsize=512)
def _read_besides(statement: ast.stmt, call: ast.Call) -> frozenset[str] | None:
    """The names that are read in a statement, but not in a call; None if that may read names when it runs already."""
    inside = set(ast.walk(call))
    if any(isinstance(n, _COMPREHENSIONS) for n in inside):
        return None
    return frozenset(n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and n not in inside)


def has_functions(frame) -> bool:
    """Whether functions are defined in a frame, which may read its variables when it has returned."""
    return not isinstance(frame.node, ast.FunctionDef) or _liveness(frame.node).has_functions


def _asking(frame, node: ast.stmt, table: Callable[[_Liveness], dict]) -> Callable[[object], bool]:
    if not isinstance(frame.node, ast.FunctionDef):
        return lambda variable: True
    found = _liveness(frame.node)
    live = found.always | table(found)[node]
    return lambda variable: found.everything or variable.frame is not frame or variable.name in live


@functools.lru_cache(maxsize=512)
def _liveness(function: ast.FunctionDef) -> _Liveness:
    return _Liveness(function)


def _reads(*nodes: ast.AST | None) -> frozenset[str]:
    """The names that are read somewhere in the nodes."""
    found = (n for node in nodes if node is not None for n in ast.walk(node))
    return frozenset(n.id for n in found if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Store))


def _binds(targets: Iterable[ast.AST]) -> frozenset[str]:
    """The names that targets bind for sure."""
    names: set[str] = set()
    for target in targets:
        if isinstance(target, ast.Name):
            names.add(target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            names |= _binds(target.elts)
        elif isinstance(target, ast.Starred):
            names |= _binds([target.value])
    return frozenset(names)


class _Liveness:
    """The analysis of a function, from its end to its beginning.

    Attributes:
        after: the variables that may be read after a statement, also where it is left by `break` or `continue`.
        heads: those that may be read when an iteration of a loop begins, or after the loop.
        has_functions, always: whether there are functions inside; the variables that they read, whenever called.
        everything: the function asks for its variables by `locals()` or the like.
    """

    def __init__(self, function: ast.FunctionDef):
        self.after: dict[ast.AST, frozenset[str]] = {}
        self.heads: dict[ast.AST, frozenset[str]] = {}
        inner = [n for n in ast.walk(function) if isinstance(n, _FUNCTIONS) and n is not function]
        self.has_functions = bool(inner)
        self.always = _reads(*inner)
        self.everything = bool(_reads(function) & {"locals", "vars", "exec", "eval"})
        self.breaks = self.continues = self.finals = frozenset()
        self.block(function.body, frozenset())

    def block(self, body: list[ast.stmt], out: frozenset[str]) -> frozenset[str]:
        for node in reversed(body):
            self.after[node] = out | self.breaks | self.continues
            out = self.statement(node, out)
        return out

    def statement(self, node: ast.stmt, out: frozenset[str]) -> frozenset[str]:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        return out | _reads(node) if method is None else method(node, out)

    def _assign(self, node: ast.Assign, out: frozenset[str]) -> frozenset[str]:
        return (out - _binds(node.targets)) | _reads(node.value, *node.targets)

    def _annassign(self, node: ast.AnnAssign, out: frozenset[str]) -> frozenset[str]:
        return out if node.value is None else (out - _binds([node.target])) | _reads(node.value, node.target)

    def _augassign(self, node: ast.AugAssign, out: frozenset[str]) -> frozenset[str]:
        return out | _reads(node) | _binds([node.target])

    def _return(self, node: ast.Return, out: frozenset[str]) -> frozenset[str]:
        return _reads(node) | self.finals

    def _raise(self, node: ast.Raise, out: frozenset[str]) -> frozenset[str]:
        return _reads(node) | self.finals

    def _break(self, node: ast.Break, out: frozenset[str]) -> frozenset[str]:
        return self.breaks | self.finals

    def _continue(self, node: ast.Continue, out: frozenset[str]) -> frozenset[str]:
        return self.continues | self.finals

    def _functiondef(self, node: ast.FunctionDef, out: frozenset[str]) -> frozenset[str]:
        return (out - {node.name}) | _reads(node)

    def _if(self, node: ast.If, out: frozenset[str]) -> frozenset[str]:
        return self.block(node.body, out) | self.block(node.orelse, out) | _reads(node.test)

    def _for(self, node: ast.For, out: frozenset[str]) -> frozenset[str]:
        return self._loop(node, out, _reads(node.target), _binds([node.target])) | _reads(node.iter)

    def _while(self, node: ast.While, out: frozenset[str]) -> frozenset[str]:
        return self._loop(node, out, _reads(node.test), frozenset())

    def _loop(self, node: ast.For | ast.While, out: frozenset[str], reads: frozenset[str], binds: frozenset[str]):
        head = self.block(node.orelse, out) | reads
        around = self.breaks, self.continues
        kinds = {type(n) for statement in node.body for n in ast.walk(statement)}
        while True:
            self.breaks = out if ast.Break in kinds else frozenset()
            self.continues = head if ast.Continue in kinds else frozenset()
            before = head | (self.block(node.body, head) - binds)
            if before == head:
                break
            head = before
        self.breaks, self.continues = around
        self.heads[node] = head | out
        return head

    def _try(self, node: ast.Try, out: frozenset[str]) -> frozenset[str]:
        # An exception may come from anywhere in the body.
        after = self.block(node.finalbody, out) | _reads(*node.finalbody)
        around, self.finals = self.finals, self.finals | _reads(*node.finalbody)
        handled = [self.block(handler.body, after) for handler in node.handlers]
        caught = frozenset().union(*handled, *(_reads(h.type) for h in node.handlers))
        self.finals |= caught
        result = self.block(node.body, self.block(node.orelse, after) | caught)
        self.finals = around
        return result | caught | after

    def _with(self, node: ast.With, out: frozenset[str]) -> frozenset[str]:
        return self.block(node.body, out) | out | _reads(*node.items)

    def _match(self, node: ast.Match, out: frozenset[str]) -> frozenset[str]:
        cases = [self.block(case.body, out) | _reads(case.pattern, case.guard) for case in node.cases]
        return out.union(*cases) | _reads(node.subject)
