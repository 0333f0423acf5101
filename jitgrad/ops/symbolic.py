"""Symbolic arrays: NumPy code that runs on them writes itself down as nodes of a block.

Tracing and differentiation both build programs this way, so a derivative rule is written once, as ordinary
array code, and serves for every use.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from jitgrad.errors import LeakedValueError, TraceError, UnsupportedError
from jitgrad.ir.graph import UNKNOWN, Arg, Const, Loc, Node, Value
from jitgrad.ir.op import Op
from jitgrad.ir.types import INT64, Type
from jitgrad.ops.arraylike import ArrayLike
from jitgrad.ops.registry import DEMANDS, METHODS, TAKES

_state = threading.local()


class Builder:
    """Collects the nodes of one block, in order.

    Attributes:
        nodes: what has been built.
        parent: the builder around, whose values may be read.
        loc: the user's line that the next nodes belong to.
        checking: whether lengths that must agree are checked at run time. True while tracing; a derivative
            has the shapes of its primal, where they were checked.
        boundscheck: whether indices are checked.
        captured: arrays that code without source has brought in, each with the value that stands for it.
        ones: descriptions of derived lengths (that of `x[1:]`, say) which are one in the call that this is built
        for, and
            so broadcast. Each is checked at run time.
        region: the block is a region of a node of the parent's: a loop's body, or a branch.
        made: in a region, its params and the results of its nodes.
    """

    def __init__(
        self,
        checking: bool = False,
        parent: Builder | None = None,
        ones: frozenset[str] = frozenset(),
        region: bool = False,
        boundscheck: bool = True,
    ):
        self.nodes: list[Node] = []
        self.parent = parent
        self.region = region
        self.made: set[Value] = set()
        self.loc: Loc = UNKNOWN if parent is None else parent.loc
        self.checking = checking or (region and parent.checking)
        self.boundscheck = boundscheck and (parent is None or parent.boundscheck)
        self.captured: list[tuple[Value, np.ndarray]] = [] if parent is None else parent.captured
        self._integers: dict[tuple, Value] = {}  # besides those of the parents
        self.ones: frozenset[str] = ones if parent is None else parent.ones
        self._descriptions: dict[Value, str] = {} if parent is None else dict(parent._descriptions)
        self._equal: set[frozenset] = set() if parent is None else set(parent._equal)

    def append(self, node: Node) -> None:
        """Add a node that exists already."""
        self.nodes.append(node)
        self.own(node.outs)

    def extend(self, nodes: Iterable[Node]) -> None:
        """Add nodes that exist already."""
        for node in nodes:
            self.append(node)

    def own(self, values: Iterable[Value]) -> None:
        """Note that values are made here (they are params)."""
        if self.region:
            self.made.update(values)

    def emit(self, op: Op, args: tuple, attrs: dict) -> object:
        """Add a node; the result is an `Expr`, or a tuple of them."""
        args = tuple(as_arg(a) for a in args)
        types = op.infer(args, **attrs)
        many = isinstance(types, tuple)
        if not many and types.ndim == 0 and not op.effect and _is_of_integers(op, args, types):
            # Lengths are computed once, so that equal lengths are the same value; and where they can be computed first,
            # so that what is made in a region has a shape that is known outside.
            home = self._home(op, args)
            key = (op, args, tuple(sorted(attrs.items())))
            known = home._known_integer(key)
            if known is None:
                known = home._integers[key] = Value(types)
                home.append(Node(op, args, (known,), attrs, (), self.loc))
            return self._length(known)
        outs = tuple(Value(t) for t in (types if many else (types,)))
        self.append(Node(op, args, outs, attrs, (), self.loc))
        return tuple(Expr(o) for o in outs) if many else Expr(outs[0])

    def _home(self, op: Op, args: tuple) -> Builder:
        """The outermost builder, of those whose regions are nested here, in which an integer can be computed."""
        home = self
        if op.name in _ANYWHERE:
            while home.region and not any(a in home.made for a in args if isinstance(a, Value)):
                home = home.parent
        return home

    def _known_integer(self, key: tuple) -> Value | None:
        builder: Builder | None = self
        while builder is not None:
            if key in builder._integers:
                return builder._integers[key]
            builder = builder.parent
        return None

    def _integer_keys(self) -> Iterator[tuple[tuple, Value]]:
        builder: Builder | None = self
        while builder is not None:
            yield from builder._integers.items()
            builder = builder.parent

    def _length(self, value: Value) -> object:
        """A derived integer; the number one if the call is known to make it that, and its length broadcasts."""
        if self.ones and self.describe(value) in self.ones:
            return 1
        return Expr(value)

    def assumed(self) -> list[Value]:
        """The lengths that the program relies on being one."""
        return [v for _, v in self._integer_keys() if self.ones and self.describe(v) in self.ones]

    def describe(self, value: object) -> str:
        """How an integer is computed, in words that are the same in every trace of the function."""
        if not isinstance(value, Value):
            return str(getattr(value, "value", value))
        text = self._descriptions.get(value)
        if text is None:
            key = next((k for k, v in self._integer_keys() if v is value), None)
            if key is None:
                return self._describe_array(value)
            op, args, attrs = key
            text = f"{op.name}({', '.join(map(self.describe, args))}, {attrs})"
            self._descriptions[value] = text
        return text

    def _describe_array(self, value: Value) -> str:
        """Which array, where a length depends on its elements: the k-th result of an operation."""
        maker = self.maker(value)
        if maker is None:
            return value.name or "?"
        home = self
        while maker not in home.nodes:
            home = home.parent
        place = [n for n in home.nodes if n.op is maker.op].index(maker)
        return f"{maker.op.name}#{place}"

    def maker(self, value: object) -> Node | None:
        """The node that a value was made by, in this block or, for a region, in those around it."""
        value = value.value if isinstance(value, Expr) else value
        found = next((n for n in reversed(self.nodes) if value in n.outs), None)
        return self.parent.maker(value) if found is None and self.region else found

    def is_length(self, x: object) -> bool:
        """Whether a run-time integer is the length of an argument's axis, and so not negative."""
        return isinstance(x, Expr) and self.describe(x.value).startswith("axis_length(")

    def capture(self, array: np.ndarray) -> Value:
        """The value that stands for an array which is known now; it becomes an input of the compiled function."""
        for value, known in self.captured:
            if known is array:
                return value
        value = Value(Type(array.dtype, tuple(map(int, array.shape))), "constant")
        self.captured.append((value, array))
        return value

    def first_time_equal(self, a: object, b: object) -> bool:
        """Whether `a == b` has not been demanded before; remembers it."""
        pair = frozenset((a, b))
        if pair in self._equal:
            return False
        self._equal.add(pair)
        return True

    def knows_equal(self, a: object, b: object) -> bool:
        """Whether `a == b` has been made sure of."""
        return frozenset((a, b)) in self._equal


