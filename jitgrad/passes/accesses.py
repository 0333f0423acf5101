"""Where a carried array is read and written in a loop, through all its versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.ir.op import Op
from jitgrad.ops.affine import Form, form_of
from jitgrad.ops.flow import for_, if_
from jitgrad.ops.index import add_at, getitem_, setitem
from jitgrad.ops.rules import Linear


def _same_as_getitem(args, pattern):
    return getitem_.infer((args[0], *args[2:]), pattern=pattern)


def _scatter(g, x, final, *operands, pattern):
    return getitem_.rule.transpose(g, x, *operands, pattern=pattern)


# reread(x, final, *operands): an element of `x` that `final` still has. Its cotangent is one of `x`. It lives as long
# as a reversed body is under construction, and then becomes a `getitem` of `final`.
reread = Op(
    "reread",
    _same_as_getitem,
    lambda x, final, *operands, pattern: getitem_.evaluate(final, *operands, pattern=pattern),
    Linear(_scatter, masks=True),
)


_PARTS = (getitem_, reread, setitem, add_at)  # what reads or writes a part of its first argument


@dataclass(frozen=True, eq=False, slots=True)
class Access:
    """A read or a write of an element.

    `loops` are the loops around it, outermost first, and `guards` the conditions, each with its outcome; `order` counts
    the accesses as they stand in the program.
    """

    node: Node
    operands: tuple[Arg, ...]
    loops: tuple[Node, ...]
    guards: tuple[tuple[Arg, bool], ...]
    order: int
    block: Block


@dataclass(eq=False, slots=True)
class Accesses:
    """All reads and writes of parts of one array in a loop, through all its versions.

    `linear`: one version follows the other; none is written to twice. `elsewhere`: something reads all of it, or hands
    it on under another name.
    """

    versions: set[Value]
    reads: list[Access] = field(default_factory=list)
    writes: list[Access] = field(default_factory=list)
    replaced: set[Value] = field(default_factory=set)
    linear: bool = True
    elsewhere: bool = False


def accesses(node: Node, body: Block, params: tuple[Value, ...], k: int) -> Accesses | None:
    """The accesses to the k-th carried array of a loop, if it does nothing to it but write parts of it."""
    found = Accesses({params[k]})
    _collect(body, (node,), (), found, count())
    result = body.results[k]
    if not found.linear or result not in found.versions or result in found.replaced:
        return None
    found.elsewhere |= any(r in found.versions for j, r in enumerate(body.results) if j != k)
    return found


def _collect(block: Block, loops: tuple, guards: tuple, found: Accesses, numbers: Iterator[int]) -> None:
    for node in block.nodes:
        target = node.args[0] if node.args else None
        if node.op in (getitem_, reread) and target in found.versions:
            found.linear = found.linear and target not in found.replaced  # else it reads what was there before a write
            if node.op is getitem_:
                found.reads.append(Access(node, node.args[1:], loops, guards, next(numbers), block))
        elif node.op in (setitem, add_at) and target in found.versions:
            found.writes.append(Access(node, node.args[2:], loops, guards, next(numbers), block))
            _replace(found, target)
            found.versions.add(node.out)
        elif node.op is if_:
            _collect_if(node, loops, guards, found, numbers)
        elif node.regions:
            _collect_loop(node, loops, guards, found, numbers)
        if not node.regions:
            whole = node.args[1:] if node.op in _PARTS else node.args
            found.elsewhere |= any(a in found.versions for a in whole)


def _collect_if(node: Node, loops: tuple, guards: tuple, found: Accesses, numbers: Iterator[int]) -> None:
    before = set(found.replaced)
    replaced: set[Value] = set()
    for region, outcome in zip(node.regions, (True, False), strict=True):
        found.replaced = set(before)
        _collect(region, loops, (*guards, (node.args[0], outcome)), found, numbers)
        # What a branch hands on must be the last version in it.
        found.linear = found.linear and not any(r in found.replaced - before for r in region.results)
        replaced |= found.replaced
    found.replaced = replaced
    for out, *results in zip(node.outs, *(r.results for r in node.regions), strict=True):
        known = [r in found.versions for r in results]
        if all(known):
            found.replaced.update(results)
            found.versions.add(out)
        elif any(known):
            found.linear = False


def _collect_loop(node: Node, loops: tuple, guards: tuple, found: Accesses, numbers: Iterator[int]) -> None:
    slots = [m for m, arg in enumerate(node.args[1:]) if arg in found.versions]
    if len(slots) > 1:
        found.linear = False
        return
    for region in node.regions:
        params = region.params[1:] if node.op is for_ else region.params
        for m in slots:
            found.versions.add(params[m])
        _collect(region, (*loops, node), guards, found, numbers)
        if region.name != "test":
            found.elsewhere |= any(r in found.versions for j, r in enumerate(region.results) if j not in slots)
            for m in slots:
                if region.results[m] not in found.versions or region.results[m] in found.replaced:
                    found.linear = False
    for m in slots:
        _replace(found, node.args[1 + m])
        found.versions.add(node.outs[m])


def _replace(found: Accesses, version: Value) -> None:
    if version in found.replaced:
        found.linear = False
    found.replaced.add(version)


def own_axis(node: Node, k: int, makers: dict[Value, Node]) -> int | None:
    """The axis on which each iteration of a loop reads and writes the k-th carried array at its own place alone."""
    (body,) = node.regions
    found = accesses(node, body, body.params[1:], k)
    if found is None or found.elsewhere:
        return None
    axes: set[int] | None = None
    for access in (*found.reads, *found.writes):
        pattern = access.node.attrs["pattern"]
        own = {
            axis
            for axis, part in enumerate(pattern)
            if part[0] == "at" and _is_index(access.operands[part[1]], body.params[0], makers)
        }
        axes = own if axes is None else axes & own
    return min(axes) if axes else None


def _is_index(arg: Arg, index: Value, makers: dict[Value, Node]) -> bool:
    return form_of(arg, makers.get, lambda value: Form({value: 1})) == {index: 1}
