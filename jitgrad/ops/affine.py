"""Sums of indices and lengths, and whether inequalities between them can hold together.

The question that decides about memory: can a later iteration write the element that is read here? For subscripts and
loop bounds that are sums of loop indices it is answered by Fourier-Motzkin elimination (Dantzig & Eaves,
Fourier-Motzkin elimination and its dual, 1973), so "no" is certain and "yes" is a maybe.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from math import gcd

from jitgrad.ir.graph import Arg, Const, Node, Value

LARGEST = 600  # inequalities; beyond that many the answer is "maybe"

ONE = "1"  # the symbol of the constant term


class Form(dict):
    """A sum of symbols times numbers; the constant term is that of `ONE`."""

    def __add__(self, other: Form) -> Form:
        return self.plus(other, 1)

    def __sub__(self, other: Form) -> Form:
        return self.plus(other, -1)

    def plus(self, other: Form, factor: int) -> Form:
        """This plus another times a factor."""
        out = Form(self)
        for symbol, c in other.items():
            out[symbol] = out.get(symbol, 0) + factor * c
        return Form((s, c) for s, c in out.items() if c)

    def times(self, factor: int) -> Form:
        return Form((s, c * factor) for s, c in self.items() if factor)


def constant(c: int) -> Form:
    return Form({ONE: c} if c else {})


def form_of(arg: Arg, maker: Callable[[Value], Node | None], leaf: Callable[[Value], Form]) -> Form:
    """An integer as a sum.

    Args:
        arg: the integer.
        maker: the node that a value was made by.
        leaf: what stands for a value that is no sum.
    """
    if isinstance(arg, Const):
        return constant(int(arg.value))
    node = maker(arg)
    if node is not None and len(node.args) == 2 and node.op.name in ("add", "subtract", "multiply", "maximum"):
        left, right = (form_of(a, maker, leaf) for a in node.args)
        if node.op.name == "add":
            return left + right
        if node.op.name == "subtract":
            return left - right
        if node.op.name == "multiply":
            for a, b in ((left, right), (right, left)):
                if not a.keys() - {ONE}:
                    return b.times(a.get(ONE, 0))
    if node is not None and node.op.name == "negative":
        return form_of(node.args[0], maker, leaf).times(-1)
    return leaf(arg)


def trips_of(arg: Arg, maker: Callable[[Value], Node | None], leaf: Callable[[Value], Form]) -> Form:
    """A number of iterations, where there are some: of max(n, 0), n."""
    node = maker(arg) if isinstance(arg, Value) else None
    if node is not None and node.op.name == "maximum" and any(isinstance(a, Const) and a.value == 0 for a in node.args):
        (arg,) = [a for a in node.args if not (isinstance(a, Const) and a.value == 0)] or (Const.of(0),)
    return form_of(arg, maker, leaf)


def possible(inequalities: list[Form], equalities: list[Form]) -> bool:
    """Whether all of `form >= 0` and `form == 0` may hold at once; False is certain."""
    rows = _distinct([*inequalities, *equalities, *(e.times(-1) for e in equalities)])
    while True:
        if any(row.get(ONE, 0) < 0 and len(row) == 1 for row in rows):
            return False
        symbols = dict.fromkeys(s for row in rows for s in row if s != ONE)
        if not symbols or len(rows) > LARGEST:
            return True
        rows = _eliminate(rows, min(symbols, key=lambda s: _cost(rows, s)))


def _distinct(rows: Iterable[Form]) -> list[Form]:
    """The inequalities in lowest terms, each once. Symbols are integers, so a constant may be rounded down."""
    out: dict[frozenset, Form] = {}
    for row in rows:
        factor = gcd(*(c for s, c in row.items() if s != ONE))
        if factor > 1:
            row = Form((s, c // factor) for s, c in row.items() if c // factor)
        out.setdefault(frozenset(row.items()), row)
    return [row for row in out.values() if row]


def _cost(rows: list[Form], symbol: Hashable) -> int:
    signs = [row[symbol] > 0 for row in rows if symbol in row]
    return signs.count(True) * signs.count(False)


def _eliminate(rows: list[Form], symbol: Hashable) -> list[Form]:
    """The inequalities that follow for the other symbols."""
    lower = [row for row in rows if row.get(symbol, 0) > 0]
    upper = [row for row in rows if row.get(symbol, 0) < 0]
    rest = [row for row in rows if symbol not in row]
    return _distinct([*rest, *(a.times(-b[symbol]).plus(b, a[symbol]) for a in lower for b in upper)])
