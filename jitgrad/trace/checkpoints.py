"""`checkpoint`: memory for time."""

from __future__ import annotations

from collections.abc import Iterable

from jitgrad.trace.builtin_names import builtin
from jitgrad.trace.items import Items, items_of


def checkpoint(items: Iterable) -> Iterable:
    """What a long loop runs over, marked: its gradient keeps less, and runs the body of the loop once more.

    A loop keeps for its gradient what its iterations change, once for each of `n` iterations. Over `checkpoint(items)`
    it keeps that for about `2 * sqrt(n)` of them: at the start of each of `sqrt(n)` chunks, and within the chunk at
    hand (Griewank & Walther, Evaluating Derivatives, 2008, ch. 12). The gradient is the same but for rounding.

    Args:
        items: a range, an array, or an `enumerate` or `zip` of these.

    Returns:
        The same items. A loop that may be left by `break` or `return`, a loop over a Python container, and forward mode
        ignore the mark.

    Example:
        >>> from jitgrad import checkpoint, grad
        >>> def amount(rate):
        ...     x = 1.0
        ...     for _ in checkpoint(range(10_000)):
        ...         x = x + 0.0001 * rate * x
        ...     return x
        >>> print(f"{grad(amount)(1.0):.3f}")
        2.718
    """
    return items


@builtin(checkpoint)
def _checkpoint(frame, items):
    found = items_of(frame, items)
    if found is None:
        return items
    marked = Items(found.count, found.item, found.sources)
    marked.chunked = True
    return marked
