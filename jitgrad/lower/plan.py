"""Which arrays get memory, and which are computed where they are read.

An array whose elements are cheap, or read by one loop only, need not exist. It is put into memory if

* it is a result, the operand of a product of matrices, or written to;
* several loops read it and it costs more than reading it would;
* several loops read it and one decides by it (compares it, looks for its maximum): computed twice, it may differ in the
  last bit, and the second decision would not be the first;
* one loop reads each element many times (it is broadcast, or gathered from) and it costs more than that;
* a loop of the program itself reads it, and it costs anything;
* it is the last of so many operations that follow each other that expressions would become too deep.
"""

from __future__ import annotations

from jitgrad.ir.graph import Block, Node, Value, used
from jitgrad.ops.flow import if_
from jitgrad.ops.rules import is_one

CHEAP = 2  # operations an element that are not worth a buffer
DEEP = 64  # operations, one of another
_COST = {
    **dict.fromkeys(
        ("add", "subtract", "multiply", "negative", "square", "absolute", "where", "maximum", "minimum"), 1
    ),
    **dict.fromkeys(("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "strong_multiply"), 1),
    **dict.fromkeys(("logical_and", "logical_or", "logical_not", "bitwise_and", "bitwise_or", "astype"), 1),
    **dict.fromkeys(("divide", "sqrt", "reciprocal", "root"), 4),
    **dict.fromkeys(("getitem", "transpose", "broadcast_to", "reshape", "stop_gradient", "iota", "positive"), 0),
}
_DECIDES = frozenset((
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "maximum", "minimum", "fmax", "fmin",
    "sign",
    "max", "min", "argmax", "argmin", "floor", "ceil", "trunc", "rint", "floor_divide", "remainder", "fmod", "signbit",
    "absolute", "fabs", "isnan", "isinf", "isfinite", "copysign",
))  # fmt: skip


def is_lazy(node: Node) -> bool:
    """Whether the elements of the result can be computed one by one."""
    return len(node.outs) == 1 and (node.op.ufunc is not None or node.op.name in _COST)


def buffers(block: Block) -> set[Value]:
    """The lazily computable values that are put into memory all the same, those of regions included."""
    chosen: set[Value] = set()
    _choose(block, chosen)
    for node in block.walk():
        for region in node.regions:
            _choose(region, chosen)
    return chosen


def _choose(block: Block, chosen: set[Value]) -> None:
    maker = {out: node for node in block.nodes for out in node.outs}
    readers: dict[Value, list[Node]] = {}
    for node in block.nodes:
        for arg in dict.fromkeys(used(node)):
            readers.setdefault(arg, []).append(node)
    inside = {node: _Inside(node) for node in block.nodes if node.regions}
    chosen.update(r for r in block.results if isinstance(r, Value) and r.type.shape)
    roots: dict[Value, set] = {}
    decides: set[Value] = set()
    for node in reversed(block.nodes):
        if not is_lazy(node) or not node.out.type.shape:
            continue
        out = node.out
        loops: set = set()
        limit = CHEAP
        again = False
        for reader in readers.get(out, ()):
            region = inside.get(reader)
            if _decides(reader, region, out) or any(o in decides for o in reader.outs):
                decides.add(out)
            if region is not None and out in region.repeated:
                again, limit = True, 0
            inner = len(reader.outs) == 1 and is_lazy(reader) and reader.out not in chosen
            loops |= roots.get(reader.out, {reader}) if inner else {reader}
            again = again or _reads_again(reader, out)
        if out in decides and out.type.is_float:
            limit = 0
        if (len(loops) > 1 or again) and _total_cost(out, maker, chosen) > limit:
            chosen.add(out)
        if any(_needs_memory(out, node, r, inside.get(r)) for r in readers.get(out, ())):
            chosen.add(out)
        roots[out] = loops
    _cut(block, chosen)


def _cut(block: Block, chosen: set[Value]) -> None:
    """Put into memory what would be computed by too deep an expression."""
    depths: dict[Value, int] = {}
    for node in block.nodes:
        if is_lazy(node) and node.out.type.shape and node.out not in chosen:
            depth = 1 + max((depths.get(a, 0) for a in node.args if isinstance(a, Value)), default=0)
            depths[node.out] = depth % DEEP
            if depth == DEEP:
                chosen.add(node.out)


class _Inside:
    """What the regions of a node read.

    Attributes:
        readers: the nodes that read a value.
        given: the values that a region gives as they are.
        repeated: the values that are read in a loop.
    """

    def __init__(self, node: Node):
        self.readers: dict[Value, list[Node]] = {}
        self.given: set[Value] = set()
        self.repeated: set[Value] = set()
        self.add(node, False)

    def add(self, node: Node, repeats: bool) -> None:
        repeats = repeats or node.op is not if_
        for region in node.regions:
            self.given.update(r for r in region.results if isinstance(r, Value))
            for inner in region.nodes:
                for arg in inner.args:
                    if isinstance(arg, Value):
                        self.readers.setdefault(arg, []).append(inner)
                        if repeats:
                            self.repeated.add(arg)
                if inner.regions:
                    self.add(inner, repeats)
        if repeats:
            self.repeated |= self.given


def _decides(reader: Node, region: _Inside | None, out: Value) -> bool:
    names = [reader.op.name] if region is None else [n.op.name for n in region.readers.get(out, ())]
    return not _DECIDES.isdisjoint(names)


def _reads_again(reader: Node, out: Value) -> bool:
    """Whether a loop of `reader` reads an element of `out` more than once."""
    name = reader.op.name
    if name == "getitem" and reader.args[0] is out:
        return any(part[0] == "array" for part in reader.attrs["pattern"])
    if not (len(reader.outs) == 1 and is_lazy(reader)):
        return False
    if name in ("getitem", "reshape", "transpose"):
        return False
    ours, whole = out.type.shape, reader.out.type.shape
    if len(ours) < len(whole):
        return True
    return any(a != b and is_one(a) for a, b in zip(ours, whole, strict=True))


def _needs_memory(out: Value, node: Node, reader: Node, region: _Inside | None) -> bool:
    """Whether a reader takes nothing but memory."""
    if region is not None:
        inner = region.readers.get(out, ())
        return out in reader.args or out in region.given or any(_needs_memory(out, node, r, None) for r in inner)
    if reader.regions:
        return out in reader.args
    if reader.op.name == "matmul" and node.op.name != "transpose" and not is_vector_product(reader):
        return True
    if reader.op.name in ("add_at", "setitem") and reader.args[0] is out:
        return True
    return reader.op.name == "reshape" and not only_ones_differ(out.type.shape, reader.out.type.shape)


def is_vector_product(node: Node) -> bool:
    return all(a.type.ndim == 1 for a in node.args)


def only_ones_differ(a: tuple, b: tuple) -> bool:
    """Whether two shapes are the same but for axes of length one."""
    return tuple(n for n in a if not is_one(n)) == tuple(n for n in b if not is_one(n))


def _total_cost(out: Value, maker: dict[Value, Node], chosen: set[Value]) -> int:
    """Operations for an element, from what is in memory."""
    total, stack = 0, [out]
    while stack and total <= CHEAP:
        value = stack.pop()
        node = maker.get(value)
        if node is None or not is_lazy(node) or not value.type.shape or (value in chosen and value is not out):
            continue
        total += _COST.get(node.op.name, 10)
        stack.extend(a for a in node.args if isinstance(a, Value))
    return total
