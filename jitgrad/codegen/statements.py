"""What both printed forms share: the order of statements, names, inlining and comments."""

from __future__ import annotations

import ast

from jitgrad.codegen.forms import expression
from jitgrad.codegen.names import Namer
from jitgrad.codegen.pretty import comment
from jitgrad.ir.graph import Arg, Block, Const, Loc, Node, Value, used

ROLES = {"adjoint": "adjoint of ", "tangent": "tangent of "}
LONGEST = 100  # characters of the user's line in a comment
MAX_INLINE = 6  # operations in one expression: what one can read in a line


class Writer:
    """Writes a block as statements. Subclasses say how an operation looks.

    A value that has no name of the user's and is read once stands where it is read; any other gets a statement. A
    name is used again (`h = tanh(h @ w)`) when nothing reads its former value any more.
    """

    keep_names = True  # a value with a name gets a statement

    def __init__(self, block: Block, comments: bool = True):
        self.block = block
        self.comments = comments
        self.namer = Namer()
        self.names: dict[Value, str] = {}
        self.inlined: dict[Value, Node] = {}
        self.imports: set[str] = set()
        self.functions: list[ast.stmt] = []  # that the entry calls
        self.last_read: dict[Value, int] = {}
        self.told: tuple | None = None

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

    def statement(self, node: Node) -> list[ast.stmt] | None:
        """The operation as statements of its own; None if it is an expression."""
        return None

    def kind(self, value: Value) -> object:
        """Values of one kind may have one name, one after the other."""
        return None

    def fits_into(self, node: Node, reader: Node) -> bool:
        """Whether the operation may stand inside this reader's expression."""
        return True

    def prologue(self) -> list[ast.stmt]:
        """Statements before all others."""
        return []

    # Planning: which values are inlined, and where each value is read last.
    def _plan(self, block: Block) -> None:
        readers: dict[Value, list[Node]] = {}
        overwritten: dict[Value, int] = {}
        for k, node in enumerate(block.nodes):
            for value in used(node):
                readers.setdefault(value, []).append(node)
            for value in overwrites(node):
                overwritten[value] = k
        pinned = {r for r in block.results if isinstance(r, Value) and r.type.shape} | set(overwritten)
        pinned |= {r for r in block.results if isinstance(r, Value) and (r in readers or block.results.count(r) > 1)}
        weight: dict[Value, int] = {}
        wanted: set[Value] = set()
        for node in block.nodes:
            if len(node.outs) != 1 or node.op.effect or node.regions:
                continue
            out, mine = node.out, readers.get(node.out, ())
            total = 1 + sum(weight.get(a, 0) for a in node.args)
            if (
                out in pinned
                or (out.name is not None and self.keep_names)
                or total > MAX_INLINE
                or not self.inlinable(node)
            ):
                continue
            if (len(mine) == 1 and not mine[0].regions and self.fits_into(node, mine[0])) or (
                not mine and out in block.results
            ):
                weight[out] = total
                wanted.add(out)
        self._place(block, readers, overwritten, wanted)

    def _place(self, block: Block, readers: dict, overwritten: dict[Value, int], wanted: set[Value]) -> None:
        """Decide where each node stands: with its reader, unless its operands are overwritten before that."""
        end = len(block.nodes)
        place: dict[Node, int] = {}
        for value in block.results:
            if isinstance(value, Value):
                self.last_read[value] = end
        for k in range(end - 1, -1, -1):
            node = block.nodes[k]
            place[node] = k
            out = node.outs[0] if len(node.outs) == 1 else None
            if out is not None and self.always_inline(node):
                self.inlined[out] = node
                place[node] = max((place[r] for r in readers.get(out, ())), default=k)
            elif out in wanted:
                target = place[readers[out][0]] if out in readers else end
                if all(overwritten.get(a, end) >= target for a in node.args if isinstance(a, Value)):
                    self.inlined[out] = node
                    place[node] = target
            for value in used(node):
                self.last_read[value] = max(self.last_read.get(value, -1), place[node])

    # Writing.
    def name(self, value: Value) -> str:
        if value not in self.names:
            self.names[value] = self.namer.new(value.name, self.kind(value))
        return self.names[value]

    def arg(self, arg: Arg, node: Node | None = None) -> ast.expr:
        """An operand: a constant, a name, or the expression that makes it."""
        if isinstance(arg, Const):
            return self.const(arg, node)
        if arg in self.inlined:
            return self.expr(self.inlined[arg])
        return expression(self.name(arg))

    def take_over(self, old: Arg, new: Value) -> ast.expr:
        """The name of `old`, which from now on is that of `new`: the same memory."""
        self.names[new] = self.names[old]
        return expression(self.names[new])

    def body(self) -> list[ast.stmt]:
        """The statements of the block, without its return."""
        return self.block_body(self.block)

    def block_body(self, block: Block) -> list[ast.stmt]:
        """The statements of a block or region."""
        self._plan(block)
        out: list[ast.stmt] = []
        live: list[Value] = []
        for k, node in enumerate(block.nodes):
            if len(node.outs) == 1 and node.out in self.inlined:
                continue
            here = len(out)
            told = self._tell(node, out)
            written = self.statement(node)
            if written is None:
                value = self.expr(node)
                self._release(live, k)
                names = [ast.Name(self.name(o), ast.Store()) for o in node.outs]
                target = names[0] if len(names) == 1 else ast.Tuple(names, ast.Store())
                written = [ast.Assign([target], value, lineno=0)]
            if not written and told:
                del out[here:]
            out.extend(written)
            live.extend(node.outs)
        for value in live:
            self.last_read.setdefault(value, -1)
        self._release(live, len(block.nodes) - 1)
        return out

    def _release(self, live: list[Value], k: int) -> None:
        """Give back the names of the values that are read for the last time by node `k` or before."""
        for value in [v for v in live if self.last_read.get(v, -1) <= k]:
            live.remove(value)
            name = self.names.get(value)
            # A name of the user's goes on to the next value; one of ours means one thing.
            if name is not None and value.name is not None and not any(self.names.get(v) == name for v in live):
                self.namer.release(name)

    def _tell(self, node: Node, out: list[ast.stmt]) -> bool:
        """A comment with the user's line, where a new one begins."""
        loc = node.loc
        key = (loc.file, loc.line, loc.role)
        if not self.comments or not loc.line or key == self.told:
            return False
        out.append(comment(line_comment(loc)))
        self.told = key
        return True


def line_comment(loc: Loc) -> str:
    """What a node is for: the user's line, and whether it is its adjoint or tangent."""
    text = loc.text.strip()
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    return f"{ROLES.get(loc.role, '')}line {loc.line}: {text}"


def overwrites(node: Node) -> list[Value]:
    """The buffers whose memory a node writes to: nobody may read them after it."""
    if node.op.name in ("add_at", "setitem", "store", "call_into"):
        return [node.args[0]]
    if node.regions:
        return [a for a in node.args[len(node.args) - len(node.outs) :] if isinstance(a, Value) and a.type.shape]
    return []
