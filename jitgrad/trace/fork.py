"""A branch on a run-time condition: both sides are traced from the same state, and put together."""

from __future__ import annotations

import builtins
from collections.abc import Callable

import numpy as np

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Block, Node, Value
from jitgrad.ops.control import error_class, require
from jitgrad.ops.flow import if_
from jitgrad.ops.symbolic import Expr, building, current
from jitgrad.trace.aliases import Alias, Undecided
from jitgrad.trace.images import Fixed
from jitgrad.trace.merge import Differs, Joiner, Slot, argument, built, shared
from jitgrad.trace.regions import Elements, Outcome, Place, Variable, explore, joined
from jitgrad.trace.static import static_argument
from jitgrad.trace.values import Cell


class Unfinished(Exception):
    """What a call gives isn't known yet, of a function that is being traced; the other branches say it."""


def fork(
    trace,
    condition: Expr,
    then: Callable[[], tuple],
    orelse: Callable[[], tuple],
    is_live: Callable[[Variable], bool] | None = None,
) -> tuple:
    """`then()` or `orelse()`, as `condition` says at run time; both give tuples of as many results.

    `is_live` says which variables may be read after it. A side that ends in an exception of the user's function becomes
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
    return merged(trace, condition, *sides, is_live)


def merged(trace, condition: Expr, a: Outcome, b: Outcome, is_live: Callable[[Variable], bool] | None = None) -> tuple:
    """The branch of two sides that were explored."""
    return _Merge(trace, condition, a, b, is_live).result()


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

    def __init__(self, trace, condition: Expr, a: Outcome, b: Outcome, is_live: Callable[[Variable], bool] | None):
        self.trace, self.condition, self.sides, self.is_live = trace, condition, (a, b), is_live
        self.regions = (a.region, b.region)
        line = current().loc.line
        self.where = f"is {{}} or {{}}, depending on the branch taken in line {line}"
        argument = static_argument(condition.value, trace.hidden_values())
        self.argument = argument
        self.joiner = Joiner((a.region,), (b.region,))

    def result(self) -> tuple:
        a, b = self.sides
        places: dict[object, Place] = {key: place for side in self.sides for key, (place, _) in side.changes.items()}
        order = sorted(places.values(), key=lambda p: (isinstance(p, Variable), not isinstance(p, Elements)))
        specs = []
        for place in order:
            if self.is_live is not None and isinstance(place, Variable) and not self.is_live(place):
                specs.append((place, Fixed(DEAD)))
                continue
            images = [side.end(place) for side in (a, b)]
            specs.append((place, joined(self.joiner, place, *images, self.where, self.argument)))
        elements = {spec for place, spec in specs if isinstance(place, Elements)}
        results = [self._join_result(x, y) for x, y in zip(a.results, b.results, strict=True)]
        outs = self._emit()
        arrays = [s for s in self.joiner.slots if s.type.shape and s not in elements]
        aliased = shared(arrays, 0) | shared(arrays, 1)
        made: dict = {}

        def make(slot: Slot) -> object:
            out = outs[slot]
            if not slot.type.shape or slot in elements:
                return Expr(out)
            others = self._outside(slot)
            return Alias(out, others) if others or slot in aliased else Cell(out)

        for place, spec in specs:
            place.put(built(spec, make, made))
        self._seal(made)
        return tuple(built(spec, make, made) for spec in results)

    def _join_result(self, a, b):
        try:
            return self.joiner.join(a, b)
        except Differs as differs:
            return Fixed(Undecided(self.where.format(*differs.args), self.argument))

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

    def _outside(self, slot: Slot) -> list[Cell]:
        """The arrays from before the branch that this one may be, or be a view of."""
        roots = (slot.root(side) for side in (0, 1))
        return [root for root in roots if root is not None and root.builder not in self.regions]

    def _seal(self, made: dict) -> None:
        """Containers that are one that was there before, or another, can't be changed any more."""
        for spec, container in made.items():
            for thing in getattr(spec, "things", ()):
                if any(id(thing) in side.state.containers for side in self.sides):
                    self.trace.seal(thing)
                    self.trace.seal(container)
