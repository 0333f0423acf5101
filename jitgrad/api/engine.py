"""What all transformations share: from a call to its program, the slow way of a call, source, graph, statistics."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, NamedTuple

from jitgrad.api.fast import miss
from jitgrad.api.signature import Arguments, Flat, StaticLeaf, flatten_arguments, leaf_type, normalize, overlaps
from jitgrad.api.structure import Static, unflatten
from jitgrad.runtime.errors import plain

if TYPE_CHECKING:
    from jitgrad.api.chain import Entry
    from jitgrad.api.derive import Derived
    from jitgrad.api.program import Program
    from jitgrad.api.tracing import Primal

REMEMBERED = 64  # fast ways of one function
KEPT = 8  # programs that differ in nothing but their guards; a function whose globals change at each call


class Stats(NamedTuple):
    """How often a function was traced, compiled, and found compiled in the cache on disk."""

    traces: int
    compilations: int
    cache_hits: int


class Known:
    """What has been found out about a function under a transformation."""

    def __init__(self) -> None:
        self.entries: dict[tuple, list[Entry]] = {}
        self.sticky: dict[tuple, frozenset[int]] = {}  # leaves that tracing has found to be static
        self.fast: Callable = miss
        self.fast_ways: dict[tuple[Entry, frozenset[int]], Callable] = {}
        self.lock = threading.RLock()


_SHARED = "__jitgrad__"


class Shared:
    """What is known about a function, kept as an attribute of it, so that it goes when the function goes."""

    def __init__(self, function: Callable):
        self.function = weakref.ref(function)
        self.table: dict[tuple, Known] = {}

    def __reduce__(self) -> tuple:  # a copy or pickle of the function starts from nothing
        return str, ("",)


class Engine:
    """Programs of one function under one transformation.

    A subclass says what is made of a traced function: `derive(primal, flat, request, extras)`. The `request` is
    whatever else a program depends on, such as the kind of a head gradient; `extras` are the values of its further
    params where they are known (inside another trace). Without `boundscheck` indices are not checked.
    """

    suffix = ""

    def __init__(self, function: Callable, boundscheck: bool = True):
        if not callable(function):
            raise TypeError(f"expected a function, not {function!r}")
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.boundscheck = bool(boundscheck)
        self.arguments = Arguments(function)
        self.known = Known()
        self.fast: Callable = miss  # the way of calls that are like the last
        self.traces = self.compilations = self.cache_hits = 0

    def share(self, *key: object) -> None:
        """Share what is known with all transformations of the function by the same key.

        `grad(f)` may then be made anew for each call, as in a loop that says `w -= lr * grad(loss)(w)`.
        """
        space = getattr(self.function, "__dict__", None)
        if not isinstance(space, dict):
            return
        shared = space.get(_SHARED)
        # `functools.wraps` copies the attributes of a function to its wrapper.
        if not isinstance(shared, Shared) or shared.function() is not self.function:
            try:
                shared = space[_SHARED] = Shared(self.function)
            except TypeError:  # a function that can't be referred to weakly
                return
        self.known = shared.table.setdefault((type(self), self.boundscheck, *key), self.known)
        self.fast = self.known.fast

    def derive(self, primal: Primal, flat: Flat, request: object, extras: tuple | None) -> Derived:
        raise NotImplementedError

    def flatten(self, args: tuple, kwargs: dict) -> Flat:
        return flatten_arguments(self.arguments, *self.arguments.bind(args, kwargs))

    def __get__(self, instance: object, owner: type | None = None) -> object:
        """A method when it is found in a class, as a plain function is."""
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> tuple:
        """Copied and pickled as the function is; the copy traces anew."""
        return type(self), (self.function, self.boundscheck)

    # From a call to its program.
    def entry(self, flat: Flat, request: object, ones: frozenset[str] = frozenset()) -> Entry:
        """The program for these arguments, traced now if need be."""
        with self.known.lock:  # threads that ask for the same program wait for it
            return self._entry(flat, request, ones)

    def _entry(self, flat: Flat, request: object, ones: frozenset[str]) -> Entry:
        from jitgrad.api import chain

        types = [leaf_type(x) for x in flat.leaves]
        base = (flat.structures, flat.keywords, tuple(types), ones)
        while True:
            static = self.known.sticky.get(base, frozenset())
            key = (base, tuple(Static(flat.leaves[k]) for k in sorted(static)), request)
            known = self.known.entries.setdefault(key, [])
            for entry in known:
                if all(guard.holds() for guard in entry.primal.guards):
                    return entry
            try:
                entry = chain.build(self, flat, types, static, ones, request)
            except StaticLeaf as need:
                self.known.sticky[base] = static | {need.leaf}
                continue
            self.traces += 1
            known.insert(0, entry)
            del known[KEPT:]
            return entry

    def describe(self) -> str:
        """What the generated function is, as the beginning of a sentence that ends in the name of the user's."""
        raise NotImplementedError

    # Calling.
    def run(self, flat: Flat, request: object, extras: tuple, remember: bool = False) -> object:
        """The slow way, in which everything is looked at.

        Args:
            flat: the arguments.
            request, extras: what else the program depends on, and the values of its further params.
            remember: leave a fast way behind for calls like this one.
        """
        entry, results = self.execute(flat, request, extras, remember)
        return unflatten(entry.structure, entry.program.unpack(results))

    def execute(
        self,
        flat: Flat,
        request: object,
        extras: tuple,
        remember: bool = False,
        interpreted: bool = False,
        ones: frozenset[str] = frozenset(),
    ) -> tuple[Entry, object]:
        """Find the program and run it: its machine code, or its array form if `interpreted`."""
        entry = self.entry(flat, request, ones)
        refuse_overlap(entry.primal, flat)
        values = self.values(entry, flat, extras)
        try:
            if interpreted:
                return entry, entry.program.interpret(values)
            kernel = self.kernel(entry.program, values)
            if remember and not flat.keywords:
                self.fast = self.known.fast = self.fast_way(entry, kernel, flat)
            return entry, kernel(*values)
        except (ValueError, IndexError) as error:
            length = entry.program.explain(error)
            if length is None or length in ones:
                raise plain(error) from None
        return self.execute(flat, request, extras, remember, interpreted, ones | {length})

    def fast_way(self, entry: Entry, kernel: Callable, flat: Flat) -> Callable:
        from jitgrad.api.caller import make_caller

        found = self.known.fast_ways.get((entry, flat.changed))
        if found is None:
            found = make_caller(entry.program, entry.primal, kernel, flat, entry.static, entry.structure)
            if len(self.known.fast_ways) >= REMEMBERED:
                self.known.fast_ways.clear()
            self.known.fast_ways[entry, flat.changed] = found
        return found

    def values(self, entry: Entry, flat: Flat, extras: tuple) -> list:
        """What is passed for each param."""
        primal = entry.primal
        source = {
            "leaf": lambda k: flat.leaves[k],
            "hidden": lambda k: normalize(primal.hidden[k].read()),
            "captured": lambda k: normalize(primal.captured[k]),
            "extra": lambda k: extras[k],
        }
        return [source[kind](k) for kind, k in entry.program.params]

    def kernel(self, program: Program, values: list) -> Callable:
        """The machine code, made now if there is none."""
        with self.known.lock:
            before = program.signatures()
            compiled = program.compile(values)
            if program.signatures() > before:
                self.cache_hits += compiled.cache_hit
                self.compilations += not compiled.cache_hit
            return compiled.entry

    @property
    def _numba_type_(self):
        """Numba calls the derivative from the user's compiled code by this."""
        from jitgrad.compile.numba_bridge import type_of

        return type_of(self._dispatcher)

    # Inside another trace.
    def inline(self, flat: Flat, request: object, extras: tuple) -> object:
        """Write the derivative into the program that is being traced."""
        from jitgrad.api import chain

        return chain.inline(self, flat, request, extras)

    # Looking at it.
    def stats(self) -> Stats:
        """How often this function was traced, compiled, and loaded from the cache on disk.

        Returns:
            The named tuple `(traces, compilations, cache_hits)`.
        """
        return Stats(self.traces, self.compilations, self.cache_hits)

    def source(self, *args, form: str = "numpy", **kwargs) -> str:
        """The generated Python module for these arguments.

        Args:
            args, kwargs: as in a call.
            form: "numpy", the array form, for reading and stepping through; it runs without Numba. Or "numba", the
            loops
                that are compiled.

        Returns:
            The text, the same for the same function and kinds of arguments.
        """
        flat, request = self.flatten(args, kwargs), self.request()
        return self.entry(flat, request).program.source(form)

    def graph(self, *args, **kwargs) -> str:
        """The traced function as text, a line for each operation.

        Args:
            args, kwargs: as in a call.
        """
        from jitgrad.ir.text import block_text
        from jitgrad.passes.dce import dce

        flat, request = self.flatten(args, kwargs), self.request()
        return block_text(dce(self.entry(flat, request).primal.block))

    def request(self) -> object:
        """The request of a call with nothing but arguments."""
        return None


def refuse_overlap(primal: Primal, flat: Flat) -> None:
    """Refuse arrays that share memory, if the function writes to one of them, an argument.

    The compiled function writes to a copy; in NumPy the write would be seen through the other array too. The arrays are
    compared as they came: one that had to be made contiguous shares nothing any more.

    Raises:
        ValueError: naming both.
    """
    for k in primal.written:
        others = [(name, x) for j, (name, x) in enumerate(zip(flat.names, flat.given, strict=True)) if j != k]
        others += [(hidden.path, hidden.read()) for hidden in primal.hidden]
        for name, other in others:
            if overlaps(flat.given[k], other):
                raise ValueError(
                    f"argument {flat.names[k]!r} is written to, and shares memory with {name!r}; pass a copy of one"
                )
