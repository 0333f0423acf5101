"""Python function -> nodes: the function's AST is evaluated once, with arrays and run-time numbers as values.

All else is ordinary Python and runs as it stands. See `evaluate`.
"""

from jitgrad.trace import branches, checkpoints, comprehensions, loops, match  # noqa: F401 - they fill in their part of the tables
from jitgrad.trace.entry import Traced, evaluate
from jitgrad.trace.guards import Guard, Hidden, Place, kind_of, lacks, leaves_of, size_of, type_of
from jitgrad.trace.recursion import Recursion

__all__ = [
    "Guard",
    "Hidden",
    "Place",
    "Recursion",
    "Traced",
    "evaluate",
    "kind_of",
    "lacks",
    "leaves_of",
    "size_of",
    "type_of",
]
