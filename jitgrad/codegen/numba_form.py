"""The Numba form: loops over elements. What is compiled."""

from __future__ import annotations

import ast

import numpy as np

from jitgrad.codegen.calls import Convention
from jitgrad.codegen.forms import (
    OPERATORS,
    call,
    dtype_name,
    expression,
    fill,
    function_def,
    long_tuple,
    negated,
    number,
    subscript,
    tuple_of,
)
from jitgrad.codegen.outline import LONG, Outlined, nests, outline
from jitgrad.codegen.pretty import comment
from jitgrad.codegen.regions import RegionWriter
from jitgrad.codegen.statements import line_comment
from jitgrad.codegen.whole import known_lengths, whole
from jitgrad.ir.function import Function
from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ops.control import error_class, text_of
from jitgrad.ops.elementary import ELEMENTARY
from jitgrad.ops.flow import PARALLEL

# What says its numbers itself; compiled code puts no text together.
_NUMBERED = {"IndexError": "OutOfBounds", "ValueError": "Mismatch"}

SCALARS = {
    "logical_and": "_0 and _1",
    "logical_or": "_0 or _1",
    "logical_not": "not _0",
    "logical_xor": "_0 != _1",
    "isnan": "_0 != _0",
    "square": "_0 * _0",
}
_OF_TRUTHS = {"add": "_0 or _1", "multiply": "_0 and _1"}
# Functions of the runtime, where Numba's own are slower or not NumPy's.
RUNTIME = ("maximum", "minimum", "sum_step", "serial_step", "product_step")
# And for single numbers that the next iteration of a loop waits for.
WAITED_FOR = frozenset(("tanh_waited_for", "sin_waited_for", "cos_waited_for"))
GAMMA = frozenset(("lgamma", "digamma", "zeta"))
# After how many turns, less one, a `while` asks for Ctrl-C: with a loop in it, and without.
ASK_LONG, ASK_SHORT = 2**4 - 1, 2**20 - 1
# All that a module may import of the runtime, which no variable and no function of the user's is called.
IMPORTED = (
    ELEMENTARY
    | {f"called_{name}" for name in ELEMENTARY}
    | WAITED_FOR
    | set(RUNTIME)
    | GAMMA
    | {"apart", "select", "in_range", "stack_address", "truncated", "writable", "interrupted", "Interrupted"}
    | {"prange", "thread_count", "clear", "copy_into"}
)
_NARROW = frozenset(np.dtype(t) for t in ("i1", "i2", "i4", "u1", "u2", "u4", "u8"))


