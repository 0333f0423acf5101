"""The IR as text, one node a line: what `f.graph(...)` shows."""

from __future__ import annotations

import numpy as np

from jitgrad.ir.function import functions
from jitgrad.ir.graph import Arg, Block, Const, Node, Value
from jitgrad.ir.types import Type


def block_text(block: Block) -> str:
    """The block as text, then the functions that it needs; equal blocks give equal text."""
    blocks = [block, *(f.block for f in functions(block) if f.block is not None)]
    return "\n".join(line for b in blocks for line in _Printer().block(b, ""))


class _Printer:
    def __init__(self) -> None:
        self.names: dict[Value, str] = {}
        self.taken: set[str] = set()

    def name(self, value: Value) -> str:
        if value not in self.names:
            base = value.name or "t"
            name, k = base, 1
            while name in self.taken or (value.name is None and name == "t"):
                name, k = f"{base}{k}" if value.name is None else f"{base}_{k}", k + 1
            self.taken.add(name)
            self.names[value] = name
        return self.names[value]

    def arg(self, arg: Arg) -> str:
        if isinstance(arg, Value):
            return self.name(arg)
        if not isinstance(arg, Const):  # in a block that the verifier complains of
            return repr(arg)
        if isinstance(arg.value, np.generic) and not arg.type.weak:
            return f"{arg.value.item()!r}:{arg.type.dtype}"
        return repr(arg.value)

    def type(self, type: Type) -> str:
        axes = ", ".join(self.name(n) if isinstance(n, Value) else str(n) for n in type.shape)
        return ("~" if type.weak else "") + str(type.dtype) + (f"[{axes}]" if type.shape else "")

    def block(self, block: Block, indent: str) -> list[str]:
        params = ", ".join(f"{self.name(p)}: {self.type(p.type)}" for p in block.params)
        lines = [f"{indent}{block.name}({params}):"]
        for node in block.nodes:
            lines += self.node(node, indent + "    ")
        lines.append(f"{indent}    return {', '.join(self.arg(r) for r in block.results)}")
        return lines

    def node(self, node: Node, indent: str) -> list[str]:
        args = ", ".join(self.arg(a) for a in node.args)
        attrs = "".join(f", {k}={v!r}" for k, v in sorted(node.attrs.items()) if k not in ("where", "sides"))
        call = f"{node.op.name}({(args + attrs).removeprefix(', ')})"
        outs = ", ".join(f"{self.name(o)}: {self.type(o.type)}" for o in node.outs)
        where = f"    # line {node.loc.line}" if node.loc.line else ""
        lines = [f"{indent}{outs} = {call}{where}" if outs else f"{indent}{call}{where}"]
        for region in node.regions:
            lines += self.block(region, indent + "    ")
        return lines
