"""What a region of the program (a loop's body, a branch) changes of the state around it while it is traced.

Tracing runs a region as Python would, so it binds names and writes to arrays. The builder of the region keeps what was
there before, so that the other branch, or the body's next try, starts from the same state.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Value
from jitgrad.ops.symbolic import Builder, current, is_building

MISSING = object()

# Numbers for the states of arrays: a state that was given up and another one never share theirs.
stamps = itertools.count(1)


class Region(Builder):
    """The builder of a region.

    Attributes:
        variables: frame, name and value at entry of each variable that has been bound.
        cells: each array that has been written to, with its value and stamp at entry.
        stateful: ids of iterators, random generators and the like that were there at entry.
    """

    def __init__(self, parent: Builder, stateful: frozenset[int] = frozenset()):
        super().__init__(parent=parent, region=True)
        self.variables: dict[tuple[int, str], tuple] = {}
        self.cells: dict[int, tuple] = {}
        self.stateful = stateful

    def note_binding(self, frame, name: str) -> None:
        """A variable is about to be bound, or deleted."""
        self.variables.setdefault((id(frame), name), (frame, name, frame.vars.get(name, MISSING)))

    def note_write(self, cell) -> None:
        """An array is about to be written to."""
        self.cells.setdefault(id(cell), (cell, *cell.state()))

    def restore(self) -> None:
        """Variables and arrays as they were at entry."""
        _set(self.variables.values(), self.cells.values())

    def end(self) -> Callable[[], None]:
        """What makes variables and arrays again what they are now."""
        variables = [(frame, name, frame.vars.get(name, MISSING)) for frame, name, _ in self.variables.values()]
        cells = [(cell, *cell.state()) for cell, *_ in self.cells.values()]
        return lambda: _set(variables, cells)


def _set(variables: Iterable[tuple], cells: Iterable[tuple]) -> None:
    for frame, name, value in variables:
        if value is MISSING:
            frame.vars.pop(name, None)
        else:
            frame.vars[name] = value
    for cell, *state in cells:
        cell.set_state(*state)


def regions(home: Builder | None = None) -> Iterator[Region]:
    """The regions that are being traced, innermost first; of `home`, those inside of that builder only."""
    builder = current() if is_building() else None
    while builder is not None and builder is not home:
        if isinstance(builder, Region):
            yield builder
        builder = builder.parent


def is_within(home: Builder) -> bool:
    """Whether what is traced belongs to `home`, or to regions of it, and to no derivative inside."""
    builder = current()
    while builder is not home:
        if not builder.region:
            return False
        builder = builder.parent
    return True


def can_read(home: Builder) -> bool:
    """Whether what `home` has made can be read by what is traced now."""
    builder = current()
    while builder is not None and builder is not home:
        builder = builder.parent
    return builder is home


def check_stateful(x: object, what: str) -> None:
    """Refuse to use up in a region what belongs to the state around: the region is traced another number of times.

    Raises:
        TraceError: `x` was there before the region.
    """
    region = next((region for region in regions() if id(x) in region.stateful), None)
    if region is not None:
        raise NeedUnrolled(
            f"{what} in a loop or branch of the compiled program, but was made outside of it; tracing would do that "
            "another number of times than running does. Make a list, or draw the numbers, before",
            current().loc.syntax_location(),
            region,
        )


class NeedUnrolled(TraceError):
    """A loop can't become a region, and has to be unrolled if that is possible.

    Attributes:
        loop: the builder of its body.
        inputs: what the number depends on that Python needs, if it is one.
    """

    def __init__(self, message: str, place: tuple, loop: Builder, inputs: frozenset[Value] = frozenset()):
        super().__init__(message, place)
        self.loop, self.inputs = loop, inputs


def is_of_other_loop(error: Exception) -> bool:
    """Whether an error asks for another loop to be unrolled than one that starts here."""
    return isinstance(error, NeedUnrolled) and error.loop.parent is not current()


@contextmanager
def capturing_undone(builder: Builder) -> Iterator[None]:
    """Arrays that were captured inside are forgotten if it fails."""
    before = len(builder.captured)
    try:
        yield
    except BaseException:
        del builder.captured[before:]
        raise
