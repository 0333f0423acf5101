"""What both modes, and loops and branches, ask about regions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jitgrad.ir.graph import Arg, Block, Node, Value, reads
from jitgrad.ops.flow import slots
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import current


def own_all(nodes: Iterable[Node]) -> None:
    """Tell the builder of a region that these nodes will stand in front of what it builds."""
    for node in nodes:
        current().own(node.outs)


def reach(block: Block, results: Iterable[Arg], active: set[Value]) -> set[Value]:
    """The active values of a region, and around it, that its given results may depend on."""
    found = {r for r in results if r in active}
    for node in reversed(block.nodes):
        if any(o in found for o in node.outs):
            found.update(v for v in _sources(node) if v in active)
    return found


def _sources(node: Node) -> Iterator[Value]:
    """What the results of a node are computed of; a finished array that is read again doesn't count."""
    for k, arg in enumerate(node.args):
        if isinstance(arg, Value) and not (node.op.name == "reread" and k == 1):
            yield arg
    for region in node.regions:
        for inner in region.nodes:
            yield from _sources(inner)
        yield from (r for r in region.results if isinstance(r, Value))


def active_captures(block: Block, results: Iterable[Arg], active: set[Value]) -> list[Value]:
    """The active values from outside that the given results of a region may depend on."""
    reached = reach(block, results, active)
    return [v for v in reads(block) if v in reached]


def without_checks(nodes: list[Node], doubtful: set[Value] | None = None) -> list[Node]:
    """Nodes that are to be run again, without the checks that the first run has made.

    A condition of numbers that are computed of floats is checked again: the last bit may be another in the second run.
    """
    if doubtful is None:
        doubtful = set()
        _doubt(nodes, doubtful)
    kept = []
    for node in nodes:
        if node.op.effect and not any(a in doubtful for a in node.args):
            continue
        if node.regions:
            regions = tuple(
                Block(r.params, without_checks(r.nodes, doubtful), r.results, r.name, r.notes) for r in node.regions
            )
            node = Node(node.op, node.args, node.outs, node.attrs, regions, node.loc)
        kept.append(node)
    return kept


def _doubt(nodes: list[Node], doubtful: set[Value]) -> None:
    """Find the integers and conditions that are computed of floats."""
    for node in nodes:
        while True:
            before = len(doubtful)
            for slot in slots(node) if node.regions else ():
                if any(r in doubtful for r in slot.results) or slot.init in doubtful:
                    doubtful.update((slot.out, *slot.params))
            for region in node.regions:
                _doubt(region.nodes, doubtful)
            if len(doubtful) == before:
                break
        if not node.regions and node.op is not axis_length and any(a in doubtful or a.type.is_float for a in node.args):
            doubtful.update(o for o in node.outs if o.type.dtype.kind in "iub")
