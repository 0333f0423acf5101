"""Functions that call themselves as deep as run-time values say: they stay functions.

That a function does so is known when it is called again inside of a region that was opened while it ran. Then the trace
is given up and begun again, and at that place the function is traced as a function of the program: with params for all
numbers and arrays among its arguments. The first time a call of itself ends its branch, and the other branches say what
the function returns; from then on it is a call, until what the function returns doesn't change any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jitgrad.errors import JitgradError, TraceError
from jitgrad.ir.function import Function, close
from jitgrad.ir.graph import Arg, Block, Value
from jitgrad.ops.flow import add_call
from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace.arguments import Arguments, Parameters
from jitgrad.trace.fork import Unfinished
from jitgrad.trace.frame import Frame
from jitgrad.trace.journal import Region, regions
from jitgrad.trace.regions import Elements, Outcome, State, explore
from jitgrad.trace.returned import Returned
from jitgrad.trace.static import NeedUnrolled
from jitgrad.trace.values import Cell

_TRIES = 6
_VARIANTS = 60  # of one function, for arguments of other kinds

Place = tuple[tuple, ...]


class Recursion(JitgradError):
    """A function calls itself at run time: trace again, and make it a function of the program at this place."""

    def __init__(self, place: Place):
        super().__init__("a function calls itself")
        self.place = place


class _Unknown(Unfinished):
    """A call of a function that is being traced for the first time."""

    def __init__(self, definition: Definition):
        super().__init__("a call of itself")
        self.definition = definition


@dataclass(eq=False)
class Recursions:
    """What a trace knows of recursion.

    Attributes:
        places: where a function is called that calls itself.
        active: the functions that are being traced.
        pending: those that are traced, but can't be called from outside before those around them are traced.
        known: those that may be called again.
        static: integer arguments, by function and name, that must be known while tracing.
        stays: the next function that is called stays one, though it doesn't call itself.
    """

    places: frozenset[Place]
    active: list[Definition]
    pending: list[Definition]
    known: dict[object, Definition]
    static: set[tuple[int, object]]
    stays: bool = False

    def __init__(self, places: frozenset[Place] = frozenset()):
        self.places = places
        self.active, self.pending, self.known, self.static = [], [], {}, set()


def run(frame: Frame, body: Callable[[Frame], object]) -> object:
    """Run a function's body in its frame: evaluate it here, or call it, if it is one that calls itself."""
    trace, known = frame.trace, frame.trace.recursions
    frame.identity = _identity(frame)
    stays, known.stays = known.stays, False
    active = stays or any(d.frame.identity == frame.identity for d in known.active)
    if active or (known.places and _place(frame) in known.places):
        return _call(frame, body)
    outermost = next((k for k, f in enumerate(trace.frames) if f.identity == frame.identity), None)
    if outermost is not None and next(regions(trace.frames[outermost].home), None) is not None:
        raise Recursion(_place(trace.frames[outermost], trace.frames[:outermost]))
    return body(frame)


def _identity(frame: Frame) -> tuple:
    """What tells functions apart: the code, what is around it, and the functions that it is given.

    `descend(f)`, called by the `f` that another `descend` was given, is another function, and no recursion.
    """
    around = frame.parent if frame.parent is not None else frame.function
    given = (id(x) for x in frame.vars.values() if callable(x) and not isinstance(x, Expr))
    return id(frame.node), id(around), tuple(given)


def _place(frame: Frame, around: list[Frame] | None = None) -> Place:
    frames = [*(frame.trace.frames if around is None else around), frame]
    return tuple((id(f.node), f.site) for f in frames)


def _call(frame: Frame, body: Callable[[Frame], object]) -> object:
    """Call the function of a frame, which is traced now if need be."""
    known = frame.trace.recursions
    while True:
        arguments = Arguments(frame, known.static)
        for definition in (*known.active, known.known.get(arguments.key)):
            if definition is not None and definition.arguments.key == arguments.key:
                return definition.call(arguments)
        definition = Definition(frame, body, arguments)
        try:
            definition.define()
        except NeedUnrolled as need:
            static = definition.known_integers(need)
            if not static:
                raise
            known.static |= static
            continue
        return definition.call(arguments)


