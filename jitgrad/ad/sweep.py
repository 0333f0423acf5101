"""The walk back over the nodes of a block, which adds up cotangents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from jitgrad.ad.forward import name_after
from jitgrad.ir.graph import Arg, Const, Node, Value
from jitgrad.ir.op import Op
from jitgrad.ops.index import add_at, getitem_, setitem
from jitgrad.ops.rules import add, is_masked
from jitgrad.ops.shape import broadcast_to_
from jitgrad.ops.symbolic import Expr, as_expr, current

# How loops, branches and calls are reversed: `reverse(sweep, node)` does for one node what `Sweep._rule` does for others.
REVERSES: dict[Op, Callable[[Sweep, Node], None]] = {}


class Sweep:
    """Cotangents of the values of one block. The nodes that compute them go to the current builder.

    Attributes:
        active: the values that depend on what is differentiated by, those inside of regions included.
        bars: the cotangent of each value, as far as it has been added up.
        masked: the values whose cotangent has zeros where an element was not selected (`jitgrad.ops.rules`).
        stored: values that are an element of an array, which may be read there again: the array, and the node that
            wrote them.
        forward: the nodes walked over, in their order; loops and calls among them replaced by such as keep residuals.
    """

    def __init__(
        self,
        active: set[Value],
        bars: dict[Value, object] | None = None,
        masked: Iterable[Value] = (),
        stored: dict[Value, tuple[Value, Node]] | None = None,
    ):
        self.active = active
        self.stored = stored or {}
        self.bars = {} if bars is None else bars
        self.masked = set(masked)
        self.forward: list[Node] = []

    def back(self, nodes: list[Node]) -> None:
        """Walk over all nodes from the last to the first."""
        builder = current()
        reverse: list[Node] = []
        for node in reversed(nodes):
            self.forward = []
            if any(o in self.bars for o in node.outs):
                builder.loc = replace(node.loc, role="adjoint")
                if node.op in REVERSES:
                    REVERSES[node.op](self, node)
                else:
                    self._rule(node)
            reverse.extend(reversed(self.forward or [node]))
        self.forward = reverse[::-1]

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
                if was_masked or (is_masked(node.op, False) and not _passes_on(node, k)):
                    self.masked.add(arg)

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


def _passes_on(node: Node, k: int) -> bool:
    """Whether the cotangent of an argument is a part of the result's, with no zeros of its own."""
    return node.op is setitem and k == 1 and all(part[0] != "array" for part in node.attrs["pattern"])


def _accumulate(total: object, bar: object) -> object:
    """The sum; what was scattered into zeros is scattered into the total, which then is written to in place."""
    builder = current()
    made = builder.maker(bar) if total is not None and isinstance(bar, Expr) else None
    if made is None or made.op is not add_at or total.dtype != bar.dtype or total.type.shape != bar.type.shape:
        return add(total, bar)
    if not _is_zeros(builder.maker(made.args[0])):
        return add(total, bar)
    return builder.emit(add_at, (total, *made.args[1:]), made.attrs)


def _is_zeros(node: Node | None) -> bool:
    return node is not None and node.op is broadcast_to_ and isinstance(node.args[0], Const) and node.args[0].value == 0
