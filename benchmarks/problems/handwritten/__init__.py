"""Derivatives written by hand in Numba, as fast as we can make them: what jitgrad's are measured against.

A module has `derivative(*arguments)`, compiled, which takes what `arguments` of the problem's own module gives, and
returns the arrays that jitgrad's derivative returns, or the number. It is the derivative of the program as written,
but loops may change places and run together, arrays change their layout, and sums their order. Loops aren't cut into
blocks, unrolled by hand, or replaced by another algorithm.
"""

FLAGS = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
SUMS = {"error_model": "numpy", "fastmath": {"contract", "nsz", "reassoc"}}  # in any order
SEPARATE = {"error_model": "numpy", "fastmath": {"nsz"}}  # products and sums apart: a sum alone is quicker
