"""Two images of one variable made into one: that of the two branches, or of a loop's start and of its next iteration.

What differs at run time becomes a slot: a result of the branch's node, or a carry of the loop's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from jitgrad.ir.graph import Arg, Const, Value
from jitgrad.ir.types import BOOL, FLOAT64, INT64, Type
from jitgrad.ops.affine import ONE, Form, form_of
from jitgrad.ops.control import require
from jitgrad.ops.create import full
from jitgrad.ops.registry import METHODS, UFUNCS
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, current
from jitgrad.trace.aliases import Alias, Maybe, Undecided
from jitgrad.trace.images import Absent, Fixed, Image, Leaf, Opaque, Optional, Tree, is_plain, show
from jitgrad.trace.journal import MISSING
from jitgrad.trace.static import depends, producer
from jitgrad.trace.stretch import Stretch
from jitgrad.trace.structure import rebuilt
from jitgrad.trace.values import Cell

_TRUE = Leaf(Const.of(True))
_FALSE = Leaf(Const.of(False))


class Differs(Exception):
    """Two images can't be made into one; the message says what both are."""

    def __init__(self, first: Image, second: Image):
        super().__init__(f"{show(first)}", f"{show(second)}")


@dataclass(eq=False, slots=True)
class Slot:
    """A number or array that differs at run time; a leaf is None where it isn't bound, and anything will do.

    Attributes:
        variable: the variable that has it, whose name it takes.
    """

    type: Type
    leaves: tuple[Leaf | None, Leaf | None]
    variable: str | None = None

    @property
    def name(self) -> str | None:
        if self.variable is not None:
            return self.variable
        return next((leaf.arg.name for leaf in self.leaves if leaf and isinstance(leaf.arg, Value)), None)

    def root(self, side: int) -> Cell | None:
        """The cell that one of the leaves is, or is a view of."""
        leaf = self.leaves[side]
        return None if leaf is None or leaf.cell is None else leaf.cell.root()

    def others(self, side: int) -> list[Cell]:
        """The arrays that this one is known to be, perhaps, or to be a view of."""
        root = self.root(side)
        return root.others if isinstance(root, Alias) else []


@dataclass(frozen=True, eq=False, slots=True)
class Joint:
    """A container with slots among its parts."""

    things: tuple[object, object]
    children: dict[object, Spec]


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """A variable that may be bound or not."""

    value: Spec
    flag: Spec


Spec = Slot | Fixed | Joint | Choice | Absent


