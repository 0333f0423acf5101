"""From the text of a module to machine code.

The file on disk is the text as it was given, plain `def`s and one comment at the end with the options: what
one reads, steps through, and may import without Numba. The jit is put on here, and the function object is
renamed here, to a name with the digest in it: Numba makes link symbols of it, and functions that forked
processes cache under equal symbols get each other's code (numba issue 10486).
"""

import contextlib
import importlib.util
import inspect
import linecache
import os
import re
import sys
import threading
import time
import types
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numba
from numba.np.ufunc.parallel import _launch_threads

from jitgrad.compile import cache as disk
from jitgrad.compile.lowering import Compiler
from jitgrad.compile.prune import prune_once
from jitgrad.compile.start import start as start_numba

FASTMATH = frozenset({"contract", "nsz"})  # keeps NaN, Inf, quotients, and the order of sums
# Tests compile with Numba's own access to elements as well, which takes nothing for granted, and compare.
DIRECT = os.environ.get("JITGRAD_DIRECT", "1") != "0"

Signature = tuple[numba.types.Type, ...]

_lock = threading.RLock()
_compiled: dict[str, "Compiled"] = {}


def load_module(source: str, stem: str) -> types.ModuleType:
    """Write `source` to the cache and run it as a module; the same source gives the same module.

    The module's name is that of its file: `stem` and 16 digits of the digest. If the file cannot be written
    the module lives in memory only.
    """
    stem = re.sub(r"\W", "_", stem)[:48]
    name = f"{stem}_{disk.digest(source)[:16]}"
    with _lock:
        module = sys.modules.get(name)
        path = Path(module.__file__) if module else disk.cache_dir() / f"{name}.py"
        try:
            disk.write_source(path, source)
        except OSError as error:
            _without_cache(path.parent, error)
            lines = source.splitlines(keepends=True)
            linecache.cache[str(path)] = (len(source), None, lines, str(path))  # for tracebacks and debuggers
        return module or _run(source, name, path)


