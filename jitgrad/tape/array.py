"""The tape's array: a NumPy array that writes down what is done to it."""

from __future__ import annotations

import numpy as np

from jitgrad.errors import ModifiedError, UnsupportedError
from jitgrad.ir.graph import NO_ATTRS
from jitgrad.ir.op import Op
from jitgrad.ops import elementwise
from jitgrad.ops.arraylike import ArrayLike
from jitgrad.ops.brackets import concrete_pattern
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.registry import FUNCTIONS, METHODS, UFUNCS
from jitgrad.ops.rules import Constant
from jitgrad.tape import engine
from jitgrad.tape.engine import DETACHED, NULL, PAUSED, PLAIN, UNATTACHED, UNRECORDED, refuse
from jitgrad.tape.nodes import CLOCK, COPIED, Leaf, Node, new_cell, touch
from jitgrad.tape.state import OUTSIDE, PAUSE, RECORD, state
from jitgrad.tape.values import Values


class Array(Values):
    """An array that can be differentiated by: NumPy's operators, methods and functions work on it.

    Made by `array`, `zeros`, `ones`, `arange`, and by operations on such arrays.
    """

    __slots__ = ("_cell", "_data", "_node", "_why")
    __array_priority__ = 1000

    def __init__(self, data: np.ndarray):
        self._data = data
        self._node = None
        self._cell = [0, False, False]
        self._why = PLAIN

    @staticmethod
    def _wrap(data: np.ndarray, node, cell: list, why: int = PLAIN) -> Array:
        out = Array.__new__(Array)
        out._data = data
        out._node = node
        out._cell = cell
        out._why = why
        return out

    def __jitgrad_bind__(self, op: Op, args: tuple, attrs: dict):
        return apply(op, args, attrs)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        op = UFUNCS.get(ufunc)
        if kwargs or method != "__call__" or type(op) is not Op:
            return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)
        return apply(op, inputs, NO_ATTRS)

    def _unsupported(self, name: str):
        raise UnsupportedError(f"{name} has no derivative rule in jitgrad (docs/operations.md lists what has one)")

    @property
    def grad(self) -> Array | None:
        """The gradient buffer of an attached array, written by `backward`; None if there is none."""
        node = self._node
        leaf = node if node is None or type(node) is Leaf else node.watch
        return None if leaf is None else leaf.grad

    def __copy__(self) -> Array:
        return self.copy()

    def __reduce__(self):
        return Array, (self._data,)

    # Graph.
    def attach_grad(self, grad_req: str = "write") -> None:
        """Make this array an independent variable with a gradient of zeros.

        On an intermediate value it starts anew here: later graphs end at it.

        Args:
            grad_req: what `backward` does with the gradient: "write" it, "add" it to what is there, or
            "null": none.

        Raises:
            TypeError: the array holds integers or booleans.
            ValueError: an unknown `grad_req`.

        Example:
            >>> x = Array(np.array([1.0, 2.0]))
            >>> x.attach_grad()
            >>> x.grad
            tape.array([0., 0.])
        """
        self._attach(None, grad_req)

    def _attach(self, buffer: Array | None, req: str) -> None:
        if req not in ("write", "add", "null"):
            raise ValueError(f"grad_req is 'write', 'add' or 'null', not {req!r}")
        if self.dtype.kind != "f":
            raise TypeError(f"only arrays of floats have gradients, not {self.dtype}: use astype(np.float64)")
        node = self._node
        if req == "null":
            self._node, self._why = None, NULL
            return
        buffer = Array(np.zeros(self.shape, self.dtype)) if buffer is None else buffer
        if type(node) is Leaf:  # keeps its place in the graphs there are
            node.grad, node.req = buffer, req
            return
        leaf = Leaf(buffer, req)
        if node is not None and node.flows:
            node.watch = leaf
        self._node, self._why = leaf, PLAIN

    def backward(self, head=None, retain_graph: bool = False) -> None:
        """Fill `.grad` of the attached arrays that this one depends on.

        Args:
            head: the head gradient, of this array's shape and dtype, or a number; ones if None.
            retain_graph: keep the graph for another call.

        Raises:
            NotRecordedError, DetachedError, GraphFreedError, ModifiedError: why there is no derivative.
            ValueError, TypeError: `head` has the wrong shape or dtype.
        """
        engine.backward(self, head, retain_graph)

    def detach(self) -> Array:
        """A copy without history: a constant. (MXNet's shares memory, so that writes reach the source.)"""
        return Array._wrap(self._data.copy(), None, new_cell(), DETACHED)

    def zero_grad(self) -> None:
        """Set the gradient to zeros.

        Raises:
            ValueError: no gradient is attached.
        """
        if self.grad is None:
            raise ValueError("no gradient is attached to this array")
        self.grad[...] = 0

    def copy(self) -> Array:
        """A copy: inside `record()` a recorded one, outside an independent constant."""
        return METHODS["copy"](self) if state.mode == RECORD else Array(self._data.copy())

    # Writing in place.
    def __setitem__(self, index, value) -> None:
        whole = index is Ellipsis or (isinstance(index, slice) and index == slice(None))
        if self._writes_graph(value):
            if whole:
                # A copy: `self` is to have memory and a place in the graph of its own.
                value = METHODS["copy"](value) if isinstance(value, Array) else Array(np.array(value))
                self._adopt(FUNCTIONS[np.broadcast_to](value, self.shape))
            else:
                self._write_recorded(index, value)
            return
        node = self._node
        self._data[_plain_index(index)] = value._data if isinstance(value, Array) else value
        if whole and node is not None and node.saved is None and self._data.base is None:
            # A buffer that served in a graph which is no more, filled anew.
            self._node, self._why, self._cell[1] = None, PLAIN, False
        self._wrote(value)

    def _inplace(self, ufunc: np.ufunc, other) -> Array:
        if self._writes_graph(other):
            result = UFUNCS[ufunc](self, other)
            if result.shape != self.shape:
                raise ValueError(f"output of shape {self.shape} doesn't match the broadcast shape {result.shape}")
            self._adopt(result)
            return self
        plain = other._data if isinstance(other, Array) else other
        ufunc(self._data, plain, out=self._data, casting="same_kind")
        self._wrote(other)
        return self

    def _writes_graph(self, value) -> bool:
        """Whether a write has to be recorded; refuses those that would lose a derivative, before writing."""
        if self._cell[2] is COPIED:
            raise ModifiedError(
                "this is a copy of a part of an array that is being filled inside record(); write to that "
                "array itself (`A[i, j] = v` for `A[i][j] = v`), or to a copy()"
            )
        if state.mode != RECORD:
            return False
        node = self._node
        if type(node) is Leaf:
            raise ModifiedError(
                "an attached array can't be written to inside record(): graphs refer to it. Write outside "
                "record(), or inside pause()."
            )
        if node is None and (type(value) is not Array or (value._node is None and value._why < UNRECORDED)):
            return False
        if self._data.base is not None and self._cell[2]:
            raise ModifiedError(
                "a view can't be written to inside record(): write to the array that it is a view of "
                "(`A[i, j] = v` for `A[i][j] = v`)"
            )
        return True

    def _wrote(self, value) -> None:
        touch(self._cell)
        if state.mode != OUTSIDE or not isinstance(value, Array) or type(self._node) is Leaf:
            return
        # The value isn't constant, yet nothing was recorded: using the result must not go unnoticed.
        if value._why >= UNRECORDED or (value._node is not None and value._node.flows):
            self._cell[1] = True

    def _adopt(self, result: Array) -> None:
        """Become `result`, which was recorded; in the same memory if others look at it."""
        if result.dtype != self.dtype:
            if not np.can_cast(result.dtype, self.dtype, "same_kind"):
                raise TypeError(f"can't write {result.dtype} into an array of {self.dtype}")
            result = METHODS["astype"](result, self.dtype)
        if self._cell[2] or result._cell[2]:
            self._data[...] = result._data
            time = touch(self._cell)
            self._cell[1] = True
            parent = result._node
            saved = (elementwise.positive, NO_ATTRS, (result._data,), (result._cell, self._cell), self._data)
            self._node = Node(saved, (parent,), time, parent is not None and parent.flows)
        else:
            self._data, self._cell, self._node = result._data, result._cell, result._node
        self._why = PLAIN

    def _write_recorded(self, index, value) -> None:
        """`self[index] = value`, recorded, in the same memory: earlier readers find it stale."""
        pattern, operands = concrete_pattern(self.shape, index)
        value = value if isinstance(value, Array) else Array(np.asarray(value))
        if value.dtype != self.dtype:
            value = METHODS["astype"](value, self.dtype)
        target = np.broadcast_to(np.zeros((), np.bool_), self.shape)[_plain_index(index)].shape
        while value.ndim > len(target) and value.shape[0] == 1:
            value = METHODS["reshape"](value, value.shape[1:])
        args = (self, value, *operands)
        parents, flows = _parents(args)
        self._data[_plain_index(index)] = value._data
        time = touch(self._cell)
        self._cell[1] = True
        # The first argument is what the memory held before: its cell is made to look written since.
        cells = ([time + 0.5], value._cell, *(None for _ in operands), self._cell)
        plain = (self._data, value._data, *operands)
        self._node = Node((setitem, {"pattern": pattern}, plain, cells, self._data), parents, time, flows)
        self._why = PLAIN


