"""The chain for one signature: trace, differentiate, optimise, lower, generate, compile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from jitgrad.codegen import module_source
from jitgrad.compile import Compiled, compile_function
from jitgrad.ir.graph import Block, Value
from jitgrad.ir.interpret import interpret
from jitgrad.lower import lower
from jitgrad.ops.control import check
from jitgrad.ops.shape import axis_length
from jitgrad.passes import optimise


@dataclass(frozen=True, slots=True)
class Result:
    """What the compiled function's results are, as the caller gets them: dtype, axes, and whether a Python number."""

    dtype: np.dtype
    ndim: int
    weak: bool

    def as_user_sees(self, x: object) -> object:
        """Compiled code gives Python numbers; where NumPy would give one of its own, so do we."""
        return x if self.ndim or self.weak else self.dtype.type(x)


class Program:
    """A derivative for one signature; compiled when it is first called.

    Attributes:
        block: the optimised program, before lowering.
        entry: the name of the generated function.
        params: for each param where its value comes from at a call: (kind, k), the k-th of `sources[kind]`.
        defaults: default values of the last params.
        results: what the results are.
    """

    def __init__(self, block: Block, sources: dict[str, Sequence[Value]], entry: str, doc: str, defaults: tuple = ()):
        self.entry = entry
        self.doc = doc
        self.defaults = defaults
        self.block = optimise(block)
        places = {value: (kind, k) for kind, values in sources.items() for k, value in enumerate(values)}
        self.params = [places[p] for p in self.block.params]
        self.results = [Result(r.type.dtype, r.type.ndim, r.type.weak) for r in self.block.results]
        self._compiled: Compiled | None = None

    def unpack(self, results: object) -> Iterator:
        """The results of the machine code one by one, as the user sees them."""
        items = results if len(self.results) != 1 else (results,)
        return (r.as_user_sees(x) for x, r in zip(items, self.results, strict=True))

    @cached_property
    def lowered(self) -> Block:
        return lower(self.block)

    def source(self, form: str = "numpy") -> str:
        """The generated module: "numpy" for the array form, "numba" for what is compiled."""
        if form not in ("numpy", "numba"):
            raise ValueError(f"form={form!r}: there are 'numpy' and 'numba'")
        block = self.block if form == "numpy" else self.lowered
        return module_source(block, self.entry, form, self.doc, self.defaults)

    @cached_property
    def array_function(self) -> Callable:
        """The array form as a function."""
        space: dict = {}
        exec(compile(self.source("numpy"), f"<array form of {self.entry}>", "exec"), space)
        return space[self.entry]

    def interpret(self, values: list) -> object:
        """What the machine code gives for these values of the params, by plain Python and NumPy."""
        types = [p.type for p in self.block.params]  # machine code converts numbers by itself
        values = [v if t.ndim or t.weak else t.dtype.type(v) for v, t in zip(values, types, strict=True)]
        with np.errstate(all="ignore"):
            return self.array_function(*values)

    def explain(self, values: list) -> str | None:
        """Raise the error of the first check that doesn't hold, with the shapes as they are.

        Returns:
            In place of the error, the description of a derived length: the call would have succeeded had the
            program been made for one in which that is one. None if all checks hold.
        """
        for node, args, _ in interpret(self.block, values, effects_only=True):
            if node.op is check and not args[0]:
                for place, description in node.attrs.get("sides", ()):
                    derived = description is not None and not description.startswith(axis_length.name)
                    if derived and args[1 + place] == 1:
                        return description
        return None

    def signatures(self) -> int:
        """For how many tuples of argument types there is machine code."""
        return 0 if self._compiled is None else len(self._compiled.dispatcher.signatures)

    def compile(self, values: list) -> Compiled:
        """Machine code for these values of the params; a read-only array is another type to Numba."""
        signature = tuple(
            _numba_type(p.type.dtype, p.type.ndim, isinstance(v, np.ndarray) and not v.flags.writeable)
            for p, v in zip(self.block.params, values, strict=True)
        )
        return self.compile_signature(signature)

    def compile_signature(self, signature: tuple) -> Compiled:
        if self._compiled is None:
            self._compiled = compile_function(self.source("numba"), self.entry, signature)
        else:
            self._compiled.add(signature)
        return self._compiled


_SCALARS = {np.dtype(np.bool_): numba.types.boolean}


def _numba_type(dtype: np.dtype, ndim: int, readonly: bool) -> numba.types.Type:
    scalar = _SCALARS.get(dtype) or numba.from_dtype(dtype)
    return numba.types.Array(scalar, ndim, "C", readonly=readonly) if ndim else scalar
