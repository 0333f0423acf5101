"""From a function to its first gradient: the seconds that tracing and compiling take, next to JAX's.

    python -m benchmarks.compile_time [--quick] [--cases ht "lstm diagonal"] [--profile ht] [--json FILE]

Each first call is made in a process of its own that has imported everything, with an empty cache; what a library does
once in a process is part of it. Three processes each, in turn; the median, of the time on the clock or of the
processor (--cpu-time: on a busy machine). The second table is about programs of ever more statements: the milliseconds
of each should not grow.

--profile shows where the time of a case goes.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peers import NAMES, growing
from benchmarks.timing import about, installed, row, settle

BOUNDS = {"digits": 1.5, "lstm diagonal": 2.5, "gmm": 2.5, "ba": 2.5, "ht": 2.5}  # seconds
TIMES_JAX = 2.0
LINEAR = 1.5  # how many times as long a statement of a larger program may take
CASES = [*BOUNDS, *(name for name in NAMES if name not in BOUNDS)]


def first_call(tool: str, case: str, profile: bool = False) -> dict[str, float]:
    """Seconds of the first call in this process."""
    settle(1)
    import numba  # noqa: F401  imports are no part of it

    from benchmarks.peers.first_calls import TOOLS

    run = TOOLS[tool](case)
    profiler = cProfile.Profile()
    wall, processor = time.perf_counter(), time.process_time()
    if profile:
        profiler.runcall(run)
    else:
        run()
    seconds = {"clock": time.perf_counter() - wall, "cpu": time.process_time() - processor}
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)
    return seconds


def in_a_process(tool: str, case: str, kind: str, *options: str) -> float:
    """The same in a process of its own, without a cache."""
    command = [sys.executable, "-m", "benchmarks.compile_time", "--one", tool, case, *options]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"JITGRAD_CACHE_DIR": cache, "NUMBA_CACHE_DIR": cache}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)[kind]


def medians(case: str, tools: list[str], processes: int, kind: str) -> dict[str, float]:
    found = [{tool: in_a_process(tool, case, kind) for tool in tools} for _ in range(processes)]
    return {tool: statistics.median(each[tool] for each in found) for tool in tools}


def table_of_cases(cases: list[str], tools: list[str], processes: int, kind: str) -> tuple[list[dict], list[str]]:
    """The lines of the first table, and what is missed."""
    print("Seconds of the first call.\n")
    print(row("case", *tools, "at most"))
    print("|---|" + "---:|" * (len(tools) + 1), flush=True)
    lines, missed = [], []
    for case in cases:
        seconds = medians(case, tools, processes, kind)
        bound = BOUNDS.get(case)
        print(row(case, *(f"{seconds[tool]:.2f}" for tool in tools), bound or ""), flush=True)
        lines.append({"case": case, "seconds": seconds, "bound": bound})
        if bound and seconds["jitgrad"] > bound:
            missed.append(f"{case}: {seconds['jitgrad']:.2f} s, at most {bound}")
        if "jax" in seconds and seconds["jitgrad"] > TIMES_JAX * seconds["jax"]:
            missed.append(f"{case}: {seconds['jitgrad'] / seconds['jax']:.1f} times as long as JAX")
    return lines, missed


def table_of_growth(tools: list[str], processes: int, kind: str, quick: bool) -> tuple[list[dict], list[str]]:
    """The same of the second table; the time of a program of one statement is taken off."""
    print("\nPrograms of ever more statements: seconds (milliseconds a statement).\n")
    print(row("statements", "number", *tools))
    print("|---|---:|" + "---:|" * len(tools), flush=True)
    lines, missed = [], []
    for what, counts in growing.KINDS.items():
        least = medians(f"{what}:1", tools, processes, kind)
        before = {}
        for count in counts[:2] if quick else counts:
            seconds = medians(f"{what}:{count}", tools, processes, kind)
            each = {tool: (seconds[tool] - least[tool]) / count for tool in tools}
            print(row(what, count, *(f"{seconds[t]:.2f} ({1e3 * each[t]:.1f})" for t in tools)), flush=True)
            lines.append({"statements": what, "number": count, "seconds": seconds, "each": each})
            if before and each["jitgrad"] > LINEAR * before["jitgrad"]:
                missed.append(f"{what}: {each['jitgrad'] / before['jitgrad']:.1f} times as long for each of {count}")
            before = each
    return lines, missed


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one process each, smaller programs")
    parser.add_argument("--cases", nargs="*", default=CASES, choices=CASES, metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--without-growth", action="store_true", help="leave out the second table")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time")
    parser.add_argument("--profile", metavar="CASE", help="print where the time goes, with jitgrad")
    parser.add_argument("--json", type=Path, help="write the measurements to this file, too")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(first_call(*options.one)))
        return 0
    if options.profile:
        with tempfile.TemporaryDirectory() as os.environ["JITGRAD_CACHE_DIR"]:
            first_call("jitgrad", options.profile, profile=True)
        return 0
    settle(1)
    tools = [tool for tool in ("jitgrad", "jax") if tool == "jitgrad" or installed(tool)]
    kind, processes = "cpu" if options.cpu_time else "clock", 1 if options.quick else 3
    here = about(tools[1:]) | {"clock": kind}
    print(", ".join(f"{k} {v}" for k, v in here.items()) + "\n")
    cases, missed = table_of_cases(options.cases, tools, processes, kind)
    growth = []
    if not options.without_growth:
        growth, more = table_of_growth(tools, processes, kind, options.quick)
        missed += more
    print("\nMissed:\n" + "\n".join(f"- {note}" for note in missed) if missed else "\nNothing is missed.")
    if options.json:
        found = {"about": here, "tools": tools, "cases": cases, "growth": growth, "missed": missed}
        options.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
