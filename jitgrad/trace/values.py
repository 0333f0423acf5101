"""Arrays that can be written to: cells, and views that read and write a part of a cell.

A program has values, which never change. An array of the user's function is a cell: it holds the value that
the array has now, and `x[i] = v` puts another one there. Two names for one array are two names for one cell,
as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from jitgrad.errors import TraceError, UnsupportedError
from jitgrad.ir.graph import Value
from jitgrad.ops.brackets import check_mask, parse_index
from jitgrad.ops.index import assign, fitted, getitem_, setitem
from jitgrad.ops.registry import METHODS
from jitgrad.ops.shape import reshape, transpose
from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace.arrays import ReadOnlyMark, as_array
from jitgrad.trace.casting import cast_in_place
from jitgrad.trace.journal import can_read, is_within, regions, stamps
from jitgrad.trace.places import composed, is_block, is_whole


def plain(x: object) -> object:
    """The value that a cell holds now, as an `Expr` that won't change; anything else as it is."""
    return Expr(x.value) if isinstance(x, Cell) else x


def snapshot(x: object) -> object:
    """`plain` for what is inside lists, tuples, slices and dicts, too."""
    if isinstance(x, Cell):
        return Expr(x.value)
    if type(x) in (list, tuple) or isinstance(x, ReadOnlyMark):
        parts = [snapshot(e) for e in x] if not isinstance(x, dict) else {k: snapshot(v) for k, v in x.items()}
        return tuple(parts) if isinstance(x, tuple) else parts
    if type(x) is dict:
        return {k: snapshot(v) for k, v in x.items()}
    return x


def own(x: object) -> object:
    """A fresh array becomes a cell; numbers stay values."""
    return Cell(x.value) if type(x) is Expr and x.ndim else x


