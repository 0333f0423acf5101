"""The array form: the program in NumPy, as one would write it by hand. Runs without Numba."""

from __future__ import annotations

import ast

import numpy as np

from jitgrad.codegen.forms import (
    ARRAYS,
    OPERATORS,
    PYTHON_NUMBERS,
    call,
    dtype_name,
    expression,
    fill,
    negated,
    number,
    subscript,
    tuple_of,
)  # fmt: skip
from jitgrad.codegen.regions import RegionWriter
from jitgrad.ir.graph import Arg, Const, Node, Value
from jitgrad.ir.types import Type
from jitgrad.ops.control import error_class, text_of
from jitgrad.ops.index import add_at, setitem

PYTHON_TYPES = {"f": "float", "i": "int", "u": "int"}
SPECIAL = ("erf", "erfc", "lgamma", "digamma", "zeta")  # what NumPy lacks
_RAISING = ("divide", "power", "floor_divide", "remainder")


class ArrayWriter(RegionWriter):
    """Writes array operations as NumPy."""

    def const(self, arg: Const, node: Node | None) -> ast.expr:
        plain = number(arg.value)
        if arg.type.weak or isinstance(arg.value, bool | np.bool_):
            return plain
        others = [a for a in node.args if a is not arg and isinstance(a, Value)] if node else []
        if any(o.type.dtype == arg.type.dtype and not o.type.weak for o in others):
            return plain
        return call(dtype_name(arg.type.dtype), plain)

    def prologue(self) -> list[ast.stmt]:
        """A Python number that stands for one of NumPy's (the default head) is made one, where that matters."""
        return [
            ast.Assign(
                [ast.Name(self.name(p), ast.Store())],
                call(dtype_name(p.type.dtype), expression(self.name(p))),
                lineno=0,
            )
            for p in self.block.params
            if not p.type.shape
            and not p.type.weak
            and (p.type.dtype == np.float32 or self._divided(p) or self._handed_on(p))
        ]

    def _divided(self, param: Value) -> bool:
        """Whether a number is divided by what may be zero: Python raises where NumPy gives an infinity."""
        return any(
            n.op.name == "divide" and n.args[0] is param and not isinstance(n.args[1], Const) for n in self.block.walk()
        )

    def _handed_on(self, param: Value) -> bool:
        """Whether a loop or branch may give a number as its result."""
        return any(
            param in n.args or any(param in r.results for r in n.regions) for n in self.block.walk() if n.regions
        )

    def fits_into(self, node: Node, reader: Node) -> bool:
        return reader.op.name != "strong_multiply"  # which is written with its first operand twice

    def inlinable(self, node: Node) -> bool:
        return node.op.name not in ("nonzero", "add_at", "setitem", "call")

    def always_inline(self, node: Node) -> bool:
        return node.op.name == "axis_length"

    def statement(self, node: Node) -> list[ast.stmt] | None:
        if node.op in (add_at, setitem):
            return self._write(node)
        if node.op.name == "check":
            return self._check(node)
        return super().statement(node)

    def given(self, arg: Arg, type: Type) -> ast.expr:
        """A number is of the kind that the variable has: Python's own where it is weak, else one of NumPy's."""
        weak = type.weak
        if type.shape or type.dtype == np.bool_ or arg.type.weak == weak:
            return self.arg(arg)
        dtype = type.dtype
        if isinstance(arg, Const):
            return self.const(Const(dtype.type(arg.value).item() if weak else dtype.type(arg.value), type), None)
        return call(PYTHON_TYPES[dtype.kind] if weak else dtype_name(dtype), self.arg(arg))

    def _write(self, node: Node) -> list[ast.stmt]:
        """`x[i] = v` or `x[i] += v`; the operand's name goes on as the result's."""
        target, v, *operands = node.args
        name = self.take_over(target, node.out)
        key = self.index(node.attrs["pattern"], operands, node)
        place = ast.Subscript(name, key, ast.Store())
        value = self.arg(v, node)
        if node.op is setitem:
            return [ast.Assign([place], value, lineno=0)]
        if any(part[0] == "array" for part in node.attrs["pattern"]):
            key = tuple_of(list(key.elts)) if isinstance(key, ast.Tuple) else key
            return [ast.Expr(call("np.add.at", name, self._key_object(key), value))]
        return [ast.AugAssign(place, ast.Add(), value)]

    def _key_object(self, key: ast.expr) -> ast.expr:
        """An index outside of brackets, where slices have to be spelled out."""

        def spell(part: ast.expr) -> ast.expr:
            if isinstance(part, ast.Slice):
                none = ast.Constant(None)
                return call("slice", part.lower or none, part.upper or none, part.step or none)
            return part

        return tuple_of([spell(p) for p in key.elts]) if isinstance(key, ast.Tuple) else spell(key)

    def _check(self, node: Node) -> list[ast.stmt]:
        ok, *sizes = node.args
        message, where = text_of(node.attrs["message"]), node.attrs["where"]
        place = f"\n  {where}" if where else ""
        text: ast.expr = ast.Constant(message if sizes else message.format() + place)
        if sizes:
            method = ast.Attribute(text, "format", ast.Load())
            text = ast.Call(method, [self.arg(n, node) for n in sizes], [])
            text = fill("_0 + _1", text, ast.Constant(place))
        error = call(error_class(node.attrs["message"]).__name__, text)
        return [ast.If(negated(self.arg(ok, node)), [ast.Raise(error, None)], [])]

    def expr(self, node: Node) -> ast.expr:
        if node.out.type.weak and node.op.name in _RAISING and not isinstance(node.args[1], Const):
            # Python's own operators raise where NumPy gives infinities.
            value = call(f"np.{node.op.name}", *(self.arg(a, node) for a in node.args))
        else:
            value = self._expr(node)
        numpy = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)
        if node.out.type.weak and numpy:  # a Python number, which does not promote
            return call(PYTHON_TYPES[node.out.type.dtype.kind], value)
        return value

    def _expr(self, node: Node) -> ast.expr:
        name, args, attrs = node.op.name, [self.arg(a, node) for a in node.args], node.attrs
        special = getattr(self, f"_{name}", None)
        if special is not None:
            return special(node, args, **attrs)
        if node.out.type.weak and name in PYTHON_NUMBERS:
            return fill(PYTHON_NUMBERS[name], *args)
        template = OPERATORS.get(name) or ARRAYS.get(name)
        if template:
            return fill(template, *args)
        if name in SPECIAL:
            self.imports.add(f"from jitgrad.runtime.special import {name}")
            return call(name, *args)
        if "axis" in attrs and "keepdims" in attrs:
            return self._reduction(node, args, **attrs)
        keywords = {k: ast.Constant(v) for k, v in attrs.items()}
        return call(f"np.{name}", *args, **keywords)

    def _reduction(self, node, args, axis, keepdims):
        keywords = {}
        if not isinstance(axis, tuple):
            keywords["axis"] = ast.Constant(axis)
        elif len(axis) < node.args[0].type.ndim:
            keywords["axis"] = ast.Constant(axis[0] if len(axis) == 1 else axis)
        if keepdims:
            keywords["keepdims"] = ast.Constant(True)
        return call(f"np.{node.op.name}", *args, **keywords)

    def _axis_length(self, node, args, axis):
        return fill(f"_0.shape[{axis}]", *args)

    def _reshape(self, node, args):
        x, *lengths = args
        return call("np.reshape", x, tuple_of(lengths))

    def _transpose(self, node, args, axes):
        if axes == tuple(reversed(range(len(axes)))):
            return fill("_0.T", *args)
        return call("np.transpose", *args, ast.Constant(axes))

    def _broadcast_to(self, node, args):
        x, *lengths = args
        shape = lengths[0] if len(lengths) == 1 else tuple_of(lengths)
        source = node.args[0]
        if isinstance(source, Const):
            dtype = node.out.type.dtype
            keywords = {} if dtype == np.float64 else {"dtype": expression(dtype_name(dtype))}
            plain = {0: "np.zeros", 1: "np.ones"}.get(source.value) if source.value == source.value else None
            if plain:
                return call(plain, shape, **keywords)
            keywords = keywords or {"dtype": expression("np.float64")}
            return call("np.full", shape, number(source.value), **keywords)
        return call("np.broadcast_to", x, shape)

    def _uninitialized(self, node, args, dtype, keeps=""):
        keywords = {} if dtype == np.float64 else {"dtype": expression(dtype_name(np.dtype(dtype)))}
        return call("np.empty", args[0] if len(args) == 1 else tuple_of(args), **keywords)

    def _astype(self, node, args, dtype):
        if not node.args[0].type.shape:
            if node.out.type.weak:
                return call(PYTHON_TYPES[dtype.kind], *args)
            return call(dtype_name(np.dtype(dtype)), *args)
        return ast.Call(ast.Attribute(args[0], "astype", ast.Load()), [expression(dtype_name(np.dtype(dtype)))], [])

    def _where(self, node, args):
        if node.out.type.weak:
            return fill(PYTHON_NUMBERS["where"], *args)
        return fill("np.where(_0, _1, _2)" if node.out.type.shape else "np.where(_0, _1, _2)[()]", *args)

    def _strong_multiply(self, node, args):
        g, p = args
        zero = call(dtype_name(node.out.type.dtype), ast.Constant(0))
        end = "" if node.out.type.shape else "[()]"
        return fill(f"np.where(_0 == 0, _2, _0 * _1){end}", g, p, zero)

    def _concatenate(self, node, args, axis):
        keywords = {"axis": ast.Constant(axis)} if axis else {}
        return call("np.concatenate", tuple_of(args), **keywords)

    def _array(self, node, args, shape):
        dtype = expression(dtype_name(node.out.type.dtype))
        flat = call("np.array", ast.List(args, ast.Load()), dtype=dtype)
        return flat if len(shape) == 1 else call("np.reshape", flat, ast.Constant(shape))

    def _nonzero(self, node, args):
        return call("np.nonzero", args[0]) if len(node.outs) > 1 else fill("np.nonzero(_0)[0]", args[0])

    def _product_of_others(self, node, args):
        self.imports.add("from jitgrad.runtime.arrays import product_of_others")
        return call("product_of_others", *args)

    def _getitem(self, node, args, pattern):
        return subscript(args[0], self.index(pattern, list(node.args[1:]), node))

    def index(self, pattern: tuple, operands: list[Arg], node: Node) -> ast.expr:
        """The index as it stands between brackets."""
        parts = []
        for part in pattern:
            if part[0] == "new":
                parts.append(ast.Constant(None))
            elif part[0] == "slice":
                parts.append(self._slice(operands[part[1]], operands[part[2]], part[3], part[4], node))
            else:
                parts.append(self.arg(operands[part[1]], node))
        while (
            len(parts) > 1
            and isinstance(parts[-1], ast.Slice)
            and not any((parts[-1].lower, parts[-1].upper, parts[-1].step))
        ):
            parts.pop()
        return parts[0] if len(parts) == 1 else tuple_of(parts)

    def _slice(self, start: Arg, count: Arg, step: int, bounds: tuple | None, node: Node) -> ast.Slice:
        """A slice as the user wrote it, if its bounds were plain numbers; else from its start and count."""
        axis_step = None if step == 1 else ast.Constant(step)
        if bounds is not None:
            lower, upper = (None if b is None else ast.Constant(b) for b in bounds)
            return ast.Slice(lower, upper, axis_step)
        first, length = self.arg(start, node), self.arg(count, node)
        if step < 0:
            self.imports.add("from jitgrad.runtime.arrays import backward_slice")
            return call("backward_slice", first, length, ast.Constant(step))
        span = length if step == 1 else fill("_0 * _1", length, ast.Constant(step))
        if isinstance(start, Const) and start.value == 0:
            return ast.Slice(None, span, axis_step)
        return ast.Slice(first, fill("_0 + _1", self.arg(start, node), span), axis_step)
