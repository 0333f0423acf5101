"""`match` statements: which case it is may depend on numbers that are known at run time only."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jitgrad.ops.symbolic import Expr
from jitgrad.trace import attributes, growing
from jitgrad.trace.branches import condition, decide
from jitgrad.trace.builtin_names import BUILTINS, python_type
from jitgrad.trace.exits import branch
from jitgrad.trace.expressions import at, compared, truth
from jitgrad.trace.frame import Frame, evaluate, run, statement
from jitgrad.trace.liveness import live_after
from jitgrad.trace.stretch import has_stretch

# Classes whose single positional pattern is the object itself.
_SELF = (bool, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple)


@statement(ast.Match)
def match(frame: Frame, node: ast.Match) -> object:
    return _from(frame, node, evaluate(frame, node.subject), 0)


def _from(frame: Frame, node: ast.Match, subject: object, k: int) -> object:
    """The signal of the first case that fits, from the k-th on."""
    if k == len(node.cases):
        return None
    case = node.cases[k]
    captured: dict[str, object] = {}
    at(frame, case.pattern)
    fits = _fits(frame, case.pattern, subject, captured)
    is_live = live_after(frame, node)

    def others() -> object:
        return _from(frame, node, subject, k + 1)

    def taken() -> object:
        for name, value in captured.items():
            frame.bind(name, value, case.pattern)
        if case.guard is None:
            return run(frame, case.body)
        guard = condition(frame, case.guard, "a `case`")
        return branch(frame.trace, guard, lambda: run(frame, case.body), others, is_live)

    return branch(frame.trace, fits, taken, others, is_live)


def _all(answers: Iterable[bool | Expr]) -> bool | Expr:
    """Whether all are true; what comes after one that is known to be false isn't asked for."""
    result: bool | Expr = True
    for answer in answers:
        if answer is False:
            return False
        result = answer if result is True else result if answer is True else np.logical_and(result, answer)
    return result


def _fits(frame: Frame, pattern: ast.pattern, x: object, captured: dict) -> bool | Expr:
    """Whether `x` has the form of the pattern; `captured` collects what the pattern's names stand for."""
    return _PATTERNS[type(pattern)](frame, pattern, x, captured)


def _value(frame, pattern, x, captured) -> bool | Expr:
    equal = compared(frame, ast.Eq(), x, evaluate(frame, pattern.value))
    return decide(frame, pattern, equal, "a `case`")


def _singleton(frame, pattern, x, captured) -> bool | Expr:
    if isinstance(x, Expr) and python_type(x) is bool and pattern.value is not None:
        return x if pattern.value else np.logical_not(x)
    return x is pattern.value


def _sequence(frame, pattern, x, captured) -> bool | Expr:
    if has_stretch(x):
        growing.expand(x, "a `case`")
    if not isinstance(x, Sequence) or isinstance(x, str | bytes | bytearray):
        return False
    star = next((k for k, p in enumerate(pattern.patterns) if isinstance(p, ast.MatchStar)), None)
    n = len(pattern.patterns)
    if len(x) != n if star is None else len(x) < n - 1:
        return False
    parts = list(x)
    if star is not None:
        end = len(parts) - (n - 1 - star)
        parts = [*parts[:star], parts[star:end], *parts[end:]]
    return _all(_fits(frame, p, e, captured) for p, e in zip(pattern.patterns, parts, strict=True))


def _mapping(frame, pattern, x, captured) -> bool | Expr:
    if not isinstance(x, Mapping):
        return False
    keys = [evaluate(frame, k) for k in pattern.keys]
    if not all(k in x for k in keys):
        return False
    if pattern.rest is not None:
        captured[pattern.rest] = {k: v for k, v in x.items() if k not in keys}
    return _all(_fits(frame, p, x[k], captured) for k, p in zip(keys, pattern.patterns, strict=True))


def _class(frame, pattern, x, captured) -> bool | Expr:
    cls = evaluate(frame, pattern.cls)
    if not BUILTINS[isinstance](frame, x, cls):
        return False
    positional = list(pattern.patterns)
    if positional and issubclass(cls, _SELF) and not hasattr(cls, "__match_args__"):
        return len(positional) == 1 and _fits(frame, positional[0], x, captured)
    names = [*getattr(cls, "__match_args__", ())[: len(positional)], *pattern.kwd_attrs]
    if len(names) < len(positional) + len(pattern.kwd_attrs):
        raise TypeError(f"{cls.__name__}() accepts {len(names)} positional sub-patterns ({len(positional)} given)")
    return _all(
        BUILTINS[hasattr](frame, x, name) and _fits(frame, sub, attributes.load(frame, x, name), captured)
        for name, sub in zip(names, [*positional, *pattern.kwd_patterns], strict=True)
    )


def _star(frame, pattern, x, captured) -> bool:
    if pattern.name is not None:
        captured[pattern.name] = x
    return True


def _as(frame, pattern, x, captured) -> bool | Expr:
    fits = pattern.pattern is None or _fits(frame, pattern.pattern, x, captured)
    if fits is not False and pattern.name is not None:
        captured[pattern.name] = x
    return fits


def _or(frame, pattern, x, captured) -> bool | Expr:
    result: bool | Expr = False
    for sub in pattern.patterns:
        names: dict[str, object] = {}
        fits = _fits(frame, sub, x, names)
        if names and isinstance(fits, Expr):  # which of them the names are from depends on it
            fits = truth(frame, pattern, fits, "a `case`")
        if fits is True and result is False:
            captured.update(names)
            return True
        if fits is not False:
            result = fits if result is False else np.logical_or(result, fits)
    return result


_PATTERNS = {
    ast.MatchValue: _value, ast.MatchSingleton: _singleton, ast.MatchSequence: _sequence,
    ast.MatchMapping: _mapping, ast.MatchClass: _class, ast.MatchStar: _star, ast.MatchAs: _as,
    ast.MatchOr: _or,
}  # fmt: skip
