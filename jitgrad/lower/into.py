"""Results that are written into arrays of the caller's, in place of memory of the program's own.

Most results are made in memory that the program allocates for them, and for nothing else. Then the caller's array is
that memory, and nothing is allocated or copied. Any other result is copied at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce

import numpy as np

from jitgrad.ir import verify
from jitgrad.ir.graph import Arg, Block, Const, Node, Value, substitute
from jitgrad.ir.types import Type
from jitgrad.lower.lazy import Lazy, in_memory, write_all
from jitgrad.ops.control import check
from jitgrad.ops.inplace import check_writes, origin
from jitgrad.ops.memory import apart, empty, view
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr, building

SHARED = "out shares memory with an argument, or with another part of out"


def into(block: Block, names: Mapping[int, str]) -> Block:
    """A lowered program that is given arrays for some of its results, as its last params.

    Args:
        block: any lowered program.
        names: the numbers of these results, and what each array is called.

    Returns:
        The program; its results are those that are left. It raises `ValueError` for an array of another shape than its
        result, and for one that shares memory with a param or another of them.
    """
    outs = {k: Value(block.results[k].type, re.sub(r"\W+", "_", name).strip("_")) for k, name in names.items()}
    given = _Given(block)
    for k, out in outs.items():
        given.place(k, out, names[k])
    with building(Builder()) as builder:
        arrays = [p for p in block.params if p.type.shape]
        ok = builder.emit(apart, (*outs.values(), *arrays), {"outs": len(outs)})
        builder.emit(check, (ok,), {"message": SHARED, "where": ""})
    given.insert(0, builder.nodes)
    results = tuple(r for k, r in enumerate(block.results) if k not in outs)
    block = given.block((*block.params, *outs.values()), results)
    if verify.ENABLED:
        verify.verify(block, "into")
        check_writes(block, "into")
    return block


class _Given:
    """A program into which arrays for results are put, one after the other.

    Attributes:
        inserted: nodes that come in front of the node of a number.
        known: with how many nodes a value is known.
        replaced: what stands in place of a node that allocates memory, if anything does.
        instead: what stands for memory that is allocated no more.
    """

    def __init__(self, block: Block):
        self.original = block
        self.makers = {o: node for node in block.nodes for o in node.outs}
        self.known = dict.fromkeys(block.params, 0) | {
            o: k + 1 for k, node in enumerate(block.nodes) for o in node.outs
        }
        self.inserted: dict[int, list[Node]] = {}
        self.replaced: dict[Node, list[Node]] = {}
        self.instead: dict[Value, Arg] = {}

    def insert(self, k: int, nodes: list[Node]) -> None:
        self.inserted[k] = nodes + self.inserted.get(k, [])

    def place(self, k: int, out: Value, name: str) -> None:
        """Let the program write its k-th result into `out`, which the user calls `name`."""
        result = self.original.results[k]
        memory, shape = self._memory(result)
        maker = self.makers.get(memory)
        if maker is None or maker in self.replaced or any(self._known(n) >= self.known[memory] for n in shape):
            self._copy(result, out, name)
            return
        self.insert(max(map(self._known, shape)), _same_shape(out, shape, name))
        if shape == maker.args:
            self.replaced[maker], self.instead[memory] = [], out
        else:  # the result is a view of it
            self.replaced[maker] = [Node(view, (out, *maker.args), (memory,), {}, (), maker.loc)]

    def _known(self, arg: Arg) -> int:
        return 0 if isinstance(arg, Const) else self.known[arg]

    def _memory(self, result: Value) -> tuple[Value | None, tuple[Arg, ...]]:
        """The memory that the program allocates for a result, if it does so just for that; and the result's shape."""
        shape: tuple[Arg, ...] | None = None
        value: Arg = result
        while True:
            value = origin(value, self.original)
            node = self.makers.get(value)
            if node is None or node.op not in (view, empty):
                return None, ()
            shape = node.args[node.op is view :] if shape is None else shape
            if node.op is empty:
                return value, shape
            value = node.args[0]

    def _copy(self, result: Value, out: Value, name: str) -> None:
        with building(Builder()) as builder:
            shape = tuple(builder.emit(axis_length, (result,), {"axis": k}).value for k in range(result.type.ndim))
            builder.nodes += _same_shape(out, shape, name)
            write_all(Expr(out), Lazy(Type(result.type.dtype, shape), in_memory(result).at))
        end = len(self.original.nodes)
        self.inserted[end] = self.inserted.get(end, []) + builder.nodes

    def block(self, params: tuple[Value, ...], results: tuple[Arg, ...]) -> Block:
        old = self.original
        nodes: list[Node] = []
        for k, node in enumerate(old.nodes):
            nodes += self.inserted.get(k, [])
            nodes += self.replaced.get(node, [node])
        nodes += self.inserted.get(len(old.nodes), [])
        env: dict[Value, Arg] = {p: p for p in params} | self.instead
        new = substitute(Block(params, nodes, results, old.name), env)
        return Block(new.params, new.nodes, new.results, old.name, old.notes)


def _same_shape(out: Value, shape: tuple[Arg, ...], name: str) -> list[Node]:
    """The check that an array has the shape of its result."""
    with building(Builder()) as builder:
        own = [builder.emit(axis_length, (out,), {"axis": k}) for k in range(len(shape))]
        same = [builder.emit(UFUNCS[np.equal], (n, m), {}) for n, m in zip(own, shape, strict=True)]
        ok = reduce(lambda a, b: builder.emit(UFUNCS[np.logical_and], (a, b), {}), same)
        text = name.replace("{", "{{").replace("}", "}}")
        n = len(shape)
        message = f"{text} has shape {_text(0, n)}, where the result has shape {_text(n, n)}"
        builder.emit(check, (ok, *own, *shape), {"message": message, "where": ""})
    out.type = Type(out.type.dtype, tuple(n.value for n in own))
    return builder.nodes


def _text(first: int, n: int) -> str:
    """The place of a shape in a message."""
    return f"({','.join(f'{{{k}}}' for k in range(first, first + n))}{',' * (n == 1)})"