def _augmented(ufunc: np.ufunc):
    def method(self, other):
        return self._inplace(ufunc, other)

    return method


for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "pow": np.power,
    "floordiv": np.floor_divide, "mod": np.remainder, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift,
}.items():  # fmt: skip
    setattr(Array, f"__i{_name}__", _augmented(_ufunc))


def _direct(op: Op, special):
    """Python's operators, straight to `apply` for the usual operands."""

    def forward(self, other):
        return apply(op, (self, other), NO_ATTRS) if type(other) in _USUAL else special(self, other)

    def backward(self, other):
        return apply(op, (other, self), NO_ATTRS) if type(other) in _USUAL else special(self, other)

    return forward, backward


_USUAL = frozenset((Array, float, int, np.ndarray, np.float64, np.float32))
for _name, _ufunc in {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
                      "pow": np.power}.items():  # fmt: skip
    for _prefix, _pick in (("__", 0), ("__r", 1)):
        _slow = getattr(ArrayLike, f"{_prefix}{_name}__")
        setattr(Array, f"{_prefix}{_name}__", _direct(UFUNCS[_ufunc], _slow)[_pick])


def apply(op: Op, args: tuple, attrs: dict):
    """Compute, and write it down if this thread is recording and an argument has a place in a graph."""
    if state.mode != RECORD:
        return _compute(op, args, attrs)
    plain, cells, parents = [], [], []
    tracked = flows = False
    why = UNATTACHED
    for a in args:
        if type(a) is Array:
            node = a._node
            cell = a._cell
            if node is None:
                if a._why > why:
                    if a._why > DETACHED:
                        _refuse_use(op, a)
                    why = a._why
                if cell[1]:
                    _refuse_use(op, a)
            else:
                tracked = True
                if node.flows:
                    flows = True
                if cell[0] > node.time:
                    _refuse_use(op, a)
            parents.append(node)
            cells.append(cell)
            plain.append(a._data)
        else:
            # Nobody would tell us of a write to an array of NumPy's.
            plain.append(a.copy() if type(a) is np.ndarray else a)
            parents.append(None)
            cells.append(None)
    out = op.evaluate(*plain, **attrs)
    if not tracked or type(out) is tuple:  # no operation with several results has a derivative
        return _results(out, args, why)
    if type(out) is not np.ndarray:
        out = np.asarray(out)
    rule = op.rule
    if out.base is None and type(rule) is not Constant:
        cell = [0, False, False]
    elif op is getitem_ and cells[0][1] is True:
        # Reads of a buffer that is being filled would all go stale with the next write to it.
        out, cell = out.copy(), [0, False, COPIED]
    else:
        cell = _cell_of(out, args)
    if not flows or type(rule) is Constant or out.dtype.kind != "f":
        return Array._wrap(out, Node((), parents, CLOCK[0], False), cell)
    cells.append(cell)
    return Array._wrap(out, Node((op, attrs, plain, cells, out), parents, CLOCK[0], True), cell)