def _is_of_integers(op: Op, args: tuple[Arg, ...], type: Type) -> bool:
    """Whether a number is an integer, or says how two of them compare, as lengths do that are clamped."""
    return type.dtype == INT64 or (op.name in _COMPARISONS and all(a.type.dtype == INT64 for a in args))


_COMPARISONS = frozenset(("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"))
# What gives an integer of integers wherever it is computed, whether or not that place is reached.
_ANYWHERE = frozenset((
    "add", "subtract", "multiply", "negative", "floor_divide", "remainder", "maximum", "minimum", "where",
    "axis_length", *_COMPARISONS,
))  # fmt: skip


def current() -> Builder:
    """The builder that nodes go to."""
    stack = getattr(_state, "stack", None)
    if not stack:
        raise LeakedValueError(
            "a traced value is used after its trace has ended: it was kept somewhere outside the function. "
            "Return it from the function instead."
        )
    return stack[-1]


def is_building() -> bool:
    """Whether a function is being traced or differentiated in this thread."""
    return bool(getattr(_state, "stack", None))


@contextmanager
def building(builder: Builder) -> Iterator[Builder]:
    """Nodes made inside go to `builder`."""
    stack = getattr(_state, "stack", None)
    if stack is None:
        stack = _state.stack = []
    stack.append(builder)
    try:
        yield builder
    finally:
        stack.pop()


