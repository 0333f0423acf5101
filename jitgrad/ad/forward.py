"""Forward mode: a block that computes tangents beside values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from jitgrad.ad.activity import varied
from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ir.op import Op
from jitgrad.ops.flow import Slot, carried, region, slots
from jitgrad.ops.rules import zeros_like
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current


def jvp(block: Block, wrt: Sequence[int], outputs: Sequence[int]) -> Block:
    """The Jacobian-vector product.

    Args:
        block: the primal.
        wrt: which params have a tangent.
        outputs: which results a tangent is asked for.

    Returns:
        A block that takes the params of `block` and the tangents `x_dot` of those in `wrt`, and gives the results of
        `block` and the tangents of those in `outputs`.
    """
    inputs = [block.params[k] for k in wrt]
    seeds = {x: Value(x.type, f"{x.name}_dot") for x in inputs}
    push = Push(varied(block, inputs), {x: Expr(seed) for x, seed in seeds.items()})
    with building(Builder()) as builder:
        push.nodes(block.nodes)
        tangents = [push.tangent(block.results[k]) for k in outputs]
    params = (*block.params, *seeds.values())
    return Block(params, builder.nodes, (*block.results, *tangents), f"{block.name}_jvp")


# How calls are pushed forward: `push_on(push, node)` adds the node, or what stands for it, and notes the tangents.
FORWARDS: dict[Op, Callable[[Push, Node], None]] = {}


class Push:
    """Tangents of the values of a block, those inside of regions included.

    Attributes:
        active: the values that depend on what is differentiated by.
        dots: the tangents so far; what is active and not among them has a tangent of zero.
    """

    def __init__(self, active: set[Value], dots: dict[Arg, object]):
        self.active = active
        self.dots = dots

    def nodes(self, nodes: Iterable[Node]) -> None:
        """Add nodes to the current builder, each followed by the tangents of what it makes."""
        builder = current()
        for node in nodes:
            if not any(o in self.active for o in node.outs):
                builder.append(node)
                continue
            builder.loc = replace(node.loc, role="tangent")
            if node.op in FORWARDS:
                FORWARDS[node.op](self, node)
            elif node.regions:
                self.flow(node)
            else:
                builder.append(node)
                self.rule(node)

    def rule(self, node: Node) -> None:
        """The tangents of an operation without regions."""
        args = tuple(as_expr(a) for a in node.args)
        outs = tuple(Expr(o) for o in node.outs)
        tangents = [self.dots.get(a) for a in node.args]
        results = node.op.rule.pushforward(node.op, tangents, outs, args, node.attrs)
        for out, dot in zip(node.outs, results, strict=True):
            if dot is not None and out in self.active:
                self.dots[out] = dot
                name_after(dot, out, "dot")

    def flow(self, node: Node) -> None:
        """A loop that carries tangents beside values, or a branch that gives them."""
        moving = [slot for slot in slots(node) if slot.out in self.active]
        init = tuple(self.tangent(slot.init) for slot in moving if slot.init is not None)
        regions = tuple(self.region(k, r, node, moving) for k, r in enumerate(node.regions))
        dots = tuple(Value(slot.out.type, f"{slot.out.name}_dot" if slot.out.name else None) for slot in moving)
        current().append(Node(node.op, (*node.args, *init), (*node.outs, *dots), node.attrs, regions, node.loc))
        self.dots.update((slot.out, Expr(dot)) for slot, dot in zip(moving, dots, strict=True))

    def region(self, k: int, block: Block, node: Node, moving: list[Slot]) -> Block:
        """The k-th region of a node with what becomes of tangents. A test has none: it only takes what is carried."""
        values = [slot.params[k] for slot in moving if slot.params]
        dots = carried(values)
        for value, dot in zip(values, dots, strict=True):
            dot.name = f"{value.name}_dot" if value.name else None
            self.dots[value] = Expr(dot)

        def build(*_) -> tuple:
            if block.name == "test":
                current().extend(block.nodes)
                return block.results
            self.nodes(block.nodes)
            places = {out: j for j, out in enumerate(node.outs)}
            return (*block.results, *(self.tangent(block.results[places[slot.out]]) for slot in moving))

        return region(build, (*block.params, *dots), block.name)

    def tangent(self, arg: Arg) -> Arg:
        """The tangent of a value; zeros where there is none."""
        dot = self.dots.get(arg)
        return as_arg(zeros_like(as_expr(arg)) if dot is None else dot)


def name_after(derivative: object, value: Value, suffix: str) -> None:
    """Call the derivative of `x` `x_dot` or `x_bar`, for whoever reads the generated source."""
    if isinstance(derivative, Expr) and derivative.value.name is None and value.name is not None:
        derivative.value.name = f"{value.name}_{suffix}"
