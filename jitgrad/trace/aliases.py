"""What stands for a variable whose value is not simply known: it depends on the course of the program."""

from __future__ import annotations

from dataclasses import dataclass

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Value
from jitgrad.ops.control import require
from jitgrad.ops.symbolic import Expr, NeedStatic, current
from jitgrad.trace.values import Cell, refuse

_SHARED = (
    "this array is written to, which in NumPy may be the same array as that of another name, depending on how a branch "
    "or loop before went; give the name an array of its own (`x = x.copy()`) before that"
)
_STALE = (
    "this array may be the same as, or a view of, {name}, depending on how a branch or loop before went, and {name} "
    "has been written to since; make it an array of its own (`.copy()`) where it is bound"
)


class Alias(Cell):
    """An array that is, in some courses of the program, the same array as another one, or a view of it.

    It has the value of that array. So it must not be written to, and not read once the other one was written.
    """

    __slots__ = ("_others",)

    def __init__(self, value: Value, others: list[Cell]):
        super().__init__(value, _SHARED)
        self._others = [(cell, cell.stamp()) for cell in others]

    @property
    def others(self) -> list[Cell]:
        """The arrays that it may be, or be a view of."""
        return [cell for cell, _ in self._others]

    @property
    def value(self) -> Value:
        for cell, stamp in self._others:
            if cell.stamp() != stamp:
                refuse(_STALE.format(name=cell.value.name or "another array"))
        return self._value


class Pending:
    """Base of what a variable may have in place of a value; `read` gives the value or raises."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Undecided(Pending):
    """A variable whose values can't become one: they are of different kinds.

    Attributes:
        reason: both values in words, and where.
        argument: an int argument which, made static, decides it.
    """

    reason: str
    argument: Value | None = None

    def read(self, name: str) -> object:
        if self.argument is not None:
            raise NeedStatic(self.argument, self.reason)
        raise TraceError(f"{name} {self.reason}", current().loc.syntax_location())


@dataclass(frozen=True, slots=True)
class Maybe(Pending):
    """A variable that is bound only if `defined` is true."""

    value: object
    defined: Expr

    def read(self, name: str) -> object:
        require(self.defined, f"cannot access local variable {name} where it is not associated with a value")
        return self.value
