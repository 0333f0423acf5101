"""Common subexpressions."""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Node, Value
from jitgrad.passes.rename import rename_lengths, renamed
from jitgrad.passes.written import makes_memory, written


def cse(block: Block) -> Block:
    """Every operation is done once for the same arguments; a loop or branch counts with all that is in it.

    A region finds what the blocks around it have computed, but not what another region has. The name of the later value
    is kept if the earlier has none. What only makes memory for a later write stays: each write wants its own.
    """
    return rename_lengths(*_Merger(block).run())


class _Merger:
    def __init__(self, block: Block):
        self.block = block
        self.written = written(block)
        self.env: dict[Arg, Arg] = {}
        self.known: dict[tuple, tuple[Value, ...]] = {}

    def run(self) -> tuple[Block, dict[Arg, Arg]]:
        return self.merged(self.block), self.env

    def merged(self, block: Block) -> Block:
        made: list[tuple] = []
        nodes = []
        for node in block.nodes:
            node = renamed(node, self.env, tuple(map(self.merged, node.regions)))
            if makes_memory(node, self.written):
                nodes.append(node)
                continue
            key = _key(node, {})
            if key in self.known:
                for old, new in zip(node.outs, self.known[key], strict=True):
                    self.env[old] = new
                    new.name = new.name or old.name
                continue
            self.known[key] = node.outs
            made.append(key)
            nodes.append(node)
        for key in made:
            del self.known[key]
        results = tuple(self.env.get(r, r) for r in block.results)
        return Block(block.params, nodes, results, block.name, block.notes)


def _key(node: Node, numbers: dict[Arg, int]) -> tuple:
    """What two nodes that compute the same have in common; values of regions go by the order in which they are made."""

    def place(arg: Arg) -> object:
        return numbers.get(arg, arg)

    def number(values: tuple[Value, ...]) -> tuple:
        return tuple((numbers.setdefault(v, len(numbers)), v.type.dtype, v.type.weak) for v in values)

    def region(block: Block) -> tuple:
        params = number(block.params)
        nodes = tuple((_key(n, numbers), number(n.outs)) for n in block.nodes)
        return params, nodes, tuple(map(place, block.results))

    args = tuple(map(place, node.args)) if numbers else node.args
    return node.op, args, tuple(sorted(node.attrs.items())), tuple(map(region, node.regions))
