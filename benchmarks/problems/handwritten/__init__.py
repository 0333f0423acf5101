"""Derivatives written by hand in Numba, as fast as we can make them: what jitgrad's are measured against.

A module has `derivative(*arguments)`, compiled, which takes what `arguments` of the problem's own module gives, and
returns the arrays that jitgrad's derivative returns, or the number. It computes what the derivative of the program as
written computes; but loops change places, arrays their layout, and sums their order.
"""

FLAGS = {"error_model": "numpy", "fastmath": {"arcp", "contract", "nsz"}}
SUMS = {"error_model": "numpy", "fastmath": {"arcp", "contract", "nsz", "reassoc"}}  # in any order
