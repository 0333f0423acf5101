"""What all transformations share: from a call to its program, the slow way of a call, source, graph, statistics."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from keyword import iskeyword
from types import MethodType
from typing import TYPE_CHECKING, NamedTuple

from jitgrad.api.fast import Ways
from jitgrad.api.signature import Arguments, Flat, StaticLeaf, flatten_arguments, leaf_type, normalize, overlaps
from jitgrad.api.structure import Static, unflatten
from jitgrad.runtime.errors import plain

if TYPE_CHECKING:
    from jitgrad.api.caller import Parameter
    from jitgrad.api.chain import Entry
    from jitgrad.api.derive import Derived
    from jitgrad.api.outs import Outs
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
        self.ways = Ways()
        self.fast_ways: dict[tuple, Callable] = {}
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
    params where they are known (inside another trace). Without `boundscheck` indices are not checked; with `parallel`
    loops are shared out among threads.
    """

    suffix = ""

    def __init__(self, function: Callable, boundscheck: bool = True, parallel: bool = False):
        if not callable(function):
            raise TypeError(f"expected a function, not {function!r}")
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.boundscheck = bool(boundscheck)
        self.parallel = bool(parallel)
        self.arguments = Arguments(function)
        self.known = Known()
        self.ways = self.known.ways
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
        self.known = shared.table.setdefault((type(self), self.boundscheck, self.parallel, *key), self.known)
        self.ways = self.known.ways

    def derive(self, primal: Primal, flat: Flat, request: object, extras: tuple | None) -> Derived:
        raise NotImplementedError

    def flatten(self, args: tuple, kwargs: dict) -> Flat:
        return flatten_arguments(self.arguments, *self.arguments.bind(args, kwargs))

    def __get__(self, instance: object, owner: type | None = None) -> object:
        """A method when it is found in a class, as a plain function is."""
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> tuple:
        """Copied and pickled as the function is; the copy traces anew."""
        return type(self), (self.function, self.boundscheck, self.parallel)

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
    def take_out(self, kwargs: dict) -> object:
        """Take `out` from a call's keywords, unless the function has a parameter of that name."""
        return None if "out" in self.arguments.keywords else kwargs.pop("out", None)

    def run(
        self, flat: Flat, request: object, extras: tuple, parameters: Sequence[Parameter] = (), out: object = None
    ) -> object:
        """The slow way, in which everything is looked at.

        Args:
            flat: the arguments.
            request, extras: what else the program depends on, and the values of its further params.
            parameters: of the fast way that is left behind for calls like this one; none is left without them.
            out: arrays for results.
        """
        entry, results = self.execute(flat, request, extras, parameters, out)
        return unflatten(entry.structure, results)

    def execute(
        self,
        flat: Flat,
        request: object,
        extras: tuple,
        parameters: Sequence[Parameter] = (),
        out: object = None,
        interpreted: bool = False,
        ones: frozenset[str] = frozenset(),
    ) -> tuple[Entry, Iterator]:
        """Find the program and run it: its machine code, or its array form if `interpreted`."""
        entry = self.entry(flat, request, ones)
        refuse_overlap(entry.primal, flat)
        values = self.values(entry, flat, extras)
        try:
            if interpreted:
                return entry, entry.program.unpack(entry.program.interpret(values))
            return entry, self.call(entry, values, parameters, out)
        except (ValueError, IndexError) as error:
            length = entry.program.explain(error)
            if length is None or length in ones:
                raise plain(error) from None
        return self.execute(flat, request, extras, parameters, out, interpreted, ones | {length})

    def call(
        self, entry: Entry, values: list, parameters: Sequence[Parameter], out: object, ways: Ways | None = None
    ) -> Iterator:
        """The results of the machine code for these values of the params; its fast way is one of `ways`."""
        outs, program = None, entry.program
        if out is not None:
            from jitgrad.api.outs import outs_of

            outs = outs_of(out, entry.target, entry.first, program, values)
            program = program.into(outs.names)
            values = [*values, *(outs.arrays[k] for k in program.given)]
        kernel = self.kernel(program, values)
        if parameters:
            (ways or self.known.ways).remember(self.fast_way(entry, program, kernel, parameters, outs))
        results = kernel(*values)
        return program.unpack(results) if outs is None else outs.merged(program, results)

    def fast_way(
        self, entry: Entry, program: Program, kernel: Callable, parameters: Sequence[Parameter], outs: Outs | None
    ) -> Callable:
        """The fast way for calls like this one."""
        from jitgrad.api.caller import kind_of_call, make_caller

        key = entry, program, kind_of_call(parameters, outs)
        found = self.known.fast_ways.get(key)
        if found is None:
            finish = self.finish(entry)
            found = make_caller(program, kernel, parameters, entry, outs, finish)
            if len(self.known.fast_ways) >= REMEMBERED:
                self.known.fast_ways.clear()
            self.known.fast_ways[key] = found
        return found

    def finish(self, entry: Entry) -> Callable | None:
        """What is made of a call's results in the end, if they are not what the user gets."""
        return None

    def parameters(self, flat: Flat) -> list[Parameter]:
        """The user's function's, for the fast way of calls like this; none if they can't be told apart by names."""
        from jitgrad.api.caller import Parameter

        first_by_name = len(flat.places) - len(flat.keywords)
        names = [name if name.isidentifier() or k >= first_by_name else f"a{k}" for k, name in enumerate(flat.places)]
        if len(set(names)) < len(names) or not all(name.isidentifier() and not iskeyword(name) for name in names):
            return []
        return [
            Parameter(name, "leaf", s, [flat.given[j] for j in group], flat.changed, by_name=k >= first_by_name)
            for k, (name, s, group) in enumerate(zip(names, flat.structures, flat.groups.values(), strict=True))
        ]

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
        found = program.kernel(values)
        if found is not None:
            return found
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
