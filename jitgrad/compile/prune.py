"""Keep the cache bounded: the modules used longest ago go first."""

import re
from collections import defaultdict
from pathlib import Path

from jitgrad.compile import cache

LIMIT = 1 << 30  # bytes

# Only what we and Numba write: JITGRAD_CACHE_DIR may point at a folder that holds other things too.
_OURS = re.compile(
    r"""\.?(?P<module>\w+_[0-9a-f]{16})\.
    (py(\.\d+\.[0-9a-f]+)?                                   # the source, or one half written
    |sum                                                      # the seal
    |\w+-\d+\.py\w+(\.\d+)?\.nb[ic](\.tmp\.[0-9a-f]+)?)    # Numba's index and data
    """,
    re.VERBOSE,
)
_pruned = False


def clear_cache() -> int:
    """Delete every generated module and its machine code from the cache; returns the bytes freed.

    Functions that this process has compiled go on working.
    """
    return sum(cache.remove(files) for files in _modules().values())


def prune(limit: int = LIMIT) -> int:
    """Delete the least recently used modules until at most `limit` bytes remain; returns the bytes freed."""
    entries = []
    for files in _modules().values():
        stats = [status for file in files if (status := _stat(file))]
        # A source file bears a constant time; a seal that of its last use.
        entries.append((max((s.st_mtime for s in stats), default=0.0), sum(s.st_size for s in stats), files))
    excess = sum(size for _, size, _ in entries) - limit
    freed = 0
    for _, size, files in sorted(entries):
        if excess <= 0:
            break
        freed += cache.remove(files)
        excess -= size
    return freed


def prune_once() -> None:
    """`prune`, the first time a process asks."""
    global _pruned
    if not _pruned:
        _pruned = True
        prune()


def _modules() -> dict[str, list[Path]]:
    """The files of the cache directory, by the module they belong to."""
    found = defaultdict(list)
    folder = cache.cache_dir()
    for file in (*folder.glob("*"), *folder.glob("__pycache__/*")):
        if match := _OURS.fullmatch(file.name):
            found[match["module"]].append(file)
    return found


def _stat(file: Path):
    try:
        return file.stat()
    except OSError:
        return None
