"""Gradients: jitgrad against JAX, PyTorch, autograd and CasADi.

    python -m benchmarks.versus_peers [--quick] [--problems hmm mlp] [--without torch.compile] [--json FILE]

Two tables: microseconds a call, with how many times as long the others take as jitgrad; and the seconds of the first
call, in which a tool traces and compiles. The tools take turns in one process; a ratio is the median over the turns.
All compute in float64 on one thread, find the same gradient to 1e-8 before anything is timed, and have their data in
their own form; JAX is jitted and waited for. jitgrad starts with an empty cache. The problems are in
`benchmarks/peers`. On a machine that others use, too, --cpu-time counts the processor's time.

"casadi buffer" is CasADi's quickest call: it is given addresses once, reads and writes there, and makes no arrays.

Below the tables stands where jitgrad misses what it is meant to reach: never slower than another, and ten times as
fast as JAX with less than 100 numbers, and in every loop over single numbers of at least 1,000 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import about, ratio, readable, row, samples, settle

SMALL, LONG, LEAD = 100, 1_000, 10.0
NOISE = 1.05  # a ratio that is measured again is up to 5 % off


def arguments() -> argparse.Namespace:
    from benchmarks.peers import NAMES
    from benchmarks.peers.contestants import PACKAGES

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes, few rounds, and no torch.compile")
    parser.add_argument("--problems", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--without", nargs="*", default=[], choices=list(PACKAGES), help="tools to leave out")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time")
    parser.add_argument("--json", type=Path, help="write the measurements to this file, too")
    return parser.parse_args()


def label(size) -> str:
    return " x ".join(f"{n:,}" for n in (size if isinstance(size, tuple) else (size,)))


def first_calls(problem, size, names: list[str]) -> tuple[dict, dict[str, float]]:
    """A function for each tool that has the problem, and the seconds until it has computed the first gradient.

    Raises:
        AssertionError: two tools find different gradients.
    """
    import numpy as np

    from benchmarks.peers.contestants import CONTESTANTS, numbers, take_part

    runs, seconds, ours = {}, {}, None
    for name in names:
        if not take_part(problem, size, name):
            continue
        data = problem.data(size)
        start = time.perf_counter()
        runs[name] = CONTESTANTS[name](problem, data)
        found = runs[name]()
        seconds[name] = time.perf_counter() - start
        found = numbers(found)
        ours = found if ours is None else ours
        off = np.max(np.abs(found - ours)) / np.max(np.abs(ours))
        assert off <= 1e-8, f"{name} is off by {off:.1e}"
    return runs, seconds


def count(data: tuple) -> int:
    """How many numbers there are, in all steps together, if there are steps."""
    steps = [a for a in data if isinstance(a, int)]
    return sum(getattr(a, "size", 1) for a in data if not isinstance(a, int)) * max([1, *steps])


def measure(name: str, size, tools: list[str], options: argparse.Namespace) -> dict:
    """One line of the tables."""
    from benchmarks.peers import problem as problem_of

    problem = problem_of(name)
    runs, first = first_calls(problem, size, tools)
    now = time.process_time if options.cpu_time else time.perf_counter
    found = samples(runs, *((2e-3, 7) if options.quick else (1e-2, 15)), now)
    return {
        "problem": name,
        "size": label(size),
        "numbers": count(problem.data(size)),
        "steps": problem.steps(size),
        "seconds": {tool: statistics.median(times) for tool, times in found.items()},
        "ratios": {tool: ratio(times, found["jitgrad"]) for tool, times in found.items() if tool != "jitgrad"},
        "first": first,
    }


def missed(line: dict) -> list[str]:
    """What jitgrad was meant to reach here and didn't."""
    where = f"{line['problem']}, {line['size']}"
    notes = [f"{where}: slower than {tool}, {r:.2f}" for tool, r in line["ratios"].items() if r * NOISE < 1]
    reason = "few numbers" if line["numbers"] < SMALL else "a long loop" if line["steps"] >= LONG else None
    lead = line["ratios"].get("jax", LEAD)
    if reason and lead * NOISE < LEAD:
        notes.append(f"{where}: {reason}, and JAX takes only {lead:.1f} times as long")
    return notes


def run_time(line: dict, tools: list[str]) -> str:
    """The line of the first table."""
    cells = [readable(line["seconds"]["jitgrad"])]
    for tool in tools[1:]:
        told = tool in line["ratios"]
        cells.append(f"{readable(line['seconds'][tool])} ({line['ratios'][tool]:.3g})" if told else "")
    return row(line["problem"], line["size"], *cells)


def header(tools: list[str]) -> str:
    return row("problem", "size", *tools) + "\n|---|---:|" + "---:|" * len(tools)


def first_table(lines: list[dict], tools: list[str]) -> str:
    """The second table."""
    rows = []
    for line in lines:
        first = line["first"]
        rows.append(row(line["problem"], line["size"], *(f"{first[t]:.2f}" if t in first else "" for t in tools)))
    return "\n".join(["Seconds of the first call.\n", header(tools), *rows])


def main() -> int:
    """Print the tables."""
    options = arguments()
    settle(1)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["JITGRAD_CACHE_DIR"] = os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        compare(options)
    return 0


def compare(options: argparse.Namespace) -> None:
    from benchmarks.peers import problem as problem_of
    from benchmarks.peers.contestants import PACKAGES, imported, wake

    left_out = [*options.without, *(["torch.compile"] if options.quick else [])]
    missing = [name for name in PACKAGES if not imported(name)]
    tools = [name for name in PACKAGES if name not in {*left_out, *missing}]
    here = about(PACKAGES[name] for name in tools) | {"clock": "processor" if options.cpu_time else "wall"}
    print(", ".join(f"{k} {v}" for k, v in here.items()))
    for name in missing:
        print(f"{name} is not installed and left out")
    for name in tools:
        wake(name)
    print("\nTime of a call (how many times as long as jitgrad's).\n")
    print(header(tools), flush=True)
    lines = []
    for name in options.problems:
        problem = problem_of(name)
        for size in [problem.sizes[i] for i in problem.quick] if options.quick else problem.sizes:
            lines.append(measure(name, size, tools, options))
            print(run_time(lines[-1], tools), flush=True)
    print(f"\n{first_table(lines, tools)}")
    notes = [note for line in lines for note in missed(line)]
    print("\nMissed:\n" + "\n".join(f"- {note}" for note in notes) if notes else "\nNothing is missed.")
    if options.json:
        found = {"about": here, "tools": tools, "missing": missing, "rows": lines, "missed": notes}
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())
