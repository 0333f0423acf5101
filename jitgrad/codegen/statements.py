"""What both printed forms share: the order of statements, names, inlining and comments."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable

from jitgrad.codegen.forms import expression
from jitgrad.codegen.names import Namer
from jitgrad.codegen.plan import Live, Plan
from jitgrad.codegen.pretty import comment
from jitgrad.ir.graph import Arg, Block, Const, Loc, Node, Value
from jitgrad.ops.inplace import Memory

ROLES = {"adjoint": "adjoint of ", "tangent": "tangent of "}
LONGEST = 100  # characters of the user's line in a comment


class Writer:
    """Writes a block as statements. Subclasses say how an operation looks.

    A value that has no name of the user's and is read once stands where it is read; any other gets a statement. A
    name is used again (`h = tanh(h @ w)`) when nothing reads its former value any more.

    Attributes:
        names: the variable that each value is in.
        wanted: the variable that a value had better be in, if nothing else is in it by then.
        holders: how many values that are still read are in a variable.
        plan: that of the block which is being written.
    """

    keep_names = True  # a value with a name gets a statement

    def __init__(self, block: Block, comments: bool = True):
        self.block = block
        self.comments = comments
        self.namer = Namer()
        self.memory = Memory(block)
        self.names: dict[Value, str] = {}
        self.wanted: dict[Value, str] = {}
        self.holders: Counter[str] = Counter()
        self.inlined: dict[Value, Node] = {}
        self.imports: set[str] = set()
        self.functions: list[ast.stmt] = []  # that the entry calls
        self.told: tuple | None = None
        self.plan: Plan

    # What subclasses say.
    def expr(self, node: Node) -> ast.expr:
        """The operation as an expression."""
        raise NotImplementedError

    def const(self, arg: Const, node: Node | None) -> ast.expr:
        """A constant as an operand of `node`."""
        raise NotImplementedError

    def inlinable(self, node: Node) -> bool:
        """Whether the operation may stand inside another's expression."""
        return True

    def always_inline(self, node: Node) -> bool:
        """Whether it is cheap enough to be written wherever it is read."""
        return False

    def hands_on_early(self, value: Value) -> bool:
        """Whether what the next iteration of a loop is to read had better be computed before anything is written."""
        return False

    def statement(self, node: Node) -> list[ast.stmt] | None:
        """The operation as statements of its own; None if it is an expression."""
        return None

    def kind(self, value: Value) -> object:
        """Values of one kind may have one name, one after the other."""
        return None

    def fits_into(self, node: Node, reader: Node) -> bool:
        """Whether the operation may stand inside this reader's expression."""
        return True

    def outline(self) -> None:
        """Find what is to be a function of its own."""

    def prologue(self) -> list[ast.stmt]:
        """Statements before all others."""
        return []

    # Names.
    def name(self, value: Value) -> str:
        if value not in self.names:
            wanted = self.wanted.get(value)
            if wanted is not None and not self.holders[wanted] and self.namer.claim(wanted):
                self.names[value] = wanted
            else:
                self.names[value] = self.namer.new(value.name, self.kind(value))
        return self.names[value]

    def take_over(self, old: Arg, new: Value) -> ast.expr:
        """The name of `old`, which from now on is that of `new`: the same memory."""
        self.names[new] = self.name(old)
        return expression(self.names[new])

    def hold(self, values: Iterable[Value]) -> None:
        """Note that values are in their variables."""
        self.holders.update(self.name(v) for v in values)

    def release(self, live: Live, k: int, ours: Iterable[Value] = ()) -> None:
        """Give back the names of the values that are read for the last time by node `k` or before.

        A name of the user's goes on to the next value; one of ours means one thing, but for `ours`, which have another
        use for it.
        """
        for value in live.ended(k):
            name = self.names[value]
            self.holders[name] -= 1
            if not self.holders[name] and (value.name is not None or value in ours):
                self.namer.release(name)

    # Writing.
    def arg(self, arg: Arg, node: Node | None = None) -> ast.expr:
        """An operand: a constant, a name, or the expression that makes it."""
        if isinstance(arg, Const):
            return self.const(arg, node)
        if arg in self.inlined:
            return self.expr(self.inlined[arg])
        return expression(self.name(arg))

    def body(self) -> list[ast.stmt]:
        """The statements of the block, without its return."""
        self.plan = Plan(self.block, self, self.memory, (), nested=False)
        self.hold(self.block.params)
        return self.statements(self.block, Live(self.plan))

    def statements(self, block: Block, live: Live) -> list[ast.stmt]:
        """The statements of the block or region that is planned.

        `live` are values that are held, and needed no longer than the block says; those left are needed after it.
        """
        self.inlined.update(self.plan.inlined)
        out: list[ast.stmt] = []
        given = set(live)
        for k, node in enumerate(block.nodes):
            if len(node.outs) == 1 and node.out in self.inlined:
                continue
            here = len(out)
            told = self._tell(node, out)
            written = self.statement(node)
            if written is None:
                value = self.expr(node)
                self.release(live, k, given)
                written = [self.assign(node.outs, value)]
                self.hold(node.outs)
            else:
                self.hold(node.outs)
                self.release(live, k, given)
            if not written and told:
                del out[here:]
            out.extend(written)
            live.add(node.outs)
        return out

    def assign(self, targets: tuple[Value, ...], value: ast.expr) -> ast.stmt:
        """The values that an expression gives, in their variables."""
        if len(targets) == 1:
            return assignment(self.name(targets[0]), value, number=not targets[0].type.shape)
        names = [ast.Name(self.name(o), ast.Store()) for o in targets]
        return ast.Assign([ast.Tuple(names, ast.Store())], value, lineno=0)

    def _tell(self, node: Node, out: list[ast.stmt]) -> bool:
        """A comment with the user's line, where a new one begins."""
        loc = node.loc
        key = (loc.file, loc.line, loc.role)
        if not self.comments or not loc.line or key == self.told:
            return False
        out.append(comment(line_comment(loc)))
        self.told = key
        return True


def assignment(name: str, value: ast.expr, number: bool) -> ast.stmt:
    """`name = value`, or for a number `name += ...`; for an array that would write to its memory."""
    own = isinstance(value, ast.BinOp) and isinstance(value.left, ast.Name) and value.left.id == name
    if number and own:
        return ast.AugAssign(ast.Name(name, ast.Store()), value.op, value.right)
    return ast.Assign([ast.Name(name, ast.Store())], value, lineno=0)


def line_comment(loc: Loc) -> str:
    """What a node is for: the user's line, and whether it is its adjoint or tangent."""
    text = loc.text.strip()
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    return f"{ROLES.get(loc.role, '')}line {loc.line}: {text}"
