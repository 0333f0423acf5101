"""What is certain about integers: lengths, the indices of loops, and what conditions say where they hold.

Integers of the program are of 64 bits and wrap around, sums in `jitgrad.ops.affine` don't. So an integer is taken for a
sum only if it can't become so large. Lengths can't, for lack of memory; numbers of iterations can't, for lack of time;
an integer that the caller passes may be anything, and stands for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.types import INT64
from jitgrad.ops.affine import ONE, Form, constant, possible
from jitgrad.ops.flow import for_, if_, slots, while_

LONGEST = 1 << 48  # an axis
MOST_TRIPS = 1 << 50  # a loop of as many iterations takes days
LARGEST = 1 << 62  # what certainly has not wrapped around

COMPARISONS = frozenset(("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"))
OPPOSITE = {
    "less": "greater_equal", "less_equal": "greater", "greater": "less_equal", "greater_equal": "less",
    "equal": "not_equal", "not_equal": "equal",
}  # fmt: skip
AND, OR, NOT = ("logical_and", "bitwise_and"), ("logical_or", "bitwise_or"), ("logical_not", "invert")


class Bounds:
    """The integers of a program as sums, and what holds at the place that is looked at.

    Attributes:
        maker: the node that a value was made by, regions included.
        loop: for the index of a counted loop, the loop.
        version: what is known: the same number, the same knowledge.
        grown: for an integer that a loop changes by a constant in each iteration: (start, step, loop).
        counted: for an integer that a loop, with the loops and branches in it, adds constants to, none of them
            negative: (start, the largest of them).
    """

    def __init__(self, block: Block):
        self.maker: dict[Arg, Node] = {out: node for node in block.walk() for out in node.outs}
        self.loop: dict[Arg, Node] = {}
        self.grown: dict[Arg, tuple[Arg, int, Node]] = {}
        self.counted: dict[Arg, tuple[Arg, int]] = {}
        self._same: dict[Arg, Value] = {}  # for a param of a test that of the body
        self._sizes: dict[Arg, int | None] = {}
        self._forms: dict[Arg, Form] = {}
        self._facts: list[Form] = []
        self._asked: set[object] = set()  # the remainders whose divisor is being looked at
        self.version = self._versions = 0
        for node in block.walk():
            self._note_loop(node)

    def _note_loop(self, node: Node) -> None:
        if node.op is for_:
            self.loop[node.regions[0].params[0]] = node
        if node.op in (for_, while_):
            for slot in slots(node):
                self._same.update((p, slot.params[-1]) for p in slot.params[:-1])
                step = self._step(slot.results[0], slot.params[-1])
                if step is not None:
                    self.grown[slot.params[-1]] = (slot.init, step, node)
                elif slot.results[0] in self.maker and _is_int64(slot.out):
                    passed: list[Arg] = [slot.params[-1]]
                    most = self._most(slot.results[0], slot.params[-1], passed)
                    if most is not None:
                        self.counted.update(dict.fromkeys(passed, (slot.init, most)))

    def _step(self, result: Arg, param: Value) -> int | None:
        node = self.maker.get(result)
        if node is None or not _is_int64(param) or node.op.name not in ("add", "subtract") or param not in node.args:
            return None
        other = node.args[1 if node.args[0] is param else 0]
        if not isinstance(other, Const) or (node.op.name == "subtract" and node.args[0] is not param):
            return None
        return int(other.value) if node.op.name == "add" else -int(other.value)

    def _most(self, value: Arg, param: Value, passed: list[Arg]) -> int | None:
        """The largest constant that is added on the way from a carried integer to its next; None if one is negative.

        What loops and branches make of it on the way is added to `passed`.
        """
        if value is param:
            return 0
        node = self.maker.get(value)
        if node is None:
            return None
        if node.op is for_ or node.op is if_:
            slot = next(s for s in slots(node) if s.out is value)
            passed.append(value)
            inside = [self._most(r, slot.params[0] if slot.params else param, passed) for r in slot.results]
            steps = inside if slot.init is None else [*inside, self._most(slot.init, param, passed)]
            return None if None in steps else max(steps)
        if node.op.name != "add":
            return None
        for other, step in (node.args, node.args[::-1]):
            if isinstance(step, Const) and step.value >= 0:
                before = self._most(other, param, passed)
                return None if before is None else before + int(step.value)
        return None

    # Integers as sums.
    def size(self, arg: Arg) -> int | None:
        """The largest absolute value that an integer can have; None if it may have wrapped around, or be anything."""
        if isinstance(arg, Const):
            return abs(int(arg.value)) if arg.type.dtype.kind in "iu" else None
        if arg not in self._sizes:
            self._sizes[arg] = None  # what depends on itself is unknown
            size = self._size(arg)
            self._sizes[arg] = size if size is not None and size < LARGEST else None
        return self._sizes[arg]

    def _size(self, arg: Value) -> int | None:
        if arg.type.shape or not _is_int64(arg):
            return None
        if arg in self.loop:
            return MOST_TRIPS
        if arg in self._same:
            return self.size(self._same[arg])
        if arg in self.grown:
            start, step, _ = self.grown[arg]
            start = self.size(start)
            return None if start is None else start + abs(step) * MOST_TRIPS
        if arg in self.counted:  # by an iteration at a time, all of which would take as long as those of one loop
            start, step = self.counted[arg]
            start = self.size(start)
            return None if start is None else start + step * MOST_TRIPS
        node = self.maker.get(arg)
        if node is None:
            return None
        if node.op.name == "axis_length" or _is_count(node):
            return LONGEST
        sizes = [self.size(a) for a in (node.args[1:] if node.op.name == "where" else node.args)]
        if None in sizes:
            return None
        return _SIZES[node.op.name](*sizes) if node.op.name in _SIZES else None

    def form(self, arg: Arg) -> Form:
        """An integer as a sum."""
        if isinstance(arg, Const):
            return constant(int(arg.value))
        if arg not in self._forms:
            self._forms[arg] = self._form(arg)
        return self._forms[arg]

    def _form(self, arg: Value) -> Form:
        if arg in self._same:
            return self.form(self._same[arg])
        node = self.maker.get(arg)
        if self.size(arg) is not None:
            if arg in self.grown:
                start, step, loop = self.grown[arg]
                return self.form(start) + self._number(loop).times(step)
            name = node.op.name if node is not None else ""
            if name == "negative":
                return self.form(node.args[0]).times(-1)
            if name in ("add", "subtract", "multiply"):
                left, right = map(self.form, node.args)
                if name != "multiply":
                    return left.plus(right, 1 if name == "add" else -1)
                for a, b in ((left, right), (right, left)):
                    if not a.keys() - {ONE}:
                        return b.times(a.get(ONE, 0))
        return Form({arg: 1})

    def _number(self, loop: Node) -> Form:
        """How many iterations of a loop lie behind."""
        return Form({loop.regions[0].params[0] if loop.op is for_ else loop: 1})

    # What holds.
    @contextmanager
    def inside(self, node: Node, region: Block) -> Iterator[None]:
        """In a region its condition holds, and there is an iteration. What is learnt there is forgotten afterwards."""
        with self.forgetting():
            if node.op is if_:
                self.learn(node.args[0], region is node.regions[0])
            elif node.op is for_:
                self._add(self.form(self.unclamped(node.args[0])) - constant(1))
            elif node.op is while_ and region is not node.regions[0]:
                self.learn(node.regions[0].results[0])
            yield

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """What is learnt here is forgotten afterwards."""
        before, version = list(self._facts), self.version
        yield
        self._facts, self.version = before, version

    def _add(self, *facts: Form) -> None:
        for fact in facts:
            if fact not in self._facts:
                self._facts.append(fact)
                self._versions += 1
                self.version = self._versions

    def learn(self, condition: Arg, outcome: bool = True) -> None:
        """From here on the condition is known to be true, or false."""
        node = self.maker.get(condition)
        if node is None:
            return
        name = node.op.name
        if name in NOT and node.args[0].type.dtype.kind == "b":
            self.learn(node.args[0], not outcome)
        elif name in (AND if outcome else OR):
            for arg in node.args:
                self.learn(arg, outcome)
        elif name in COMPARISONS and are_integers(node):
            less = self.form(node.args[1]) - self.form(node.args[0])
            self._add(*self._facts_of(name if outcome else OPPOSITE[name], less))

    def _facts_of(self, name: str, less: Form) -> list[Form]:
        """What is not negative if a comparison holds; `less` is its right side minus its left side."""
        more = less.times(-1)
        if name == "not_equal":
            return [f - constant(1) for f in (less, more) if self.is_certain(f)][:1]
        return {
            "less": [less - constant(1)], "less_equal": [less], "greater": [more - constant(1)],
            "greater_equal": [more], "equal": [less, more],
        }[name]  # fmt: skip

    def decide(self, node: Node) -> bool | None:
        """How a comparison of integers comes out, if that is certain."""
        less = self.form(node.args[1]) - self.form(node.args[0])
        for outcome, name in ((True, node.op.name), (False, OPPOSITE[node.op.name])):
            more = less.times(-1)
            if name == "not_equal":
                if self.is_certain(less - constant(1)) or self.is_certain(more - constant(1)):
                    return outcome
            elif all(map(self.is_certain, self._facts_of(name, less))):
                return outcome
        return None

    def is_certain(self, form: Form) -> bool:
        """Whether a sum is certainly not negative."""
        if not form.keys() - {ONE}:
            return form.get(ONE, 0) >= 0
        return not possible([*self._about(form), form.times(-1) - constant(1)], [])

    def _about(self, form: Form) -> list[Form]:
        """What is known that has to do with a sum, however far around."""
        found: list[Form] = []
        facts = list(self._facts)
        symbols: set[object] = {ONE}
        new = [s for s in form if s != ONE]
        while new:
            symbols.update(new)
            for symbol in new:
                found += self._nature(symbol)
            found += [f for f in facts if not symbols.isdisjoint(f.keys() - {ONE})]
            facts = [f for f in facts if symbols.isdisjoint(f.keys() - {ONE})]
            new = list(dict.fromkeys(s for f in found for s in f if s not in symbols))
        return found

    def _nature(self, symbol: object) -> list[Form]:
        """What is true of an integer by the way in which it is made."""
        this = Form({symbol: 1})
        if isinstance(symbol, Node):  # the number of an iteration of a `while`
            return [this]
        if symbol in self.loop:
            return [this, self.form(self.unclamped(self.loop[symbol].args[0])) - this - constant(1)]
        if symbol in self.counted:
            return [this - self.form(self.counted[symbol][0])] if self.size(symbol) is not None else []
        node = self.maker.get(symbol)
        if node is None:
            return []
        name, args = node.op.name, node.args
        if name == "axis_length":
            return [this]
        if name in ("maximum", "minimum") and _is_int64(symbol):
            sign = 1 if name == "maximum" else -1
            return [(this - self.form(a)).times(sign) for a in args if _is_int64(a)]
        if name in ("floor_divide", "remainder") and all(map(_is_int64, args)):
            return self._parts(name, this, *map(self.form, args))
        return [this] if _is_count(node) else []

    def _parts(self, name: str, this: Form, dividend: Form, divisor: Form) -> list[Form]:
        """Of a quotient or remainder by a positive number, between what it lies."""
        if name == "remainder":
            return [this, divisor - this - constant(1)] if self._is_positive(divisor, this) else []
        if divisor.keys() - {ONE} or divisor.get(ONE, 0) <= 0:
            return []
        rest = dividend - this.times(divisor[ONE])
        return [rest, divisor - rest - constant(1)]

    def _is_positive(self, form: Form, remainder: Form) -> bool:
        """Whether a divisor is positive, as far as that can be told without looking at the remainder."""
        (symbol,) = remainder
        if symbol in self._asked:  # what the divisor is made of depends on a remainder by it
            return False
        self._asked.add(symbol)
        known, self._facts = self._facts, [f for f in self._facts if f.keys().isdisjoint(remainder)]
        positive = self.is_certain(form - constant(1))
        self._facts = known
        self._asked.remove(symbol)
        return positive

    def unclamped(self, count: Arg) -> Arg:
        """Of max(n, 0), n: the number of iterations of a loop, or of none."""
        node = self.maker.get(count)
        if node is not None and node.op.name == "maximum":
            others = [a for a in node.args if not (isinstance(a, Const) and a.value <= 0)]
            if len(others) == 1:
                return others[0]
        return count


def are_integers(node: Node) -> bool:
    """Whether a comparison is one of 64-bit integers."""
    return all(_is_int64(a) and not a.type.shape for a in node.args)


def _is_count(node: Node) -> bool:
    """Whether a node counts what is true."""
    return node.op.name == "sum" and node.args[0].type.dtype.kind == "b"


def _is_int64(arg: Arg) -> bool:
    return arg.type.dtype == INT64


def _sum(a: int, b: int) -> int:
    return a + b


def _largest(a: int, b: int) -> int:
    return max(a, b)


_SIZES = {
    "add": _sum, "subtract": _sum, "multiply": lambda a, b: a * b, "negative": lambda a: a,
    "floor_divide": _largest, "remainder": _largest, "maximum": _largest, "minimum": _largest, "where": _largest,
}  # fmt: skip
