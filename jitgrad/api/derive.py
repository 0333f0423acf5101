"""What each transformation makes of a traced function."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jitgrad.ad import jvp as jvp_block
from jitgrad.ad import vjp as vjp_block
from jitgrad.api.chain import Entry
from jitgrad.api.fast import Ways
from jitgrad.api.heads import ARRAY, SCALAR
from jitgrad.api.program import Program
from jitgrad.api.signature import Flat, leaf_type
from jitgrad.api.structure import LEAF, count, flatten, pair, without_statics
from jitgrad.api.tracing import Primal
from jitgrad.ir.graph import Arg, Block, Value, lengths, substitute
from jitgrad.ir.types import Type
from jitgrad.ops.control import require_equal
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, building
from jitgrad.passes import SIMPLIFY, run, split


@dataclass(frozen=True, slots=True)
class Derived:
    """A program before optimisation.

    `extras` are its params beside those of the primal, `defaults` the default values of the last of them, and
    `structure` is that of its results. Those from the one with the number `first` on, in the structure `target`, may be
    written into arrays of the caller's; None stands for all of them. `companion` is what else a transformation wants
    to find with it.
    """

    block: Block
    structure: tuple
    extras: tuple[Value, ...] = ()
    defaults: tuple = ()
    companion: object = None
    first: int = 0
    target: tuple | None = None


def outputs_of(primal: Primal, has_aux: bool) -> tuple[tuple, tuple | None, int]:
    """Structure of the output, structure of the auxiliary result, and how many leaves the output has.

    Raises:
        TypeError: `has_aux` is set and the function doesn't return a pair.
    """
    structure = primal.structure
    if not has_aux:
        return structure, None, count(structure)
    if structure[0] != "tuple" or structure[3] != 2:
        raise TypeError("with has_aux=True the function must return a pair (output, auxiliary)")
    return structure[4], structure[5], count(structure[4])


def float_outputs(primal: Primal, n: int) -> list[int]:
    """Which of the first n results can be differentiated.

    Raises:
        TypeError: none can.
    """
    found = [k for k in range(n) if primal.block.results[k].type.is_float]
    if not found:
        what = primal.block.results[0].type.dtype if n else "nothing that is a number"
        raise TypeError(f"{primal.block.name}() returns {what}; only a real floating-point output has a derivative")
    return found


def wrt_leaves(primal: Primal, flat: Flat, places: tuple) -> tuple[list[int], list[tuple]]:
    """The leaves that belong to the arguments at `places`, and the structures of these arguments.

    Raises:
        ValueError: there is no such argument.
        TypeError: an argument, or a part of it, is no floating-point number or array.
    """
    leaves, structures = [], []
    for place in places:
        if place not in flat.groups:
            raise ValueError(f"argnums={place!r}: the call has no such argument")
        k = list(flat.groups).index(place)
        structures.append(without_statics(flat.structures[k]))
        if not len(flat.groups[place]):
            name = flat.places[k]
            hint = "; for a method, differentiate by another argument: argnums=1" if name == "self" else ""
            raise TypeError(f"argument {name!r} has nothing to differentiate by: it holds no number and no array{hint}")
        for leaf in flat.groups[place]:
            value = primal.leaves[leaf]
            dtype = getattr(flat.leaves[leaf], "dtype", type(flat.leaves[leaf]).__name__)
            if value is None or not value.type.is_float:
                raise TypeError(
                    f"argument {flat.names[leaf]!r} is of type {dtype}; only floating-point arguments can be "
                    "differentiated (leave it out of argnums, or pass a float)"
                )
            leaves.append(leaf)
    return leaves, structures


def gradient(primal: Primal, flat: Flat, places: tuple, single: bool, has_aux: bool, with_value: bool, kind: str,
             extras: tuple | None) -> Derived:  # fmt: skip
    """Reverse mode: the program of `grad` and `value_and_grad`."""
    value, aux, n = outputs_of(primal, has_aux)
    leaves, structures = wrt_leaves(primal, flat, places)
    outputs = float_outputs(primal, n)
    heads, params = make_heads(primal, outputs, kind, extras)
    block = reverse(primal, leaves, heads)
    total = len(primal.block.results)
    gradients = structures[0] if single else pair(*structures)
    keep = list(range(n)) if with_value else []
    structure = gradients
    if has_aux:
        keep += range(n, total)
        structure = pair(pair(value, aux), gradients) if with_value else pair(gradients, aux)
        if not with_value:  # the gradients come first
            order = [*range(total, len(block.results)), *keep]
            return Derived(pick(block, order), structure, params, (1.0,) if kind == SCALAR else (), target=gradients)
    elif with_value:
        structure = pair(value, gradients)
    block = pick(block, [*keep, *range(total, len(block.results))])
    defaults = (1.0,) if kind == SCALAR else ()
    return Derived(block, structure, params, defaults, first=len(keep), target=gradients)


def pick(block: Block, results: list[int]) -> Block:
    return Block(block.params, block.nodes, tuple(block.results[k] for k in results), block.name)


def make_heads(
    primal: Primal, outputs: list[int], kind: str, extras: tuple | None
) -> tuple[list[tuple[int, Arg]], tuple[Value, ...]]:
    """Heads for the outputs: the given ones, or new params."""
    results = [primal.block.results[k] for k in outputs]
    if extras is not None:
        if kind == ARRAY:
            require_shapes(primal.block, extras, results, "head")
        return [(k, extras[0 if kind == SCALAR else j]) for j, k in enumerate(outputs)], ()
    if kind == SCALAR:
        head = Value(Type(results[0].type.dtype), "head")
        return [(k, head) for k in outputs], (head,)
    names = ["head"] if len(outputs) == 1 else [f"head_{j}" for j in range(len(outputs))]
    params = tuple(Value(r.type, name) for r, name in zip(results, names, strict=True))
    check_shapes(primal.block, params, "head")
    return list(zip(outputs, params, strict=True)), params


class _Shape:
    """Stands for an operand in the text of an error."""

    def __init__(self, type: Type):
        self.type = type


def reverse(primal: Primal, leaves: list[int], heads: list[tuple[int, Arg]]) -> Block:
    """The primal's results, then the cotangents of the leaves."""
    position = {p: k for k, p in enumerate(primal.block.params)}
    return vjp_block(_without_the_dead(primal.block), [position[primal.leaves[k]] for k in leaves], heads)


