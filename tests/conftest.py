"""Settings of a test run: one compile cache for all its processes, every pass verified, one thread a process."""

import os
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("JITGRAD_VERIFY", "1")  # read when jitgrad is imported
if "JITGRAD_CACHE_DIR" not in os.environ:
    # Set by the controller of pytest-xdist and inherited by its workers. It outlives the run, so that the next one
    # compiles nothing but what has changed: a module of the cache is named by the hash of its source.
    os.environ["JITGRAD_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "jitgrad")
