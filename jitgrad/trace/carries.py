"""What a loop carries, and the arrays among it that may be the same as others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from jitgrad.ir.graph import Value
from jitgrad.ops.symbolic import Expr
from jitgrad.trace.aliases import Alias, Undecided
from jitgrad.trace.images import Fixed, Image, Leaf, Opaque, Optional, Tree
from jitgrad.trace.journal import Region
from jitgrad.trace.merge import Choice, Joint, Slot, Spec, built, shared, signature
from jitgrad.trace.regions import Elements, Place, State
from jitgrad.trace.stretch import Stretch
from jitgrad.trace.values import Cell


class Carry:
    """The specs of places and of results, joined from what they are before the loop and after an iteration.

    Attributes:
        specs, results: the specs.
        slots: the numbers and arrays in them, in order.
        inside, after: arrays that may be the same as others, or views of them, with those others from outside of the
            loop; in the body and after the loop.
    """

    def __init__(
        self,
        specs: list[tuple[Place, Spec]],
        results: list[Spec],
        slots: list[Slot],
        state: State,
        regions: Collection[Region] = (),
        runs: bool = False,
        held: Mapping[int, Cell] = MappingProxyType({}),
    ):
        self.specs, self.results, self.slots, self.state = specs, results, slots, state
        self._elements = {spec for place, spec in specs if isinstance(place, Elements)}
        arrays = [s for s in slots if s.type.shape and s not in self._elements]
        inner = shared(arrays, 1, held.values())
        replaced = {id(slot.root(0)) for slot in arrays if slot.root(0) is not None and not self._first(slot)}
        self.inside: dict[Slot, list[Cell]] = {}
        self.after: dict[Slot, list[Cell]] = {}
        for slot in arrays:
            first, last = self._first(slot), slot.root(1)
            # What the body is traced with first is replaced by params then.
            others = [last] if last is not None and last.builder not in regions and id(last) not in replaced else []
            others += [cell for cell in slot.others(1) if cell.builder not in regions]
            if first or others or slot in inner:
                self.inside[slot] = first + others
            if others or slot in inner or (first and not runs):
                self.after[slot] = others if runs else first + others

    def _first(self, slot: Slot) -> list[Cell]:
        """The array that a slot starts from, if another name has it, too."""
        root = slot.root(0)
        held = root is not None and self.state.uses[id(root)] > 1
        return [*([root] if held else []), *slot.others(0)]

    def put(self, values: dict[Slot, Value], trace, ended: bool = False) -> dict[object, object]:
        """Give the places these values: those of a region's params, or of what the loop has ended with.

        Returns:
            What was made of which spec.
        """
        made: dict = {}
        others = self.after if ended else self.inside

        def make(slot: Slot) -> object:
            value = values[slot]
            if not slot.type.shape or slot in self._elements:
                return Expr(value)
            if slot in others:
                return Alias(value, others[slot])
            first = slot.root(0)
            return Cell(value, before=[] if first is None else [first])

        for place, spec in self.specs:
            place.put(built(spec, make, made, ended))
        for spec in self.results:
            built(spec, make, made, ended)
        for spec, container in made.items():
            if isinstance(spec, Joint) and self._is_shared(spec):
                for thing in (*spec.things, container):
                    trace.seal(thing)
        return made

    def _is_shared(self, spec: Joint) -> bool:
        """Whether a container may be the same as that of another name."""
        first, last = map(id, spec.things)
        return self.state.uses[first] > 1 or (first != last and last in self.state.containers)

    def signature(self) -> tuple:
        """Equal for carries that ask for the same params."""
        numbers: dict[Slot, int] = {}
        specs = tuple((place.key, signature(spec, numbers)) for place, spec in self.specs)
        results = tuple(signature(spec, numbers) for spec in self.results)
        return specs, results, tuple(slot in self.inside for slot in numbers)


def ghost(spec: Spec) -> Image:
    """An image of the type of a spec, to start from when the loop is met again."""
    if isinstance(spec, Slot):
        return Leaf(Value(spec.type, spec.name))
    if isinstance(spec, Choice):
        flag = ghost(spec.flag)
        return Optional(ghost(spec.value), flag if isinstance(flag, Leaf) else Leaf(Value(spec.flag.type)))
    if isinstance(spec, Joint):
        if isinstance(spec.things[0], Stretch):
            return Opaque("a list that grows")  # how long its buffers have to be is found out anew
        return Tree(spec.things[0], {k: ghost(child) for k, child in spec.children.items()})
    if isinstance(spec, Fixed) and isinstance(spec.thing, Undecided):
        return Opaque(spec.thing.reason, spec.thing)
    return spec
