"""What is the same in every iteration of a loop."""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Const, Node, lengths
from jitgrad.ops.flow import if_
from jitgrad.ops.shape import axis_length
from jitgrad.passes.rename import renamed
from jitgrad.passes.written import written

# A loop may have no iterations, so only what can be done in any case is moved. Nothing that reads at an index, or can
# raise: a factorisation may meet a singular matrix, Python's own division a zero.
_MOVABLE = frozenset((
    "astype", "where", "strong_multiply", "stop_gradient", "axis_length", "transpose", "broadcast_to", "reshape",
    "iota", "sum", "prod", "any", "all", "cumsum", "matmul", "concatenate", "array", "root", "copy",
))  # fmt: skip
_RAISING = frozenset((
    "divide", "floor_divide", "remainder", "fmod", "power", "float_power", "left_shift", "right_shift",
))  # fmt: skip
_BY_LENGTHS = frozenset(("broadcast_to", "reshape", "iota"))


def invariants(block: Block) -> Block:
    """Move what depends on nothing that a loop makes in front of it, out of the innermost loops first.

    What is written to stays: each iteration wants memory of its own.
    """
    return _Mover(block).run()


class _Mover:
    def __init__(self, block: Block):
        self.block = block
        self.written = written(block)
        self.harmless = Harmless(block)

    def run(self) -> Block:
        if not any(node.regions for node in self.block.nodes):
            return self.block
        return self.moved(self.block)

    def moved(self, block: Block) -> Block:
        nodes = []
        for node in block.nodes:
            if node.regions:
                node = renamed(node, {}, tuple(map(self.moved, node.regions)))
                if node.op is not if_:
                    front, node = self.parted(node)
                    nodes.extend(front)
            nodes.append(node)
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def parted(self, node: Node) -> tuple[list[Node], Node]:
        """The nodes that need not be in a loop, and the loop without them."""
        front, regions = [], []
        for region in node.regions:
            made: set[Arg] = set(region.params)
            rest = []
            for inner in region.nodes:
                if self.is_movable(inner, made):
                    front.append(inner)
                else:
                    rest.append(inner)
                    made.update(inner.outs)
            regions.append(Block(region.params, rest, region.results, region.name, region.notes))
        return front, renamed(node, {}, tuple(regions))

    def is_movable(self, node: Node, made: set[Arg]) -> bool:
        if not self.harmless.is_(node) or node.out in self.written:
            return False
        return not any(v in made for v in (*node.args, *lengths(node.out)))


class Harmless:
    """What can be done in any case, whether or not the program gets to the place where it stands."""

    def __init__(self, block: Block):
        self.are_lengths = {n.out for n in block.walk() if n.op is axis_length}

    def is_(self, node: Node) -> bool:
        if node.regions or node.op.effect or len(node.outs) != 1:
            return False
        if node.op.name in _BY_LENGTHS:
            first = 0 if node.op.name == "iota" else 1
            return all(self.is_length(n) for n in node.args[first:])
        if node.op.name in _RAISING:
            weak_or_integer = node.out.type.weak or not node.out.type.is_float
            return not weak_or_integer or _is_nonzero(node.args[1])
        return node.op.ufunc is not None or node.op.name in _MOVABLE

    def is_length(self, arg: Arg) -> bool:
        """Whether a number is certainly a length, and not negative where the loop has no iterations."""
        return arg.value >= 0 if isinstance(arg, Const) else arg in self.are_lengths


def _is_nonzero(arg: Arg) -> bool:
    return isinstance(arg, Const) and arg.value > 0
