"""What has just been stored need not be loaded, and what is never loaded need not be stored."""

from __future__ import annotations

from collections import Counter

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node
from jitgrad.lower.buffers import Buffers
from jitgrad.ops.affine import Form, form_of
from jitgrad.ops.flow import if_
from jitgrad.ops.memory import empty, load, store
from jitgrad.ops.registry import UFUNCS
from jitgrad.passes.dce import dce
from jitgrad.passes.rename import renamed, renamed_inside

_ADD, _MULTIPLY = UFUNCS[np.add], UFUNCS[np.multiply]

_PURE = frozenset(("where", "astype", "strong_multiply"))


def forwarded(block: Block) -> Block:
    """The lowered block without loads of what is known, stores that are overwritten, and buffers that nobody reads."""
    env: dict[Arg, Arg] = {}
    block = _Forward(block, env).block(block, {})
    block = renamed_inside(block, env)
    return dce(_without(block, _unread(block)))


def _computed(node: Node) -> tuple | None:
    """How a number is computed, if that alone says what it is."""
    if len(node.outs) != 1 or node.out.type.shape or not (node.op.ufunc is not None or node.op.name in _PURE):
        return None
    return (node.op, node.args, tuple(sorted(node.attrs.items(), key=str)))


class _Forward:
    """
    Attributes:
        env: what stands for values that are loaded.
        uses: how often each value is read.
        places: indices as sums: `1 + k` and `k + 1` are one.
    """

    def __init__(self, block: Block, env: dict[Arg, Arg]):
        self.env = env
        self.makers = {out: node for node in block.walk() for out in node.outs}
        self.places: dict[Arg, frozenset] = {}
        self.uses: Counter[Arg] = Counter(block.results)
        for node in block.walk():
            self.uses.update(node.args)
            for region in node.regions:
                self.uses.update(region.results)

    def block(self, block: Block, outer: dict[tuple, Arg]) -> Block:
        """`outer` has what is in a register: elements by array, in its present version, and index; numbers by how they
        are computed."""
        known = dict(outer)
        nodes: list[Node] = []
        for node in block.nodes:
            is_new = any(a in self.env for a in node.args)
            node = renamed(node, self.env)
            same = neutral(node, is_new)
            if same is not None:
                self.env[node.out] = same
                self.uses.subtract(node.args)
                continue
            key = self.element(node.args[0], node.args[1:]) if node.op is load else _computed(node)
            if key is not None:
                element = known.setdefault(key, node.out)
                if element is not node.out and element.type == node.out.type:
                    self.env[node.out] = element
                    self.uses.subtract(node.args)
                    continue
            elif node.op is store:
                node = self.over(node, nodes)
                if node.args[1].type.dtype == node.out.type.dtype:
                    known[self.element(node.out, node.args[2:])] = node.args[1]
            elif node.regions:
                node = renamed(node, {}, tuple(self.block(region, known) for region in node.regions))
            nodes.append(node)
        return Block(block.params, nodes, tuple(self.env.get(r, r) for r in block.results), block.name, block.notes)

    def element(self, array: Arg, index: tuple[Arg, ...]) -> tuple:
        """What is the same for two accesses to one element."""
        return (array, *map(self.place, index))

    def place(self, index: Arg) -> frozenset:
        if index not in self.places:
            form = form_of(index, self.makers.get, lambda value: Form({self.env.get(value, value): 1}))
            self.places[index] = frozenset(form.items())
        return self.places[index]

    def over(self, node: Node, nodes: list[Node]) -> Node:
        """A store over one that nobody has read; that one goes."""
        before = next((n for n in reversed(nodes) if node.args[0] in n.outs), None)
        if before is None or before.op is not store:
            return node
        if self.element(node.out, before.args[2:]) != self.element(node.out, node.args[2:]):
            return node
        if self.uses[before.out] > 1:
            return node
        nodes.remove(before)
        return Node(store, (before.args[0], *node.args[1:]), node.outs, node.attrs, (), node.loc)


def neutral(node: Node, is_new: bool) -> Arg | None:
    """What a product with one is; or a sum with a zero that was read from memory until now, as `is_new` says."""
    neutral = 1 if node.op is _MULTIPLY else 0 if node.op is _ADD and is_new else None
    for number, other in (node.args, node.args[::-1]) if neutral is not None else ():
        is_neutral = isinstance(number, Const) and number.value == neutral
        if is_neutral and node.out.type.is_float and other.type.dtype == node.out.type.dtype:
            return other
    return None


def _unread(block: Block) -> set[Arg]:
    """All versions of the buffers that the block makes for itself, and only writes to."""
    buffers = Buffers(block)
    made: set[Arg] = set()
    needed = {buffers.of(v) for v in (*block.params, *block.results) if v.type.shape}
    versions: set[Arg] = set()
    for node in block.walk():
        arrays = [a for a in (*node.args, *node.outs) if a.type.shape]
        versions.update(arrays, (p for region in node.regions for p in region.params if p.type.shape))
        if node.op is empty:
            made.add(buffers.of(node.out))
        elif node.op is not store and not node.regions:
            needed.update(map(buffers.of, arrays))
    return {v for v in versions if buffers.of(v) in made - needed}


def _without(block: Block, dead: set[Arg]) -> Block:
    """The block without arrays that nobody reads."""
    if not dead:
        return block
    nodes = []
    for node in block.nodes:
        if any(o in dead for o in node.outs) and node.op in (empty, store):
            continue
        if node.regions:
            keep = [k for k, out in enumerate(node.outs) if out not in dead]
            regions = []
            for region in node.regions:
                region = _without(region, dead)
                first = len(region.params) - len(node.outs)
                carried = node.op is not if_
                params = (*region.params[:first], *(region.params[first + k] for k in keep)) if carried else ()
                results = region.results if region.name == "test" else tuple(region.results[k] for k in keep)
                regions.append(Block(params, region.nodes, results, region.name, region.notes))
            start = len(node.args) - len(node.outs)
            args = node.args if node.op is if_ else (*node.args[:start], *(node.args[start + k] for k in keep))
            outs = tuple(node.outs[k] for k in keep)
            node = Node(node.op, args, outs, node.attrs, tuple(regions), node.loc)
        nodes.append(node)
    return Block(block.params, nodes, block.results, block.name, block.notes)
