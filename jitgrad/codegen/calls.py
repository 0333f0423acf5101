"""How functions are called, and calls as statements.

An array that a function writes to is not given back where it is certainly in the same memory: then its name goes on.

Functions that call each other in turn are one function in compiled code, with a number that says which of them is
meant: code that is loaded from a cache may call itself, but two functions may not call each other.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

import numpy as np

from jitgrad.codegen.forms import call, dtype_name, expression, tuple_of
from jitgrad.codegen.statements import Writer
from jitgrad.ir.function import Function, callee
from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ir.types import Type
from jitgrad.ops.flow import if_
from jitgrad.ops.inplace import WRITES

Kind = tuple[np.dtype, int]


@dataclass(eq=False, slots=True)
class Shared:
    """What one function takes and gives that stands for several: places of all kinds, with room for each of them.

    Attributes:
        params: the names of its parameters; `kinds` are their kinds.
        results: the kinds of its results.
    """

    params: list[str] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)
    results: list[Kind] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Convention:
    """How a function is called.

    Attributes:
        name: of the function in the module.
        kept: the results that are not given back, since the caller has them: arrays that were written to in place.
        shared: if it is one of several in one function: what that takes and gives; `number` says which one it is, and
            `params` and `results` the places of its own.
    """

    name: str
    kept: frozenset[int] = frozenset()
    shared: Shared | None = None
    number: int = 0
    params: tuple[int, ...] = ()
    results: tuple[int, ...] = ()

    def arguments(self, args: list[ast.expr], inside: Shared | None) -> list[ast.expr]:
        """The arguments of a call; a place that it has no use for gets what the caller has there, or anything."""
        if self.shared is None:
            return args
        filled = dict(zip(self.params, args, strict=True))
        spare = (
            [expression(p) for p in self.shared.params] if inside is self.shared else map(nothing, self.shared.kinds)
        )
        number = call("np.int64", ast.Constant(self.number))
        return [number, *(filled.get(k, other) for k, other in enumerate(spare))]

    def targets(self, names: list[str]) -> list[str]:
        """The names that the results of a call are assigned to."""
        if self.shared is None:
            return names
        filled = dict(zip(self.results, names, strict=True))
        return [filled.get(k, f"_{k}") for k in range(len(self.shared.results))]

    def returned(self, values: list[ast.expr]) -> list[ast.expr]:
        """What the function returns."""
        if self.shared is None:
            return values
        filled = dict(zip(self.results, values, strict=True))
        return [filled.get(k) or nothing(kind) for k, kind in enumerate(self.shared.results)]


def nothing(kind: Kind) -> ast.expr:
    """A value of a kind that nobody looks at."""
    dtype, ndim = kind
    if not ndim:
        return call(dtype_name(dtype), ast.Constant(0))
    return call("np.empty", tuple_of([ast.Constant(0)] * ndim), expression(dtype_name(dtype)))


class CallWriter(Writer):
    """Writes calls, in both forms.

    Attributes:
        conventions: how each function is called.
        is_entry: whether the block is the program's own, and not that of a function.
        inside: if the block is that of one of several functions in one: what that takes and gives.
    """

    def __init__(self, block: Block, conventions: dict[Function, Convention] | None = None, comments: bool = True):
        super().__init__(block, comments)
        self.conventions = conventions or {}
        self.is_entry = True
        self.inside: Shared | None = None

    def given(self, arg: Arg, type: Type) -> ast.expr:
        """An operand as the value of a variable or parameter of that type."""
        return self.arg(arg)

    def argument(self, arg: Arg, param: Value) -> ast.expr:
        """An operand as an argument of a function."""
        return self.given(arg, param.type)

    def _call(self, node: Node) -> list[ast.stmt]:
        function = callee(node)
        convention = self.conventions[function]
        args = [self.argument(a, p) for a, p in zip(node.args, function.block.params, strict=True)]
        value = call(convention.name, *convention.arguments(args, self.inside))
        for k, j in function.updates.items():
            if j in convention.kept:
                self.take_over(node.args[k], node.outs[j])
        outs = [o for j, o in enumerate(node.outs) if j not in convention.kept]
        names = [ast.Name(name, ast.Store()) for name in convention.targets([self.name(o) for o in outs])]
        if not names:
            return [ast.Expr(value)]
        return [ast.Assign([names[0] if len(names) == 1 else ast.Tuple(names, ast.Store())], value, lineno=0)]


def kept_results(group: list[Function], known: dict[Function, Convention]) -> dict[Function, frozenset[int]]:
    """The results of functions that are in the memory of a param whatever happens: what they give back needn't be."""
    kept = {f: c.kept for f, c in known.items()} | {f: frozenset(f.updates.values()) for f in group}
    while True:
        left = {f: _in_place(f, kept) & kept[f] for f in group}
        if all(left[f] == kept[f] for f in group):
            return left
        kept |= left


def _in_place(function: Function, kept: dict[Function, frozenset[int]]) -> frozenset[int]:
    block = function.block
    makers = {o: node for node in block.walk() for o in node.outs}
    starts = {
        param: init
        for node in block.walk()
        for region in node.regions
        for param, init in zip(region.params[::-1], node.args[::-1], strict=False)
    }

    def same(value: Arg, param: Value) -> bool:
        """Whether a value is in the memory of the param."""
        node = makers.get(value)
        if value is param or node is None:
            return value is param or (value in starts and same(starts[value], param))
        if node.op.name in WRITES:
            return same(node.args[0], param)
        k = node.outs.index(value)
        if callee(node) is not None:
            sources = [node.args[i] for i, j in callee(node).updates.items() if j == k and k in kept[callee(node)]]
            return any(same(source, param) for source in sources)
        if not node.regions:
            return False
        inits = [] if node.op is if_ else [node.args[k + 1]]
        results = [r.results[k] for r in node.regions if r.name != "test"]
        return all(same(v, param) for v in (*inits, *results))

    return frozenset(j for k, j in function.updates.items() if same(block.results[j], block.params[k]))
