"""What the benchmarks share: threads, versions, samples taken in turn, and numbers to read."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterable
from importlib import metadata

LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM", "NUMEXPR")


def settle(threads: int) -> None:
    """Set the number of threads of everything, and verify nothing. Call before NumPy is imported."""
    os.environ.pop("JITGRAD_VERIFY", None)
    for name in LIBRARIES:
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    os.environ["JAX_PLATFORMS"], os.environ["JAX_ENABLE_X64"] = "cpu", "1"
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
    if installed("torch"):
        import torch

        torch.set_num_threads(threads)


def installed(name: str) -> str | None:
    """The version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def about(packages: Iterable[str]) -> dict[str, object]:
    """The date, the machine, and the versions of what is compared."""
    from benchmarks import machine

    versions = {package: installed(package) for package in packages}
    return {"date": time.strftime("%Y-%m-%d")} | machine.description() | versions


def clock(run: Callable, number: int, now: Callable[[], float] = time.perf_counter) -> float:
    """Seconds a call."""
    start = now()
    for _ in range(number):
        run()
    return (now() - start) / number


def samples(
    runs: dict[str, Callable], seconds: float, rounds: int, now: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds a call of each, in samples that are taken in turn, so that a busy machine slows all of them.

    Args:
        runs: what to time.
        seconds: the least length of a sample.
        rounds: samples of each; fewer of what takes long for one call.
        now: the clock.
    """
    numbers, turns = {}, {}
    for name, run in runs.items():
        run()
        once = max(clock(run, 1, now), 1e-7)
        once = max(clock(run, max(1, min(100, int(seconds / 4 / once))), now), 1e-7)
        numbers[name] = max(1, round(seconds / once))
        turns[name] = max(3, min(rounds, int(10 * rounds * seconds / (once * numbers[name]))))
    found: dict[str, list[float]] = {name: [] for name in runs}
    gc.collect()
    gc.disable()
    try:
        for i in range(rounds):
            for name, run in runs.items():
                if i < turns[name]:
                    found[name].append(clock(run, numbers[name], now))
            gc.collect()
    finally:
        gc.enable()
    return found


def ratio(theirs: list[float], ours: list[float]) -> float:
    """How many times as long theirs take: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=False))


def readable(seconds: float) -> str:
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{seconds * scale:.3g} {unit}"
    raise AssertionError


def row(*cells: object) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(map(str, cells)) + " |"
