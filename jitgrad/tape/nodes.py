"""The graph: what a recorded operation keeps, and when a kept value has been overwritten.

Arrays that share memory share a *cell*, `[last write, written by a recorded value, shared]`. A write takes
the next tick of one clock; a node remembers the tick at which it was recorded, so a kept value is stale if
its cell was written later. No copies are made, and a node holds no `Array`: the graph has no cycles, and goes
when its head goes.
"""

from __future__ import annotations

import math
import threading

import numpy as np

from jitgrad.errors import ModifiedError
from jitgrad.ops.arraylike import ArrayLike
from jitgrad.ops.rules import is_masked

CLOCK = [0]
# In place of `shared`: a part read out of a buffer that is being filled. Writing to it is refused.
COPIED = "copied"
_lock = threading.Lock()


def new_cell() -> list:
    return [0, False, False]


def touch(cell: list) -> int:
    """Note a write to the memory behind a cell; returns its time."""
    with _lock:
        CLOCK[0] += 1
        cell[0] = CLOCK[0]
    return cell[0]


class Leaf:
    """The place of an attached array in graphs, with its gradient buffer."""

    __slots__ = ("grad", "req")
    parents = ()
    saved = ()
    time = math.inf  # an attached array is whatever it holds: never stale
    flows = True
    watch = None

    def __init__(self, grad: object, req: str):
        self.grad = grad
        self.req = req


class Node:
    """A recorded operation.

    Attributes:
        saved: `(op, attrs, args, cells, out)`: plain arrays, and their cells, that of `out` last. None once
        freed. parents: for each argument the node that made it, or None.
        time: the tick of the clock at which it was recorded.
        flows: whether a derivative can pass.
        watch: the leaf of an `attach_grad` on the result after it had been used; gets the gradient, too.
    """

    __slots__ = ("flows", "parents", "saved", "time", "watch")

    def __init__(self, saved: tuple | None, parents, time: int, flows: bool):
        self.saved = saved
        self.parents = parents
        self.time = time
        self.flows = flows
        self.watch = None

    def pull(self, g: object, wanted: list, masked: bool, wrap) -> tuple[list, bool]:
        """Cotangents of the arguments, and whether they are masked; with `wrap` all arrays are the tape's."""
        op, attrs, args, cells, out = self.saved
        if wrap is not None:
            args = tuple(a if c is None else wrap(a, p, c) for a, p, c in zip(args, self.parents, cells, strict=False))
            outs = (wrap(out, self, cells[-1]),)
        else:
            outs = (out,)
        if CLOCK[0] > self.time:
            args, outs = self._without_stale(op, args, outs, cells)
        return op.rule.pullback(op, (g,), outs, args, attrs, wanted, masked), is_masked(op, masked)

    def _without_stale(self, op, args, outs, cells):
        """Values that were overwritten, replaced by something that raises if the rule reads them."""
        args = tuple(
            Stale(a, f"argument {k}", op) if c is not None and c[0] > self.time else a
            for k, (a, c) in enumerate(zip(args, cells, strict=False))
        )
        return args, ((Stale(outs[0], "the result", op),) if cells[-1][0] > self.time else outs)


class Output:
    """One of several results of a node; `index` says which."""

    __slots__ = ("index", "parents", "saved", "time", "watch")
    flows = True

    def __init__(self, node: object, index: int):
        self.parents = (node,)
        self.index = index
        self.time = node.time
        self.saved = ()
        self.watch = None


class Stale(ArrayLike):
    """Stands for a value that was overwritten: has a shape and a dtype, and raises when it is read."""

    __slots__ = ("_what", "dtype", "shape")
    __array_priority__ = 2000

    def __init__(self, value: object, role: str, op: object):
        self.shape = value.shape
        self.dtype = value.dtype
        self._what = f"{role} of a recorded {op.name}, shape {tuple(value.shape)}"

    def _refuse(self, *args, **kwargs):
        raise ModifiedError(
            f"{self._what}, was changed in place after it had been recorded, and its derivative needs the "
            "value that it had. Change it after backward(), or change a copy."
        )

    _unsupported = __jitgrad_bind__ = _operate = __array_ufunc__ = __array__ = __getitem__ = _refuse


def is_number(x: object) -> bool:
    """A plain real number, which takes the dtype and the shape of what it meets."""
    return isinstance(x, int | float | np.integer | np.floating) and not isinstance(x, bool)
