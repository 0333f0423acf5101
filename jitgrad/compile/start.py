"""Starting Numba without SciPy's BLAS.

When Numba compiles or loads something for the first time, it imports `scipy.linalg` to see whether there is a BLAS.
That takes a third of the time that a process needs for its first gradient, and most programs never call it: products
of small matrices are loops. Compiled code that does call it imports it by itself, and so does Numba when it compiles
such code.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

ASKS = "numba.np.arraymath"  # the module that asks, when it is imported, by `ensure_blas` of the next one
ANSWERS = "numba.np.linalg"


def start() -> None:
    """Import what asks for a BLAS, which SciPy has, as jitgrad needs SciPy; once a process."""
    if ASKS in sys.modules or "scipy.linalg" in sys.modules:
        return
    module = importlib.import_module(ANSWERS)
    if hasattr(module, "ensure_blas"):
        with _answered(module, getattr(module, "_check_lapack_int_width", lambda: None)):
            importlib.import_module(ASKS)


@contextlib.contextmanager
def _answered(module: ModuleType, answer: Callable[[], None]) -> Iterator[None]:
    """Let `ensure_blas` check no more than the width of SciPy's integers, which takes no import of it."""
    asked = module.ensure_blas
    module.ensure_blas = answer
    try:
        yield
    finally:
        module.ensure_blas = asked
