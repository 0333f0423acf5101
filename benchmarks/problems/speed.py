"""How fast the twelve problems are: the primal, jitgrad's derivative, and a derivative written by hand.

    OMP_NUM_THREADS=1 python -m benchmarks.problems.speed [--problems lse ode] [--sizes middle large] [--json FILE]

Times of a call, in microseconds: of the primal as it is written, under plain `@njit`; of the primal by jitgrad; of
jitgrad's derivative; of the one in `handwritten`. Then what the derivative takes of the other three, the largest ratio
to the plain primal it may have at the middle size, and the seconds that a first call of it takes longer than a second
one, with nothing of it on disk. All of these are times of the processor, which other processes don't lengthen as they
do the time by the clock; one thread is at work.

What takes less than ten microseconds is for a good part the call from Python: of the bare dispatcher for the one by
hand, of one that checks arguments and what the function reads from outside for jitgrad's. So such a row has another
below it: jitgrad's derivative and the one by hand called from a compiled loop, and their ratio, which is the one that
is held to the bound.

The functions take turns, a sample each, and the medians count. particle and saddle have a second row: their whole
descent, and what it takes of the evaluations of the primal and its derivative that it makes. Exits with 1 if a
derivative is slower than it may be.
"""

import argparse
import importlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numba import njit

from benchmarks import machine
from benchmarks.problems import NAMES
from benchmarks.problems.check import problem

TIMED = [name for name in NAMES if name != "hello"]
SIZES = ("small", "middle", "large")
BOUNDS = {
    "det": 1.6,
    "gmm": 0.95,
    "ba": 4.0,
    "ht": 4.0,
    "kmeans": 0.7,
    "llsq": 1.15,
    "lse": 0.25,
    "lstm": 1.0,
    "ode": 2.4,
}
OF_DESCENTS = 2.0  # times the evaluations that they make
OF_HAND = 1.15  # times the derivative written by hand
TOLERANCE = 1e-10
SAMPLE = 5e-3  # seconds, at least
SHORT = 1e-5  # seconds of a derivative: the call from Python counts
ROUNDS = (5, 31)
SECONDS = 10.0  # of the rounds of a problem, at most, if they are more than the fewest


def seconds(function, arguments, repeats):
    """What a call takes, over some repeats."""
    start = time.process_time()
    for _ in range(repeats):
        function(*arguments)
    return (time.process_time() - start) / repeats


def repeats_of(function, arguments):
    """How often the function must be called for a sample; it is warm then."""
    function(*arguments)
    repeats = 1
    while (taken := seconds(function, arguments, repeats) * repeats) < SAMPLE:
        repeats = max(2 * repeats, math.ceil(repeats * 1.2 * SAMPLE / max(taken, 1e-6)))
    return repeats


def medians(functions, arguments):
    """The median seconds of a call of each of the functions, which take turns."""
    repeats = {name: repeats_of(function, arguments) for name, function in functions.items()}
    samples = {name: [] for name in functions}
    fewest, most = ROUNDS
    end = time.perf_counter() + SECONDS
    for count in range(most):
        if count >= fewest and time.perf_counter() > end:
            break
        for name, function in functions.items():
            samples[name].append(seconds(function, arguments, repeats[name]))
    return {name: float(np.median(found)) for name, found in samples.items()}


def looped(function):
    """A compiled loop that calls a function, to be called like it; and how many calls that are."""
    repeats = 1000

    @njit
    def loop(*arguments):
        last = function(*arguments)
        for _ in range(repeats - 1):
            last = function(*arguments)
        return last

    return loop, repeats


def medians_inside(functions, arguments):
    """The median seconds of a call of each of the functions from a compiled loop."""
    loops = {name: looped(function) for name, function in functions.items()}
    times = medians({name: loop for name, (loop, _) in loops.items()}, arguments)
    return {name: times[name] / repeats for name, (_, repeats) in loops.items()}


def numbers(result):
    """All numbers of an array, or of several."""
    return np.concatenate([np.ravel(part) for part in (result if isinstance(result, tuple) else (result,))])


def disagreement(programs, hand, arguments):
    """The largest difference of the two derivatives, relative to their largest number."""
    ours, theirs = numbers(programs.derivative(*arguments)), numbers(hand(*arguments))
    if ours.shape != theirs.shape:
        return math.inf
    return float(np.max(np.abs(ours - theirs)) / max(np.max(np.abs(theirs)), np.finfo(float).tiny))


def handwritten(name):
    return importlib.import_module(f"benchmarks.problems.handwritten.{name}").derivative


