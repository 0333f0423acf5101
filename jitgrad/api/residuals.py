"""The table of what reverse mode keeps of the forward pass, and why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jitgrad.ir.graph import Arg, Block, Const, Loc, Node, Value, used
from jitgrad.ir.interpret import outputs
from jitgrad.ops.create import uninitialized

READ = "the adjoint reads it, and what it is computed of would have to be kept for that"


class Residual(NamedTuple):
    """A value that is kept from the forward pass for the adjoint.

    Attributes:
        name: of the user's variable, where it has one.
        line: the user's line, and `text` what stands there.
        shape: of everything that is kept of it; an axis is None where its length is another for each iteration of the
            loop around, in which it is made anew.
        nbytes: in bytes; None with such a shape.
        why: why it is kept and not computed again.
    """

    name: str
    line: int
    text: str
    shape: tuple[int | None, ...]
    nbytes: int | None
    why: str


class Residuals(tuple):
    """A tuple of `Residual`s that prints as a table."""

    __slots__ = ()

    @property
    def nbytes(self) -> int:
        """The bytes of all whose size is known."""
        return sum(r.nbytes or 0 for r in self)

    def __repr__(self) -> str:
        head = ("value", "line", "shape", "bytes", "why")
        rows = [
            (r.name, f"{r.line}: {r.text}", str(r.shape).replace("None", "?"), str(r.nbytes or "?"), r.why)
            for r in self
        ]
        if not rows:
            return "nothing is kept"
        widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head) - 1)]
        return "\n".join("  ".join([*map(str.ljust, row, widths), row[-1]]) for row in (head, *rows))


def residuals_of(block: Block, values: list) -> Residuals:
    """The residuals of an optimised program, with their sizes for these values of its params."""
    found = [(node.out, node.args, node.loc, node.attrs["keeps"]) for node in block.walk() if _keeps(node)]
    found += [(out, out.type.shape, node.loc, READ) for node, out in _read_by_adjoint(block)]
    found.sort(key=lambda entry: entry[2].line)
    made = set(block.params) | {o for node in block.nodes for o in node.outs}
    numbers = _evaluate(block, values, {n for _, shape, _, _ in found for n in shape if n in made})
    return Residuals(_entry(out, shape, loc, why, numbers) for out, shape, loc, why in found)


def _keeps(node: Node) -> bool:
    return node.op is uninitialized and bool(node.attrs["keeps"])


def _read_by_adjoint(block: Block) -> list[tuple[Node, Value]]:
    """Arrays that straight-line code of the primal makes, and that the adjoint reads."""
    read = {v for node in block.nodes if node.loc.role == "adjoint" for v in used(node)}
    primal = [node for node in block.nodes if node.loc.role != "adjoint" and not _keeps(node) and not node.regions]
    return [(node, out) for node in primal for out in node.outs if out in read and out.type.shape]


def _entry(out: Value, shape: tuple, loc: Loc, why: str, numbers: dict[Arg, int]) -> Residual:
    lengths = tuple(n if isinstance(n, int) else numbers.get(n) for n in shape)
    known = all(n is not None for n in lengths)
    nbytes = int(np.prod(lengths, dtype=np.int64)) * out.type.dtype.itemsize if known else None
    name = (out.name or "").removesuffix("_steps")
    return Residual(name, loc.line, loc.text.strip(), lengths, nbytes, why)


def _evaluate(block: Block, values: list, wanted: set[Value]) -> dict[Arg, int]:
    """The wanted integers, with nothing run that they don't depend on."""
    needed, nodes = set(wanted), []
    for node in reversed(block.nodes):
        if any(o in needed for o in node.outs):
            nodes.append(node)
            needed.update(used(node))
    order = tuple(wanted)
    results = outputs(Block(block.params, nodes[::-1], order), values)
    constants = {a: int(a.value) for node in block.walk() if _keeps(node) for a in node.args if isinstance(a, Const)}
    return constants | dict(zip(order, map(int, results), strict=True))
