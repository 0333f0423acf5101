"""Local identities, as one table of patterns and what replaces them."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.types import Type
from jitgrad.ops.elementwise import astype, where
from jitgrad.ops.flow import for_, if_, slots
from jitgrad.ops.index import getitem_, setitem
from jitgrad.ops.registry import UFUNCS
from jitgrad.ops.rules import strong_multiply
from jitgrad.ops.shape import broadcast_to_, reshape_, transpose_
from jitgrad.passes.carries import copies_among_carries, typed_as
from jitgrad.passes.rename import rename_lengths, renamed

add, sub, mul = UFUNCS[np.add], UFUNCS[np.subtract], UFUNCS[np.multiply]
div, neg, power, square = UFUNCS[np.true_divide], UFUNCS[np.negative], UFUNCS[np.power], UFUNCS[np.square]

# A pattern is (op, operand, ...): a letter stands for anything, a number for that constant, a tuple for an operation.
# The replacement has the same form. It is used only where dtype and shape come out the same.
IDENTITIES: list[tuple[tuple, object]] = [
    ((mul, "x", 1), "x"),  #               x * 1 = x
    ((mul, 1, "x"), "x"),
    ((div, "x", 1), "x"),  #               x / 1 = x
    ((power, "x", 1), "x"),  #             x ** 1 = x
    ((power, "x", 2), (square, "x")),  #   x ** 2 = x * x, as NumPy computes it
    ((neg, (neg, "x")), "x"),  #           -(-x) = x
    ((add, "x", (neg, "y")), (sub, "x", "y")),  #   x + -y = x - y
    ((add, (neg, "x"), "y"), (sub, "y", "x")),  #   -x + y = y - x
    ((sub, "x", (neg, "y")), (add, "x", "y")),  #   x - -y = x + y
    ((mul, "x", (div, 1, "y")), (div, "x", "y")),  # x * (1 / y) = x / y
    ((mul, (div, 1, "y"), "x"), (div, "x", "y")),
    ((where, "c", "x", "x"), "x"),  #      x whatever the condition
]


# True of integers only: a float's zero has a sign.
OF_INTEGERS: list[tuple[tuple, object]] = [
    ((add, "x", 0), "x"),  #  x + 0 = x
    ((add, 0, "x"), "x"),
    ((sub, "x", 0), "x"),  #  x - 0 = x
]


def simplify(block: Block) -> Block:
    """Apply the identities, compute constants, and merge chains of reshapes, transposes, casts and broadcasts.

    What a loop only hands on, and what both sides of a branch agree on, is what it was before. A branch whose condition
    is known, and a loop of no or one iteration, give way to what they do.
    """
    return _Simplifier().run(block)


class _Simplifier:
    """Replaces values in a block and its regions.

    Attributes:
        env: what stands for a value from now on.
        maker: the node that each value is made by, those of regions included.
        nodes: of the block that is being rewritten.
    """

    def __init__(self) -> None:
        self.env: dict[Arg, Arg] = {}
        self.maker: dict[Value, Node] = {}
        self.nodes: list[Node] = []

    def run(self, block: Block) -> Block:
        self.env.update(copies_among_carries(block))
        return rename_lengths(self.block(block), self.env)

    def block(self, block: Block) -> Block:
        outer, self.nodes = self.nodes, []
        for node in block.nodes:
            self.visit(renamed(node, self.env))
        results = tuple(self.env.get(r, r) for r in block.results)
        nodes, self.nodes = self.nodes, outer
        return Block(block.params, nodes, results, block.name, block.notes)

    def visit(self, node: Node) -> None:
        if node.regions:
            return self.flow(node)
        if len(node.outs) != 1 or node.op.effect:
            return self.keep(node)
        new = self.fold(node) or self.forwarded(node) or self.chain(node) or self.match(node)
        new = new or self.unmask(node) or self.unbroadcast(node)
        if new is None:
            return self.keep(node)
        if isinstance(new, Node):
            return self.visit(new)
        self.env[node.out] = new
        if isinstance(new, Value) and new.name is None:
            new.name = node.out.name
        return None

    def flow(self, node: Node) -> None:
        """A loop or branch: what it comes down to, or itself with simpler regions."""
        for value in (v for slot in slots(node) for v in (*slot.params, slot.out) if v in self.env):
            # What stands for it may have been replaced itself.
            self.env[value] = self.env.get(self.env[value], self.env[value])
        steps = node.args[0].value if isinstance(node.args[0], Const) else None
        if steps is None or not (
            (node.op is if_ and self.inline(node, node.regions[0 if steps else 1], ()))
            or (node.op is for_ and steps <= 0 and self.forward(node, node.args[1:]))
            or (node.op is for_ and steps == 1 and self.inline(node, node.regions[0], (Const.of(0), *node.args[1:])))
        ):
            self.keep(renamed(node, self.env, tuple(map(self.block, node.regions))))

    def inline(self, node: Node, region: Block, given: tuple[Arg, ...]) -> bool:
        """Do what a region does in place of the node; False if the types of numbers are in the way."""
        values = tuple(typed_as(g, p) for g, p in zip(given, region.params, strict=True))
        if None in values or any(typed_as(r, out) is None for r, out in zip(region.results, node.outs, strict=True)):
            return False
        self.env.update(zip(region.params, values, strict=True))
        for inner in region.nodes:
            self.visit(renamed(inner, self.env))
        return self.forward(node, tuple(self.env.get(r, r) for r in region.results))

    def forward(self, node: Node, values: tuple[Arg, ...]) -> bool:
        """Let values stand for what a node makes."""
        values = tuple(typed_as(v, out) for v, out in zip(values, node.outs, strict=True))
        if None in values:
            return False
        self.env.update(zip(node.outs, values, strict=True))
        return True

    def keep(self, node: Node) -> None:
        self.nodes.append(node)
        for out in node.outs:
            self.maker[out] = node

    def fold(self, node: Node) -> Arg | None:
        """An operation on constants is a constant."""
        if node.out.type.shape or node.op.evaluate is None or not all(isinstance(a, Const) for a in node.args):
            return None
        with np.errstate(all="ignore"):
            number = node.op.evaluate(*(a.value for a in node.args), **node.attrs)
        out = node.out.type
        return Const(number.item() if out.weak else out.dtype.type(number), Type(out.dtype, (), out.weak))

    def forwarded(self, node: Node) -> Arg | Node | None:
        """An element that has just been written is what was written."""
        before = self.maker.get(node.args[0]) if node.op is getitem_ else None
        if before is None or before.op is not setitem or before.attrs["pattern"] != node.attrs["pattern"]:
            return None
        _, value, *place = before.args
        if value.type.shape or place != list(node.args[1:]) or any(part[0] != "at" for part in node.attrs["pattern"]):
            return None
        same = typed_as(value, node.out)
        return same or Node(astype, (value,), node.outs, {"dtype": node.out.type.dtype}, (), node.loc)

    def chain(self, node: Node) -> Arg | Node | None:
        """Merge an operation that only moves elements with one of its kind before it."""
        x = node.args[0] if node.args else None
        same = isinstance(x, Value) and x.type.shape == node.out.type.shape and x.type.dtype == node.out.type.dtype
        if node.op in (astype, reshape_, broadcast_to_) and same and x.type.weak == node.out.type.weak:
            return x
        before = self.maker.get(x)
        if before is None or before.op is not node.op:
            return None
        inner = before.args[0]
        if node.op is transpose_:
            axes = tuple(before.attrs["axes"][k] for k in node.attrs["axes"])
            if axes == tuple(range(len(axes))):
                return inner
            return Node(transpose_, (inner,), node.outs, {"axes": axes}, (), node.loc)
        if node.op in (reshape_, broadcast_to_):
            return Node(node.op, (inner, *node.args[1:]), node.outs, node.attrs, (), node.loc)
        return None

    def match(self, node: Node) -> Arg | Node | None:
        integer = node.out.type.dtype.kind in "iu"
        for pattern, replacement in IDENTITIES + OF_INTEGERS if integer else IDENTITIES:
            found: dict[str, Arg] = {}
            if pattern[0] is node.op and self.fits(pattern, node, found):
                if isinstance(replacement, str):
                    if _same_type(found[replacement], node.out):
                        return found[replacement]
                else:
                    op, *operands = replacement
                    args = tuple(found[o] for o in operands)
                    if _elementwise_type(args, node.out):
                        return Node(op, args, node.outs, {}, (), node.loc)
        return None

    def fits(self, pattern: tuple, node: Node, found: dict[str, Arg]) -> bool:
        for p, arg in zip(pattern[1:], node.args, strict=True):
            if isinstance(p, str):
                if found.setdefault(p, arg) != arg:
                    return False
            elif isinstance(p, tuple):
                inner = self.maker.get(arg)
                if inner is None or inner.op is not p[0] or not self.fits(p, inner, found):
                    return False
            elif not (isinstance(arg, Const) and not isinstance(arg.value, bool) and arg.value == p):
                return False
        return True

    def unmask(self, node: Node) -> Node | None:
        """A masked zero times a finite number is zero without a mask."""
        if node.op is strong_multiply and isinstance(node.args[1], Const) and np.isfinite(node.args[1].value):
            return Node(mul, node.args, node.outs, {}, (), node.loc)
        return None

    def unbroadcast(self, node: Node) -> Node | None:
        """An operand that was only repeated to the shape of another needs no repeating: broadcasting does it."""
        if node.op.ufunc is None and node.op is not where:
            return None
        shape = node.out.type.shape
        for k, arg in enumerate(node.args):
            before = self.maker.get(arg)
            others = node.args[:k] + node.args[k + 1 :]
            if before is not None and before.op is broadcast_to_ and any(o.type.shape == shape for o in others):
                source = before.args[0]
                if isinstance(source, Const):  # as strong as the array was: a NumPy number
                    source = Const(arg.type.dtype.type(source.value), Type(arg.type.dtype))
                args = (*node.args[:k], source, *node.args[k + 1 :])
                return Node(node.op, args, node.outs, node.attrs, (), node.loc)
        return None


def _same_type(arg: Arg, out: Value) -> bool:
    return isinstance(arg, Value) and arg.type == out.type


def _elementwise_type(args: tuple[Arg, ...], out: Value) -> bool:
    """Whether an elementwise operation on these gives the dtype and shape of `out`."""
    whole = [a for a in args if a.type.shape == out.type.shape]
    return bool(whole) and all(a.type.dtype == out.type.dtype or a.type.weak for a in args) and (
        not out.type.weak or all(a.type.weak for a in args)
    )  # fmt: skip
