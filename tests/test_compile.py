"""Machine code from generated text: the cache between processes, and everything that may spoil it."""

import multiprocessing
import os
import re
import stat
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import types
from numba.core import caching

from jitgrad.compile import build, cache, prune
from jitgrad.errors import CacheWarning

ROOT = Path(__file__).parent.parent
VECTOR = types.Array(types.float64, 1, "C")
FROZEN = types.Array(types.float64, 1, "C", readonly=True)

SOURCE = """\
import numpy as np


def total(x):
    s = 0.0
    for i in range(x.shape[0]):
        s += {factor} * x[i]
    if s > 1e6:
        raise ValueError("too large")
    return s
"""

# One process: compile, call, print the result and whether the machine code came from the disk.
CHILD = """
import sys
import numpy as np
from numba import types
from jitgrad.compile import build

if "wait" in sys.argv:
    print("ready", flush=True)
    sys.stdin.readline()
for source in SOURCES:
    compiled = build.compile_function(source, ENTRY, (types.Array(types.float64, 1, "C"),))
    print(compiled.entry(np.ones(3)), compiled.cache_hit)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(cache, "_warned", set())
    yield path
    forget_modules()


def forget_modules():
    """Let the next compilation go to the disk, as in a new process."""
    build._compiled.clear()
    for name in list(sys.modules):
        if re.fullmatch(r"\w+_[0-9a-f]{16}", name):
            del sys.modules[name]


def total(factor):
    return SOURCE.format(factor=factor)


def child_code(*sources, entry="total"):
    return CHILD.replace("SOURCES", repr(sources)).replace("ENTRY", repr(entry))


def start(code, *args):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, *args], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env
    )


def run(*sources, entry="total"):
    """What a new process prints: for each source "result hit"."""
    return finish(start(child_code(*sources, entry=entry)))


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.splitlines()


def numba_files(folder):
    return list(folder.glob("__pycache__/*.nb[ic]"))


def test_second_process_loads_from_disk():
    first = build.compile_function(total(2.0), "total", (VECTOR,))
    assert not first.cache_hit
    assert first.entry(np.ones(3)) == 6.0
    assert run(total(2.0)) == ["6.0 True"]


def test_same_source_gives_same_module_and_function():
    assert build.load_module(total(1.0), "m") is build.load_module(total(1.0), "m")
    compiled = build.compile_function(total(1.0), "total", (VECTOR,))
    assert build.compile_function(total(1.0), "total", (VECTOR,)) is compiled
    assert build.compile_function(total(1.5), "total", (VECTOR,)) is not compiled


def test_signatures_are_added_not_guessed():
    compiled = build.compile_function(total(3.0), "total", (VECTOR,))
    frozen = np.ones(2)
    frozen.flags.writeable = False
    with pytest.raises(TypeError, match="No matching definition"):
        compiled.entry(frozen)
    seconds = compiled.compile_seconds
    compiled.add((FROZEN,))
    compiled.add((FROZEN,))
    assert compiled.entry(frozen) == 6.0
    assert compiled.compile_seconds > seconds > 0.0
    assert len(compiled.dispatcher.signatures) == 2


def test_inner_functions_and_recursion_work_from_the_cache():
    source = """\
import numpy as np

def fib(n):
    if n < 2:
        return n
    return fib(n - np.int64(1)) + fib(n - np.int64(2))

def square(v):
    return v * v

def entry(x):
    return square(x[0] + 1.0) + fib(np.int64(x.shape[0] + 7))
