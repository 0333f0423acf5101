"""Loops and branches whose course is known at run time only: operations with regions.

    for_(n, *init)        region (i, *carry) -> next carry, run for i = 0 .. n - 1
    while_(bound, *init)  regions (*carry) -> (go on?,) and (*carry) -> next carry; `bound` is the most steps that there
                          can be, or -1 where that is not known
    if_(condition)        two regions without params; what they give is the result
    call_(*args)          a `Function`, which may call itself; its results are those of its block

The results are the last carry, or what the chosen region gives. A region reads the values around it as they are. Values
never change, so a loop that writes to an array carries it: `lower` turns that back into writing in place.

Carried values, params and results at one place have one dtype and as many axes, and the lengths of these axes are
values from outside of the region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jitgrad.ir.function import Function
from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.op import Op
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.symbolic import Builder, Expr, as_arg, as_expr, building, current

for_ = Op("for")
while_ = Op("while")
if_ = Op("if")
call_ = Op("call")

UNBOUNDED = Const.of(-1)
CHUNKED = "chunked"  # the attribute of a `for` that is reversed in chunks, to keep less
PARALLEL = "parallel"  # that of one whose iterations may run at once


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the values that a loop carries, or that a branch gives.

    Attributes:
        out: what it is after the node.
        init: what a loop starts it from; None for a branch.
        params: what it is called in the regions of a loop.
        results: the next of a loop, or what each region of a branch gives.
    """

    out: Value
    init: Arg | None
    params: tuple[Value, ...]
    results: tuple[Arg, ...]


def slots(node: Node) -> Iterator[Slot]:
    """The slots of a node with regions, in the order of its results."""
    carries = node.op is not if_
    bodies = [r for r in node.regions if r.name != "test"]
    for k, out in enumerate(node.outs):
        params = tuple(r.params[k - len(node.outs)] for r in node.regions) if carries else ()
        yield Slot(out, node.args[k + 1] if carries else None, params, tuple(r.results[k] for r in bodies))


def region(build: Callable[..., Sequence], params: tuple[Value, ...] = (), name: str = "body") -> Block:
    """What `build(*params)` makes, as a block inside of the one that is being built; it returns the results."""
    builder = Builder(parent=current(), region=True)
    builder.own(params)
    with building(builder):
        results = tuple(as_arg(r) for r in build(*map(Expr, params)))
    return Block(params, builder.nodes, results, name)


def carried(init: Sequence[Arg]) -> tuple[Value, ...]:
    """Values for the carry of a loop that starts from `init`."""
    return tuple(Value(Type(a.type.dtype, a.type.shape, a.type.weak), getattr(a, "name", None)) for a in init)


def add_node(op: Op, args: tuple[Arg, ...], regions: tuple[Block, ...], outs: tuple[Value, ...]) -> tuple:
    """Put a node with regions into the block that is being built; its results."""
    builder = current()
    builder.append(Node(op, args, outs, {}, regions, builder.loc))
    return tuple(as_expr(o) for o in outs)


def for_loop(n: object, init: Sequence, body: Callable[..., Sequence], index: str = "i") -> tuple:
    """`for i in range(n): carry = body(i, *carry)`, starting from `init`; the last carry."""
    args = tuple(map(as_arg, init))
    params = (Value(Type(INT64, (), weak=True), index), *carried(args))
    return add_node(for_, (as_arg(n), *args), (region(body, params),), carried(args))


def while_loop(init: Sequence, test: Callable[..., object], body: Callable[..., Sequence], bound: object = -1) -> tuple:
    """`while test(*carry): carry = body(*carry)`, starting from `init`; the last carry."""
    args = tuple(map(as_arg, init))
    regions = (region(lambda *c: (test(*c),), carried(args), "test"), region(body, carried(args)))
    return add_node(while_, (as_arg(bound), *args), regions, carried(args))


def branch(condition: object, then: Callable[[], Sequence], orelse: Callable[[], Sequence]) -> tuple:
    """`then() if condition else orelse()`: sequences of as many values of the same types."""
    regions = (region(then, name="then"), region(orelse, name="orelse"))
    return add_node(if_, (as_arg(condition),), regions, carried(regions[0].results))


def call(function: Function, args: Sequence) -> tuple:
    """`function(*args)`."""
    args = tuple(map(as_arg, args))
    return add_call(function, args, _results_of(function, args))


def add_call(function: Function, args: tuple[Arg, ...], outs: tuple[Value, ...]) -> tuple:
    """Put a call into the block that is being built, of a function that may be under construction; its results."""
    builder = current()
    builder.append(Node(call_, args, outs, {"function": function}, (), builder.loc))
    return tuple(map(Expr, outs))


def _results_of(function: Function, args: tuple[Arg, ...]) -> tuple[Value, ...]:
    """Values for the results of a call, whose lengths are those that the arguments have."""
    block = function.block
    env: dict[Arg, Arg] = {}
    for param, arg in zip(block.params, args, strict=True):
        env[param] = arg
        env.update((n, m) for n, m in zip(param.type.shape, arg.type.shape, strict=True))
    outs = carried(block.results)
    for result, out in zip(block.results, outs, strict=True):
        env.setdefault(result, out)
    for out in outs:
        axes = (env.get(n, n) for n in out.type.shape)
        shape = tuple(int(n.value) if isinstance(n, Const) else n for n in axes)
        out.type = Type(out.type.dtype, shape, out.type.weak)
    return outs