def _without_the_dead(block: Block) -> Block:
    """A program with loops is simplified before it is differentiated: what they carry for nothing would be kept.

    The lengths of params stay: heads and tangents are checked against them.
    """
    if not any(node.regions for node in block.nodes):
        return block
    simple = run(SIMPLIFY, block, nested=True)
    made = {o for node in simple.nodes for o in node.outs}
    named = {n for p in simple.params for n in lengths(p)} - made
    measured = [node for node in block.nodes if any(o in named for o in node.outs)]
    return Block(simple.params, [*measured, *simple.nodes], simple.results, simple.name, simple.notes)


def forward(primal: Primal, leaves: list[int], extras: tuple | None) -> tuple[Block, tuple[Value, ...]]:
    """The primal's results, then all their tangents; and the params for the tangents of the leaves.

    The shapes of tangents are checked at the start of the call; known ones take the params' places.
    """
    position = {p: k for k, p in enumerate(primal.block.params)}
    wrt = [position[primal.leaves[k]] for k in leaves]
    block = jvp_block(_without_the_dead(primal.block), wrt, range(len(primal.block.results)))
    params = block.params[len(primal.block.params) :]
    if extras is not None:
        require_shapes(block, extras, [primal.leaves[k] for k in leaves], "tangent")
        return substitute(block, {p: p for p in primal.block.params} | dict(zip(params, extras, strict=True))), ()
    check_shapes(block, params, "tangent")
    return block, params


def require_shapes(block: Block, given: tuple[Arg, ...], wanted: list[Arg], kind: str) -> None:
    """Add checks that values of the program have the shapes of others."""
    with building(Builder(checking=True)) as builder:
        builder.nodes = block.nodes
        for x, like in zip(given, wanted, strict=True):
            if kind == "head" and not x.type.ndim:
                continue  # a number stands for all elements
            if x.type.ndim != like.type.ndim:
                raise ValueError(f"the {kind} has {x.type.ndim} axes; {like.type.ndim} are expected")
            for n, m in zip(x.type.shape, like.type.shape, strict=True):
                require_equal(n, m, (x, like), kind)


def check_shapes(block: Block, params: tuple[Value, ...], kind: str) -> None:
    """Add checks that params which are shaped like something else are so."""
    with building(Builder(checking=True)) as builder:
        builder.nodes = block.nodes
        for param in params:
            for axis, n in enumerate(param.type.shape):
                length = builder.emit(axis_length, (param,), {"axis": axis}).value
                shape = tuple(length if j == axis else m for j, m in enumerate(param.type.shape))
                require_equal(length, n, (_Shape(Type(param.type.dtype, shape)), _Shape(param.type)), kind)


@dataclass(frozen=True, slots=True)
class Second:
    """The second half of a derivative: a program of residuals and heads.

    Attributes:
        entry: the program, which gives the cotangents; it has no traced function of its own.
        outputs: name, dtype and number of axes of each output that has a head.
        whole: whether the function returns one array or number, and no container.
        ways: how the pullbacks were called.
    """

    entry: Entry
    outputs: list[tuple[str, np.dtype, int]]
    whole: bool
    ways: Ways = field(default_factory=Ways)

    def shapes(self, outputs: object) -> list[tuple]:
        """The shapes of those outputs that have a head."""
        if self.whole:
            return [getattr(outputs, "shape", ())]
        leaves, _, _ = flatten(outputs, "output", lambda x, name: True)
        return [np.shape(x) for x in leaves if leaf_type(x).dtype.kind == "f"]


def in_two(primal: Primal, leaves: list[int], structure: tuple) -> Derived:
    """The program of a forward pass, and with it that of the pullback; `structure` is that of the cotangents."""
    n = len(primal.block.results)
    outputs = float_outputs(primal, n)
    pairs, params = make_heads(primal, outputs, ARRAY, None)
    first, second = split(run(SIMPLIFY, reverse(primal, leaves, pairs)), set(params), n)
    residuals = second.params[: len(second.params) - len(params)]
    name = primal.block.name
    sources = {"leaf": residuals, "extra": params}
    program = Program(second, sources, f"{name}_pullback", f"Pullback of {name}, generated by jitgrad.")
    types = [(primal.results[k], primal.block.results[k].type) for k in outputs]
    entry = Entry(program, None, structure, frozenset(), None, 0, structure)
    companion = Second(entry, [(name, t.dtype, t.ndim) for name, t in types], primal.structure == LEAF)
    kept = ("list", list, None, len(residuals), *[LEAF] * len(residuals))
    return Derived(first, pair(primal.structure, kept), companion=companion)


def in_one(primal: Primal, leaves: list[int], structure: tuple, heads: tuple) -> Derived:
    """The pullback for known heads as one program."""
    n = len(primal.block.results)
    pairs, _ = make_heads(primal, float_outputs(primal, n), ARRAY, heads)
    block = reverse(primal, leaves, pairs)
    return Derived(pick(block, list(range(n, len(block.results)))), structure)
