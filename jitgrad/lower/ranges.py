"""Whether an index is in range is one comparison.

An index that counts from the end, or doesn't, is `i + n if i < 0 else i`; it is in range if that number without a sign
is less than n. The number is needed for the access in any case, so nothing is left of the comparison with -n.
"""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Node
from jitgrad.ops.memory import in_range
from jitgrad.passes.bounds import AND, Bounds, are_integers
from jitgrad.passes.dce import dce
from jitgrad.passes.replacing import Replacer


def compared_once(block: Block) -> Block:
    """The lowered block in which `-n <= i` and `i < n` are one question, where n is certainly a length."""
    if not any(node.op.name in AND for node in block.walk()):
        return block
    return dce(_Ranges(block).block(block))


class _Ranges(Replacer):
    def __init__(self, block: Block):
        super().__init__(block)
        self.bounds = Bounds(block)

    def replaced(self, node: Node) -> list[Node]:
        found = self._range(node) if node.op.name in AND and not node.out.type.shape else None
        return [node] if found is None else [Node(in_range, found, node.outs, {}, (), node.loc)]

    def _range(self, node: Node) -> tuple[Arg, Arg] | None:
        """The index and the length, if a node asks whether one is in the range of the other."""
        parts = [self.maker.get(arg) for arg in node.args]
        if None in parts or {part.op.name for part in parts} != {"greater_equal", "less"}:
            return None
        above, below = sorted(parts, key=lambda part: part.op.name)
        (index, least), (other, length) = above.args, below.args
        lowest = self.maker.get(least)
        if index is not other or not are_integers(above) or not are_integers(below):
            return None
        if lowest is None or lowest.op.name != "negative" or lowest.args[0] is not length:
            return None
        return (index, length) if self.bounds.is_certain(self.bounds.form(length)) else None
