"""What is filled first, and then overwritten from end to end before anybody reads it, is not filled.

`np.empty` is filled with zeros, for a program may read what it has not written; an array that is written whole costs
one pass through memory less without them. Which elements are stored is followed through loops as boxes: along each
axis from where and how many, as sums of lengths and indices. A store is a box of one element. Boxes that touch become
one, and a loop lays those of its iterations side by side, if each is as long as the step from one to the next. A size
may come out negative, as that of a loop from 1 to n - 1 where n is 1: such a box is empty, and one that another makes
longer by it is covered by the other all the more. So what has the shape of the array in the end is all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from jitgrad.ir.graph import Arg, Block, Node, Value, defined, used
from jitgrad.lower.fills import filler
from jitgrad.ops.affine import ONE, Form, constant
from jitgrad.ops.flow import for_
from jitgrad.ops.memory import store
from jitgrad.passes.bounds import Bounds
from jitgrad.passes.rename import renamed, renamed_throughout


def without_overwritten(block: Block) -> Block:
    """The lowered block without the loops that fill what is overwritten."""
    if not any(filler(node) is not None for node in block.walk()):
        return block
    return _without(block, Bounds(block))


def _without(block: Block, bounds: Bounds) -> Block:
    env: dict[Arg, Arg] = {}
    nodes: list[Node] = []
    readers = _readers(block)
    for node in block.nodes:
        if filler(node) is not None and _Stores(node.out, bounds).cover(readers):
            env[node.out] = env.get(node.args[1], node.args[1])
            continue
        node = renamed_throughout(node, env) if env else node
        nodes.append(renamed(node, {}, tuple(_without(r, bounds) for r in node.regions)) if node.regions else node)
    results = tuple(env.get(r, r) for r in block.results)
    return Block(block.params, nodes, results, block.name, block.notes)


def _readers(block: Block) -> dict[Value, list[Node]]:
    """The nodes that read a value, each as often as it does."""
    found: dict[Value, list[Node]] = {}
    for node in block.nodes:
        for value in used(node):
            found.setdefault(value, []).append(node)
    return found


@dataclass(frozen=True, slots=True)
class _Box:
    """Elements that have been stored: along each axis the first of them, and how many."""

    starts: tuple[Form, ...]
    sizes: tuple[Form, ...]

    def symbols(self) -> set[object]:
        return set().union(*self.starts, *self.sizes)

    def key(self, axis: int, start: Form) -> tuple:
        """What a box has in common with any that it touches at the given start along an axis."""
        others = [
            (_frozen(s), _frozen(n)) for k, (s, n) in enumerate(zip(self.starts, self.sizes, strict=True)) if k != axis
        ]
        return (_frozen(start), *others)

    def along(self, axis: int, start: Form, size: Form) -> _Box:
        """The same with another start and size along an axis."""
        starts, sizes = list(self.starts), list(self.sizes)
        starts[axis], sizes[axis] = start, size
        return _Box(tuple(starts), tuple(sizes))


def _frozen(form: Form) -> frozenset:
    return frozenset(form.items())


class _Stores:
    """The stores to a buffer from one of its versions on.

    Attributes:
        version: the first version.
        lengths: those of the buffer.
    """

    def __init__(self, version: Value, bounds: Bounds):
        self.version, self.bounds = version, bounds
        self.lengths = [self._length(n) for n in version.type.shape]

    def _length(self, axis: int | Value) -> Form:
        return constant(axis) if isinstance(axis, int) else self.bounds.form(axis)

    def cover(self, readers: dict[Value, list[Node]]) -> bool:
        """Whether all elements are stored before anything else is done to the buffer."""
        version, boxes = self.version, []
        while (step := self._step(version, readers)) is not None:
            more, version = step
            boxes = _joined([*boxes, *more])
            if any(not any(b.starts) and list(b.sizes) == self.lengths for b in boxes):
                return True
        return False

    def _step(self, version: Value, readers: dict[Value, list[Node]]) -> tuple[list[_Box], Value] | None:
        """What the only reader of a version of the buffer stores, and the next version; None if it is no such node."""
        if len(readers.get(version, ())) != 1:
            return None
        (node,) = readers[version]
        if node.op is store and node.args[0] is version:
            starts = tuple(map(self.bounds.form, node.args[2:]))
            return [_Box(starts, tuple(constant(1) for _ in starts))], node.out
        return self._loop(node, node.args.index(version)) if node.op is for_ and version in node.args else None

    def _loop(self, loop: Node, place: int) -> tuple[list[_Box], Value] | None:
        (body,) = loop.regions
        version, end = body.params[place], body.results[place - 1]
        readers = _readers(body)
        boxes: list[_Box] = []
        while version is not end:
            step = self._step(version, readers)
            if step is None:
                return None
            more, version = step
            boxes += more
        if end in readers or body.results.count(end) > 1:
            return None
        trips = self.bounds.form(self.bounds.unclamped(loop.args[0]))
        together = [_of_all_iterations(box, body.params[0], trips) for box in _joined(boxes)]
        inside = {*body.params, *defined(body)}
        return [b for b in together if b is not None and inside.isdisjoint(b.symbols())], loop.outs[place - 1]


def _of_all_iterations(box: _Box, index: Value, trips: Form) -> _Box | None:
    """What all iterations of a loop store together, of which each stores a box; None if that is no box."""
    if not trips:
        return None
    moving = [k for k, start in enumerate(box.starts) if index in start]
    if not moving:
        return box if trips.keys() == {ONE} else None
    axis = moving[0]
    start, step = box.starts[axis], box.starts[axis][index]
    if len(moving) > 1 or box.sizes[axis] != constant(abs(step)):
        return None
    start = start.plus(Form({index: 1}), -step)
    if step < 0:  # the last iteration has the first box
        start = start.plus(trips - constant(1), step)
    return box.along(axis, start, trips.times(abs(step)))


def _joined(boxes: list[_Box]) -> list[_Box]:
    """The boxes, of which those that touch along an axis, and are alike along all others, are one."""
    for axis in range(len(boxes[0].starts) if boxes else 0):
        chains = {box.key(axis, box.starts[axis]): box for box in boxes}
        for key in list(chains):
            box = chains.pop(key, None)
            if box is None:  # it is the end of another
                continue
            while (after := chains.pop(box.key(axis, box.starts[axis] + box.sizes[axis]), None)) is not None:
                box = box.along(axis, box.starts[axis], box.sizes[axis] + after.sizes[axis])
            chains[key] = box
        boxes = list(chains.values())
    return boxes
