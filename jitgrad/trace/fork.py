"""A branch on a run-time condition: both sides are traced from the same state, and put together."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Block, Node, Value
from jitgrad.ops.control import error_class, require
from jitgrad.ops.flow import if_
from jitgrad.ops.symbolic import Expr, building, current
from jitgrad.trace.aliases import Alias, Undecided
from jitgrad.trace.growth import InBranch
from jitgrad.trace.images import Fixed, Image
from jitgrad.trace.liveness import has_functions
from jitgrad.trace.merge import Differs, Joiner, Slot, Spec, argument, built, shared
from jitgrad.trace.regions import Elements, Outcome, Place, Variable, explore, joined
from jitgrad.trace.static import static_argument
from jitgrad.trace.values import Cell


class Unfinished(Exception):
    """What a call gives isn't known yet, of a function that is being traced; the other branches say it."""


@dataclass(frozen=True, slots=True)
class After:
    """What is known of the program after a branch.

    Attributes:
        is_live: whether a variable may be read.
        returns: whether a side with these results has left the running function.
    """

    is_live: Callable[[Variable], bool] = lambda variable: True
    returns: Callable[[list[Image]], bool] = lambda results: False


UNKNOWN = After()


def fork(
    trace, condition: Expr, then: Callable[[], tuple], orelse: Callable[[], tuple], after: After = UNKNOWN
) -> tuple:
    """`then()` or `orelse()`, as `condition` says at run time; both give tuples of as many results.

    A side that ends in an exception of the user's function becomes
    a check, and the other one goes on.
    """
    loc = current().loc
    sides: list[Outcome] = []
    for k, side in enumerate((then, orelse)):
        current().loc = loc
        outcome = explore(trace, lambda _, side=side: side(), raises=True)
        if outcome.error is not None:
            return _raising(
                trace, condition if k else np.logical_not(condition), outcome.error, orelse if k == 0 else then
            )
        sides.append(outcome)
    current().loc = loc
    return merged(trace, condition, *sides, after)


def merged(trace, condition: Expr, a: Outcome, b: Outcome, after: After = UNKNOWN) -> tuple:
    """The branch of two sides that were explored."""
    return _Merge(trace, condition, a, b, after).result()


def _raising(trace, fine: Expr, error: Exception, otherwise: Callable[[], tuple]) -> tuple:
    """One side raises: make sure that it isn't taken."""
    if isinstance(error, Unfinished):
        return otherwise()
    if trace.handlers:
        raise TraceError(
            f"{type(error).__name__} is raised under a run-time condition inside a `try`, whose handlers can't see it; "
            "test the condition itself in place of catching the error",
            current().loc.syntax_location(),
        ) from error
    require(fine, _raised_message(error))
    return otherwise()


def _raised_message(error: Exception) -> str:
    """The message of a check that raises such an error at run time."""
    kind = type(error)
    if getattr(builtins, kind.__name__, None) is not kind:
        raise TraceError(
            f"{kind.__name__} is raised under a run-time condition, which a compiled function can do with Python's own "
            "exceptions only; raise one of them",
            current().loc.syntax_location(),
        ) from error
    text = str(error.args[0]).partition("\n")[0] if error.args else ""
    message = text if error_class(text) is kind else f"{kind.__name__}: {text}"
    return message.replace("{", "{{").replace("}", "}}")


# What a variable has after a branch or loop where, by the source, nothing reads it any more.
DEAD = Undecided("was bound in a branch or loop, and isn't known after it")


