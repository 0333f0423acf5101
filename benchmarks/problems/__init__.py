"""Twelve small problems of differentiation: each as a Numba user would write it, and its derivative by jitgrad.

A module has

    primal(input), derivative(input)    from a dict of numbers and (nested) lists or arrays, to numbers and lists
    generate(..., seed)                 an input, of a size; `SIZES` has a small, a middle and a large one
    expected(input)                     the derivative by other means: differences, or a closed form
    arguments(input)                    what the functions take that are compiled

and may have `CHECKED`, other functions of the input that `check` compares, by name.
"""

NAMES = ("hello", "det", "gmm", "ba", "ht", "kmeans", "llsq", "lse", "lstm", "ode", "particle", "saddle")