def _run(source: str, name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # On a cache hit Numba imports the module by its name.
    sys.modules[name] = module
    try:
        # Not through the loader: it would trust whatever .pyc file lies beside the source.
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def compile_function(
    source: str,
    entry: str,
    signature: Signature,
    *,
    fastmath: Collection[str] = FASTMATH,
    boundscheck: bool = False,
    parallel: bool = False,
    direct: bool = DIRECT,
    cache: bool = True,
) -> "Compiled":
    """Compile the function `entry` of the module text `source` for arguments of the types `signature`.

    The text's other functions are compiled with it, for the types they are called with. The same text and
    options give the same `Compiled`, with the signature added to it. With `direct`, the text's indices are taken for
    in range, and its buffers for distinct (see `lowering`).
    """
    direct = direct and not parallel
    options = {"fastmath": set(fastmath), "boundscheck": boundscheck, "parallel": parallel}
    shown = {"entry": entry, **options, "fastmath": sorted(fastmath), "direct": direct, "cache": cache}
    if direct:
        options["pipeline_class"] = Compiler
    footer = ", ".join(f"{key}={value!r}" for key, value in shown.items())
    with _lock:
        module = load_module(f"{source.rstrip()}\n\n# jitgrad: {footer}\n", entry)
        if module.__name__ not in _compiled:
            _compiled[module.__name__] = Compiled(module, entry, options, cache)
        compiled = _compiled[module.__name__]
        compiled.add(signature)
        return compiled


class Compiled:
    """One function, compiled for one or more signatures.

    Attributes:
        module: the generated module.
        dispatcher: Numba's dispatcher, for calls from Python and from other compiled code.
        cache_hit: whether the machine code of the signature added last came from the disk.
        compile_seconds: the time spent on compiling or loading, over all signatures.
    """

    def __init__(self, module: types.ModuleType, entry: str, options: dict[str, Any], cache: bool):
        self.module = module
        self.cache_hit = False
        self.compile_seconds = 0.0
        self._seal = Path(module.__file__).with_suffix(".sum")
        suffix = module.__name__[-16:]
        for name, function in _functions(module).items():
            if name != entry:  # inlined or linked into the entry, and cached as part of it
                inner = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy", **options}
                if "prange" in function.__code__.co_names:  # the loop over threads, which only calls what they do
                    _launch_threads()  # also if the code comes from the cache
                    inner["parallel"] = True
                    inner.pop("pipeline_class", None)
                setattr(module, name, numba.njit(_renamed(function, suffix), **inner))
        function = _renamed(getattr(module, entry), suffix)
        options = {"error_model": "numpy", "nogil": True, **options}
        self.dispatcher = _cached(function, options) if cache else None
        self._on_disk = self.dispatcher is not None
        if not self._on_disk:
            self.dispatcher = numba.njit(function, **options)
        setattr(module, entry, self.dispatcher)  # for recursion

    @property
    def entry(self) -> Any:
        """What to call from Python, with positional arguments."""
        return self.dispatcher

    def add(self, signature: Signature) -> None:
        """Compile for one more tuple of argument types (a read-only array is another type)."""
        if numba.config.DISABLE_JIT:  # the dispatcher is the plain function
            return
        signature = tuple(signature)
        with _lock:
            if signature in self.dispatcher.signatures:
                return
            start = time.perf_counter()
            start_numba()
            self.dispatcher.disable_compile(False)
            try:
                self._compile(signature)
            finally:
                if self.dispatcher.signatures:  # Numba asserts it
                    self.dispatcher.disable_compile()  # other types raise; the caller decides what is added
                self.compile_seconds += time.perf_counter() - start

    def _compile(self, signature: Signature) -> None:
        if not self._on_disk:
            self.dispatcher.compile(signature)
            return
        before = self._files()
        if before and not disk.check_seal(before, self._seal):
            self._forget(before)
            before = []
        try:
            self.dispatcher.compile(signature)
        except Exception as error:
            if signature in self.dispatcher.signatures:  # compiled, and then not written
                _without_cache(self.dispatcher.stats.cache_path, error)
                return
            if not before:
                raise
            # Sealed files that Numba still cannot load; if it is not that, the error comes again.
            self._forget(before)
            self.dispatcher.compile(signature)
        self.cache_hit = self.dispatcher.stats.cache_hits[signature] > 0
        if not self.cache_hit:
            self._write_seal()
            prune_once()

    def _files(self) -> list[Path]:
        return disk.machine_code(self.module.__name__, Path(self.dispatcher.stats.cache_path))

    def _forget(self, files: list[Path]) -> None:
        disk.remove([self._seal, *files])

    def _write_seal(self) -> None:
        with contextlib.suppress(OSError):  # unsealed files are dropped by the next process
            disk.seal(self._files(), self._seal)


def _functions(module: types.ModuleType) -> dict[str, types.FunctionType]:
    """The functions that the module's own text defines."""
    members = vars(module).items()
    return {name: f for name, f in members if inspect.isfunction(f) and f.__module__ == module.__name__}


def _renamed(function: types.FunctionType, suffix: str) -> types.FunctionType:
    function.__name__ = function.__qualname__ = f"{function.__name__[:48]}_{suffix}"
    return function


def _cached(function: types.FunctionType, options: dict[str, Any]) -> Any | None:
    """A dispatcher with a cache on disk; None where there cannot be one."""
    file = Path(function.__code__.co_filename)
    # Asked beforehand, for Numba would turn to a directory of its own.
    if not file.exists() or not os.access(file.parent, os.W_OK):
        _without_cache(file.parent, "not writable")
        return None
    try:
        return numba.njit(function, cache=True, **options)
    except (RuntimeError, OSError) as error:  # "no locator available"
        _without_cache(file.parent, error)
        return None


def _without_cache(folder: Path | str, reason: object) -> None:
    disk.warn_once(str(folder), f"the cache in {folder} can't be used ({reason}); compiling without it")
