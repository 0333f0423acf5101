"""What reversed functions take and give, and how they are called.

They take all that the function takes; then, if it has records, these; then the cotangents of some of its results, those
`given`; and then the cotangents so far of those arrays that it only reads, to which they add. They give the cotangents
of some of its params, those `wanted`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jitgrad.ad.activity import depends
from jitgrad.ad.forward import name_after
from jitgrad.ad.sweep import Sweep
from jitgrad.ir.function import Function
from jitgrad.ir.graph import Arg, Block, Value
from jitgrad.ir.types import Type
from jitgrad.ops.flow import add_call, carried
from jitgrad.ops.rules import zeros_like
from jitgrad.ops.symbolic import Expr, as_arg

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a function is reversed for: the results that have cotangents, and the params whose are asked for."""

    given: Numbers
    wanted: Numbers

    def added(self, function: Function) -> list[int]:
        """The params whose cotangent is handed in and added to: arrays that are only read."""
        return [k for k in self.wanted if function.block.params[k].type.shape and k not in function.updates]


class Reversal:
    """A reversed function under construction.

    Attributes:
        function: the function.
        block: its body, with what it takes besides.
        pattern: what it is reversed for.
        inputs: the params whose cotangents are asked for.
        heads: the cotangents of results; `sums` those so far of arrays, by the number of the param.
    """

    def __init__(self, function: Function, block: Block, pattern: Pattern):
        self.function, self.block, self.pattern = function, block, pattern
        self.inputs = [block.params[k] for k in pattern.wanted]
        self.heads = carried([block.results[k] for k in pattern.given])
        added = pattern.added(function)
        self.sums = dict(zip(added, carried([block.params[k] for k in added]), strict=True))
        of = (*(block.results[k] for k in pattern.given), *(block.params[k] for k in added))
        for bar, x in zip((*self.heads, *self.sums.values()), of, strict=True):
            bar.name = f"{x.name}_bar" if getattr(x, "name", None) else None

    @property
    def params(self) -> tuple[Value, ...]:
        return (*self.block.params, *self.heads, *self.sums.values())

    def seed(self, sweep: Sweep) -> None:
        """Let a sweep begin with what is handed in."""
        sweep.bars.update((self.block.params[k], Expr(bar)) for k, bar in self.sums.items())
        for k, head in zip(self.pattern.given, self.heads, strict=True):
            result = self.block.results[k]
            if result in sweep.active:
                sweep.add(result, Expr(head))
                sweep.masked.add(result)  # as all cotangents that come out of calls are taken to be

    def ends(self, sweep: Sweep) -> tuple[Arg, ...]:
        """The cotangents that are asked for."""
        return tuple(as_arg(sweep.bars[x] if x in sweep.bars else zeros_like(Expr(x))) for x in self.inputs)

    def updates(self, first: int) -> dict[int, int]:
        """Which cotangents of arrays are added to in place, if `first` results come before the cotangents."""
        begin, wanted = len(self.block.params), self.pattern.wanted
        found = {begin + len(self.heads) + j: first + wanted.index(k) for j, k in enumerate(self.sums)}
        for k, j in self.function.updates.items():
            if k in wanted and j in self.pattern.given:
                found[begin + self.pattern.given.index(j)] = first + wanted.index(k)
        return found


def pull(
    sweep: Sweep,
    function: Function,
    args: tuple[Arg, ...],
    outs: tuple[Value, ...],
    reversed_for: Callable[[Pattern], Function],
    tape: tuple = (),
    first: tuple[Value, ...] = (),
) -> bool:
    """Call a reversed function: cotangents of results in, those of arguments out.

    Args:
        sweep: that of the caller.
        function, args, outs: the call.
        reversed_for: gives the reversed function.
        tape: the records that it takes.
        first: what it gives before the cotangents.

    Returns:
        False if there are no cotangents to ask for.
    """
    given = tuple(k for k, out in enumerate(outs) if out in sweep.bars)
    active = [k for k, arg in enumerate(args) if arg in sweep.active]
    pattern = Pattern(given, tuple(k for k in active if any((k, j) in depends(function) for j in given)))
    if not pattern.wanted:
        return False
    added = {k: args.index(args[k]) == k for k in pattern.added(function)}
    starts = [sweep.bars.get(args[k]) if once else None for k, once in added.items()]
    sums = [zeros_like(Expr(args[k])) if s is None else s for k, s in zip(added, starts, strict=True)]
    heads = [sweep.bars[outs[k]] for k in given]
    params = function.block.params
    bars = tuple(Value(Type(params[k].type.dtype, args[k].type.shape, params[k].type.weak)) for k in pattern.wanted)
    add_call(reversed_for(pattern), (*args, *map(as_arg, (*tape, *heads, *sums))), (*first, *bars))
    for k, bar in zip(pattern.wanted, bars, strict=True):
        if added.get(k):
            sweep.bars[args[k]] = Expr(bar)
            name_after(Expr(bar), args[k], "bar")
        else:
            sweep.add(args[k], Expr(bar))
        sweep.masked.add(args[k])
    return True
