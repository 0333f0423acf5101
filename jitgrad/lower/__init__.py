"""From operations on arrays to loops over elements."""

from jitgrad.lower import calls, moves, reductions, regions  # they fill the table of handlers
from jitgrad.lower.into import into
from jitgrad.lower.lowering import lower

__all__ = ["calls", "into", "lower", "moves", "reductions", "regions"]
