"""The walk back over the nodes of a block, which adds up cotangents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from jitgrad.ad.forward import name_after
from jitgrad.ir.graph import Arg, Const, Node, Value
from jitgrad.ir.op import Op
from jitgrad.ops.index import add_at, getitem_, setitem
from jitgrad.ops.rules import add, is_masked
from jitgrad.ops.shape import broadcast_to_
from jitgrad.ops.symbolic import Expr, as_expr, current

if TYPE_CHECKING:
    from jitgrad.ad.keep import Kept

# How loops, branches and calls are reversed: `reverse(sweep, node)` does for a node what `Sweep._rule` does for others.
REVERSES: dict[Op, Callable[[Sweep, Node], None]] = {}


class Sweep:
    """Cotangents of the values of one block. The nodes that compute them go to the current builder.

    Attributes:
        active: the values that depend on what is differentiated by, those inside of regions included.
        bars: the cotangent of each value, as far as it has been added up.
        masked: the values whose cotangent has zeros where an element was not selected (`jitgrad.ops.rules`).
        makers: the node that each value of the primal is made by, in the blocks around, too.
        inside: whether the block is a region.
        stored: values that are an element of an array, which may be read there again: the array, and the node that
            wrote them.
        kept: numbers that a loop around keeps; None if no loop around has made up its mind.
        forward: the nodes walked over, in their order; loops and calls among them replaced by such as keep residuals.
    """

    def __init__(
        self,
        active: set[Value],
        makers: dict[Value, Node],
        bars: dict[Value, object] | None = None,
    ):
        self.active, self.makers = active, makers
        self.bars = {} if bars is None else bars
        self.masked: set[Value] = set()
        self.stored: dict[Value, tuple[Value, Node]] = {}
        self.kept: Kept | None = None
        self.inside = False
        self.forward: list[Node] = []

    def inner(self, bars: dict[Value, object], masked: Iterable[Value], stored: dict | None = None) -> Sweep:
        """The sweep of a region."""
        sweep = Sweep(self.active, self.makers, bars)
        sweep.masked, sweep.inside = set(masked), True
        sweep.stored = self.stored if stored is None else stored
        sweep.kept = self.kept
        return sweep

    def back(self, nodes: list[Node]) -> None:
        """Walk over all nodes from the last to the first."""
        builder = current()
        reverse: list[Node] = []
        for node in reversed(nodes):
            self.forward = [node]
            if any(o in self.bars for o in node.outs):
                builder.loc = replace(node.loc, role="adjoint")
                self.reverse(node)
            reverse.extend(reversed(self.forward))
        self.forward = reverse[::-1]

    def reverse(self, node: Node) -> None:
        """Add up what a node's results hand on to its arguments; what is to stand for it going forward is `forward`."""
        if node.op in REVERSES:
            REVERSES[node.op](self, node)
        else:
            self._rule(node)

    def _rule(self, node: Node) -> None:
        wanted = [a in self.active for a in node.args]
        was_masked = any(o in self.masked for o in node.outs)
        args = tuple(self._primal(a) for a in node.args)
        outs = tuple(self._primal(o) for o in node.outs)
        cotangents = [self.bars.get(o) for o in node.outs]
        contributions = node.op.rule.pullback(node.op, cotangents, outs, args, node.attrs, wanted, was_masked)
        for k, (arg, bar) in enumerate(zip(node.args, contributions, strict=True)):
            if bar is not None:
                self.add(arg, bar)
                if was_masked or (is_masked(node.op, False) and not self._selects_nothing(node, k)):
                    self.masked.add(arg)

    def _selects_nothing(self, node: Node, k: int) -> bool:
        """Whether the cotangent that a masking rule gives needs no strong products.

        It is a part of the result's, with no zeros of its own. Or it is that of an array which a region reads or writes
        an element of, and that no elementwise operation of the region has made: there the program says itself which
        elements take part.
        """
        parts = node.attrs.get("pattern", (("array",),))
        if node.op is setitem and k == 1:
            return all(part[0] != "array" for part in parts)
        element = self.inside and node.op in (getitem_, setitem) and all(part[0] == "at" for part in parts)
        made = self.makers.get(node.args[k])
        return element and (made is None or made.op.ufunc is None)

    def _primal(self, arg: Arg) -> object:
        """A value of the primal, for a rule to read."""
        if arg not in self.stored:
            return as_expr(arg)
        array, node = self.stored[arg]
        return getitem_(Expr(array), *map(as_expr, node.args[2:]), pattern=node.attrs["pattern"])

    def add(self, arg: Arg, bar: object) -> None:
        """A contribution to the cotangent of a value."""
        if isinstance(arg, Const):
            return
        self.bars[arg] = _accumulate(self.bars.get(arg), bar)
        name_after(self.bars[arg], arg, "bar")


def _accumulate(total: object, bar: object) -> object:
    """The sum; what was scattered into zeros is scattered into the total, which then is written to in place."""
    builder = current()
    made = builder.maker(bar) if total is not None and isinstance(bar, Expr) else None
    if made is None or made.op is not add_at or total.dtype != bar.dtype or not _is_alike(total, bar):
        return add(total, bar)
    if not _is_zeros(builder.maker(made.args[0])):
        return add(total, bar)
    return builder.emit(add_at, (total, *made.args[1:]), made.attrs)


def _is_alike(a: Expr, b: Expr) -> bool:
    """Whether two cotangents of one value need no broadcasting: their lengths are the same in any case."""
    ones = ([isinstance(n, int) and n == 1 for n in x.type.shape] for x in (a, b))
    return len(set(map(tuple, ones))) == 1


def _is_zeros(node: Node | None) -> bool:
    return node is not None and node.op is broadcast_to_ and isinstance(node.args[0], Const) and node.args[0].value == 0
