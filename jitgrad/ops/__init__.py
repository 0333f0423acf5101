"""What can be written, and its derivatives: one entry an operation, by kind of map.

Importing the package fills the tables in `registry`.
"""

from jitgrad.ops import create, elementwise, index, integers, join, linalg, reduce, shape, special, truths

__all__ = ["create", "elementwise", "index", "integers", "join", "linalg", "reduce", "shape", "special", "truths"]
