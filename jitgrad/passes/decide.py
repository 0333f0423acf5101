"""What is certain while compiling need not be asked at run time: above all, that an index is in range."""

from __future__ import annotations

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.types import BOOL, Type
from jitgrad.ops.control import check
from jitgrad.ops.elementwise import where
from jitgrad.ops.flow import for_, if_
from jitgrad.passes.bounds import AND, COMPARISONS, NOT, OR, Bounds, are_integers
from jitgrad.passes.carries import typed_as
from jitgrad.passes.rename import rename_lengths, renamed


def decide(block: Block) -> Block:
    """Replace comparisons of integers that can only come out in one way, and what follows from that.

    The bounds of indices and lengths, the conditions of branches and loops around, and the checks before tell what is
    certain. A check of what is certain is left out, an index that can't be negative needs no `where` that counts it
    from the end, and the bounds of a slice within the array need no clamping.
    """
    return _Decider(block).run()


class _Decider:
    """
    Attributes:
        env: what stands for a value from now on.
        asked: what was known when a condition was looked at last, and what came out.
    """

    def __init__(self, block: Block):
        self.program = block
        self.bounds = Bounds(block)
        self.env: dict[Arg, Arg] = {}
        self.asked: dict[Arg, tuple[int, bool | None]] = {}

    def run(self) -> Block:
        return rename_lengths(self.block(self.program), self.env)

    def block(self, block: Block) -> Block:
        nodes = []
        for node in block.nodes:
            node = self.decided(renamed(node, self.env))
            if node.op is for_ and self.has_none(node):
                self.env.update(zip(node.outs, node.args[1:], strict=True))
                continue
            result = self.result(node)
            if result is not None:
                self.env[node.out] = result
                if isinstance(result, Value) and result.name is None:
                    result.name = node.out.name
            elif node.op is not check or not _is_true(node.args[0]):
                nodes.append(renamed(node, {}, tuple(self.region(node, r) for r in node.regions)))
                if node.op is check:
                    self.bounds.learn(node.args[0])
        results = tuple(self.env.get(r, r) for r in block.results)
        return Block(block.params, nodes, results, block.name, block.notes)

    def has_none(self, loop: Node) -> bool:
        """Whether a loop certainly has no iterations, and what it starts from may stand for what it gives."""
        count = loop.args[0]
        same = all(typed_as(a, o) is a for a, o in zip(loop.args[1:], loop.outs, strict=True))
        return same and isinstance(count, Value) and self.bounds.is_certain(self.bounds.form(count).times(-1))

    def region(self, node: Node, region: Block) -> Block:
        with self.bounds.inside(node, region):
            return self.block(region)

    def decided(self, node: Node) -> Node:
        """A check, a branch or a choice, with its condition if that is certain where it stands."""
        if node.op not in (check, if_, where) or node.args[0].type.shape:
            return node
        truth = self.truth(node.args[0])
        if truth is None:
            return node
        args = (Const(BOOL.type(truth), Type(BOOL)), *node.args[1:])
        return Node(node.op, args, node.outs, node.attrs, node.regions, node.loc)

    def truth(self, condition: Arg) -> bool | None:
        """Whether a condition holds, if that is certain."""
        if isinstance(condition, Const):
            return bool(condition.value)
        if self.asked.get(condition, (-1, None))[0] != self.bounds.version:
            self.asked[condition] = self.bounds.version, self._truth(condition)
        return self.asked[condition][1]

    def _truth(self, condition: Value) -> bool | None:
        node = self.bounds.maker.get(condition)
        if node is None or condition.type.dtype != BOOL:
            return None
        name = node.op.name
        if name in COMPARISONS and are_integers(node):
            return self.bounds.decide(node)
        if name in NOT:
            truth = self.truth(node.args[0])
            return None if truth is None else not truth
        if name in (*AND, *OR):
            sides = [self.truth(a) for a in node.args]
            stop = name in OR
            return stop if stop in sides else None if None in sides else not stop
        return None

    def result(self, node: Node) -> Arg | None:
        """What a node comes to, if that is certain."""
        if len(node.outs) != 1 or node.out.type.shape or node.regions:
            return None
        if node.op.name in ("maximum", "minimum") and are_integers(node):
            return self.extreme(node)
        if node.op is where and isinstance(node.args[0], Const):
            return typed_as(node.args[1 if node.args[0].value else 2], node.out)
        if node.out.type.dtype == BOOL:
            truth = self.truth(node.out)
            if truth is not None:
                return Const(BOOL.type(truth), Type(BOOL))
            if node.op.name in (*AND, *OR):
                return _joined(node, stops=node.op.name in OR)
        return None

    def extreme(self, node: Node) -> Value | None:
        """The larger or smaller of two integers. A constant isn't put in: an axis that is not known to have length one
        does not broadcast."""
        sign = 1 if node.op.name == "maximum" else -1
        a, b = map(self.bounds.form, node.args)
        for arg, ahead in ((node.args[0], a - b), (node.args[1], b - a)):
            if isinstance(arg, Value) and self.bounds.is_certain(ahead.times(sign)):
                return typed_as(arg, node.out)
        return None


def _is_true(arg: Arg) -> bool:
    return isinstance(arg, Const) and bool(arg.value)


def _joined(node: Node, stops: bool) -> Arg | None:
    """A conjunction (or, if true `stops` it, a disjunction) one side of which is known."""
    for arg, other in (node.args, node.args[::-1]):
        if isinstance(arg, Const):
            return typed_as(arg if bool(arg.value) is stops else other, node.out)
    return None
