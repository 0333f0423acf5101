"""What passes that put other nodes in the place of one have in common."""

from __future__ import annotations

from collections import Counter

from jitgrad.ir.graph import Arg, Block, Node
from jitgrad.passes.rename import renamed


class Replacer:
    """Goes through a program from its beginning; a subclass says by `replaced` what becomes of a node.

    Attributes:
        maker: the node that each value is made by, those of regions included.
        uses: how often each value is read.
    """

    def __init__(self, block: Block):
        self.maker: dict[Arg, Node] = {}
        self.uses: Counter[Arg] = Counter(block.results)
        for node in block.walk():
            self.maker.update(dict.fromkeys(node.outs, node))
            self.uses.update(node.args)
            for region in node.regions:
                self.uses.update(region.results)

    def block(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            if node.regions:
                node = renamed(node, {}, tuple(map(self.block, node.regions)))
            replaced = self.replaced(node)
            nodes.extend(replaced)
            self.maker.update({o: n for n in replaced for o in n.outs})
        return Block(block.params, nodes, block.results, block.name, block.notes)

    def replaced(self, node: Node) -> list[Node]:
        """The nodes in the place of a node."""
        return [node]
