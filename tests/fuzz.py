"""`python -m tests.fuzz --programs N`: random programs that no test run has seen, for a night."""

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("JITGRAD_VERIFY", "1")
sys.path.insert(0, str(Path(__file__).parent))

import random_programs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--start", type=int, default=int(time.time()) * 1000, help="first seed")
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--compiled", action="store_true", help="compile each, too (a second or so a program)")
    options = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    failed = 0
    for k in range(options.programs):
        for report in random_programs.run([options.start + k], options.steps, options.compiled):
            failed += 1
            print(report, flush=True)
        if k % 100 == 99:
            print(f"{k + 1} programs, {failed} failed", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