class NeedStatic(Exception):
    """Python needs the number behind a run-time value, which the compiler turns into a static argument."""

    def __init__(self, value: Value, use: str):
        super().__init__(use)
        self.value = value
        self.use = use


class Expr(ArrayLike):
    """A value of the program being built, behaving as an array (or, without axes, as a number)."""

    __slots__ = ("_value",)
    __array_priority__ = 1000

    def __init__(self, value: Value):
        self._value = value

    @property
    def value(self) -> Value:
        return self._value

    @property
    def type(self) -> Type:
        return self.value.type

    @property
    def dtype(self) -> np.dtype:
        return self.value.type.dtype

    @property
    def shape(self) -> tuple:
        return tuple(as_length(axis) for axis in self.value.type.shape)

    @property
    def ndim(self) -> int:
        return self.value.type.ndim

    @property
    def nbytes(self):
        return self.size * self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    def __jitgrad_bind__(self, op: Op, args: tuple, attrs: dict) -> object:
        return current().emit(op, args, attrs)

    def _operate(self, ufunc, *args):
        if ufunc in DEMANDS and current().checking and all(map(_is_data, args)):
            DEMANDS[ufunc](*args)
        if ufunc in TAKES:
            args = TAKES[ufunc](*args)
        result = super()._operate(ufunc, *args)
        if isinstance(result, Expr) and all(as_arg(a).type.weak for a in args):
            kind = result.dtype.kind
            result.value.type = Type(result.dtype, (), weak=kind in "if")
        return result

    def _unsupported(self, name: str):
        raise UnsupportedError(
            f"{name} has no derivative rule in jitgrad (docs/operations.md lists what has one)",
            current().loc.syntax_location(),
        )

    def __bool__(self):
        raise NeedStatic(self.value, "the truth of a value")

    def __index__(self):
        raise NeedStatic(self.value, "a value as a Python integer")

    __int__ = __index__

    def __float__(self):
        raise NeedStatic(self.value, "a value as a Python float")

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        length = self.type.shape[0]
        if not isinstance(length, int):
            raise NeedStatic(length, "iteration over an axis whose length is known at run time only")
        return (self[i] for i in range(length))

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of unsized object")
        length = self.type.shape[0]
        if not isinstance(length, int):
            raise NeedStatic(length, "the length of an axis as a Python integer")
        return length

    def __setitem__(self, index, value):
        raise TraceError("this value can't be written to", current().loc.syntax_location())

    def __array__(self, *args, **kwargs):
        raise TraceError(
            "a traced value can't become a NumPy array while its function is traced; a function without Python "
            "source that needs one can't be differentiated",
            current().loc.syntax_location(),
        )

    def __repr__(self) -> str:
        return f"<traced {self.value.name or 'value'}: {self.dtype}, {self.ndim}-d>"

    def __format__(self, spec: str) -> str:
        if not self.ndim and self.dtype.kind in "biu":
            raise NeedStatic(self.value, "a value as text")
        return repr(self)

    def __copy__(self):
        return METHODS["copy"](self)

    def __deepcopy__(self, memo: dict):
        return METHODS["copy"](self)


def _is_data(x: object) -> bool:
    return isinstance(x, Expr | np.ndarray | np.generic | int | float)


def as_arg(x: object) -> Arg:
    """What a node takes for `x`: a value, or a constant."""
    if isinstance(x, Expr):
        return x.value
    if isinstance(x, Value | Const):
        return x
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "biuf":
            raise TypeError(f"arrays of dtype {x.dtype} can't be differentiated or computed with")
        return Const.of(x[()]) if x.ndim == 0 else current().capture(x)
    if isinstance(x, list | tuple):
        return as_arg(np.asarray(x))
    return Const.of(x)


def as_expr(x: Arg) -> object:
    """What array code computes with for an argument of a node: an `Expr`, or the number itself."""
    return Expr(x) if isinstance(x, Value) else x.value


def as_length(axis: int | Value) -> object:
    """A length as array code sees it: an int, or a run-time integer as weak as Python's."""
    if not isinstance(axis, Value):
        return axis
    if not axis.type.weak:
        axis.type = Type(INT64, (), weak=True)
    return Expr(axis)
