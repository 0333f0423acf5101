"""The arguments of a function that is called at run time: numbers and arrays, and what is the same in each call."""

from __future__ import annotations

import numpy as np

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Arg, Const, Value
from jitgrad.ir.types import Type
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Expr, current
from jitgrad.trace.growing import expand
from jitgrad.trace.images import is_plain
from jitgrad.trace.journal import Region
from jitgrad.trace.regions import State
from jitgrad.trace.stretch import has_stretch
from jitgrad.trace.structure import has_parts, parts, rebuilt
from jitgrad.trace.values import Cell, View

_LARGEST = 2**63


def is_number(x: object) -> bool:
    """Whether an object is a number that may be another one in the next call; flags aren't."""
    if isinstance(x, bool | np.bool_):
        return False
    return isinstance(x, float | np.integer | np.floating) or (type(x) is int and -_LARGEST <= x < _LARGEST)


class Arguments:
    """The variables that a frame starts with, as a tree over numbers and arrays.

    Attributes:
        values: the numbers and arrays, each object once; `cells` has the arrays as Python sees them, and `paths` where
            they are.
        containers: those that the trace has made, by id.
        is_plain: no function is among them, which might read what has changed by the next call.
        key: what tells calls of other functions, or with arguments of other kinds, apart.
    """

    def __init__(self, frame, static: set[tuple[int, object]]):
        self.frame, self.static = frame, static
        self.values: list[Arg] = []
        self.cells: list[object] = []
        self.paths: list[tuple] = []
        self.containers: dict[int, object] = {}
        self.is_plain = True
        self._known: dict[int, tuple] = {}
        self._lengths: dict[Value, int] = {}
        self.trees = {name: self._tree(x, (name,)) for name, x in frame.vars.items()}
        around = frame.parent if frame.parent is not None else frame.function
        self.key = (id(frame.node), id(around), tuple((n, t[-1]) for n, t in self.trees.items()))

    def _tree(self, x: object, path: tuple) -> tuple:
        """(kind, what it is, key)."""
        if id(x) in self._known and not is_number(x):
            kind, what, _, number = self._known[id(x)]
            return kind, what, ("again", number)
        tree = self._new(x, path)
        self._known[id(x)] = (*tree, len(self._known))
        return tree

    def _new(self, x: object, path: tuple) -> tuple:
        if isinstance(x, Expr):
            return self._leaf(x.value, x, path)
        if is_number(x) and (id(self.frame.node), path) not in self.static:
            return self._leaf(Const.of(x), x, path)
        if has_parts(x) and not isinstance(x, type) and not self.frame.trace.externals.is_outside(x):
            if has_stretch(x):
                expand(x, "a call of a function that calls itself")
            self.containers[id(x)] = x
            children = {k: self._tree(v, (*path, k)) for k, v in parts(x).items()}
            return "container", (x, children), (type(x), tuple((k, c[-1]) for k, c in children.items()))
        self.is_plain = self.is_plain and not callable(x)
        return "fixed", x, (type(x), x if is_plain(x) and _is_hashable(x) else id(x))

    def _leaf(self, value: Arg, x: object, path: tuple) -> tuple:
        self.values.append(value)
        self.cells.append(x)
        self.paths.append(path)
        shape = tuple(
            n if isinstance(n, int) else ("length", self._lengths.setdefault(n, len(self._lengths)))
            for n in value.type.shape
        )
        kind = x.contiguous if isinstance(x, Cell) else None
        return "leaf", len(self.values) - 1, (value.type.dtype, value.type.weak, shape, kind)

    def check_apart(self, written: list[int]) -> None:
        """Make sure that an array that the function writes to shares no memory with another argument."""
        roots = [x.root() if isinstance(x, Cell) else None for x in self.cells]
        for k in written:
            if k < len(roots) and sum(root is roots[k] for root in roots) > 1:
                raise TraceError(
                    f"{self.frame.name} writes to an array of which another argument is a part, and calls itself; pass "
                    "the whole array once, and numbers that say which part is meant",
                    current().loc.syntax_location(),
                )


def _is_hashable(x: object) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def _stand_in(param: Value, x: object) -> object:
    """What Python has in a function's body for a number or array that it is given."""
    if not isinstance(x, Cell):
        return Expr(param)
    cell = Cell(param)
    return cell if x.contiguous else View(cell, cell, lambda b: b, lambda b, v: v, contiguous=False)


class Parameters:
    """The params of a function, and what Python has for them in its body.

    Attributes:
        values: a param for each value among the arguments, then for each array of `outer`.
        objects: numbers and arrays that stand for them.
        state: the containers around the function.
        axes: the length of which axis of which param a value is.
    """

    def __init__(self, arguments: Arguments, outer: list[Cell], region: Region, state: State):
        self.arguments, self.region, self.state = arguments, region, state
        self.values: list[Value] = []
        self.axes: dict[Value, tuple[int, int]] = {}
        lengths: dict[Value, Value] = {}
        for value, path in zip(arguments.values, arguments.paths, strict=True):
            name = getattr(value, "name", None) or (path[0] if len(path) == 1 else None)
            self.values.append(self._param(value.type, name, lengths))
        cells = arguments.cells
        self.objects: list[object] = [_stand_in(param, cell) for param, cell in zip(self.values, cells, strict=True)]
        for cell in outer:
            param = self._param(cell.value.type, cell.value.name, lengths)
            self.values.append(param)
            self.objects.append(cell)
            cell.put(param)
        self.made: dict[int, tuple[object, object, dict]] = {}

    def _param(self, type: Type, name: str | None, lengths: dict[Value, Value]) -> Value:
        """A param; lengths that are equal among the arguments are one."""
        param = Value(Type(type.dtype, (1,) * type.ndim, type.weak), name)
        self.region.own((param,))
        shape: list[int | Value] = []
        for axis, n in enumerate(type.shape):
            if isinstance(n, Value):
                if n not in lengths:
                    lengths[n] = current().emit(axis_length, (param,), {"axis": axis}).value
                    self.axes[lengths[n]] = (len(self.values), axis)
                n = lengths[n]
            shape.append(n)
        param.type = Type(type.dtype, tuple(shape), type.weak)
        return param

    def variables(self) -> dict[str, object]:
        """What the function's variables are at the start."""
        return {name: self._built(tree) for name, tree in self.arguments.trees.items()}

    def _built(self, tree: tuple) -> object:
        kind, what, _ = tree
        if kind == "fixed":
            return what
        if kind == "leaf":
            return self.objects[what]
        x, children = what
        if id(x) not in self.made:
            new = rebuilt(x, {k: self._built(child) for k, child in children.items()})
            self.made[id(x)] = (x, new, parts(new))
        return self.made[id(x)][1]

    def check_containers(self) -> None:
        """Make sure that the function has changed no list or object that it was given."""
        for x, new, before in self.made.values():
            after = parts(new)
            if len(before) != len(after) or any(before.get(k) is not v for k, v in after.items()):
                raise TraceError(
                    f"{self.arguments.frame.name} calls itself, and changes a {type(x).__name__} that it is given; use "
                    "an array in its place, or return a new one",
                    current().loc.syntax_location(),
                )

    def is_outer(self, x: object) -> bool:
        """Whether an array or container was there before the function was called."""
        if not isinstance(x, Cell):
            return id(x) in self.state.containers
        builder = x.builder
        while builder is not None and builder is not self.region:
            builder = builder.parent
        return builder is None

    def original(self, x: object) -> object | None:
        """The container among the arguments for which `x` stands in the body."""
        return next((old for old, new, _ in self.made.values() if new is x), None)
