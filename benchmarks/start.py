"""What a process pays before its first gradient: the import, and the first call, whose machine code is on the disk.

    python -m benchmarks.start [--processes 9] [--cpu-time]

Every figure is a median over fresh processes, which run one after the other; in each of them `numba` is imported first.
For comparison, what Numba takes to load one of its own cached functions: most of that is the start of Numba itself,
which it does when it loads or compiles something for the first time. With `--cpu-time` it is processor time, for a
machine that has other work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import header

IMPORTS = """
import time
start = time.perf_counter()
import numba
numba_seconds = time.perf_counter() - start
"""

GRADIENT = """
import numpy as np
start = time.perf_counter()
import jitgrad
import_seconds = time.perf_counter() - start

@jitgrad.grad
def loss(w, X, y):
    total = 0.0
    for i in range(X.shape[0]):
        total += np.log1p(np.exp(-y[i] * np.dot(X[i], w)))
    return total / X.shape[0]

w, X, y = np.zeros(3), np.ones((5, 3)), np.ones(5)
start = time.perf_counter()
loss(w, X, y)
print(numba_seconds, import_seconds, time.perf_counter() - start, loss.stats().cache_hits)
"""

PLAIN = """
import numpy as np

@numba.njit(cache=True)
def total(x):
    s = 0.0
    for i in range(x.size):
        s += x[i]
    return s

start = time.perf_counter()
total(np.ones(5))
print(time.perf_counter() - start, len(total.stats.cache_hits))
"""


def run(file: Path, environment: dict[str, str]) -> list[float]:
    """The figures that a script prints."""
    done = subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=9)
    parser.add_argument("--cpu-time", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scripts = {}
        for name, text in (("gradient", GRADIENT), ("plain", PLAIN)):
            scripts[name] = Path(folder) / f"{name}.py"
            text = IMPORTS + text
            scripts[name].write_text(text.replace("perf_counter", "process_time") if options.cpu_time else text)
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "PYTHONPYCACHEPREFIX": str(Path(folder) / "bytecode"),
            "JITGRAD_CACHE_DIR": str(Path(folder) / "jitgrad"),
            "NUMBA_CACHE_DIR": str(Path(folder) / "numba"),
        }
        for script in scripts.values():  # which compile, and write the bytecode of all modules
            run(script, environment)
        rows = [
            (*run(scripts["gradient"], environment), *run(scripts["plain"], environment))
            for _ in range(options.processes)
        ]
    assert all(row[3] and row[5] for row in rows), "nothing was found in the cache on the disk"
    numba, ours, first, _, plain, _ = (statistics.median(column) for column in zip(*rows, strict=True))
    print(header())
    print(f"import numba                                 {1e3 * numba:6.0f} ms")
    print(f"import jitgrad, after that                   {1e3 * ours:6.0f} ms")
    print(f"the first gradient, from the cache on disk   {1e3 * first:6.0f} ms")
    print(f"a function of Numba's, from its own cache    {1e3 * plain:6.0f} ms")


if __name__ == "__main__":
    main()
