"""The chain for one signature: trace, differentiate, optimise, lower, generate, compile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numba
import numpy as np

from jitgrad.codegen import module_source
from jitgrad.compile import Compiled, compile_function
from jitgrad.ir.function import functions
from jitgrad.ir.graph import Block, Node, Value
from jitgrad.lower import into, lower
from jitgrad.ops.control import check
from jitgrad.ops.shape import axis_length
from jitgrad.passes import MACHINE, optimise, run


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
        given: the names of results, by their numbers, that are written into arrays of the caller's; these are further
            params, of the kind "out".
    """

    given: Mapping[int, str] = MappingProxyType({})

    def __init__(
        self,
        block: Block,
        sources: dict[str, Sequence[Value]],
        entry: str,
        doc: str,
        defaults: tuple = (),
        parallel: bool = False,
    ):
        self.entry = entry
        self.doc = doc
        self.defaults = defaults
        self.block = optimise(block, parallel)
        places = {value: (kind, k) for kind, values in sources.items() for k, value in enumerate(values)}
        self.params = [places[p] for p in self.block.params]
        self.results = [Result(r.type.dtype, r.type.ndim, r.type.weak) for r in self.block.results]
        self._compiled: Compiled | None = None
        self._kernels: dict[tuple[bool, ...], Callable] = {}
        self._variants: dict[tuple[int, ...], Program] = {}

    def into(self, given: Mapping[int, str]) -> Program:
        """The same program, which writes some results into arrays of the caller's and gives the others."""
        if not given:
            return self
        key = tuple(given)
        if key not in self._variants:
            variant = copy(self)
            variant.given, variant.defaults = given, ()
            variant.params = [*self.params, *(("out", k) for k in given)]
            variant.lowered = into(self.lowered, given)
            variant._compiled, variant._kernels = None, {}
            self._variants[key] = variant
        return self._variants[key]

    def unpack(self, results: object) -> Iterator:
        """The results that the machine code gives one by one, as the user sees them."""
        kept = [r for k, r in enumerate(self.results) if k not in self.given]
        items = results if len(kept) != 1 else (results,)
        return (r.as_user_sees(x) for x, r in zip(items, kept, strict=True))

    def texts(self) -> dict[int, str]:
        """The expression for each result that the machine code gives, in terms of what it returns, `r`."""
        kept = [k for k in range(len(self.results)) if k not in self.given]
        return {k: "r" if len(kept) == 1 else f"r[{j}]" for j, k in enumerate(kept)}

    @cached_property
    def lowered(self) -> Block:
        return lower(run(MACHINE, self.block))

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

    def explain(self, error: Exception) -> str | None:
        """The description of a derived length that was one in a failed call.

        The call would have succeeded had the program been made for one in which that length is one.

        Args:
            error: what the call has raised; which check it was, its text says.
        """
        blocks = [self.block, *(f.block for f in functions(self.block))]
        for node in (n for block in blocks for n in block.walk() if n.op is check and n.attrs.get("sides")):
            numbers = _numbers(node, str(error))
            for place, description in node.attrs["sides"]:
                derived = description is not None and not description.startswith(axis_length.name)
                if derived and numbers.get(str(place)) == "1":
                    return description
        return None

    def signatures(self) -> int:
        """For how many tuples of argument types there is machine code."""
        return 0 if self._compiled is None else len(self._compiled.dispatcher.signatures)

    def kernel(self, values: list) -> Callable | None:
        """The machine code for these values of the params, if it has been made."""
        return self._kernels.get(_readonly(values))

    def compile(self, values: list) -> Compiled:
        """Machine code for these values of the params; a read-only array is another type to Numba."""
        readonly = _readonly(values)
        types = [p.type for p in self.lowered.params]
        compiled = self.compile_signature(
            tuple(_numba_type(t.dtype, t.ndim, r) for t, r in zip(types, readonly, strict=True))
        )
        self._kernels[readonly] = compiled.entry
        return compiled

    def compile_signature(self, signature: tuple) -> Compiled:
        """Machine code for arguments of these types."""
        if self._compiled is None:
            self._compiled = compile_function(self.source("numba"), self.entry, signature)
        else:
            self._compiled.add(signature)
        return self._compiled


def _numbers(node: Node, text: str) -> dict[str, str]:
    """The sizes that an error shows, if it is that of the given check."""
    message, where = node.attrs["message"], node.attrs["where"]
    pattern, seen = "", set()
    for k, part in enumerate(re.split(r"\{(\d+)\}", message)):
        if k % 2 == 0:
            pattern += re.escape(part)
        else:
            pattern += f"(?P=n{part})" if part in seen else rf"(?P<n{part}>\d+)"
            seen.add(part)
    found = re.fullmatch(pattern + re.escape(f"\n  {where}" if where else ""), text)
    return {name[1:]: number for name, number in found.groupdict().items()} if found else {}


def _readonly(values: list) -> tuple[bool, ...]:
    return tuple(isinstance(v, np.ndarray) and not v.flags.writeable for v in values)


_SCALARS = {np.dtype(np.bool_): numba.types.boolean}


def _numba_type(dtype: np.dtype, ndim: int, readonly: bool) -> numba.types.Type:
    scalar = _SCALARS.get(dtype) or numba.from_dtype(dtype)
    return numba.types.Array(scalar, ndim, "C", readonly=readonly) if ndim else scalar
