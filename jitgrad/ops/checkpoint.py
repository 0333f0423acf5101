"""`checkpoint`: memory for time."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def checkpoint(what: Iterable | Callable) -> Iterable | Callable:
    """Memory for time: what a long loop runs over, or a function, marked so that its gradient keeps less.

    A loop keeps for its gradient what its iterations change, once for each of `n` iterations. Over `checkpoint(items)`
    it keeps that for about `2 * sqrt(n)` of them: at the start of each of `sqrt(n)` chunks, and within the chunk at
    hand (Griewank & Walther, Evaluating Derivatives, 2008, ch. 12). Of `checkpoint(f)(x)` nothing is kept but `x`; `f`
    runs once more when its gradient is due. The gradients are the same but for rounding.

    Args:
        what: a range, an array, or an `enumerate` or `zip` of these, that a loop runs over; or a function.

    Returns:
        The same items, or a function that gives the same. A loop that may be left by `break` or `return`, a loop over a
        Python container, a function without Python source, and forward mode ignore the mark.

    Example:
        >>> from jitgrad import checkpoint, grad
        >>> def amount(rate):
        ...     x = 1.0
        ...     for _ in checkpoint(range(100)):
        ...         x = x + 0.01 * rate * x
        ...     return x
        >>> print(f"{grad(amount)(1.0):.3f}")
        2.678
    """
    return what
