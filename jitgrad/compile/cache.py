"""Generated modules on disk: where they live, what names them, and how they are trusted.

A module lies in `cache_dir()` as `<stem>_<digest>.py`; the digest covers its whole text and everything else
that decides the machine code, so a change of any of them is another file. Numba keeps the machine code in
`__pycache__` beside it (or where `NUMBA_CACHE_DIR` says). Numba unpickles that without a look, so each such
file is sealed by its checksum in `<stem>_<digest>.sum`, and dropped unread when the seal does not fit.
"""

import atexit
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np

from jitgrad.errors import CacheWarning

FORMAT = 1  # raise it when the same source must give other files
_SOURCE_TIME = 1_000_000_000  # any constant
_NUMBA_SETTINGS = (
    "OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX",
    "CPU_NAME", "CPU_FEATURES", "USING_SVML", "CACHE_DIR",
)  # fmt: skip
_warned: set[str] = set()


def warn_once(subject: str, text: str) -> None:
    """Warn with `CacheWarning`, once a process for each subject."""
    if subject not in _warned:
        _warned.add(subject)
        warnings.warn(text, CacheWarning, stacklevel=3)


# -- the directory --


def cache_dir() -> Path:
    """The directory of generated modules: private to this user, created if need be.

    `JITGRAD_CACHE_DIR` names it; by default it is `jitgrad` in the user's cache directory. What lies there is
    run, so a directory that others own or may write is refused: a private temporary one takes its place.
    """
    path = _wanted_dir()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = _unsafe(path.stat())
    except OSError as error:
        reason = f"cannot be used ({error.strerror or error})"
    if not reason:
        return path
    warn_once(str(path), f"the cache directory {path} {reason}; compiled code is kept for this process only")
    return _temporary_dir(os.getpid())


def _wanted_dir() -> Path:
    if chosen := os.environ.get("JITGRAD_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "jitgrad"


def _unsafe(status: os.stat_result) -> str:
    """Why a directory with this status cannot be trusted; empty if it can."""
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if not hasattr(os, "getuid"):  # Windows guards the user's folders by access lists
        return ""
    if status.st_uid != os.getuid():
        return "belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by other users (chmod go-w mends it)"
    return ""


@functools.cache
def _temporary_dir(pid: int) -> Path:
    path = Path(tempfile.mkdtemp(prefix="jitgrad-"))  # mode 0700

    def remove() -> None:
        if os.getpid() == pid:  # a forked child runs its parent's exit handlers
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)
    return path


# -- the digest --


def digest(source: str, *extra: str) -> str:
    """A sha256 (hex) over the source, `extra`, and the versions and settings that decide its machine code."""
    sha = hashlib.sha256()
    for part in (*_environment(), *_settings(), source, *extra):
        data = part.encode("utf-8", "surrogatepass")
        sha.update(b"%d:" % len(data))  # so that ("ab", "c") and ("a", "bc") differ
        sha.update(data)
    return sha.hexdigest()


@functools.cache
def _environment() -> tuple[str, ...]:
    jitgrad_version = getattr(sys.modules.get("jitgrad"), "__version__", "0")
    versions = (platform.python_implementation(), sys.version, np.__version__, numba.__version__)
    cpu = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), sys.platform, platform.machine())
    return (str(FORMAT), *versions, llvmlite.__version__, jitgrad_version, _runtime_digest(), *cpu)


def _settings() -> list[str]:
    return [f"{name}={getattr(numba.config, name, None)}" for name in _NUMBA_SETTINGS]


def _runtime_digest() -> str:
    """Hash of what generated code calls, and of what compiles it: Numba's cache sees neither change (numba issue
    1833)."""
    spec = importlib.util.find_spec("jitgrad.runtime")
    sha = hashlib.sha256()
    for folder in (spec and spec.submodule_search_locations) or ():
        for file in sorted(Path(folder).rglob("*.py")):
            sha.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes())
    for name in ("aliasing.py", "allocation.py", "inference.py", "lowering.py"):
        sha.update(Path(__file__).with_name(name).read_bytes())
    return sha.hexdigest()


# -- source files --


def write_source(path: Path, text: str) -> None:
    """Make the file `path` hold exactly `text`; one that holds anything else is replaced.

    Raises:
        OSError: the file cannot be written.
    """
    data = text.encode()
    try:
        if path.read_bytes() == data:
            return
    except OSError:
        pass
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        temporary.write_bytes(data)
        # Before 0.68 Numba ties machine code to the source's time, and two processes may both write it.
        os.utime(temporary, (_SOURCE_TIME, _SOURCE_TIME))
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


# -- machine code files --


def machine_code(name: str, folder: Path) -> list[Path]:
    """Numba's index and data files in `folder` for the module `name`."""
    return [*folder.glob(f"{name}.*.nbi"), *folder.glob(f"{name}.*.nbc")]


def seal(files: Iterable[Path], seal_file: Path) -> None:
    """Note the checksums of files this process wrote.

    Lines are only ever added: of two processes that write the same files at once, each notes what it found,
    so whichever files stay in the end are among the noted.
    """
    lines = [f"{_checksum(file)} {file.name}\n" for file in files]
    with open(seal_file, "a", encoding="utf-8") as out:
        out.write("".join(lines))


def check_seal(files: Iterable[Path], seal_file: Path) -> bool:
    """Whether every one of `files` is whole and was written by us. Marks the module as used just now."""
    try:
        noted = set(seal_file.read_text(encoding="utf-8", errors="replace").splitlines())
        os.utime(seal_file)
        return all(f"{_checksum(file)} {file.name}" in noted for file in files)
    except OSError:
        return False


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def remove(files: Iterable[Path]) -> int:
    """Delete files, as far as they can be; returns the bytes freed."""
    freed = 0
    for file in files:
        try:
            size = file.stat().st_size
            file.unlink()
        except OSError:  # another process was faster, or (Windows) still reads it
            continue
        freed += size
    return freed
