"""Small arrays as numbers: each of their elements is a value, and there is no memory.

An array that the program makes for itself, and touches at known places only, need not be in memory (scalar replacement
of aggregates: Muchnick, Advanced Compiler Design and Implementation, 1997, section 12.2). Values never change, so a
store gives the elements of the next version, a load is the element, and a loop or branch that has the array has its
elements in its place.

Loops of few iterations that go through such an array are written out. One that fills the array from end to end with a
number gives each element that number, whatever the length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value, defined
from jitgrad.ir.types import Type
from jitgrad.lower.buffers import Buffers
from jitgrad.lower.forward import neutral
from jitgrad.lower.unroll import Short, written_out
from jitgrad.ops.flow import PARALLEL, Slot, for_, if_, slots
from jitgrad.ops.memory import empty, load, store
from jitgrad.passes.dce import dce
from jitgrad.passes.rename import rename_lengths, renamed

MOST = 16  # elements of an array that become numbers

Place = tuple[int, ...]

_ACCESSES = (empty, load, store)


def as_numbers(block: Block) -> Block:
    """The lowered block with the elements of small arrays as numbers."""
    if not any(node.op is empty for node in block.walk()):
        return block
    trips = Short(block).trips
    needed = _Small(block, trips).loops()
    if needed:
        block = written_out(block, {index: trips[index] for index in needed})
    small = _Small(block, {})
    if not small.places:
        return block
    numbers = _Numbers(small)
    block = numbers.block(block)
    return dce(rename_lengths(block, numbers.env))


class _Small:
    """The arrays of a block that can be numbers.

    Attributes:
        buffers: which values are versions of one array.
        trips: loops that may be written out, by index, and the most iterations of each.
        places: of each array that can be numbers, the places of its elements.
        fills: what is stored by a loop that does nothing else to an array, from end to end, by what the loop gives.
        stores: what the stores of these loops give.
    """

    def __init__(self, block: Block, trips: dict[Value, int]):
        self.buffers = Buffers(block)
        self.trips = trips
        self.fills: dict[Value, Arg] = {}
        self.stores: set[Value] = set()
        self._shapes: dict[Arg, tuple] = {}
        self._needed: dict[Arg, set[Value]] = {}
        self._highest: Counter[Arg] = Counter()
        self._refused: set[Arg] = set()
        self._find_fills(block)
        self._refuse((*block.params, *block.results))
        for node in block.walk():
            self._look_at(node)
        self.places = {array: self._places(array) for array in self._shapes.keys() - self._refused}
        self.places = {array: places for array, places in self.places.items() if 0 < len(places) <= MOST}

    def loops(self) -> set[Value]:
        """The indices of the loops that are to be written out."""
        return {index for array in self.places for index in self._needed.get(array, ())}

    def of(self, value: Arg) -> list[Place] | None:
        """The places of the elements of an array, if they are numbers."""
        return self.places.get(self.buffers.of(value)) if value.type.shape else None

    def _places(self, array: Arg) -> list[Place]:
        """The places of an array's elements; if the length isn't known, up to the last that is touched."""
        shape = self._shapes[array]
        if not all(isinstance(n, int) for n in shape):
            shape = (self._highest[array],) if len(shape) == 1 else ()
        return list(np.ndindex(*shape)) if shape and prod(shape) <= MOST else []

    def _refuse(self, values: Iterable[Arg]) -> None:
        self._refused.update(self.buffers.of(v) for v in values if v.type.shape)

    def _look_at(self, node: Node) -> None:
        if node.op is empty:
            array = self.buffers.of(node.out)
            if self._shapes.setdefault(array, node.out.type.shape) != node.out.type.shape:
                self._refused.add(array)
        elif node.op is load:
            self._touch(node.args[0], node.args[1:])
        elif node.op is store:
            if node.out not in self.stores:
                self._touch(node.args[0], node.args[2:])
            if node.args[1].type.dtype != node.out.type.dtype:
                self._refuse(node.outs)
        elif not node.regions or node.attrs.get(PARALLEL):
            self._refuse((*node.args, *node.outs))

    def _touch(self, value: Arg, index: tuple[Arg, ...]) -> None:
        array = self.buffers.of(value)
        for i in index:
            if isinstance(i, Const) and i.value >= 0:
                self._highest[array] = max(self._highest[array], int(i.value) + 1)
            elif i in self.trips:
                self._needed.setdefault(array, set()).add(i)
                self._highest[array] = max(self._highest[array], self.trips[i])
            else:
                self._refused.add(array)

    def _find_fills(self, block: Block) -> None:
        makers = {out: node for node in block.walk() for out in node.outs}
        uses = Counter(a for node in block.walk() for a in node.args)
        uses.update(r for node in block.walk() for region in node.regions for r in region.results)
        for loop in block.walk():
            if loop.op is for_ and not loop.attrs.get(PARALLEL):
                for slot in slots(loop):
                    (result,) = slot.results
                    last = makers.get(result)
                    if last is not None and last.op is store and uses[result] == uses[slot.params[0]] == 1:
                        self._find_fill(loop, slot, last)

    def _find_fill(self, loop: Node, slot: Slot, last: Node) -> None:
        """Note that a loop stores one number at each place of an array, if it does."""
        (body,) = loop.regions
        count = loop.args[0]
        whole = last.out.type.shape == (int(count.value) if isinstance(count, Const) else count,)
        direct = last in body.nodes and last.args[0] is slot.params[0] and last.args[2:] == body.params[:1]
        if whole and direct and last.args[1] not in {*body.params, *defined(body)}:
            self.fills[slot.out] = last.args[1]
            self.stores.add(last.out)


class _Numbers:
    """Goes through a block.

    Attributes:
        small: the arrays that become numbers.
        elements: of each version of such an array, its elements.
        env: what stands for values that are no more.
    """

    def __init__(self, small: _Small):
        self.small = small
        self.elements: dict[Arg, dict[Place, Arg]] = {}
        self.env: dict[Arg, Arg] = {}

    def block(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            is_new = any(a in self.env for a in node.args)
            node = renamed(node, self.env)
            if node.regions:
                nodes.append(self.with_regions(node))
            elif node.op in _ACCESSES and self.small.of(node.args[0] if node.op is load else node.out) is not None:
                self.replace(node)
            elif (same := neutral(node, is_new)) is not None:
                self.env[node.out] = same
            else:
                nodes.append(node)
        results = tuple(self.env.get(r, r) for r in block.results)
        return Block(block.params, nodes, results, block.name, block.notes)

    def replace(self, node: Node) -> None:
        """Note what a node does to an array that is no more."""
        if node.op is load:
            self.env[node.out] = self.elements[node.args[0]][_place(node.args[1:])]
        elif node.op is empty:
            self.elements[node.out] = dict.fromkeys(self.small.of(node.out), _unwritten(node.out))
        elif node.out in self.small.stores:
            self.elements[node.out] = self.elements[node.args[0]]  # the loop gives what it stores
        else:
            self.elements[node.out] = {**self.elements[node.args[0]], _place(node.args[2:]): node.args[1]}

    def with_regions(self, node: Node) -> Node:
        """A loop or branch with numbers in the places of arrays."""
        kept = [out not in self.small.fills or self.small.of(out) is None for out in node.outs]
        regions = []
        for region in node.regions:
            params = self.params(region.params, kept)
            inner = self.block(region)
            results = inner.results if region.name == "test" else _kept(inner.results, kept)
            results = tuple(number for r in results for number in self.numbers(r))
            regions.append(Block(params, inner.nodes, results, inner.name, inner.notes))
        outs = self.params(node.outs, kept)
        for out, keep in zip(node.outs, kept, strict=True):
            if not keep:
                value = self.small.fills[out]
                self.elements[out] = dict.fromkeys(self.small.of(out), self.env.get(value, value))
        if node.op is if_:
            return self.branch(node, regions, outs)
        args = tuple(number for a in _kept(node.args, kept) for number in self.numbers(a))
        return Node(node.op, args, outs, node.attrs, tuple(regions), node.loc)

    def branch(self, node: Node, regions: list[Block], outs: tuple[Value, ...]) -> Node:
        """A branch that gives what differs between its sides; an element that neither has written is what it was."""
        then, orelse = regions
        same = {out: a for out, a, b in zip(outs, then.results, orelse.results, strict=True) if a == b}
        for out in node.outs:
            for place in self.small.of(out) or ():
                element = self.elements[out][place]
                self.elements[out][place] = same.get(element, element)
        differs = [out not in same for out in outs]
        self.env.update((out, a) for out, a in same.items() if out in node.outs)
        regions = [Block((), r.nodes, _kept(r.results, differs), r.name, r.notes) for r in regions]
        return Node(if_, node.args, _kept(outs, differs), node.attrs, tuple(regions), node.loc)

    def params(self, values: tuple[Value, ...], kept: list[bool]) -> tuple[Value, ...]:
        """What a loop takes or gives, with new values for the elements of what were arrays."""
        for value in values:
            places = self.small.of(value)
            if places is not None:
                type = Type(value.type.dtype)
                self.elements[value] = {p: Value(type, _name(value, p)) for p in places}
        return tuple(number for value in _kept(values, kept) for number in self.numbers(value))

    def numbers(self, arg: Arg) -> tuple[Arg, ...]:
        """What stands for a value: itself, another, or the elements of what was an array."""
        places = self.small.of(arg)
        return (self.env.get(arg, arg),) if places is None else tuple(self.elements[arg][p] for p in places)


def _kept(values: tuple, kept: list[bool]) -> tuple:
    """Of as many values as there are slots, after what may come before them, those that are kept."""
    before = max(len(values) - len(kept), 0)
    return (*values[:before], *(v for v, keep in zip(values[before:], kept, strict=False) if keep))


def _place(index: tuple[Arg, ...]) -> Place:
    return tuple(int(i.value) for i in index)


def _name(value: Value, place: Place) -> str | None:
    return value.name and "_".join((value.name, *map(str, place)))


def _unwritten(array: Value) -> Const:
    """What an element is before it is written: nothing that could be taken for a result."""
    dtype = array.type.dtype
    return Const.of(dtype.type(np.nan if dtype.kind == "f" else 0))
