"""From operations on arrays to loops over elements."""

from jitgrad.lower import moves, reductions  # they fill the table of handlers
from jitgrad.lower.lowering import lower

__all__ = ["lower", "moves", "reductions"]