class Definition:
    """A function of the program that is being traced, or has been.

    Attributes:
        arguments: those of the call at which it was met.
        function: what is made of it.
        region: in which its body was traced last, with its `parameters`.
        returned: what it returns and writes to; None before that is known.
        captured: the values from around that it takes besides, once that is known.
    """

    def __init__(self, frame: Frame, body: Callable[[Frame], object], arguments: Arguments):
        self.frame, self.body, self.arguments = frame, body, arguments
        self.function = Function(frame.name, loc=frame.loc(frame.node))
        self.region: Region | None = None
        self.parameters: Parameters | None = None
        self.returned: Returned | None = None
        self.captured: list[Value] = []
        self.outer: list[Cell] = []  # arrays from around that it writes to
        self.by_value = False  # see `Returned`

    def define(self) -> None:
        """Trace the function until what it returns doesn't change any more."""
        known = self.frame.trace.recursions
        if sum(d.frame.node is self.frame.node for d in known.active) >= _VARIANTS:
            raise self._error("calls itself with arguments of other kinds each time (lists of another length, say)")
        known.active.append(self)
        try:
            self._solve(known)
        except _Unknown as unknown:
            if unknown.definition is not self:
                raise
            raise self._error("calls itself whatever happens, and never returns") from None
        finally:
            known.active.remove(self)
        block = Block(tuple(self.parameters.values), self.region.nodes, self.returned.results, self.frame.name)
        self.function.block = block
        known.pending.append(self)
        if not known.active:
            self._close(known)

    def _solve(self, known: Recursions) -> None:
        loc, pending = current().loc, len(known.pending)
        for _ in range(_TRIES):
            del known.pending[pending:]
            current().loc = loc
            before, arrays = self.returned, len(self.outer)
            state = State.of(self.frame.trace)
            self._note_changes(explore(self.frame.trace, partial(self._evaluate, state), state))
            if before is not None and self.returned.is_like(before) and arrays == len(self.outer):
                current().loc = loc
                return
        raise self._error("returns another type each time it is called by itself")

    def _evaluate(self, state: State, region: Region) -> tuple:
        self.region = region
        self.parameters = parameters = Parameters(self.arguments, self.outer, region, state)
        old = self.frame
        frame = Frame(old.trace, old.source, old.scope, old.parent, old.function, old.name)
        frame.owner, frame.node, frame.site, frame.identity = old.owner, old.node, old.site, old.identity
        frame.vars = parameters.variables()
        caller = Frame(old.trace, old.source, old.scope, None, old.function, old.name)
        caller.vars = {f"argument {k}": x for k, x in enumerate(parameters.objects)}
        old.trace.frames.append(caller)  # who has the arguments, too, when the function has returned
        names = (*old.node.args.posonlyargs, *old.node.args.args)
        frame.first = frame.vars.get(names[0].arg) if names else old.first
        result = self.body(frame)
        old.trace.frames.pop()
        parameters.check_containers()
        new = Returned(result, parameters, self.by_value)
        if self.returned is not None and not self.by_value and not new.has_structure_of(self.returned):
            self.by_value, self.returned = True, None  # one branch returns an argument, and another something else
            new = Returned(result, parameters, self.by_value)
        self.returned = new if self.returned is None else new.joined(self.returned, self._error)
        self.returned.finish()
        self.function.updates = dict(self.returned.updates)
        return ()

    def _note_changes(self, outcome: Outcome) -> None:
        for place, _ in outcome.changes.values():
            if not isinstance(place, Elements):
                raise self._error(f"changes {place.words} of a function around; return the new value instead")
            if not any(place.cell is cell for cell in self.outer):
                self.outer.append(place.cell)

    def _error(self, message: str) -> TraceError:
        loc = self.frame.loc(self.frame.node)
        return TraceError(f"{self.frame.name} {message}", loc.syntax_location())

    def _close(self, known: Recursions) -> None:
        """All functions are there: what they read from around becomes params."""
        captured = close([d.function for d in known.pending])
        for definition in known.pending:
            definition.captured = captured[definition.function]
        known.pending.clear()
        if self.frame.parent is None and self.arguments.is_plain and not self.captured and not self.outer:
            known.known[self.arguments.key] = self

    def call(self, arguments: Arguments) -> object:
        """Add a call; what it returns."""
        if self.returned is None:
            raise _Unknown(self)
        args: list[Arg] = [*arguments.values, *(cell.value for cell in self.outer)]
        outs = self.returned.outs(args)
        arguments.check_apart(self.returned.written)
        add_call(self.function, (*args, *self.captured), outs)
        cells = [*arguments.cells, *self.outer]
        for k, j in self.returned.updates.items():
            cells[k].store(Expr(outs[j]))
        return self.returned.rebuilt(outs, arguments)

    def known_integers(self, need: NeedUnrolled) -> set[tuple[int, object]]:
        """The integer arguments that are known where the function is called, and that it needs while it is traced."""
        if need.loop is not self.region:
            return set()
        return {
            (id(self.frame.node), self.arguments.paths[k])
            for k, param in enumerate(self.parameters.values[: len(self.arguments.values)])
            if param in need.inputs and not isinstance(self.arguments.values[k], Value)
        }