class NumbaWriter(RegionWriter):
    """Writes lowered operations."""

    keep_names = False

    def __init__(
        self,
        block: Block,
        conventions: dict[Function, Convention] | None = None,
        comments: bool = True,
    ):
        super().__init__(block, conventions, comments)
        self.namer.taken |= IMPORTED
        self.lengths = known_lengths(block)
        self.outlined: dict[Node, tuple[str, Outlined]] = {}

    def outline(self) -> None:
        """Find the loop nests that occur more than once, in a long program, and write each as a function."""
        if len(nests(self.block)) < LONG:
            return
        groups: dict[str, list[tuple[Node, Outlined, NumbaWriter, list[ast.stmt]]]] = {}
        for node in (n for n in nests(self.block) if whole(n, self.lengths) is None):
            cut = outline(node)
            writer = NumbaWriter(cut.block, comments=False)
            params = [writer.name(p) for p in cut.block.params]
            body = writer.body()
            results = [writer.arg(r) for r in cut.block.results]
            if results:
                body.append(ast.Return(results[0] if len(results) == 1 else tuple_of(results)))
            types = [(str(p.type.dtype), p.type.ndim) for p in cut.block.params]
            groups.setdefault(f"{types} {ast.dump(function_def('loop', params, body))}", []).append(
                (node, cut, writer, function_def("loop", params, body))
            )
        for group in groups.values():
            if len(group) > 1:
                node, _, writer, function = group[0]
                name = function.name = self.namer.new(f"loop_of_line_{node.loc.line}" if node.loc.line else "loop")
                if node.loc.line:
                    function.body.insert(0, comment(line_comment(node.loc)))
                self.functions.append(function)
                self.imports |= writer.imports
                self.outlined |= {node: (name, cut) for node, cut, _, _ in group}

    def _call_outlined(self, node: Node) -> list[ast.stmt]:
        name, cut = self.outlined[node]
        _, *init = node.args
        for out, arg in zip(node.outs, init, strict=True):
            if out.type.shape:
                self.take_over(arg, out)
        value = call(name, *(self._argument(a) for a in cut.arguments))
        if not cut.results:
            return [ast.Expr(value)]
        names = [ast.Name(self.name(r), ast.Store()) for r in cut.results]
        return [ast.Assign([names[0] if len(names) == 1 else ast.Tuple(names, ast.Store())], value, lineno=0)]

    def _argument(self, arg: Arg) -> ast.expr:
        # A literal would make Numba try for code of its own.
        return call("np.int64", self.const(arg, None)) if isinstance(arg, Const) else self.arg(arg)

    def argument(self, arg: Arg, param: Value) -> ast.expr:
        """An operand in the one type that a param has: an array may be written to, a number is no literal."""
        if param.type.shape and self.is_entry:
            self.imports.add("from jitgrad.runtime.scalars import writable")
            return call("writable", self.arg(arg))
        return call(dtype_name(param.type.dtype), self.const(arg, None)) if isinstance(arg, Const) else self.arg(arg)

    def const(self, arg: Const, node: Node | None) -> ast.expr:
        plain = number(arg.value)
        dtype = arg.type.dtype
        if dtype in (np.float64, np.int64, np.bool_):
            return plain
        return call(dtype_name(dtype), plain)

    def inlinable(self, node: Node) -> bool:
        return node.op.name not in ("empty", "store", "view", "call_into", "call", "stack_address")

    def hands_on_early(self, value: Value) -> bool:
        return not value.type.shape and value.type.is_float

    def kind(self, value: Value) -> object:
        return (value.type.dtype, value.type.ndim)  # Numba gives a variable one type

    def statement(self, node: Node) -> list[ast.stmt] | None:
        if node in self.outlined:
            return self._call_outlined(node)
        method = getattr(self, f"_write_{node.op.name}", None)
        return super().statement(node) if method is None else method(node)

    # Statements.
    def _write_for(self, node: Node) -> list[ast.stmt]:
        moves = whole(node, self.lengths)
        if moves is None:
            return self._for(node)
        out: list[ast.stmt] = []
        for slot, source in moves:
            name = self.take_over(node.args[slot + 1], node.outs[slot])
            function = "clear" if source is None else "copy_into"
            self.imports.add(f"from jitgrad.runtime.scalars import {function}")
            out.append(ast.Expr(call(function, name, *([] if source is None else [self.arg(source, node)]))))
        return out

    def _write_check(self, node: Node) -> list[ast.stmt]:
        ok, *sizes = (self.arg(a, node) for a in node.args)
        message, where = node.attrs["message"], node.attrs["where"]
        error = error_class(message).__name__
        if sizes:
            error = _NUMBERED[error]
            self.imports.add(f"from jitgrad.runtime.errors import {error}")
            words = [ast.Constant(text_of(message)), ast.Constant(where), *sizes]
        else:
            text = text_of(message).format()
            words = [ast.Constant(f"{text}\n  {where}" if where else text)]
        return [ast.If(negated(ok), [ast.Raise(call(error, *words), None)], [])]

    def _write_store(self, node: Node) -> list[ast.stmt]:
        buffer, v, *index = node.args
        name = self.take_over(buffer, node.out)
        place = subscript(name, *(self.arg(i, node) for i in index))
        place.ctx = ast.Store()
        return [ast.Assign([place], self.arg(v, node), lineno=0)]

    def _write_call_into(self, node: Node) -> list[ast.stmt]:
        out, *args = node.args
        name = self.take_over(out, node.out)
        function = node.attrs["function"]
        self.imports.add(f"from jitgrad.runtime.linalg import {function}")
        return [ast.Expr(call(function, *(self.arg(a, node) for a in args), name))]

    def _while(self, node: Node) -> list[ast.stmt]:
        """A loop whose end no count guarantees answers Ctrl-C."""
        *start, loop = super()._while(node)
        if not (isinstance(node.args[0], Const) and node.args[0].value < 0):
            return [*start, loop]
        self.imports |= {
            "from jitgrad.runtime.errors import Interrupted", "from jitgrad.runtime.signals import interrupted",
        }  # fmt: skip
        turns = self.namer.new("turns", "turns")
        long = any(inner.regions for inner in node.regions[1].walk())
        ask = f"{turns} & {ASK_LONG if long else ASK_SHORT} == 0 and interrupted()"
        loop.body[:0] = [
            ast.AugAssign(ast.Name(turns, ast.Store()), ast.Add(), ast.Constant(1)),
            ast.If(expression(ask), [ast.Raise(ast.Name("Interrupted", ast.Load()), None)], []),
        ]
        self.namer.release(turns)
        return [*start, ast.Assign([ast.Name(turns, ast.Store())], ast.Constant(0), lineno=0), loop]

    # Expressions.
    def expr(self, node: Node) -> ast.expr:
        name, attrs = node.op.name, node.attrs
        args = [self.arg(a, node) for a in node.args]
        special = getattr(self, f"_{name}", None)
        if special is not None:
            return special(node, args, **attrs)
        if name in ELEMENTARY and node.out.type.dtype.kind == "f":
            self.imports.add(f"from jitgrad.runtime.vecmath import {name}")
            value = call(name, *args)
        elif name in RUNTIME and (node.out.type.dtype.kind == "f" or name in ("maximum", "minimum")):
            self.imports.add(f"from jitgrad.runtime.scalars import {name}")
            value = call(name, *args)
        elif name in GAMMA:
            self.imports.add(f"from jitgrad.runtime.gamma import {name}")
            value = call(name, *args)
        elif name in ("sum_step", "serial_step", "product_step"):
            value = fill(OPERATORS["multiply" if name == "product_step" else "add"], *args)
        elif node.out.type.dtype == np.bool_ and name in _OF_TRUTHS:
            value = fill(_OF_TRUTHS[name], *args)
        elif name in OPERATORS or name in SCALARS:
            value = fill(SCALARS.get(name) or OPERATORS[name], *args)
        else:
            value = call(f"np.{name}", *args)
        # Numba computes small integers in 64 bits, where NumPy wraps around.
        narrow = node.out.type.dtype in _NARROW and name not in ("where", "maximum", "minimum")
        return call(dtype_name(node.out.type.dtype), value) if narrow else value

    def _axis_length(self, node, args, axis):
        return fill(f"_0.shape[{axis}]", *args)

    def _thread_count(self, node, args):
        self.imports.add("from jitgrad.runtime.scalars import thread_count")
        return call("thread_count")

    def numbers(self, node: Node, count: ast.expr) -> ast.expr:
        if not node.attrs.get(PARALLEL):
            return super().numbers(node, count)
        self.imports.add("from numba import prange")
        return call("prange", count)

    def _library(self, node, args, function):
        return fill(OPERATORS["power"], *args) if function == "power" else call(f"np.{function}", *args)

    def _waited_for(self, node, args, function):
        name = f"{function}_waited_for"
        self.imports.add(f"from jitgrad.runtime.vecmath import {name}")
        return call(name, *args)

    def _called(self, node, args, function):
        name = f"called_{function}"
        self.imports.add(f"from jitgrad.runtime.vecmath.called import {name}")
        return call(name, *args)

    def _in_range(self, node, args):
        self.imports.add("from jitgrad.runtime.scalars import in_range")
        return call("in_range", *args)

    def _stack_address(self, node, args):
        self.imports.add("from jitgrad.runtime.scalars import stack_address")
        return call("stack_address")

    def _apart(self, node, args, outs):
        self.imports.add("from jitgrad.runtime.scalars import apart")
        return call("apart", long_tuple(args[:outs]), long_tuple(args[outs:]))

    def _where(self, node, args):
        self.imports.add("from jitgrad.runtime.scalars import select")
        return call("select", *args)

    def _load(self, node, args):
        return subscript(args[0], *args[1:])

    def _empty(self, node, args, dtype):
        shape = args[0] if len(args) == 1 else tuple_of(args)
        keywords = [] if dtype == np.float64 else [expression(dtype_name(np.dtype(dtype)))]
        return call("np.empty", shape, *keywords)

    def _view(self, node, args):
        return ast.Call(ast.Attribute(args[0], "reshape", ast.Load()), [tuple_of(args[1:])], [])

    def _astype(self, node, args, dtype):
        dtype = np.dtype(dtype)
        if dtype == np.bool_:
            return fill("_0 != 0", *args)
        if dtype.kind in "iu" and dtype != np.uint64 and node.args[0].type.is_float:
            self.imports.add("from jitgrad.runtime.scalars import truncated")
            args = [call("truncated", *args)]
            if dtype == np.int64:
                return args[0]
        return call(dtype_name(dtype), *args)
