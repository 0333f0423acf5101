"""What a loop carries is found by tracing its body until that doesn't change any more.

The body is traced with what is known to change bound to params; what else has changed at its end is carried in the next
try. Types join, so that `s = 0` may become a float. What can't be carried is undecided inside of the body.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Value
from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace.aliases import Undecided
from jitgrad.trace.carries import Carry, ghost
from jitgrad.trace.growing import STALE
from jitgrad.trace.growth import InLoop
from jitgrad.trace.images import Fixed, Image, Imager, Leaf
from jitgrad.trace.journal import Region
from jitgrad.trace.merge import Differs, Joiner, Slot, Spec
from jitgrad.trace.regions import Contents, Elements, Outcome, Place, State, Variable, explore, joined
from jitgrad.trace.static import static_argument
from jitgrad.trace.values import Cell

_TRIES = 10


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """A region of a loop as it was traced last: its outcome, its params, and what Python had for them."""

    outcome: Outcome
    params: list[Value]
    objects: list[object]

    def unchanged(self, carry: Carry) -> set[object]:
        """The keys of places that have at the end what they were given at the beginning."""
        given = dict(zip(carry.slots, zip(self.params, self.objects, strict=True), strict=True))
        found = set()
        for place, spec in carry.specs:
            end = self.outcome.changes.get(place.key, (None, None))[1]
            if isinstance(spec, Slot) and isinstance(end, Leaf):
                param, x = given[spec]
                if end.arg is param and (end.cell is None or end.cell is x):
                    found.add(place.key)
        return found


@dataclass(frozen=True, eq=False, slots=True)
class Solution:
    """A loop that is traced.

    Attributes:
        carry: what it carries.
        test: the region of a `while`'s condition, or None.
        body: that of the body.
        dead: variables that are bound in it, and not read after an iteration.
    """

    carry: Carry
    test: Part | None
    body: Part
    dead: list[Variable]


class Solver:
    """Finds the solution of a loop.

    Args:
        trace: the running trace.
        body: evaluates an iteration; gives results, of which `starts` says what they are before the first one.
        starts: images of the results before the loop.
        test: evaluates the condition of a `while`; or None.
        is_live: whether a variable may be read in a later iteration, or after the loop.
        key: what tells the loop from others.
        runs: there is at least one iteration.
        most: how many iterations there can be; None if that isn't known.
    """

    def __init__(
        self,
        trace,
        body: Callable[[Region], tuple],
        starts: list[Image],
        test: Callable[[], object] | None,
        is_live: Callable[[Variable], bool],
        key: object,
        runs: bool,
        most: int | Expr | None,
    ):
        self.trace, self.body, self.starts, self.test = trace, body, starts, test
        self.is_live, self.runs = is_live, runs
        self.key = (key, tuple(id(frame.node) for frame in trace.frames))
        self.loc = current().loc
        self.where = f"changes from {{}} to {{}} in the loop in line {self.loc.line}"
        argument = static_argument(most.value, trace.hidden_values()) if isinstance(most, Expr) else None
        self.grow = InLoop(most, argument)
        self.state = State.of(trace)
        self.entry = Imager()

    def solve(self) -> Solution:
        """
        Raises:
            TraceError: there is none, or the body can't be traced.
        """
        known = self.trace.solutions.get(self.key)
        if known is not None:
            try:
                return self._solve(self._start(known))
            except TraceError:
                pass
        return self._solve(Carry([], [], [], self.state))

    def _solve(self, carry: Carry) -> Solution:
        for tries in range(_TRIES):
            test = None if self.test is None else self._explore(carry, self._evaluate_test)
            if test is not None and test.outcome.changes.keys() - {place.key for place, _ in carry.specs}:
                raise self._error(
                    "the condition of a `while` changes variables or arrays; use `while True:` and `if not ...: break`"
                )
            body = self._explore(carry, self.body)
            new, dead = self._next(carry, test, body, tries < _TRIES // 2)
            if new.signature() == carry.signature():
                self.trace.solutions[self.key] = self._described(new)
                return Solution(new, test, body, dead)
            carry = new
        raise self._error("the types of what this loop changes are different in each iteration")

    def _error(self, message: str) -> TraceError:
        return TraceError(message, self.loc.syntax_location())

    def _evaluate_test(self, region: Region) -> tuple:
        return (self.test(),)

    def _explore(self, carry: Carry, build: Callable[[Region], tuple]) -> Part:
        params = [Value(slot.type, slot.name) for slot in carry.slots]
        objects: list[object] = []
        current().loc = self.loc

        def within(region: Region) -> tuple:
            region.own(params)
            made = carry.put(dict(zip(carry.slots, params, strict=True)), self.trace)
            objects.extend(made[slot] for slot in carry.slots)
            return build(region)

        return Part(explore(self.trace, within, self.state), params, objects)

    def _next(self, carry: Carry, test: Part | None, body: Part, drops: bool) -> tuple[Carry, list[Variable]]:
        """What has to be carried, after a try; `drops`: without what hasn't changed."""
        places: dict[object, Place] = {place.key: place for place, _ in carry.specs}
        unchanged = body.unchanged(carry) if drops else set()
        dead = []
        for key, (place, _) in body.outcome.changes.items():
            if isinstance(place, Variable) and not self.is_live(place):
                dead.append(place)
            elif key in unchanged:
                del places[key]
            else:
                places.setdefault(key, place)
        regions = [part.outcome.region for part in (test, body) if part is not None]
        joiner = Joiner(second=regions, grow=self.grow)
        self.grow.leaves_early = any(map(_differ, self.starts, body.outcome.results))
        order = sorted(places.values(), key=lambda p: (Elements, Contents, Variable).index(type(p)))
        specs = [(place, self._join(joiner, place, body.outcome)) for place in order]
        results = [self._join_result(joiner, *pair) for pair in zip(self.starts, body.outcome.results, strict=True)]
        if any(isinstance(place, Elements) and id(place.cell) in held for held in joiner.held for place, _ in specs):
            raise self._error(STALE)
        return Carry(specs, results, joiner.slots, self.state, regions, self.runs, joiner.held[1]), dead

    def _join(self, joiner: Joiner, place: Place, outcome: Outcome) -> Spec:
        entry = place.image(self.entry)
        return joined(joiner, place, entry, outcome.end(place), self.where)

    def _join_result(self, joiner: Joiner, start: Image, end: Image) -> Spec:
        try:
            return joiner.join(start, end)
        except Differs as differs:
            reason = f"is {differs.args[1]}, which can't be handed out of the loop in line {self.loc.line}"
            return Fixed(Undecided(reason))

    # What is known from an earlier trace of the same loop.
    def _start(self, known: tuple[list, list[Image]]) -> Carry:
        joiner = Joiner()
        specs: dict[object, tuple[Place, Spec]] = {}
        for kind, k, name, image in known[0]:
            place = self._place(kind, k, name)
            if place is not None and place.key not in specs:
                with suppress(Differs):
                    specs[place.key] = (place, joiner.join(place.image(self.entry), image))
        results = [self._join_result(joiner, *pair) for pair in zip(self.starts, known[1], strict=True)]
        return Carry(list(specs.values()), results, joiner.slots, self.state)

    def _described(self, carry: Carry) -> tuple[list, list[Image]]:
        found = []
        for place, spec in carry.specs:
            for k, frame in enumerate(self.trace.frames):
                name = _name_in(frame, place)
                if name is not None:
                    found.append((type(place), k, name, ghost(spec)))
                    break
        return found, [ghost(spec) for spec in carry.results]

    def _place(self, kind: type, k: int, name: str) -> Place | None:
        """The place that a description from another trace means."""
        frame = self.trace.frames[k]
        if kind is Variable:
            return Variable(frame, name)
        x = frame.vars.get(name)
        if kind is Elements:
            return Elements(x.root()) if isinstance(x, Cell) else None
        return Contents(x, name) if id(x) in self.state.containers else None


def _differ(start: Image, end: Image) -> bool:
    """Whether a number isn't what it was at the start."""
    return isinstance(start, Leaf) and not (isinstance(end, Leaf) and end.arg == start.arg)


def _name_in(frame, place: Place) -> str | None:
    """A variable of a frame by which a place is found."""
    if isinstance(place, Variable):
        return place.name if place.frame is frame else None
    if isinstance(place, Elements):
        return next((n for n, x in frame.vars.items() if isinstance(x, Cell) and x.root() is place.cell), None)
    return next((n for n, x in frame.vars.items() if x is place.container), None)
