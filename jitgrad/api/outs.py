"""`out=`: arrays of the caller's that results are written into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from jitgrad.api.program import Program
from jitgrad.api.signature import normalize, overlaps
from jitgrad.api.structure import LEAF, Static, count, get_part


@dataclass(frozen=True, slots=True)
class Outs:
    """The arrays that a call gives for results.

    Attributes:
        structure: that of `out`: of the results, with a static None for each that has no array.
        arrays: the arrays, by the numbers of the results.
        names: those of the arrays that the program itself writes to. The others get copies in the end.
        shared: for an array that shares memory with params of the program, the numbers of these.
    """

    structure: tuple
    arrays: dict[int, np.ndarray]
    names: Mapping[int, str]
    shared: dict[int, list[int]]

    def merged(self, program: Program, results: object) -> Iterator:
        """All results, of those that a program gives which writes to the arrays."""
        given = program.unpack(results)
        for k in range(len(program.results)):
            if k in self.names:
                yield self.arrays[k]
            elif k in self.arrays:
                yield fill(self.arrays[k], next(given))
            else:
                yield next(given)


def outs_of(out: object, structure: tuple, first: int, program: Program, values: list) -> Outs:
    """The arrays of a call, looked at.

    Args:
        out: what the user gives.
        structure: that of the results which `out` stands for; `first` is the number of the first of them.
        program: what gives all results.
        values: of its params.

    Raises:
        TypeError: something that is no array, of another dtype, or in another structure than the results.
        ValueError: an array of another rank, or one that can't be written to; arrays that share memory.
    """
    arrays: dict[int, np.ndarray] = {}
    names: dict[int, str] = {}
    shared: dict[int, list[int]] = {}
    for k, (name, x) in enumerate(_pairs(structure, out, "out"), first):
        if x is None:
            continue
        _check(x, name, program.results[k])
        for other in arrays.values():
            if overlaps(x, other) and np.shares_memory(x, other):
                raise ValueError(f"{name} shares memory with another part of out")
        arrays[k] = x
        overlapped = [j for j, value in enumerate(values) if overlaps(x, value)]
        if overlapped:
            shared[k] = overlapped
        elif x.ndim and normalize(x) is x:
            names[k] = name
    return Outs(_structure(structure, out), arrays, names, shared)


def fill(array: np.ndarray, result: object) -> np.ndarray:
    """Write a result into an array, which shall have its shape."""
    if array.shape != np.shape(result):
        raise ValueError(f"out has shape {array.shape}, where the result has shape {np.shape(result)}")
    array[...] = result
    return array


def _check(x: object, name: str, result: object) -> None:
    """Raise an error unless a result can be written into `x`."""
    if type(x) is not np.ndarray:
        raise TypeError(f"{name} is a {type(x).__name__}; a NumPy array is expected, or None")
    if x.dtype.newbyteorder("=") != result.dtype:
        raise TypeError(f"{name} has dtype {x.dtype}; {result.dtype} is expected")
    if x.ndim != result.ndim:
        raise ValueError(f"{name} has {x.ndim} axes, where the result has {result.ndim}")
    if not x.flags.writeable:
        raise ValueError(f"{name} is read-only")


def _pairs(structure: tuple, out: object, name: str) -> Iterator[tuple[str, object]]:
    """For each leaf of the results the name of its array, and the array."""
    if structure == LEAF:
        yield name, out
    elif out is None:
        yield from [(name, None)] * count(structure)
    elif structure[0] == "static":
        if out is not structure[1].value:
            raise TypeError(f"{name} stands for what is no array; give None")
    else:
        kind, cls, keys, n = structure[:4]
        fits = (
            type(out) is cls and (kind == "dataclass" or len(out) == n) and (kind != "dict" or out.keys() == set(keys))
        )
        if not fits:
            raise TypeError(
                f"{name} is a {_described(out)}; {_described_structure(structure)} is expected, as the result is"
            )
        for k, part in enumerate(structure[4:]):
            key = keys[k] if keys else k
            text = f"{name}.{key}" if kind == "dataclass" else f"{name}[{key!r}]" if kind == "dict" else f"{name}[{k}]"
            yield from _pairs(part, get_part(kind, out, key, k), text)


def _described(out: object) -> str:
    return f"{type(out).__name__} of {len(out)}" if hasattr(out, "__len__") else type(out).__name__


def _described_structure(structure: tuple) -> str:
    kind, cls, keys, n = structure[:4]
    return f"a {cls.__name__} of {n}" + (f" with the keys {', '.join(map(repr, keys))}" if kind == "dict" else "")


def _structure(structure: tuple, out: object) -> tuple:
    """The structure of `out`, with a static None for each result that has no array."""
    if out is None or structure == LEAF or structure[0] == "static":
        return ("static", Static(None)) if out is None else structure
    kind, _, keys, _ = structure[:4]
    parts = (_structure(part, get_part(kind, out, keys[k] if keys else k, k)) for k, part in enumerate(structure[4:]))
    return (*structure[:4], *parts)
