"""What a benchmark ran on."""

import os
import platform
import sys
from pathlib import Path

import numba
import numpy as np
from llvmlite import binding as llvm

import jitgrad

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def processor():
    """The name of the processor."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def description():
    """The versions, the processor, and how many threads may run."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvm": ".".join(str(part) for part in llvm.llvm_version_info),
        "jitgrad": jitgrad.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{processor()} ({llvm.get_host_cpu_name()})",
        "cores": os.cpu_count(),
        "numba_threads": numba.get_num_threads(),
        "blas_threads": next((os.environ[name] for name in THREADS if name in os.environ), "as many as it likes"),
    }


def header():
    """The same in two lines."""
    d = description()
    versions = ", ".join(f"{name} {d[name]}" for name in ("jitgrad", "numba", "llvm", "numpy", "python"))
    threads = f"{d['cores']} cores, threads: Numba {d['numba_threads']}, BLAS {d['blas_threads']}"
    return f"{versions}\n{d['processor']}, {d['system']}, {threads}"


if __name__ == "__main__":
    sys.exit(print(header()))
