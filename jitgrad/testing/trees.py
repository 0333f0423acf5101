"""Arguments and results as lists of numbers and arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jitgrad.api.signature import is_leaf
from jitgrad.api.structure import flatten, unflatten


def everything(x: object, name: str) -> bool:
    return True


def is_data(x: object, name: str) -> bool:
    return x is not None and is_leaf(x, name)


def leaves_of(x: object, name: str = "args", data: Callable = is_data) -> tuple[list, list[str], tuple]:
    return flatten(x, name, data)


def float_leaves(x: object, floats: list[bool]) -> list:
    return [leaf for leaf, is_float in zip(leaves_of(x)[0], floats, strict=True) if is_float]


def no_statics(structure: tuple, floats=None) -> tuple:
    """The structure of a derivative: None for what has none."""
    nothing = leaves_of(None)[2]
    if structure[0] == "static":
        return nothing
    if structure == ("leaf",):
        return structure if floats is None or next(floats) else nothing
    return (*structure[:4], *(no_statics(part, floats) for part in structure[4:]))


def is_float(x: object) -> bool:
    return np.asarray(x).dtype.kind == "f"


def bytes_of(x: object) -> bytes:
    return np.asarray(x).tobytes()


def copied(x: object) -> object:
    leaves, _, structure = leaves_of(x)
    return unflatten(structure, iter([np.array(e) if isinstance(e, np.ndarray) else e for e in leaves]))


def random_like(x: object, rng: np.random.Generator) -> object:
    dtype = np.asarray(x).dtype.newbyteorder("=")
    numbers = rng.standard_normal(np.shape(x)).astype(dtype)
    return numbers if np.ndim(x) else float(numbers) if isinstance(x, float) else dtype.type(numbers)


def scaled(x: object, factor: float) -> object:
    return (
        np.zeros(np.shape(x), np.asarray(x).dtype) * np.asarray(x).dtype.type(factor) if np.ndim(x) else type(x)(factor)
    )


def moved(x: object, h: float, dot: object) -> object:
    moved = (np.asarray(x, float) + h * np.asarray(dot, float)).astype(np.asarray(x).dtype)
    return moved if isinstance(x, np.ndarray) else type(x)(moved)


def inner(a: object, b: object) -> tuple[float, float]:
    """The inner product, and the sum of the terms' sizes."""
    terms = np.multiply(a, b, dtype=float)
    return float(np.sum(terms)), float(np.sum(np.abs(terms)))


def close(a: object, b: object, allowed: float) -> object:
    with np.errstate(invalid="ignore"):
        return (np.equal(a, b)) | (np.isnan(a) & np.isnan(b)) | (np.abs(np.subtract(a, b, dtype=float)) <= allowed)


def name_of(f: Callable) -> str:
    return getattr(f, "__name__", type(f).__name__)
