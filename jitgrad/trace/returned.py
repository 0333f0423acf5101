"""What a function returns that is called at run time, and the arrays that it writes to."""

from __future__ import annotations

from collections.abc import Callable

from jitgrad.ir.graph import Arg, Block, Const, Value
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.flow import call_, for_, if_, while_
from jitgrad.ops.index import add_at, setitem
from jitgrad.ops.symbolic import Expr, as_expr, current
from jitgrad.trace.aliases import Alias
from jitgrad.trace.arguments import Arguments, Parameters
from jitgrad.trace.images import Leaf, is_plain
from jitgrad.trace.merge import Differs, Joiner, Slot, argument
from jitgrad.trace.structure import has_parts, parts, rebuilt
from jitgrad.trace.values import Cell


class Returned:
    """What a function gives, as a tree over numbers and arrays.

    Attributes:
        tree: ("leaf", k), ("argument", k), ("same", container), ("container", x, children) or ("fixed", x).
        leaves: the numbers and arrays that are returned, then the arrays that were written to.
        types: of the leaves. An axis is an int, a value from around the function, the axis of a param as
            (param, axis), or a result as (number,).
        fresh: of each leaf, whether it is an array of nobody else's; else it is one of the arguments, or a part of one,
            or of the array in `roots`.
        written: the params that were written to.
        updates: for each of these the number of its result.
        by_value: an array that is returned and is an argument is not known to be that one, for it may be another, too.
        results: what the function's block gives: the leaves in these types, and the lengths that it has computed.
    """

    def __init__(self, result: object, parameters: Parameters, by_value: bool):
        self.parameters, self.by_value = parameters, by_value
        self.leaves: list[Arg] = []
        self.fresh: list[bool] = []
        self.roots: list[Cell | None] = []
        self._known: dict[int, tuple] = {}
        self.tree = self._tree(result)
        values = zip(parameters.values, parameters.objects, strict=True)
        self.written = [k for k, (param, x) in enumerate(values) if isinstance(x, Cell) and x.value is not param]
        self.updates: dict[int, int] = {}
        for k in self.written:
            self._leaf(parameters.objects[k].value, fresh=True)
        self.dtypes = [leaf.type for leaf in self.leaves]

    def _tree(self, x: object) -> tuple:
        if id(x) not in self._known:
            self._known[id(x)] = (self._new(x), x)
        return self._known[id(x)][0]

    def _new(self, x: object) -> tuple:
        argument = next((k for k, y in enumerate(self.parameters.objects) if y is x and isinstance(x, Cell)), None)
        if argument is not None and self.by_value:
            return "leaf", self._leaf(x.value, fresh=False)
        if argument is not None:
            return "argument", argument
        original = self.parameters.original(x)
        if original is not None:
            return "same", original
        if self.parameters.is_outer(x):
            return "fixed", x
        if isinstance(x, Expr):
            fresh = isinstance(x, Cell) and not isinstance(x, Alias) and x.root() is x and self._is_new(x.value)
            return "leaf", self._leaf(x.value, fresh or not x.ndim, self._outer_root(x))
        if isinstance(x, bool | int | float) or hasattr(x, "dtype"):
            return "leaf", self._leaf(Const.of(x), fresh=True)
        if has_parts(x) and not isinstance(x, type):
            return "container", x, {k: self._tree(v) for k, v in parts(x).items()}
        return "fixed", x

    def _is_new(self, value: Arg) -> bool:
        """Whether an array was made in the function, whichever way it went: it is no argument, and no call's result."""
        makers = {o: node for node in Block((), current().nodes, ()).walk() for o in node.outs}
        stack = [value]
        while stack:
            array = stack.pop()
            node = makers.get(array)
            if node is None or node.op in (call_, for_, while_):
                return False
            if node.op is if_:
                stack += [region.results[node.outs.index(array)] for region in node.regions]
            elif node.op in (setitem, add_at):
                stack.append(node.args[0])
        return True

    def _outer_root(self, x: Expr) -> Cell | None:
        """The array around the function that this one is a part of."""
        root = x.root() if isinstance(x, Cell) else None
        return root if root is not None and self.parameters.is_outer(root) else None

    def _leaf(self, arg: Arg, fresh: bool, root: Cell | None = None) -> int:
        self.leaves.append(arg)
        self.fresh.append(fresh)
        self.roots.append(root)
        return len(self.leaves) - 1

    # Types.
    def joined(self, before: Returned, error: Callable[[str], Exception]) -> Returned:
        """The same, in types that what it has returned before has, too."""
        count = len(self.leaves) - len(self.written)
        if not self.has_structure_of(before):
            raise error("returns things of different structure in different branches, and calls itself")
        for k, (new, old) in enumerate(zip(self.leaves[:count], before.dtypes, strict=False)):
            a, b = Leaf(Value(old)), Leaf(new if isinstance(new, Const) else Value(new.type))
            try:
                self.dtypes[k] = self._join(a, b)
            except Differs as differs:
                raise error(f"returns {differs.args[0]} or {differs.args[1]}, and calls itself") from None
        return self

    def _join(self, a: Leaf, b: Leaf) -> Type:
        if a.arg.type.ndim != b.arg.type.ndim:
            raise Differs(a, b)
        if a.arg.type.ndim:
            if a.arg.type.dtype != b.arg.type.dtype:
                raise Differs(a, b)
            return b.arg.type
        slot = Joiner().join(a, b)
        return slot.type if isinstance(slot, Slot) else b.arg.type

    def finish(self) -> None:
        """Compute what the block gives; in the region of the function."""
        slots = (Slot(dtype, (Leaf(leaf), None)) for dtype, leaf in zip(self.dtypes, self.leaves, strict=True))
        results = [argument(slot, 0) for slot in slots]
        self.types = [Type(d.dtype, tuple(self._axis(n, results) for n in d.shape), d.weak) for d in self.dtypes]
        self.types += [Type(INT64, (), weak=True)] * (len(results) - len(self.types))
        self.results = tuple(results)
        first = len(self.leaves) - len(self.written)
        self.updates = {k: first + j for j, k in enumerate(self.written)}

    def _axis(self, n: int | Value, results: list[Arg]) -> object:
        if isinstance(n, int) or n not in self.parameters.region.made:
            return n
        if n in self.parameters.axes:
            return self.parameters.axes[n]
        if n not in results[len(self.leaves) :]:
            results.append(n)
        return (len(self.leaves) + results[len(self.leaves) :].index(n),)

    def has_structure_of(self, other: Returned) -> bool:
        """Whether it is the same tree, over numbers and arrays of other types perhaps."""
        counts = (len(r.leaves) - len(r.written) for r in (self, other))
        return _alike(self.tree, other.tree) and len(set(counts)) == 1

    def is_like(self, other: Returned) -> bool:
        """Whether a caller would see no difference."""
        return _alike(self.tree, other.tree) and (self.types, self.updates, self.fresh) == (
            other.types, other.updates, other.fresh
        )  # fmt: skip

    # A call.
    def outs(self, args: list[Arg]) -> tuple[Value, ...]:
        """Values for the results of a call with these arguments."""
        names = [getattr(r, "name", None) for r in self.results]
        outs = tuple(Value(Type(t.dtype, (), t.weak), name) for t, name in zip(self.types, names, strict=True))
        for out, type in zip(outs, self.types, strict=True):
            shape = []
            for n in type.shape:
                if isinstance(n, tuple):
                    n = outs[n[0]] if len(n) == 1 else args[n[0]].type.shape[n[1]]
                shape.append(n)
            out.type = Type(type.dtype, tuple(shape), type.weak)
        return outs

    def rebuilt(self, outs: tuple[Value, ...], arguments: Arguments) -> object:
        """What Python has for the result of a call."""
        arrays = [x for x in (*arguments.cells, *self.roots) if isinstance(x, Cell)]
        leaves = [
            as_expr(out) if not out.type.shape else Cell(out) if fresh else Alias(out, arrays)
            for out, fresh in zip(outs, self.fresh, strict=False)
        ]
        made: dict[int, object] = {}

        def build(tree: tuple) -> object:
            kind, what, *rest = tree
            if kind == "leaf":
                return leaves[what]
            if kind == "argument":
                cells = arguments.cells
                return cells[what] if what < len(cells) else self.parameters.objects[what]
            if kind == "same":
                position = list(self.parameters.arguments.containers).index(id(what))
                return list(arguments.containers.values())[position]
            if kind == "fixed":
                return what
            if id(what) not in made:
                made[id(what)] = rebuilt(what, {k: build(child) for k, child in rest[0].items()})
            return made[id(what)]

        return build(self.tree)


def _alike(a: tuple, b: tuple) -> bool:
    """Whether two trees have the same structure."""
    if a[0] != b[0]:
        return False
    if a[0] == "container":
        kinds = type(a[1]) is type(b[1]) and list(a[2]) == list(b[2])
        return kinds and all(_alike(child, b[2][k]) for k, child in a[2].items())
    if a[0] == "fixed":
        x, y = a[1], b[1]
        return x is y or (type(x) is type(y) and is_plain(x) and is_plain(y) and bool(x == y))
    return a[1] is b[1] or a[1] == b[1] if a[0] != "same" else a[1] is b[1]