"""
    assert run(source, entry="entry") == ["59.0 False"]
    assert run(source, entry="entry") == ["59.0 True"]


def test_callable_from_other_jitted_code():
    inner = build.compile_function(total(2.0), "total", (VECTOR,)).dispatcher
    outer = numba.njit(lambda x: inner(x) + 1.0)
    assert outer(np.ones(3)) == 7.0


def test_traceback_shows_the_generated_line():
    compiled = build.compile_function(total(1e9), "total", (VECTOR,))
    with pytest.raises(ValueError, match="too large") as caught:
        compiled.entry(np.ones(3))
    text = "".join(traceback.format_exception(caught.value))
    assert Path(compiled.module.__file__).name in text
    assert 'raise ValueError("too large")' in text
    assert "line 9" in text


def test_text_is_readable_and_symbols_are_unique():
    compiled = build.compile_function(total(2.0), "total", (VECTOR,))
    text = Path(compiled.module.__file__).read_text()
    assert text.startswith(total(2.0))
    assert "def total(x):" in text
    name = compiled.dispatcher.py_func.__qualname__
    assert re.fullmatch(r"total_[0-9a-f]{16}", name)
    assert name[-16:] == compiled.module.__name__[-16:]


def test_digest_covers_source_options_and_settings(monkeypatch):
    assert re.fullmatch("[0-9a-f]{64}", cache.digest("a"))
    digests = {cache.digest(*parts) for parts in (["a"], ["b"], ["a", "b"], ["ab"], ["a", ""])}
    monkeypatch.setattr(numba.config, "OPT", 1)
    assert len({*digests, cache.digest("a")}) == 6


@pytest.mark.parametrize("option", [{"fastmath": ()}, {"boundscheck": True}, {"cache": False}], ids=str)
def test_options_give_another_file(option):
    plain = build.compile_function(total(2.0), "total", (VECTOR,))
    other = build.compile_function(total(2.0), "total", (VECTOR,), **option)
    assert other.module.__file__ != plain.module.__file__
    assert other.entry(np.ones(3)) == 6.0


def test_numba_can_be_switched_off(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    compiled = build.compile_function(total(2.0), "total", (VECTOR,))
    assert compiled.entry(np.ones(3)) == 6.0
    assert compiled.entry is compiled.module.total


def test_numba_cache_dir_is_honoured(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "numba"))
    build.compile_function(total(2.0), "total", (VECTOR,))
    forget_modules()
    assert build.compile_function(total(2.0), "total", (VECTOR,)).cache_hit
    assert not numba_files(folder)
    for file in tmp_path.glob("numba/*/*.nbc"):
        file.write_bytes(b"garbage")
    forget_modules()
    assert not build.compile_function(total(2.0), "total", (VECTOR,)).cache_hit


DAMAGES = [
    lambda data: data[: len(data) // 2],
    lambda data: b"\x93garbage" * 20,
    lambda data: b"",
    lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
]


def test_damaged_source_is_rebuilt(folder):
    compiled = build.compile_function(total(2.0), "total", (VECTOR,))
    source = Path(compiled.module.__file__)
    whole = source.read_bytes()
    for damage in DAMAGES:
        forget_modules()
        source.write_bytes(damage(whole))
        assert build.compile_function(total(2.0), "total", (VECTOR,)).entry(np.ones(3)) == 6.0
        assert source.read_bytes() == whole
    source.write_bytes(b"raise SystemExit(1)\n")
    assert run(total(2.0)) == ["6.0 True"]


@pytest.mark.parametrize("pattern", ["*.nbi", "*.nbc", "*.nb[ic]"])
def test_damaged_machine_code_is_compiled_anew(folder, pattern):
    build.compile_function(total(2.0), "total", (VECTOR,))
    for damage in DAMAGES:
        forget_modules()
        for file in folder.glob(f"__pycache__/{pattern}"):
            file.write_bytes(damage(file.read_bytes()))
        compiled = build.compile_function(total(2.0), "total", (VECTOR,))
        assert compiled.entry(np.ones(3)) == 6.0
        assert not compiled.cache_hit
    assert run(total(2.0)) == ["6.0 True"]


def test_machine_code_of_another_function_is_refused(folder):
    build.compile_function(total(2.0), "total", (VECTOR,))
    (data,) = folder.glob("__pycache__/*.nbc")
    build.compile_function(total(5.0), "total", (VECTOR,))
    (foreign,) = set(folder.glob("__pycache__/*.nbc")) - {data}
    data.write_bytes(foreign.read_bytes())
    assert run(total(2.0)) == ["6.0 False"]


def test_sealed_files_that_numba_cannot_load(folder):
    build.compile_function(total(2.0), "total", (VECTOR,))
    (seal,) = folder.glob("*.sum")
    for file in numba_files(folder):
        file.write_bytes(b"garbage")
    cache.seal(numba_files(folder), seal)
    assert run(total(2.0)) == ["6.0 False"]
    assert run(total(2.0)) == ["6.0 True"]


def test_errors_of_the_compiler_come_through():
    with pytest.raises(numba.TypingError):
        build.compile_function("def entry(x):\n    return x.nothing\n", "entry", (VECTOR,))


def test_two_processes_write_at_once():
    processes = [start(child_code(total(2.0), total(3.0)), "wait") for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert [line.split()[0] for line in finish(process)] == ["6.0", "9.0"]
    assert run(total(2.0), total(3.0)) == ["6.0 True", "9.0 True"]


def compile_in_child(factor, results):
    compiled = build.compile_function(total(factor), "total", (VECTOR,))
    results.put((factor, compiled.entry(np.ones(3))))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_functions_of_sibling_processes_do_not_collide(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    build.compile_function(total(1.0), "total", (VECTOR,))  # both children go on from the same counters
    context = multiprocessing.get_context(method)
    results = context.Queue()
    children = [context.Process(target=compile_in_child, args=(factor, results)) for factor in (2.0, 3.0)]
    for child in children:
        child.start()
    found = sorted(results.get(timeout=120) for _ in children)
    for child in children:
        child.join()
    assert found == [(2.0, 6.0), (3.0, 9.0)]
    # Issue 10486: a third process that loads both got one body twice.
    assert run(total(2.0), total(3.0), total(1.0)) == ["6.0 True", "9.0 True", "3.0 True"]


@pytest.mark.skipif(sys.platform == "win32", reason="modes are of POSIX")
def test_directory_is_private(folder):
    assert cache.cache_dir() == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    with pytest.warns(CacheWarning, match="written by other users"):
        private = cache.cache_dir()
    assert private != folder
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.cache_dir() == private  # and no second warning


@pytest.mark.skipif(sys.platform == "win32", reason="owners are of POSIX")
def test_other_directories_are_refused(folder, monkeypatch):
    folder.write_text("a file is in the way")
    with pytest.warns(CacheWarning, match="cannot be used"):
        assert cache.cache_dir().is_dir()
    folder.unlink()
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(cache, "_warned", set())
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.warns(CacheWarning, match="another user"):
        assert cache.cache_dir() != folder


def test_default_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("JITGRAD_CACHE_DIR")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_dir() == tmp_path / "xdg" / "jitgrad"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.cache_dir() == tmp_path / "Library" / "Caches" / "jitgrad"


def test_read_only_directory_compiles_without_cache(folder, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.warns(CacheWarning, match="compiling without it") as caught:
        compiled = build.compile_function(total(2e9), "total", (VECTOR,))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said once
        build.compile_function(total(3.0), "total", (VECTOR,))
    assert not any(file.is_file() for file in folder.rglob("*"))
    with pytest.raises(ValueError, match="too large") as error:
        compiled.entry(np.ones(3))
    assert 'raise ValueError("too large")' in "".join(traceback.format_exception(error.value))


def test_directory_that_became_read_only(folder, monkeypatch):
    run(total(2.0))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.warns(CacheWarning):
        compiled = build.compile_function(total(2.0), "total", (VECTOR,))
    assert compiled.entry(np.ones(3)) == 6.0
    assert not compiled.cache_hit


def test_disk_fills_while_numba_writes(folder, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    with pytest.warns(CacheWarning, match="No space left"):
        compiled = build.compile_function(total(2.0), "total", (VECTOR,))
    assert compiled.entry(np.ones(3)) == 6.0


def test_prune_drops_the_least_recently_used(folder):
    for when, factor in enumerate((2.0, 3.0, 4.0)):
        compiled = build.compile_function(total(factor), "total", (VECTOR,))
        os.utime(Path(compiled.module.__file__).with_suffix(".sum"), (when, when + 2e9))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert prune.prune(size) == 0
    assert prune.prune(size - 1) > 0
    texts = "".join(file.read_text() for file in folder.glob("*.py"))
    assert re.findall(r"\+= ([\d.]+)", texts) in (["3.0", "4.0"], ["4.0", "3.0"])
    assert len(numba_files(folder)) == 4


def test_clear_cache_leaves_other_files(folder):
    compiled = build.compile_function(total(2.0), "total", (VECTOR,))
    (folder / "notes.py").write_text("mine")
    assert prune.clear_cache() > 1000
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["notes.py"]
    assert compiled.entry(np.ones(3)) == 6.0
    assert run(total(2.0)) == ["6.0 False"]
