"""What the array form calls beside NumPy."""

from __future__ import annotations

import numpy as np


def product_of_others(x: np.ndarray) -> np.ndarray:
    """For each element of a row (the last axis) the product of all the others, without a division."""
    one = np.ones((*x.shape[:-1], 1), x.dtype)
    left = np.concatenate([one, np.cumprod(x, -1)], -1)[..., :-1]
    right = np.concatenate([np.cumprod(x[..., ::-1], -1)[..., ::-1], one], -1)[..., 1:]
    return left * right


def backward_slice(start: int, count: int, step: int) -> slice:
    """The slice of `count` elements from `start` downwards; it may end at element 0."""
    if count <= 0:
        return slice(0, 0)
    stop = start + count * step
    return slice(start, stop if stop >= 0 else None, step)
