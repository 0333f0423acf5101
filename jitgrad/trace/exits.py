"""`return`, `break` and `continue`: signals of statements, also those that depend on run-time conditions.

A statement that leaves in some courses of the program only gives an `Exit`: flags that say at run time how it has left.
What comes after it is a branch that runs if none of them is set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jitgrad.ir.graph import Const
from jitgrad.ops.symbolic import Expr
from jitgrad.trace.aliases import Maybe
from jitgrad.trace.fork import UNKNOWN, After, fork
from jitgrad.trace.images import Image, Leaf
from jitgrad.trace.journal import MISSING
from jitgrad.trace.regions import Variable

Flag = bool | Expr


class Return:
    """A statement's signal that the function returns."""

    __slots__ = ("value",)

    def __init__(self, value: object):
        self.value = value


BREAK, CONTINUE = object(), object()


@dataclass(frozen=True, eq=False, slots=True)
class Exit:
    """How a statement has left, as flags of which at most one is true; `value` is what is returned."""

    breaks: Flag
    continues: Flag
    returns: Flag
    value: object


def parts_of(signal: object) -> tuple[Flag, Flag, Flag, object]:
    """A signal as flags and value, which a branch can give."""
    if isinstance(signal, Exit):
        return signal.breaks, signal.continues, signal.returns, signal.value
    if isinstance(signal, Return):
        return False, False, True, signal.value
    return signal is BREAK, signal is CONTINUE, False, MISSING


def signal_of(breaks: Flag, continues: Flag, returns: Flag, value: object) -> object:
    """The signal of flags and a value."""
    value = value.value if isinstance(value, Maybe) else value  # `returns` says whether there is one
    if breaks is True:
        return BREAK
    if continues is True:
        return CONTINUE
    if returns is True:
        return Return(value)
    if breaks is False and continues is False and returns is False:
        return None
    return Exit(breaks, continues, returns, value)


def any_of(*flags: Flag) -> Flag:
    """Whether one of the flags is set."""
    if True in [f for f in flags if isinstance(f, bool)]:
        return True
    result: Flag = False
    for flag in flags:
        if isinstance(flag, Expr):
            result = flag if result is False else np.logical_or(result, flag)
    return result


def none_of(*flags: Flag) -> Flag:
    """Whether none of the flags is set."""
    flag = any_of(*flags)
    return np.logical_not(flag) if isinstance(flag, Expr) else not flag


def branch(
    trace,
    condition: Flag,
    then: Callable[[], object],
    orelse: Callable[[], object],
    is_live: Callable[[Variable], bool] = UNKNOWN.is_live,
) -> object:
    """The signal of the side that is taken."""
    if isinstance(condition, bool):
        return then() if condition else orelse()
    after = After(is_live, _has_returned)
    return signal_of(*fork(trace, condition, lambda: parts_of(then()), lambda: parts_of(orelse()), after))


def _has_returned(results: list[Image]) -> bool:
    """Whether the parts of a signal are those of a `return`."""
    return isinstance(results[2], Leaf) and results[2].arg == Const.of(True)


def go_on(
    trace, signal: object, rest: Callable[[], object], is_live: Callable[[Variable], bool] = UNKNOWN.is_live
) -> object:
    """The signal of statements that come after a statement with this signal."""
    if signal is None:
        return rest()
    if not isinstance(signal, Exit):
        return signal
    stays = none_of(signal.breaks, signal.continues, signal.returns)
    return branch(trace, stays, rest, lambda: _taken(signal), is_live)


def _taken(signal: Exit) -> object:
    """The signal where one of the flags is known to be set."""
    flags = [signal.breaks, signal.continues, signal.returns]
    if sum(flag is not False for flag in flags) == 1:
        flags = [flag is not False for flag in flags]
    return signal_of(*flags, signal.value)


def result_of(trace, signal: object) -> object:
    """What a function returns whose body has this signal."""
    if not isinstance(signal, Exit):
        return signal.value if isinstance(signal, Return) else None
    (value,) = fork(trace, signal.returns, lambda: (signal.value,), lambda: (None,))
    return value
