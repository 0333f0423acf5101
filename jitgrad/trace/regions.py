"""Tracing a region: the state that it starts from, what it changes of it, and how that is put together again.

State is what names stand for, what arrays hold, and what is in the containers that the traced function has made.
`explore` traces a region, takes images of what has changed, and puts everything back.
"""

from __future__ import annotations

import functools
import random
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from jitgrad.errors import JitgradError
from jitgrad.ops.symbolic import Expr, NeedStatic, building, current
from jitgrad.trace.aliases import Undecided
from jitgrad.trace.images import Fixed, Image, Imager, Leaf, Opaque
from jitgrad.trace.journal import MISSING, Region, capturing_undone
from jitgrad.trace.liveness import live_during_call
from jitgrad.trace.merge import Differs, Joiner, Joint, Slot, Spec
from jitgrad.trace.source import TRACED
from jitgrad.trace.static import require_static
from jitgrad.trace.stretch import Stretch
from jitgrad.trace.structure import has_parts, is_mutable, parts, rebuilt, refill
from jitgrad.trace.values import Cell

_GENERATORS = (np.random.RandomState, np.random.Generator, np.random.BitGenerator, random.Random)


class Variable:
    """A name of a frame."""

    def __init__(self, frame, name: str):
        self.frame, self.name = frame, name
        self.key = (id(frame), name)
        self.words = f"the variable {name!r}"

    def image(self, imager: Imager) -> Image:
        return imager.image(self.frame.vars.get(self.name, MISSING))

    def put(self, x: object) -> None:
        self.frame.set(self.name, x)


class Elements:
    """What an array holds."""

    def __init__(self, cell: Cell):
        self.cell = cell
        self.key = ("elements", id(cell))
        self.words = f"the array {cell.state()[0].name or ''!r}"

    def image(self, imager: Imager) -> Image:
        return Leaf(self.cell.value)

    def put(self, x: Expr) -> None:
        self.cell.put(x.value)


class Contents:
    """What a container holds; `name` is a variable that has it, if there is one."""

    def __init__(self, container: object, name: str | None = None):
        self.container, self.name = container, name
        self.key = ("contents", id(container))
        self.words = f"a {type(container).__name__} that is changed here"

    def image(self, imager: Imager) -> Image:
        return imager.image(rebuilt(self.container, parts(self.container)))

    def put(self, x: object) -> None:
        refill(self.container, parts(x))


Place = Variable | Elements | Contents


@dataclass
class State:
    """The containers, iterators and arrays that can be reached from the variables of the running functions.

    Attributes:
        containers: the mutable ones, with their parts.
        stateful: ids of what a region may not advance.
        uses: for each array and container, by its id, how many names and containers hold it or a view of it.
    """

    containers: dict[int, tuple[object, dict]] = field(default_factory=dict)
    stateful: set[int] = field(default_factory=set)
    uses: Counter = field(default_factory=Counter)
    _seen: dict[int, object] = field(default_factory=dict)

    def visit(self, x: object, trace) -> None:
        self.uses[id(x.root() if isinstance(x, Cell) else x)] += 1
        if isinstance(x, Cell) or id(x) in self._seen or isinstance(x, type) or trace.externals.is_outside(x):
            return
        self._seen[id(x)] = x
        if isinstance(x, types.FunctionType):
            if x in TRACED:
                closure = TRACED[x]
                self.visit_all((*closure.defaults, *closure.kw_defaults.values()), trace)
                self.visit_frame(closure.frame, trace)
        elif isinstance(x, types.MethodType):
            self.visit_all((x.__func__, x.__self__), trace)
        elif isinstance(x, functools.partial):
            self.visit_all((x.func, *x.args, *x.keywords.values()), trace)
        elif isinstance(x, _GENERATORS) or hasattr(type(x), "__next__"):
            self.stateful.add(id(x))
        elif has_parts(x):
            held = parts(x)
            if is_mutable(x):
                self.containers[id(x)] = (x, held)
            self.visit_all(held.values(), trace)

    def visit_all(self, things: Iterable, trace) -> None:
        for x in things:
            self.visit(x, trace)

    def visit_frame(self, frame, trace) -> None:
        while frame is not None and id(frame) not in self._seen:
            self._seen[id(frame)] = frame
            is_live = live_during_call(frame) if frame is not trace.frames[-1] else None
            for name, x in frame.vars.items():
                if is_live is None or not isinstance(x, Cell) or is_live(name):
                    self.visit(x, trace)
            frame = frame.parent

    @staticmethod
    def of(trace, without=None) -> State:
        """The state now; as if a frame had no variables, if one is given."""
        state = State()
        for frame in trace.frames:
            if frame is not without:
                state.visit_frame(frame, trace)
        return state

    def changed(self) -> list[object]:
        """The containers that have other parts now."""
        return [x for x, before in self.containers.values() if not _same_parts(parts(x), before)]

    def restore(self) -> None:
        for x, before in self.containers.values():
            if not _same_parts(parts(x), before):
                refill(x, before)