@dataclass(eq=False)
class Joiner:
    """Makes specs of pairs of images. One array, or container, in two places stays one.

    Attributes:
        first, second: the regions that the images of each side are from, if they are from regions.
        grow: makes one stretch of lists of different lengths (`trace.growth`), if that can be.
        slots: all that the specs hold.
        held: the arrays on each side that were put into stretches, which have their values.
    """

    first: Collection[Builder] = ()
    second: Collection[Builder] = ()
    grow: Callable[[Joiner, Tree, Tree], tuple[Tree, Tree, tuple]] | None = None
    slots: list[Slot] = field(default_factory=list)
    held: tuple[dict[int, Cell], dict[int, Cell]] = field(default_factory=lambda: ({}, {}))
    _known: dict[tuple[int, int], Spec] = field(default_factory=dict)

    def join(self, a: Image, b: Image) -> Spec:
        """
        Raises:
            Differs: they are of different kinds.
        """
        slots, known = len(self.slots), dict(self._known)
        try:
            return self._join(a, b)
        except Differs:
            del self.slots[slots:]
            self._known = known
            raise

    def _join(self, a: Image, b: Image) -> Spec:
        if isinstance(a, Opaque) or isinstance(b, Opaque):
            raise Differs(a, b)
        if isinstance(a, Absent | Optional) or isinstance(b, Absent | Optional):
            return self._optional(a, b)
        if isinstance(a, Tree) and isinstance(b, Tree):
            return self._tree(a, b)
        if isinstance(a, Leaf) and isinstance(b, Leaf):
            return self._leaf(a, b)
        if isinstance(a, Fixed) and isinstance(b, Fixed) and _same_thing(a.thing, b.thing):
            return a
        raise Differs(a, b)

    def _regions(self) -> tuple[Builder, ...]:
        return (*self.first, *self.second)

    def _optional(self, a: Image, b: Image) -> Spec:
        if isinstance(a, Absent) and isinstance(b, Absent):
            return a
        values, flags = zip(*map(_bound_if, (a, b)), strict=True)
        flag = self._leaf(*flags)
        if None in values:
            return Choice(self._alone(next(v for v in values if v is not None), values.index(None)), flag)
        return Choice(self._join(*values), flag)

    def alone(self, image: Image, missing: int) -> Spec:
        """The spec of what matters on one side only; `missing` is the other."""
        if isinstance(image, Absent):
            return image
        if isinstance(image, Opaque):
            raise Differs(image, Absent())
        if isinstance(image, Optional):
            return Choice(self._alone(image.value, missing), self._alone(image.flag, missing))
        return self._alone(image, missing)

    def _alone(self, image: Image, missing: int) -> Spec:
        """The spec of what is bound on one side only."""
        if isinstance(image, Leaf):
            return self._slot(image.arg.type, (image, None) if missing else (None, image), image, image)
        if isinstance(image, Tree):
            children = {k: self._alone(child, missing) for k, child in image.children.items()}
            return Joint((image.thing, image.thing), children)
        if isinstance(image, Fixed) and is_plain(image.thing):
            return image
        raise Differs(image, Absent())

    def _tree(self, a: Tree, b: Tree) -> Spec:
        if a.thing is b.thing:
            return Fixed(a.thing)
        key = (id(a.thing), id(b.thing))
        if key not in self._known and self.grow is not None and is_growing(a, b):
            self._known[key] = self._growing(a, b)
        if key not in self._known:
            if type(a.thing) is not type(b.thing) or list(a.children) != list(b.children):
                raise Differs(a, b)
            children = {k: self._join(child, b.children[k]) for k, child in a.children.items()}
            self._known[key] = Joint((a.thing, b.thing), children)
        return self._known[key]

    def _growing(self, a: Tree, b: Tree) -> Joint:
        """The spec of lists that have another number of items on each side."""
        first, second, things = self.grow(self, a, b)
        children = {k: self._leaf(image, second.children[k]) for k, image in first.children.items()}
        return Joint((a.thing, b.thing), {0: Joint(things, children)})

    def _leaf(self, a: Leaf, b: Leaf) -> Spec:
        if a.cell is not None and a.cell is b.cell:
            return Fixed(a.cell)
        if a.cell is b.cell and a.arg == b.arg:
            return Fixed(as_expr(a.arg))
        if a.cell is None or b.cell is None:
            return self._slot(_joined(a, b), (a, b), a, b)
        key = (id(a.cell), id(b.cell))
        if key not in self._known:
            self._known[key] = self._slot(_joined(a, b), (a, b), a, b)
        return self._known[key]

    def _slot(self, type_: Type, leaves: tuple, a: Leaf, b: Leaf) -> Slot:
        """A slot, with lengths that are known outside."""
        slot = Slot(self._with_lengths(type_, a, b), leaves)
        self.slots.append(slot)
        return slot

    def _with_lengths(self, type_: Type, a: Leaf, b: Leaf) -> Type:
        shape = tuple(map(self._length, a.arg.type.shape, b.arg.type.shape))
        if None in shape:
            raise Differs(a, b)
        return Type(type_.dtype, shape, type_.weak)

    def joined_type(self, a: Type, b: Type) -> Type:
        """The type that values of both types can have, with lengths that are known outside.

        Raises:
            Differs: there is none.
        """
        leaves = Leaf(Value(a)), Leaf(Value(b))
        return self._with_lengths(_joined(*leaves), *leaves)

    def is_visible(self, n: int | Value) -> bool:
        """Whether a length is known outside of the regions."""
        return not isinstance(n, Value) or not any(n in region.made for region in self._regions())

    def _length(self, n: int | Value, m: int | Value) -> int | Value | None:
        """The length of an axis that has these on both sides, or None if they differ."""
        visible = [self.is_visible(n), self.is_visible(m)]
        if n is m or not (isinstance(n, Value) or isinstance(m, Value)):
            return n if n == m and visible[0] else None
        if 1 in (n, m):  # that broadcasts, which the other doesn't
            return None
        for regions, k, sees in ((self.second, n, visible[0]), (self.first, m, visible[1])):
            if sees and any(region.knows_equal(n, m) for region in (*regions, current())):
                return k
        # They may well be the same, as those of a square matrix; that is checked.
        return n if all(visible) and not _is_other(n, m) else None


def _is_other(n: int | Value, m: int | Value) -> bool:
    """Whether two lengths differ for certain, or as soon as something else isn't empty."""
    args = (x if isinstance(x, Value) else Const.of(x) for x in (n, m))
    a, b = (form_of(arg, producer, lambda value: Form({value: 1})) for arg in args)
    difference = a - b
    depend = any(isinstance(x, Value) and isinstance(y, Value) and depends(x, y) for x, y in ((n, m), (m, n)))
    if not difference.keys() - {ONE}:
        return bool(difference)
    return depend and len({c > 0 for c in difference.values()}) == 1


def is_growing(a: Tree, b: Tree) -> bool:
    """Whether the lists of two images have different numbers of items, or numbers that are known at run time only."""
    if type(a.thing) is not list or type(b.thing) is not list:
        return False
    stretches = [[k for k, child in x.children.items() if _is_stretch(child)] for x in (a, b)]
    if len(a.children) != len(b.children) or stretches[0] != stretches[1]:
        return True
    return any(a.children[k].thing is not b.children[k].thing for k in stretches[0])


