"""`match` statements, on what is known while tracing."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from jitgrad.trace import attributes
from jitgrad.trace.builtin_names import BUILTINS
from jitgrad.trace.expressions import COMPARE, operate, truth
from jitgrad.trace.frame import Frame, evaluate, run, statement

# Classes whose single positional pattern is the object itself.
_SELF = (bool, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple)


@statement(ast.Match)
def match(frame: Frame, node: ast.Match) -> object:
    subject = evaluate(frame, node.subject)
    for case in node.cases:
        captured: dict[str, object] = {}
        if not _fits(frame, case.pattern, subject, captured):
            continue
        for name, value in captured.items():
            frame.bind(name, value, case.pattern)
        if case.guard is None or truth(frame, case.guard, evaluate(frame, case.guard), "a `case`"):
            return run(frame, case.body)
    return None


def _fits(frame: Frame, pattern: ast.pattern, x: object, captured: dict) -> bool:
    """Whether `x` has the form of the pattern; `captured` collects what the pattern's names stand for."""
    return _PATTERNS[type(pattern)](frame, pattern, x, captured)


def _value(frame, pattern, x, captured) -> bool:
    equal = operate(frame, COMPARE[ast.Eq], x, evaluate(frame, pattern.value))
    return truth(frame, pattern, equal, "a `case`")


def _singleton(frame, pattern, x, captured) -> bool:
    return x is pattern.value


def _sequence(frame, pattern, x, captured) -> bool:
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
    return all(_fits(frame, p, e, captured) for p, e in zip(pattern.patterns, parts, strict=True))


def _mapping(frame, pattern, x, captured) -> bool:
    if not isinstance(x, Mapping):
        return False
    keys = [evaluate(frame, k) for k in pattern.keys]
    if not all(k in x and _fits(frame, p, x[k], captured) for k, p in zip(keys, pattern.patterns, strict=True)):
        return False
    if pattern.rest is not None:
        captured[pattern.rest] = {k: v for k, v in x.items() if k not in keys}
    return True


def _class(frame, pattern, x, captured) -> bool:
    cls = evaluate(frame, pattern.cls)
    if not BUILTINS[isinstance](frame, x, cls):
        return False
    positional = list(pattern.patterns)
    if positional and issubclass(cls, _SELF) and not hasattr(cls, "__match_args__"):
        return len(positional) == 1 and _fits(frame, positional[0], x, captured)
    names = [*getattr(cls, "__match_args__", ())[: len(positional)], *pattern.kwd_attrs]
    if len(names) < len(positional) + len(pattern.kwd_attrs):
        raise TypeError(f"{cls.__name__}() accepts {len(names)} positional sub-patterns ({len(positional)} given)")
    for name, sub in zip(names, [*positional, *pattern.kwd_patterns], strict=True):
        if not BUILTINS[hasattr](frame, x, name) or not _fits(frame, sub, attributes.load(frame, x, name), captured):
            return False
    return True


def _star(frame, pattern, x, captured) -> bool:
    if pattern.name is not None:
        captured[pattern.name] = x
    return True


def _as(frame, pattern, x, captured) -> bool:
    if pattern.pattern is not None and not _fits(frame, pattern.pattern, x, captured):
        return False
    if pattern.name is not None:
        captured[pattern.name] = x
    return True


def _or(frame, pattern, x, captured) -> bool:
    return any(_fits(frame, p, x, captured) for p in pattern.patterns)


_PATTERNS = {
    ast.MatchValue: _value, ast.MatchSingleton: _singleton, ast.MatchSequence: _sequence,
    ast.MatchMapping: _mapping, ast.MatchClass: _class, ast.MatchStar: _star, ast.MatchAs: _as,
    ast.MatchOr: _or,
}  # fmt: skip
