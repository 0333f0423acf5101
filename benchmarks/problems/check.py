"""Compares the twelve problems with files of known results, or with differences.

    python -m benchmarks.problems.check [--golden FOLDER] [--size small] [--problems lse ode]

Each JSON file of the folder has an "eval" (the problem), an "input", and results: "primal", "gradient", and what the
problem's `CHECKED` names. Without a folder, the inputs are our own, and the derivatives by other means. Prints a line
for each comparison, and exits with 1 if one of them is off.
"""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.problems import NAMES

TOLERANCE = 1e-8
OF_DIFFERENCES = 1e-6


def problem(name):
    return importlib.import_module(f"benchmarks.problems.{name}")


def leaves(value, path=""):
    """The numbers of nested dicts and lists as one array, and what the dicts call them."""
    if isinstance(value, dict):
        found = [leaves(value[key], f"{path}.{key}") for key in sorted(value)]
        return np.concatenate([x for x, _ in found]), [name for _, names in found for name in names]
    array = np.asarray(value, dtype=np.float64)
    return array.ravel(), [f"{path}{array.shape}"]


def error(got, wanted):
    """The largest difference, relative to the largest number wanted; infinite if the two aren't of one form."""
    (got, got_names), (wanted, wanted_names) = leaves(got), leaves(wanted)
    if got_names != wanted_names or not np.all(np.isfinite(got) | (got == wanted)):
        return np.inf
    if not got.size:
        return 0.0
    return float(np.max(np.abs(got - wanted)) / max(np.max(np.abs(wanted)), np.finfo(float).tiny))


def golden_cases(folder, names):
    """(problem, size, what, function, input, result) of each result in the files of the folder."""
    for path in sorted(Path(folder).glob("*.json")):
        file = json.loads(path.read_text())
        if file["eval"] not in names:
            continue
        module = problem(file["eval"])
        functions = {"primal": module.primal, "gradient": module.derivative} | getattr(module, "CHECKED", {})
        for what, function in functions.items():
            if what in file:
                yield file["eval"], file["size"], what, function, file["input"], file[what]
        for what, function in (("objective", module.primal), ("objective_gradient", module.derivative)):
            for w, result in file.get(what, ()):
                yield file["eval"], f"w={w:g}", what, function, {"w": w}, result


def own_cases(size, names):
    """The same of inputs of our own."""
    for name in names:
        module = problem(name)
        input = module.generate(**module.SIZES.get(size, {}))
        yield name, size, "derivative", module.derivative, input, module.expected(input)


def outcome(function, input, wanted):
    """The error and the seconds of a call, or what it raises."""
    start = time.perf_counter()
    try:
        got = function(input)
    except Exception as e:
        return np.inf, f"{type(e).__name__}: {str(e).splitlines()[0]}"
    return error(got, wanted), f"{time.perf_counter() - start:.2f} s"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", help="a folder of JSON files")
    parser.add_argument("--size", default="small", choices=("small", "middle", "large"), help="of inputs of our own")
    parser.add_argument("--problems", nargs="*", default=NAMES, choices=NAMES)
    options = parser.parse_args(arguments)
    if options.golden:
        cases, tolerance = golden_cases(options.golden, options.problems), TOLERANCE
    else:
        cases, tolerance = own_cases(options.size, options.problems), OF_DIFFERENCES
    wrong = 0
    print(f"{'problem':10}{'size':14}{'what':20}{'error':>9}")
    for name, size, what, function, input, wanted in cases:
        off, note = outcome(function, input, wanted)
        wrong += not off <= tolerance
        print(f"{name:10}{size:14}{what:20}{off:9.1e}  {'right' if off <= tolerance else 'WRONG'}  {note}", flush=True)
    print("all right" if not wrong else f"{wrong} wrong")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
