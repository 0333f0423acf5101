"""The generated derivative of a small function, as Python code, in both forms.

    python examples/show_adjoint.py [--form numpy|numba]

The array form is for reading and for stepping through with a debugger: it is NumPy code in the function's
own names (`w_bar` is the adjoint of `w`), and runs without Numba. The Numba form is what is compiled: the
same program as loops.
"""

from __future__ import annotations

import argparse

import numpy as np

from jitgrad import grad


@grad
def loss(w, X, y):
    """The logistic loss of the labels y, which are 1 or -1."""
    z = X @ w
    return np.mean(np.log1p(np.exp(-y * z)))


def main() -> None:
    """Print the traced function, its adjoint in both forms, and what it gives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--form", choices=["numpy", "numba"], help="only this form")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    w, X, y = np.zeros(3), rng.normal(size=(5, 3)), np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    if options.form is None:
        print("The traced function\n")
        print(loss.graph(w, X, y), end="\n\n")
    for form, title in (("numpy", "The adjoint, array form"), ("numba", "The adjoint, as it is compiled")):
        if options.form in (None, form):
            print(f"{title}\n")
            print(loss.source(w, X, y, form=form))
    print("The gradient at 0:", loss(w, X, y))


if __name__ == "__main__":
    main()
