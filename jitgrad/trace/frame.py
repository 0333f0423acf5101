"""What evaluation works with: the trace, the frames of its functions, and the tables of AST nodes."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable

from jitgrad.errors import TraceError, UnsupportedError
from jitgrad.ir.graph import UNKNOWN, Loc, Value
from jitgrad.ops.symbolic import Expr, NeedStatic, current
from jitgrad.trace.aliases import Pending
from jitgrad.trace.exits import Exit, go_on
from jitgrad.trace.externals import Externals
from jitgrad.trace.journal import MISSING, regions
from jitgrad.trace.liveness import live_after
from jitgrad.trace.source import Scope, Source
from jitgrad.trace.static import demand, fold, static_argument

MAX_DEPTH = 250

# AST node -> function(frame, node).
EXPRESSIONS: dict[type, Callable] = {}
STATEMENTS: dict[type, Callable] = {}


def expression(*kinds: type) -> Callable:
    """Decorator: this function evaluates these expressions."""

    def register(function: Callable) -> Callable:
        EXPRESSIONS.update(dict.fromkeys(kinds, function))
        return function

    return register


def statement(*kinds: type) -> Callable:
    """Decorator: this function runs these statements."""

    def register(function: Callable) -> Callable:
        STATEMENTS.update(dict.fromkeys(kinds, function))
        return function

    return register


class Trace:
    """One evaluation of a function, those of functions that are differentiated inside it included.

    `call(frame, function, args, kwargs)` calls anything as the traced function would.
    """

    def __init__(self, builder, call: Callable):
        self.externals = Externals(builder)
        self.depth = 0
        self.frames: list[Frame] = []  # of the functions that are running
        self.handlers = 0  # `try` statements that are running
        self.selecting = 0  # loops that are running which can't be unrolled, but need items of lists
        self.sealed: dict[int, object] = {}
        self.solutions: dict[tuple, object] = {}  # what is known of loops from tracing them before
        self.recursions: object = None  # functions of the program (`trace.recursion`)
        self.elementwise = False  # inside a function for scalars that is applied to arrays
        self.call = call

    def hidden_values(self) -> set[Value]:
        return {h.value for h in self.externals.hidden}

    def demand(self, x: object, use: str, way_out: str = "") -> object:
        """The Python number behind `x`, where Python needs one (`static.demand`)."""
        return demand(x, use, self.hidden_values(), way_out) if isinstance(x, Expr) else x

    def is_run_time(self, x: Expr) -> bool:
        """Whether a value can't be known while tracing, also not by making an argument static."""
        return fold(x) is None and static_argument(x.value, self.hidden_values()) is None

    def settle(self, x: Expr, use: str) -> None:
        """Ask for the int argument to be static that decides what `x` is, if there is one."""
        argument = static_argument(x.value, self.hidden_values())
        if argument is not None:
            raise NeedStatic(argument, use)

    def known(self, x: Expr) -> object:
        """What `x` is, if that is known while tracing; else None."""
        return fold(x)

    def seal(self, container: object) -> None:
        """Refuse later changes of a container: which one it is depends on a branch or loop."""
        self.sealed[id(container)] = container

    def check_unsealed(self, container: object) -> None:
        """
        Raises:
            TraceError: the container must not be changed.
        """
        if id(container) in self.sealed:
            kind = type(container).__name__
            raise TraceError(
                f"a {kind} is changed which may be the same as another one, depending on how a branch or loop before "
                f"went; make a new {kind} in place of changing it",
                current().loc.syntax_location(),
            )

    def truth_of(self, x: object) -> bool:
        """The truth of a value, where Python needs to know it."""
        return bool(self.demand(x, "a truth value"))