def is_basic(index: object) -> bool:
    """Whether an index makes a view: numbers, slices, `None` and `...` only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        p is None
        or p is Ellipsis
        or isinstance(p, slice)
        or (isinstance(p, int | np.integer) and not isinstance(p, bool))
        or (isinstance(p, Expr) and not p.ndim and p.dtype.kind in "iu")
        for p in parts
    )


def _in_place(ufunc: np.ufunc) -> Callable:
    def method(self, other):
        result = self._operate(ufunc, plain(self), plain(other))
        return result if result is NotImplemented else self.update(ufunc, result, other)

    return method


class Cell(Expr):
    """An array of the traced function.

    Attributes:
        builder: the builder of the trace that made it; only code of that trace may write to it.
        frozen: why it must not be written to, or None.
        written: whether it was ever written to.
        before: the arrays from before a branch or loop that it may be, which no name has any more.
    """

    __slots__ = ("_version", "before", "builder", "frozen", "written")

    def __init__(self, value: Value, frozen: str | None = None, before: Iterable[Cell] = ()):
        super().__init__(value)
        self.builder = current()
        self.frozen = frozen
        self.before = tuple(before)
        self.written = False
        self._version = next(stamps)

    def stamp(self) -> int:
        """A number that changes with each write, and is never used again for another state."""
        return self._version

    def root(self) -> Cell:
        """The cell that holds the elements."""
        return self

    def state(self) -> tuple[Value, int]:
        return self._value, self._version

    def set_state(self, value: Value, version: int) -> None:
        self._value, self._version = value, version

    contiguous = True  # in row-major order, so that another shape of it is a view

    def store(self, new: Expr) -> None:
        """Make `new` the array's value."""
        self.check_writable()
        _keep_name(new.value, self._value)
        self.put(new.value)

    def put(self, value: Value) -> None:
        """Make `value` the array's value; the region that is traced notes what it was."""
        region = next(regions(self.builder), None)
        if region is not None:
            region.note_write(self)
        self.set_state(value, next(stamps))
        self.note_written()

    def note_written(self) -> None:
        if not self.written:
            self.written = True
            for cell in self.before:
                cell.note_written()

    def check_writable(self) -> None:
        if self.frozen is not None:
            refuse(self.frozen)
        if not is_within(self.builder):
            refuse(
                "an array of the function around is written to inside a function that is differentiated by "
                "itself; "
                "return the new array from the inner function instead"
            )

    def __setitem__(self, index, value):
        if value is self and self.frozen is None:  # what `x[i] += v` of code without source ends with
            value = plain(value)
        self.check_writable()
        x, index, value = plain(self), index_of(index), plain(as_array(value))
        if _is_mask(index, x) and not np.ndim(value):
            self.store(assign(x, index, value))
            return
        pattern, operands = parse_index(x, index)
        self.write_at(pattern, operands, fitted(x, pattern, operands, value))

    def __getitem__(self, index):
        index = index_of(index)
        x = plain(self)
        if not is_basic(index):
            return own(METHODS["__getitem__"](x, index))
        pattern, operands = parse_index(x, index)
        if is_whole(pattern, operands, x):
            return self
        part = self.read_at(pattern, operands)
        if not part.ndim:
            return part
        return View(
            self, part,
            lambda b: getitem_(b, *operands, pattern=pattern),
            lambda b, v: setitem(b, v, *operands, pattern=pattern),
            self.contiguous and is_block(pattern, operands, x),
            (pattern, operands),
        )  # fmt: skip

    def read_at(self, pattern: tuple, operands: list) -> Expr:
        """What is at a basic index."""
        return getitem_(plain(self), *operands, pattern=pattern)

    def write_at(self, pattern: tuple, operands: list, new: Expr) -> None:
        """Write to an index; `new` has the array's dtype and fits there."""
        self.store(setitem(plain(self), new, *operands, pattern=pattern))

    def update(self, ufunc: np.ufunc, result: Expr, other: object) -> Cell:
        """The end of `self op= other`: keep dtype and shape, and stay the same array."""
        self.store(cast_in_place(ufunc, self, result, other))
        return self

    def update_at(self, index: object, ufunc: np.ufunc, other: object, before: Expr | None = None) -> None:
        """`self[index] op= other`, with the index parsed once.

        `before` is what the array was when `other` was not evaluated yet: numbers and copies are read from that, while
        a slice is the array itself.
        """
        self.check_writable()
        index, x, other = index_of(index), plain(self), plain(as_array(other))
        if before is not None and before.value is not x.value:
            self._update_read(index, ufunc, other, before)
            return
        if _is_mask(index, x) and not np.ndim(other):
            new = cast_in_place(ufunc, x, self._operate(ufunc, x, other), other)
            check_mask(index, x.shape, 0)
            self.store(np.where(index, new, x))
            return
        pattern, operands = parse_index(x, index)
        old = self.read_at(pattern, operands)
        new = self._operate(ufunc, old, other)
        new = cast_in_place(ufunc, old, new, other) if old.ndim else new
        if not old.ndim and new.ndim:
            raise ValueError("setting an array element with a sequence.")
        new = new if new.dtype == x.dtype else METHODS["astype"](new, x.dtype)
        self.write_at(pattern, operands, new)

    def _update_read(self, index: object, ufunc: np.ufunc, other: object, before: Expr) -> None:
        """`update_at` of an array that was written to since it was read."""
        old = METHODS["__getitem__"](before, index)
        if old.ndim and is_basic(index):
            self.update_at(index, ufunc, other)
            return
        new = self._operate(ufunc, old, other)
        self[index] = cast_in_place(ufunc, old, new, other) if old.ndim else new

    __iadd__ = _in_place(np.add)
    __isub__ = _in_place(np.subtract)
    __imul__ = _in_place(np.multiply)
    __itruediv__ = _in_place(np.true_divide)
    __ifloordiv__ = _in_place(np.floor_divide)
    __imod__ = _in_place(np.remainder)
    __ipow__ = _in_place(np.power)
    __imatmul__ = _in_place(np.matmul)
    __iand__ = _in_place(np.bitwise_and)
    __ior__ = _in_place(np.bitwise_or)
    __ixor__ = _in_place(np.bitwise_xor)

    # Methods that make views, and methods that write.
    def reshape(self, *shape, order="C", copy=None):
        """Another shape of the same elements."""
        shape = shape[0] if len(shape) == 1 else shape
        new = reshape(plain(self), shape, order)
        if copy or order != "C":
            return own(new)
        return self.reshaped(new, self.contiguous)

    def reshaped(self, new: Expr, is_view: bool = True) -> object:
        """This array in the shape of `new`; where that may be a copy in NumPy, nothing may depend on it."""
        if not new.ndim:
            return new
        lengths = new.shape

        def back(b, v):
            return reshape(v, b.shape)

        view = View(self, new, lambda b: reshape(b, lengths), back, is_view)
        if not is_view:
            view.frozen = (
                "whether this reshaped array is a view or a copy depends on the memory layout; write "
                "`.copy()` after the reshape"
            )
        return view

    def ravel(self, order="C"):
        """One axis."""
        return own(METHODS["ravel"](plain(self), order)) if order == "F" else self.reshape(-1)

    def flatten(self, order="C"):
        """One axis, always a copy."""
        return own(METHODS["ravel"](plain(self), order))

    def squeeze(self, axis=None):
        """Without axes of length one."""
        return self.reshaped(METHODS["squeeze"](plain(self), axis))

    def transpose(self, *axes):
        """The axes in another order."""
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
            axes = axes[0]
        n = self.ndim
        order = tuple(reversed(range(n))) if not axes else tuple(int(a) for a in axes)
        x = plain(self)
        new = transpose(x, order)
        if new is x:
            return self
        order = tuple(a % n for a in order)
        inverse = tuple(int(k) for k in np.argsort(order))
        return View(self, new, lambda b: transpose(b, order), lambda b, v: transpose(v, inverse), False)

    @property
    def T(self):
        return self.transpose()

    def swapaxes(self, axis1, axis2):
        """Two axes exchanged."""
        order = list(range(self.ndim))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return self.transpose(order)

    def astype(self, dtype, order="K", casting="unsafe", subok=True, copy=True):
        """Another dtype; the same array if it has the dtype already and no copy is wanted."""
        if not copy and np.dtype(dtype) == self.dtype:
            return self
        return own(METHODS["astype"](plain(self), dtype))

    def fill(self, value):
        """Every element set to a number."""
        self[...] = value

    def sort(self, *args, **kwargs):
        """Not supported."""
        raise UnsupportedError("x.sort() is not supported", current().loc.syntax_location())

    def __getattr__(self, name):
        method = METHODS.get(name)
        if method is None:
            raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")
        return lambda *args, **kwargs: own(method(plain(self), *snapshot(args), **snapshot(kwargs)))


