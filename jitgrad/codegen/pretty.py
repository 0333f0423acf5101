"""From `ast` to text, with comments and without needless parentheses."""

from __future__ import annotations

import ast
import io
import re

import astunparse

_PRECEDENCE = {
    ast.IfExp: 1, ast.Or: 2, ast.And: 3, ast.Not: 4, ast.Compare: 5, ast.BitOr: 6, ast.BitXor: 7, ast.BitAnd: 8,
    ast.LShift: 9, ast.RShift: 9, ast.Add: 10, ast.Sub: 10, ast.Mult: 11, ast.Div: 11, ast.FloorDiv: 11, ast.Mod: 11,
    ast.MatMult: 11, ast.USub: 12, ast.UAdd: 12, ast.Invert: 12, ast.Pow: 13,
}  # fmt: skip
_ATOM = 20


class _Unparser(astunparse.Unparser):
    """`astunparse`, mended: it prints `x[(i, 1:3)]` for `x[i, 1:3]`, no Python since 3.9, and parenthesises
    everything."""

    def _operand(self, tree: ast.expr, least: int) -> None:
        """An operand, in parentheses only if it binds less tightly than `least`."""
        if _precedence(tree) < least:
            self.write("(")
            self.dispatch(tree)
            self.write(")")
        else:
            self.dispatch(tree)

    def _BinOp(self, t):
        level = _PRECEDENCE[type(t.op)]
        right_associative = isinstance(t.op, ast.Pow)
        self._operand(t.left, level + right_associative)
        self.write(f" {self.binop[type(t.op).__name__]} ")
        self._operand(t.right, level + (not right_associative))

    def _UnaryOp(self, t):
        self.write(self.unop[type(t.op).__name__] + (" " if isinstance(t.op, ast.Not) else ""))
        self._operand(t.operand, _PRECEDENCE[type(t.op)])

    def _BoolOp(self, t):
        level = _PRECEDENCE[type(t.op)]
        for k, value in enumerate(t.values):
            self.write(f" {self.boolops[type(t.op)]} " if k else "")
            self._operand(value, level + 1)

    def _Compare(self, t):
        self._operand(t.left, _PRECEDENCE[ast.Compare] + 1)
        for op, right in zip(t.ops, t.comparators, strict=True):
            self.write(f" {self.cmpops[type(op).__name__]} ")
            self._operand(right, _PRECEDENCE[ast.Compare] + 1)

    def _IfExp(self, t):
        self._operand(t.body, _PRECEDENCE[ast.IfExp] + 1)
        self.write(" if ")
        self._operand(t.test, _PRECEDENCE[ast.IfExp] + 1)
        self.write(" else ")
        self._operand(t.orelse, _PRECEDENCE[ast.IfExp])

    def _Attribute(self, t):
        self._operand(t.value, _ATOM)
        self.write("." + t.attr)

    def _Subscript(self, t):
        self._operand(t.value, _ATOM)
        self.write("[")
        if isinstance(t.slice, ast.Tuple) and t.slice.elts:
            for k, part in enumerate(t.slice.elts):
                self.write(", " if k else "")
                self.dispatch(part)
            if len(t.slice.elts) == 1:
                self.write(",")
        else:
            self.dispatch(t.slice)
        self.write("]")

    def _Constant(self, t):
        self.write(repr(t.value))

    def _Return(self, t):
        self.fill("return ")
        if isinstance(t.value, ast.Tuple) and t.value.elts:
            self._list(t.value.elts)
        elif t.value:
            self.dispatch(t.value)

    def _Assign(self, t):
        self.fill()
        for target in t.targets:
            if isinstance(target, ast.Tuple):
                self._list(target.elts)
            else:
                self.dispatch(target)
            self.write(" = ")
        if isinstance(t.value, ast.Tuple) and len(t.value.elts) > 1:
            self._list(t.value.elts)
        else:
            self.dispatch(t.value)

    def _list(self, items):
        for k, item in enumerate(items):
            self.write(", " if k else "")
            self.dispatch(item)
        if len(items) == 1:
            self.write(",")


def _precedence(tree: ast.expr) -> int:
    if isinstance(tree, ast.BinOp | ast.UnaryOp | ast.BoolOp):
        return _PRECEDENCE[type(tree.op)]
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int | float) and not isinstance(tree.value, bool):
        negative = tree.value < 0 or str(tree.value).startswith("-")
        return _PRECEDENCE[ast.USub] if negative else _ATOM
    return _PRECEDENCE.get(type(tree), _ATOM)


_COMMENT = re.compile(r"^( *)__comment__\('([0-9a-f]*)'\)$", re.MULTILINE)


def comment(text: str) -> ast.stmt:
    """A comment as a statement, which `to_text` makes a line `# text` of."""
    return ast.parse(f"__comment__({text.encode().hex()!r})").body[0]


def to_text(tree: ast.Module) -> str:
    """The module as text; the same tree gives the same text, byte for byte."""
    out = io.StringIO()
    _Unparser(tree, file=out)
    text = _COMMENT.sub(lambda m: f"{m[1]}# {bytes.fromhex(m[2]).decode()}".rstrip(), out.getvalue())
    return text.strip("\n") + "\n"
