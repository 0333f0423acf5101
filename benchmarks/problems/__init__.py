"""Twelve small problems of differentiation: each as a Numba user would write it, and its derivative by jitgrad.

A module has

    primal(input), derivative(input)    from a dict of numbers and (nested) lists or arrays, to numbers and lists
    generate(..., seed)                 an input, of a size; `SIZES` has a small, a middle and a large one
    expected(input)                     the derivative by other means: differences, or a closed form
    arguments(input)                    what the functions take that are compiled
    programs(input)                     those functions, to be timed; all but hello

and may have `CHECKED`, other functions of the input that `check` compares, by name. particle and saddle have
`descent(input)`: their descent, compiled, and how often it evaluates the primal and its derivative. The module of the
same name in `handwritten` has the derivative as one would write it in Numba without jitgrad, where speed is all that
counts.
"""

from collections.abc import Callable
from typing import NamedTuple

NAMES = ("hello", "det", "gmm", "ba", "ht", "kmeans", "llsq", "lse", "lstm", "ode", "particle", "saddle")


class Programs(NamedTuple):
    """The compiled functions of a problem: they take the same arguments, numbers and arrays."""

    plain: Callable  # the primal under plain @njit
    ours: Callable  # the primal by jitgrad
    derivative: Callable  # by jitgrad