def _same_parts(a: dict, b: dict) -> bool:
    return list(a) == list(b) and all(a[k] is b[k] for k in a)


@dataclass(eq=False)
class Outcome:
    """What tracing a region has given.

    Attributes:
        changes: what has changed, as images of what it is at the end.
        results: images of what the region has returned.
        error: what it has raised instead, where that is an exception of the program's.
    """

    region: Region
    state: State
    changes: dict[object, tuple[Place, Image]] = field(default_factory=dict)
    results: list[Image] = field(default_factory=list)
    error: Exception | None = None
    imager: Imager = field(default_factory=Imager)
    _ends: list[Callable[[], None]] = field(default_factory=list)

    def keep(self) -> None:
        """Note the state at the end, to which `end` comes back."""
        self._ends.append(self.region.end())
        for x in self.state.changed():
            self._ends.append(functools.partial(refill, x, parts(x)))

    def restore(self) -> None:
        """The state at entry."""
        self.region.restore()
        self.state.restore()

    def end(self, place: Place) -> Image:
        """What a place has at the end; it may have changed with what it holds, or not at all."""
        if place.key in self.changes:
            return self.changes[place.key][1]
        with self._at_end():
            return place.image(self.imager)

    def uses(self, trace, without=None) -> Counter:
        """How many names and containers hold each array at the end, not counting the variables of a frame."""
        with self._at_end():
            return State.of(trace, without).uses

    @contextmanager
    def _at_end(self) -> Iterator[None]:
        """The state at the end, for a moment."""
        with building(self.region):
            for put in self._ends:
                put()
            try:
                yield
            finally:
                self.restore()


def explore(trace, build: Callable[[Region], tuple], state: State | None = None, raises: bool = False) -> Outcome:
    """Trace a region by `build(region)`, which returns its results, and put all state back.

    Args:
        trace: the running trace.
        build: evaluates what is in the region.
        state: that before it, if it is known.
        raises: note an exception that the user's function raises, in place of handing it on.
    """
    outer = current()
    state = State.of(trace) if state is None else state
    region = Region(outer, frozenset(state.stateful))
    outcome = Outcome(region, state)
    depth = len(trace.frames)
    with capturing_undone(outer):
        try:
            with building(region):
                try:
                    results = build(region)
                except NeedStatic as need:
                    require_static(need.value, need.use, trace.hidden_values())
                outcome.results = [outcome.imager.image(x) for x in results]
                outcome.changes = {p.key: (p, p.image(outcome.imager)) for p in _changed(region, state, trace)}
                outcome.keep()
        except (JitgradError, NeedStatic):
            raise
        except Exception as error:
            if not raises:
                raise
            outcome.error = error
        finally:
            del trace.frames[depth:]
            outcome.restore()
    return outcome


def _changed(region: Region, state: State, trace) -> list[Place]:
    """What a region has changed: arrays, containers, then variables."""
    places: list[Place] = [Elements(cell) for cell, value, _ in region.cells.values() if cell.value is not value]
    places += [Contents(x, _name_of(x, trace)) for x in state.changed()]
    places += [
        Variable(frame, name)
        for frame, name, before in region.variables.values()
        if frame.vars.get(name, MISSING) is not before
    ]
    return places


def _name_of(container: object, trace) -> str | None:
    """A variable of a running function that a container is found by."""
    names = (name for frame in reversed(trace.frames) for name, x in frame.vars.items() if x is container)
    return next(names, None)


def _take_name(spec: Spec, name: str | None) -> None:
    """Name a slot after the variable that has it, and the buffers of a list that grows after the list."""
    if isinstance(spec, Slot) and spec.variable is None:
        spec.variable = name
    stretch = spec.children.get(0) if isinstance(spec, Joint) and name is not None else None
    if isinstance(stretch, Joint) and isinstance(stretch.things[0], Stretch):
        for key, child in stretch.children.items():
            _take_name(child, f"{name}_count" if key == "count" else name)


def joined(joiner: Joiner, place: Place, a: Image, b: Image, where: str, argument=None) -> Spec:
    """The spec of a place; a variable whose images differ is undecided, which is an error only when it is read.

    Raises:
        TraceError: the parts of a container differ.
    """
    try:
        spec = joiner.join(a, b)
        if not isinstance(place, Elements):
            _take_name(spec, place.name)
        return spec
    except Differs as differs:
        for image in (a, b):
            if isinstance(image, Opaque) and image.undecided is not None:
                return Fixed(image.undecided)
        undecided = Undecided(where.format(*differs.args), argument)
        if isinstance(place, Variable):
            return Fixed(undecided)
        return undecided.read(place.words)