def _compute(op: Op, args: tuple, attrs: dict):
    """The values only; outside any scope the result remembers that it should have been recorded."""
    why = PLAIN
    plain = []
    for a in args:
        if type(a) is Array:
            plain.append(a._data)
            if a._node is not None:
                if a._node.flows and why < UNRECORDED:
                    why = UNRECORDED
            elif a._why >= UNRECORDED and a._why > why:
                why = a._why
        else:
            plain.append(a)
    if why and (state.mode == PAUSE or type(op.rule) is Constant):
        why = PAUSED
    return _results(op.evaluate(*plain, **attrs), args, why)


def _results(out, args: tuple, why: int):
    if type(out) is tuple:
        return tuple(_results(o, args, why) for o in out)
    out = np.asarray(out)
    why = why if out.dtype.kind == "f" or why < UNRECORDED else PAUSED
    return Array._wrap(out, None, _cell_of(out, args), why)


def _cell_of(out: np.ndarray, args: tuple) -> list:
    """The cell of a result: that of an argument if it is a view of it, else one of its own."""
    for a in args:
        if type(a) is Array:
            data = a._data
            if out is data or (out.base is not None and (out.base is data or out.base is data.base)):
                a._cell[2] = True
                return a._cell
    return [0, False, False]


def _parents(args: tuple) -> tuple[tuple, bool]:
    """The nodes behind arguments, after the checks that `apply` makes."""
    for a in args:
        if type(a) is Array:
            node = a._node
            if (node is None and (a._why > DETACHED or a._cell[1])) or (node and a._cell[0] > node.time):
                _refuse_use(setitem, a)
    parents = tuple(a._node if type(a) is Array else None for a in args)
    return parents, any(p is not None and p.flows for p in parents)


def _refuse_use(op: Op, a: Array) -> None:
    if a._node is None and a._why > DETACHED:
        refuse(a._why, f"an argument of {op.name} can't enter a graph")
    raise ModifiedError(
        f"an argument of {op.name}, shape {a.shape}, was changed in place by a write that its history does "
        "not have: through another array that shares its memory, or outside record()"
    )


def _plain_index(index):
    if isinstance(index, tuple):
        return tuple(map(_plain_index, index))
    return index._data if isinstance(index, Array) else index