class _Merge:
    """Two sides of a branch made into a node and a state."""

    def __init__(self, trace, condition: Expr, a: Outcome, b: Outcome, after: After):
        self.trace, self.condition, self.sides, self.after = trace, condition, (a, b), after
        self.regions = (a.region, b.region)
        self.running = trace.frames[-1]
        self.returns = [not has_functions(self.running) and after.returns(side.results) for side in self.sides]
        self.where = f"is {{}} or {{}}, depending on the branch taken in line {current().loc.line}"
        self.argument = static_argument(condition.value, trace.hidden_values())
        self.joiner = Joiner((a.region,), (b.region,), InBranch(self.argument))

    def result(self) -> tuple:
        a, b = self.sides
        places: dict[object, Place] = {key: place for side in self.sides for key, (place, _) in side.changes.items()}
        order = sorted(places.values(), key=lambda p: (isinstance(p, Variable), not isinstance(p, Elements)))
        specs = [(place, spec) for place in order if (spec := self._join(place)) is not None]
        held = set(self.joiner.slots)
        results = [self._join_result(x, y) for x, y in zip(a.results, b.results, strict=True)]
        make = self._maker({spec for place, spec in specs if isinstance(place, Elements)}, held)
        made: dict = {}
        for place, spec in specs:
            place.put(built(spec, make, made))
        self._seal(made)
        return tuple(built(spec, make, made) for spec in results)

    def _join(self, place: Place) -> Spec | None:
        """What a place has after the branch; None if that is what it has had before."""
        if isinstance(place, Variable):
            if not self.after.is_live(place) or (all(self.returns) and self._is_own(place)):
                return Fixed(DEAD)
            if any(self.returns) and self._is_own(place):
                return self._join_other(place, self.returns.index(True))
        images = [side.end(place) for side in self.sides]
        return joined(self.joiner, place, *images, self.where, self.argument)

    def _is_own(self, variable: Variable) -> bool:
        """Whether it is a variable of the running function: nobody reads it once that has returned."""
        return variable.frame is self.running

    def _join_other(self, place: Variable, gone: int) -> Spec | None:
        """Of a variable that is only read where the other side was taken."""
        stays = self.sides[1 - gone]
        if place.key not in stays.changes:
            return None
        try:
            return self.joiner.alone(stays.end(place), gone)
        except Differs as differs:
            return Fixed(Undecided(self.where.format(*differs.args), self.argument))

    def _join_result(self, a: Image, b: Image) -> Spec:
        try:
            return self.joiner.join(a, b)
        except Differs as differs:
            return Fixed(Undecided(self.where.format(*differs.args), self.argument))

    def _maker(self, elements: set[Spec], held: set[Slot]) -> Callable[[Slot], object]:
        """Add the node; what gives numbers and arrays for its results. `held` are those that names have."""
        outs = self._emit()
        arrays = [s for s in self.joiner.slots if s.type.shape and s not in elements]
        aliased = set().union(*(shared(arrays, k, held.values()) for k, held in enumerate(self.joiner.held)))
        uses = [self._uses(side, arrays) for side in (0, 1)]

        def make(slot: Slot) -> object:
            out = outs[slot]
            if not slot.type.shape or slot in elements:
                return Expr(out)
            outside = self._outside(slot)
            others = [root for side, root in outside if uses[side][id(root)] > (slot in held)]
            others += [x for side in (0, 1) for x in slot.others(side) if x.builder not in self.regions]
            return Alias(out, others) if others or slot in aliased else Cell(out, before=[root for _, root in outside])

        return make

    def _uses(self, side: int, arrays: list[Slot]) -> Counter:
        """How many names have each array at the end of a side."""
        if not any(map(self._outside, arrays)):
            return Counter()
        return self.sides[side].uses(self.trace, self.running if self.returns[side] else None)

    def _emit(self) -> dict[Slot, Value]:
        """Add the node; its results by slot."""
        slots = self.joiner.slots
        blocks = []
        for side, region in enumerate(self.regions):
            with building(region):
                results = tuple(argument(slot, side) for slot in slots)
            blocks.append(Block((), region.nodes, results, ("then", "orelse")[side]))
        outs = {slot: Value(slot.type, slot.name) for slot in slots}
        builder = current()
        if slots or any(region.nodes for region in self.regions):
            builder.append(Node(if_, (self.condition.value,), tuple(outs.values()), {}, tuple(blocks), builder.loc))
        return outs

    def _outside(self, slot: Slot) -> list[tuple[int, Cell]]:
        """The arrays from before the branch that this one may be, or be a view of, each with the side."""
        roots = ((side, slot.root(side)) for side in (0, 1))
        return [(side, root) for side, root in roots if root is not None and root.builder not in self.regions]

    def _seal(self, made: dict) -> None:
        """Containers that are one that was there before, or another, can't be changed any more."""
        for spec, container in made.items():
            for thing in getattr(spec, "things", ()):
                if any(id(thing) in side.state.containers for side in self.sides):
                    self.trace.seal(thing)
                    self.trace.seal(container)