class Frame:
    """A running function: its variables, and where to look for the names that it doesn't bind.

    Attributes:
        vars: the variables that have a value.
        parent: the frame of the function around, for nested functions and comprehensions.
        function: the Python function at the root of the nesting, whose globals and closure are used.
        name: the function's name, for locations.
        owner: the class whose method it is, for `super()` and private names.
        first: the first argument, for `super()`.
        is_class: a class body, whose names methods don't see.
        is_comprehension: its walrus targets belong to the frame around.
        home: the builder that it was made in.
        node: what is evaluated in it.
        site: the line that called it.
        running, calling: the statement that runs, and the call in it, if it is one that runs.
        identity: what tells its function apart from others (`recursion`).
    """

    __slots__ = (
        "calling", "first", "function", "home", "identity", "is_class", "is_comprehension", "name", "node", "owner",
        "parent", "running", "scope", "site", "source", "trace", "vars",
    )  # fmt: skip

    def __init__(self, trace: Trace, source: Source, scope: Scope, parent, function, name: str):
        self.trace, self.source, self.scope = trace, source, scope
        self.parent, self.function, self.name = parent, function, name
        self.vars: dict[str, object] = {}
        self.owner = None if parent is None else parent.owner
        self.first = None if parent is None else parent.first
        self.is_class = False
        self.is_comprehension = False
        self.home = current()
        self.node: ast.AST | None = None
        self.site = UNKNOWN
        self.running: ast.stmt | None = None
        self.calling: ast.Call | None = None
        self.identity: tuple = ()

    def loc(self, node: ast.AST) -> Loc:
        return self.source.loc(node, self.name)

    def error(self, node: ast.AST, message: str, kind: type = TraceError) -> Exception:
        """A `TraceError` that points at the node."""
        current().loc = self.loc(node)
        return kind(message, self.loc(node).syntax_location())

    def lookup(self, name: str) -> object:
        """What a name stands for, by Python's rules."""
        found = self.holder(name)
        if found is not None:
            try:
                value = found.vars[name]
                return value.read(repr(name)) if isinstance(value, Pending) else value
            except KeyError:
                pass
            if found is not self:
                raise NameError(
                    f"cannot access free variable {name!r} where it is not associated with a value in enclosing scope"
                )
            if not self.is_class:
                raise UnboundLocalError(
                    f"cannot access local variable {name!r} where it is not associated with a value"
                )
        externals = self.trace.externals
        if name not in self.scope.globals:
            cell = externals.closure(self.function).get(name)
            if cell is not None:
                return externals.cell(self.function, name, cell)
        if name in self.function.__globals__:
            return externals.global_(self.function, name)
        externals.unbound(self.function.__globals__, name)
        try:
            return getattr(builtins, name)
        except AttributeError:
            raise NameError(f"name {name!r} is not defined") from None

    def holder(self, name: str) -> Frame | None:
        """The frame that a name is a variable of."""
        if name in self.scope.globals:
            return None
        frame = self
        if name in self.scope.nonlocals:
            frame = self.parent
        while frame is not None:
            if name in frame.scope.locals and (frame is self or not frame.is_class):
                return frame
            if frame is not self and name in frame.scope.globals:
                return None
            frame = frame.parent
        return None

    def bind(self, name: str, value: object, node: ast.AST) -> None:
        """Assign to a name; a value without a name takes it."""
        if isinstance(value, Expr) and value.value.name is None:
            value.value.name = name
        holder = self.holder(name)
        if holder is None:
            kind = "global" if name in self.scope.globals else "closure"
            raise self.error(
                node, f"the {kind} variable {name!r} is assigned to, which a compiled function can't do; "
                "return the "
                "value from the function instead",
            )  # fmt: skip
        holder.set(name, value)

    def set(self, name: str, value: object) -> None:
        """Give a variable a value, or none (`MISSING`); the region that is traced notes what it was."""
        region = next(regions(self.home), None)
        if region is not None:
            region.note_binding(self, name)
        if value is MISSING:
            self.vars.pop(name, None)
        else:
            self.vars[name] = value

    def unbind(self, name: str, node: ast.AST) -> None:
        """`del name`."""
        holder = self.holder(name)
        if holder is None:
            raise self.error(node, f"the variable {name!r} of another function is deleted; leave that to its owner")
        if name not in holder.vars:
            raise NameError(f"name {name!r} is not defined")
        holder.set(name, MISSING)


def evaluate(frame: Frame, node: ast.expr) -> object:
    """The value of an expression."""
    try:
        handler = EXPRESSIONS[type(node)]
    except KeyError:
        raise _unknown(frame, node) from None
    return handler(frame, node)


def run(frame: Frame, body: list[ast.stmt]) -> object:
    """Run statements; the signal of a `return`, `break` or `continue`, or None."""
    for k, node in enumerate(body, start=1):
        current().loc = frame.source.loc(node, frame.name)
        frame.running = node
        try:
            handler = STATEMENTS[type(node)]
        except KeyError:
            raise _unknown(frame, node) from None
        signal = handler(frame, node)
        if isinstance(signal, Exit) and k < len(body):
            return go_on(frame.trace, signal, lambda rest=body[k:]: run(frame, rest), live_after(frame, body[-1]))
        if signal is not None:
            return signal
    return None


def _unknown(frame: Frame, node: ast.AST) -> Exception:
    return frame.error(
        node, f"Python's {type(node).__name__} can't be traced; compute it outside the function and pass "
        "the result in",
        UnsupportedError,
    )  # fmt: skip