def _is_stretch(image: Image) -> bool:
    return isinstance(image, Tree) and type(image.thing) is Stretch


def _bound_if(image: Image) -> tuple[Image | None, Leaf]:
    if isinstance(image, Absent):
        return None, _FALSE
    return (image.value, image.flag) if isinstance(image, Optional) else (image, _TRUE)


def _same_thing(a: object, b: object) -> bool:
    return a is b or (type(a) is type(b) and is_plain(a) and is_plain(b) and bool(a == b))


def _joined(a: Leaf, b: Leaf) -> Type:
    """The type that both values can have: as NumPy joins Python's numbers with arrays' numbers; else the same."""
    s, t = a.arg.type, b.arg.type
    if s.ndim != t.ndim:
        raise Differs(a, b)
    if s.dtype == t.dtype:
        return Type(s.dtype, (), s.weak and t.weak)
    if s.ndim or BOOL in (s.dtype, t.dtype) or not (s.weak or t.weak):
        raise Differs(a, b)
    if s.weak and t.weak:
        return Type(FLOAT64, (), weak=True)
    weak, strong = (s, t) if s.weak else (t, s)
    if strong.is_float or (weak.dtype == INT64 and strong.dtype.kind in "iu"):
        return Type(strong.dtype)
    raise Differs(a, b)


def argument(slot: Slot, side: int) -> Arg:
    """What a slot gets from a leaf, in the block that is being built: of its type; zero where anything will do."""
    leaf = slot.leaves[side]
    if leaf is None:
        if slot.type.shape:
            shape = tuple(Expr(n) if isinstance(n, Value) else n for n in slot.type.shape)
            return as_arg(full(shape, 0, slot.type.dtype))
        return _constant(0, slot.type)
    if isinstance(leaf.arg, Const):
        return _constant(leaf.arg.value, slot.type)
    for axis, (n, m) in enumerate(zip(slot.type.shape, leaf.arg.type.shape, strict=True)):
        if n is not m and not current().knows_equal(n, m):
            name = leaf.arg.name or "an array"
            message = f"the length of {name} along axis {axis} is not the same in each course of the program"
            require(UFUNCS[np.equal](*(Expr(k) if isinstance(k, Value) else k for k in (n, m))), message)
    if leaf.arg.type.dtype == slot.type.dtype:
        return leaf.arg
    return as_arg(METHODS["astype"](Expr(leaf.arg), slot.type.dtype))


def _constant(number: object, type_: Type) -> Const:
    cast = type_.dtype.type(number)
    return Const(cast.item() if type_.weak or type_.dtype == BOOL else cast, Type(type_.dtype, (), type_.weak))


def built(spec: Spec, make: Callable[[Slot], object], made: dict[Spec, object], side: int = 0) -> object:
    """The object of a spec, with what `make` gives for its slots; `made` remembers what was made of which spec.

    Containers are copies of those on one side.
    """
    if isinstance(spec, Fixed):
        return spec.thing
    if isinstance(spec, Absent):
        return MISSING
    if spec not in made:
        if isinstance(spec, Slot):
            made[spec] = make(spec)
        elif isinstance(spec, Choice):
            value, flag = (built(x, make, made, side) for x in (spec.value, spec.flag))
            made[spec] = Maybe(value, flag) if isinstance(flag, Expr) else value if flag else MISSING
        else:
            new = {k: built(child, make, made, side) for k, child in spec.children.items()}
            made[spec] = rebuilt(spec.things[side], new)
    return made[spec]


def signature(spec: object, numbers: dict[Slot, int]) -> tuple:
    """What tells two specs apart: their structure, the types of their slots, and which slots are one."""
    if isinstance(spec, Slot):
        return (numbers.setdefault(spec, len(numbers)), spec.type)
    if isinstance(spec, Choice):
        return (signature(spec.value, numbers), signature(spec.flag, numbers))
    if isinstance(spec, Joint):
        kind = spec.things[0].layout if isinstance(spec.things[0], Stretch) else type(spec.things[0])
        return (kind, *((k, signature(child, numbers)) for k, child in spec.children.items()))
    if isinstance(spec, Fixed):
        return (spec.thing if isinstance(spec.thing, Undecided) else id(spec.thing),)
    return ()


def shared(slots: Iterable[Slot], side: int, held: Collection[Cell] = ()) -> set[Slot]:
    """The arrays that are, or may be, an array or a view of it that another slot has, too, or that is among `held`."""
    roots = {slot: slot.root(side) for slot in slots}
    others = [cell for slot in roots for cell in slot.others(side)]
    uses = Counter(id(root) for root in (*roots.values(), *others, *held) if root is not None)
    return {s for s, root in roots.items() if isinstance(root, Alias) or (root is not None and uses[id(root)] > 1)}
