"""`python -m tests.fuzz --programs N`: random programs that no test run has seen, for a night.

Programs with loops and straight-line programs in turn. What fails is shrunk, and printed as a test: with loops, as an
entry of `KEPT` in `tests/test_random_loops.py`.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("JITGRAD_VERIFY", "1")
sys.path.insert(0, str(Path(__file__).parent))

import programs
import random_programs

CHUNK = 50  # programs that a process takes at a time
KINDS = ("loops", "straight")


def failures(start: int, count: int, kinds: list[str], compiled: bool, second: bool) -> list[str]:
    """The reports of the programs with these seeds that fail."""
    warnings.simplefilter("ignore", RuntimeWarning)
    found = []
    for k in range(count):
        if kinds[k % len(kinds)] == "loops":
            size = 2 + (start + k) % 7
            found += programs.run([start + k], size, compiled=compiled, second=second and k % 4 == 0)
        else:
            found += random_programs.run([start + k], 14, compiled)
    return found


def chunks(options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    for done in range(0, options.programs, CHUNK):
        yield options.start + done, min(CHUNK, options.programs - done)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--start", type=int, default=int(time.time()) * 1000, help="first seed")
    parser.add_argument("--only", choices=KINDS, help="programs of one kind")
    parser.add_argument("--compiled", action="store_true", help="compile each, too (a second or so a program)")
    parser.add_argument("--second", action="store_true", help="differentiate some twice")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    kinds = [options.only] if options.only else list(KINDS)
    one = partial(failures, kinds=kinds, compiled=options.compiled, second=options.second)
    failed = done = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for (_, count), found in zip(chunks(options), pool.map(one, *zip(*chunks(options), strict=True)), strict=True):
            failed, done = failed + len(found), done + count
            print(*found, f"{done} programs, {failed} failed", sep="\n\n", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