class View(Cell):
    """A part or another shape of a cell: read again when the cell was written, and written through.

    Attributes:
        base: the cell, or another view.
        read: makes this array's value of the base's.
        write: makes the base's new value of the base's and this array's new one; None if it can't be written.
        place: the pattern and operands of the index, if it is a part of the base.
    """

    __slots__ = ("_home", "_made", "_seen", "base", "contiguous", "place", "read", "write")

    def __init__(
        self, base: Cell, value: Expr, read: Callable, write: Callable | None, contiguous: bool, place: object = None
    ):
        super().__init__(value.value)
        self.base, self.read, self.write, self.contiguous = base, read, write, contiguous
        self.place, self._made = place, base.stamp()
        self._remember(value.value)

    def _remember(self, value: Value) -> None:
        """This is the value as long as the base isn't written, and where the builder can be read that made it."""
        self._value, self._seen, self._home = value, self.base.stamp(), current()

    @property
    def value(self) -> Value:
        if self.base.stamp() == self._seen and can_read(self._home):
            return self._value
        if self.frozen is not None and self.base.stamp() != self._seen:
            refuse(self.frozen)
        new = self.read(plain(self.base)).value
        _keep_name(new, self._value)
        self._remember(new)
        return new

    def stamp(self) -> int:
        return self.base.stamp()

    def root(self) -> Cell:
        return self.base.root()

    def check_writable(self) -> None:
        if self.frozen is not None:
            refuse(self.frozen)
        if self.write is None:
            raise ValueError("assignment destination is read-only")
        self.base.check_writable()

    def store(self, new: Expr) -> None:
        self.check_writable()
        _keep_name(new.value, self._value)
        self.base.store(self.write(plain(self.base), new))
        self._remember(new.value)

    def read_at(self, pattern: tuple, operands: list) -> Expr:
        """What is at a basic index; of a base that has been written to just that is read, not all of this array."""
        place = None if self.base.stamp() == self._made else self._in_base(pattern, operands)
        return super().read_at(pattern, operands) if place is None else self.base.read_at(*place)

    def write_at(self, pattern: tuple, operands: list, new: Expr) -> None:
        """Write to an index: into the base directly, where all of this array would else be read and written back."""
        self.check_writable()
        place = self._in_base(pattern, operands)
        if place is None:
            super().write_at(pattern, operands, new)
        else:
            self.base.write_at(*place, new)

    def _in_base(self, pattern: tuple, operands: list) -> tuple | None:
        return None if self.place is None else composed(self.place, (pattern, operands))


def refuse(message: str) -> None:
    raise TraceError(message, current().loc.syntax_location())


def _keep_name(new: Value, old: Value) -> None:
    if new.name is None:
        new.name = old.name


def _is_mask(index: object, x: Expr) -> bool:
    return isinstance(index, Expr) and index.dtype == np.bool_ and index.ndim == x.ndim


def index_of(index: object) -> object:
    """An index with its cells read, and lists that hold traced values made into arrays."""
    if isinstance(index, tuple):
        return tuple(index_of(p) for p in index)
    return plain(as_array(index))
