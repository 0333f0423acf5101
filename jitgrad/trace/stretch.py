"""Items of a list whose number is known at run time only.

They stand in a Python list as one `Stretch`, so that appending, copying and adding lists work as they are; whatever
looks at the items goes through `jitgrad.trace.growing`. Numbers and arrays of the items are in buffers, by value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from jitgrad.ir.graph import Value
from jitgrad.ir.types import Type
from jitgrad.ops.control import require_equal
from jitgrad.ops.create import full
from jitgrad.ops.index import getitem_, part, setitem
from jitgrad.ops.registry import METHODS
from jitgrad.ops.rules import dtype_of
from jitgrad.ops.symbolic import Expr, as_arg, as_length


class Ungrown(Exception):
    """An item that can't be kept in buffers."""


class Origin:
    """Where a stretch comes from: from the beginning of a running loop's iteration, or from where it was made.

    Attributes:
        has_room: the loop has made the buffers long enough for what its body appends.
        growth: by how much the stretch has grown since, wherever it was used.
    """

    def __init__(self, has_room: bool = False):
        self.has_room = has_room
        self.growth: list[int | Expr] = []


@dataclass(frozen=True, slots=True)
class Layout:
    """What the items of a stretch are.

    Attributes:
        form: the number of a buffer, or a tuple of forms.
        types: of the numbers and arrays in an item.
    """

    form: object
    types: tuple[Type, ...]

    def buffers(self, capacity: int | Expr) -> tuple[Expr, ...]:
        """Empty ones."""
        return tuple(full((capacity, *map(as_length, t.shape)), 0, t.dtype) for t in self.types)

    def fits(self, other: Layout) -> bool:
        """Whether both have the same buffers."""
        kinds = [[(t.dtype, t.shape) for t in layout.types] for layout in (self, other)]
        return self.form == other.form and kinds[0] == kinds[1]


def leaves_of(item: object, leaves: list) -> object:
    """The form of an item, with its numbers and arrays collected."""
    if type(item) is tuple:
        return tuple(leaves_of(e, leaves) for e in item)
    if not isinstance(item, Expr | bool | int | float | np.bool_ | np.integer | np.floating):
        raise Ungrown
    leaves.append(item)
    return len(leaves) - 1


@dataclass(frozen=True, eq=False, slots=True)
class Stretch:
    """The first `count` items of buffers.

    Attributes:
        layout: what an item is.
        buffers: for each number or array of an item, its values along the first axis.
        held: the arrays that were put in, with their stamps: once written to, in NumPy they would have changed here.
        origin: where it comes from; there can be `growth` items more than there were, at most.
        argument: an int argument which, made static, makes the number of items known.
        full: the buffers end with the last item.
    """

    layout: Layout
    count: int | Expr
    buffers: tuple[Expr, ...]
    origin: Origin
    held: tuple[tuple[object, int | None], ...] = ()
    growth: int | Expr = 0
    argument: Value | None = None
    full: bool = False

    def __bool__(self) -> bool:
        raise TypeError("items of a list whose length is known at run time only are used as one")

    @property
    def capacity(self) -> int | Expr:
        return self.buffers[0].shape[0]

    def parts(self) -> dict[object, object]:
        """The number and the buffers, as parts of a container."""
        return {"count": self.count, **dict(enumerate(self.buffers))}

    def rebuilt(self, new: dict[object, object]) -> Stretch:
        """The same with other parts."""
        buffers = tuple(Expr(new[k].value) for k in range(len(self.buffers)))
        held = tuple((cell, cell.stamp() if stamp is None else stamp) for cell, stamp in self.held)
        changed = replace(self, buffers=buffers, count=new["count"], held=held)
        return replace(changed, count=changed.capacity) if self.full else changed

    def is_stale(self) -> bool:
        """Whether an array was written to since it was put in."""
        return any(stamp is not None and cell.stamp() != stamp for cell, stamp in self.held)

    def leaf(self, number: int, k: int | Expr) -> Expr:
        """The number or array of the k-th item, which exists."""
        pattern, operands = _place(self.buffers[number], k)
        return getitem_(self.buffers[number], *operands, pattern=pattern)

    def array(self, number: int) -> Expr:
        """All of a buffer that is in use."""
        buffer = self.buffers[number]
        return buffer if is_same(self.count, self.capacity) else part(buffer, 0, 0, self.count)

    def with_leaves(self, leaves: list, k: int | Expr) -> Stretch:
        """With another k-th item; the count stays."""
        buffers = []
        for buffer, leaf in zip(self.buffers, leaves, strict=True):
            leaf = Expr(leaf.value) if isinstance(leaf, Expr) else leaf
            self._check_shape(buffer, leaf)
            cast = leaf if dtype_of(leaf) == buffer.dtype else METHODS["astype"](leaf, buffer.dtype)
            pattern, operands = _place(buffer, k)
            buffers.append(setitem(buffer, cast, *operands, pattern=pattern))
        return replace(self, buffers=tuple(buffers))

    @staticmethod
    def _check_shape(buffer: Expr, leaf: object) -> None:
        item = Value(Type(buffer.dtype, buffer.type.shape[1:]))
        for n, m in zip(as_arg(leaf).type.shape, item.type.shape, strict=True):
            require_equal(n, m, (as_arg(leaf), item), "assign")

    def with_stretch(self, other: Stretch) -> Stretch:
        """With the items of another one of this layout behind these."""
        buffers = []
        for buffer, more in zip(self.buffers, other.buffers, strict=True):
            more = more if more.dtype == buffer.dtype else METHODS["astype"](more, buffer.dtype)
            pattern, operands = _place(buffer, self.count)
            operands = [operands[0], other.capacity, *operands[1:]]
            pattern = (("slice", 0, 1, 1, None), *((kind, a + 1, b + 1, *rest) for kind, a, b, *rest in pattern[1:]))
            buffers.append(setitem(buffer, more, *operands, pattern=pattern))
        return replace(self, buffers=tuple(buffers), count=total((self.count, other.count)))


def _place(buffer: Expr, k: int | Expr) -> tuple[tuple, list]:
    """Pattern and operands of the k-th item of a buffer."""
    lengths = buffer.shape[1:]
    rest = (("slice", 2 * j + 1, 2 * j + 2, 1, (None, None)) for j in range(len(lengths)))
    return (("at", 0), *rest), [k, *(m for n in lengths for m in (0, n))]


class LazyItems:
    """Items that are evaluated when they are used, by a loop."""

    def listed(self) -> list:
        """All of them."""
        raise NotImplementedError

    def given_to(self, function: object, rest: tuple) -> tuple[bool, object]:
        """Whether `function` takes them one by one, with what it gives; or else all of them."""
        return False, self.listed()


def is_same(a: object, b: object) -> bool:
    """Whether two lengths are one."""
    if isinstance(a, Expr) or isinstance(b, Expr):
        return isinstance(a, Expr) and isinstance(b, Expr) and a.value is b.value
    return a == b


def total(numbers: Iterable[int | Expr]) -> int | Expr:
    """The sum of lengths."""
    known, result = 0, None
    for n in numbers:
        if isinstance(n, Expr):
            result = n if result is None else result + n
        else:
            known += n
    if result is None:
        return known
    return result + known if known else result


def has_stretch(x: object) -> bool:
    """Whether a list or tuple has items whose number is known at run time only."""
    return isinstance(x, list | tuple) and any(type(e) is Stretch for e in x)