def compile_seconds(name, size):
    """What the first call of the derivative takes longer than the second, in a new process without a cache."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {k: v for k, v in os.environ.items() if k != "JITGRAD_VERIFY"} | {"JITGRAD_CACHE_DIR": cache}
        command = [sys.executable, "-m", "benchmarks.problems.speed", "--first-call", name, size]
        return float(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def first_call(name, size):
    """The same in this process; another program is compiled before, for the first one of a process loads Numba."""
    hello, module = problem("hello"), problem(name)
    hello.derivative(hello.generate())
    input = module.generate(**module.SIZES[size])
    derivative, arguments = module.programs(input).derivative, module.arguments(input)
    first = seconds(derivative, arguments, 1)
    return first - seconds(derivative, arguments, 1)


def measured(name, size):
    """The row of a problem."""
    module = problem(name)
    input = module.generate(**module.SIZES[size])
    programs, arguments, hand = module.programs(input), module.arguments(input), handwritten(name)
    difference = disagreement(programs, hand, arguments)
    if not difference <= TOLERANCE:
        raise AssertionError(f"{name}, {size}: the derivative by hand is another one, by {difference:.1e}")
    functions = programs._asdict() | {"hand": hand}
    if hasattr(module, "descent"):
        functions["descent"], (values, slopes) = module.descent(input)
    times = medians(functions, arguments)
    row = {"problem": name, "size": size, "seconds": times}
    row["ratios"] = {other: times["derivative"] / times[other] for other in ("plain", "ours", "hand")}
    if times["hand"] < SHORT:
        inside = row["inside"] = medians_inside({"derivative": programs.derivative, "hand": hand}, arguments)
        row["ratios"]["inside"] = inside["derivative"] / inside["hand"]
    if size == "middle" and name in BOUNDS:
        row["bound"] = BOUNDS[name]
    if hasattr(module, "descent"):
        row["evaluations"] = {"primal": values, "derivative": slopes}
        row["counted"] = values * times["ours"] + slopes * times["derivative"]
        row["ratios"]["descent"] = times["descent"] / row["counted"]
    row["compile"] = compile_seconds(name, size)
    return row


def verdicts(row):
    """What the row is held to: (what, ratio, bound)."""
    if "bound" in row:
        yield "plain", row["ratios"]["plain"], row["bound"]
    yield "hand", row["ratios"]["inside" if "inside" in row else "hand"], OF_HAND
    if "counted" in row:
        yield "descent", row["ratios"]["descent"], OF_DESCENTS


HEAD = f"{'problem':10}{'size':8}{'plain':>12}{'ours':>12}{'derivative':>12}{'by hand':>12}"
HEAD += f"{'/plain':>9}{'bound':>7}{'/ours':>7}{'/hand':>7}{'compile':>9}"


def lines(row):
    """The row as text, and what is too slow."""
    times, ratios = row["seconds"], row["ratios"]
    columns = "".join(f"{1e6 * times[name]:12.2f}" for name in ("plain", "ours", "derivative", "hand"))
    slow = [what for what, ratio, bound in verdicts(row) if ratio > bound]
    missed = f"  MISSED: {', '.join(slow)}" if slow else ""
    yield (
        f"{row['problem']:10}{row['size']:8}{columns}{ratios['plain']:9.2f}{row.get('bound', ''):>7}"
        f"{ratios['ours']:7.2f}{ratios['hand']:7.2f}{row['compile']:9.2f}{missed}"
    )
    if "inside" in row:
        inside = row["inside"]
        yield (
            f"{'':10}{'called from compiled code':32}{1e6 * inside['derivative']:12.2f}{1e6 * inside['hand']:12.2f}"
            f"{'':23}{ratios['inside']:7.2f}"
        )
    if "counted" in row:
        counts = row["evaluations"]
        yield (
            f"{'':10}descent {1e6 * times['descent']:12.2f}, {ratios['descent']:.2f} of {counts['primal']} primals and "
            f"{counts['derivative']} derivatives (bound {OF_DESCENTS:g})"
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="*", default=TIMED, choices=TIMED)
    parser.add_argument("--sizes", nargs="*", default=SIZES, choices=SIZES)
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    parser.add_argument("--first-call", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.first_call:
        print(first_call(*options.first_call))
        return 0
    print(machine.header())
    print(HEAD)
    rows = []
    for name in options.problems:
        for size in options.sizes:
            rows.append(measured(name, size))
            print("\n".join(lines(rows[-1])), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine.description(), "rows": rows}, indent=1))
    return int(any(ratio > bound for row in rows for _, ratio, bound in verdicts(row)))


if __name__ == "__main__":
    sys.exit(main())
