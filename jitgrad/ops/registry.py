"""Which operation stands for which NumPy name.

Filled by the modules of `jitgrad.ops`, read by everything that carries NumPy's protocols.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

UFUNCS: dict[object, Callable] = {}
FUNCTIONS: dict[object, Callable] = {}
METHODS: dict[str, Callable] = {}
SPECIAL: dict[str, Callable] = {}  # functions of scipy.special, by name
DEMANDS: dict[object, Callable] = {}  # what an operator makes sure of before it is applied
TAKES: dict[object, Callable] = {}  # what it takes for its operands


def numpy_function(*names: Callable | None, method: str | None = None) -> Callable:
    """Decorator: this function, written over operations, is what the NumPy functions `names` mean.

    A name may be None: a function that the installed NumPy doesn't have yet.
    """

    def register(function: Callable) -> Callable:
        for name in filter(None, names):
            FUNCTIONS[name] = function
        if method is not None:
            METHODS[method] = function
        return function

    return register


def misfit(implementation: Callable, args: tuple, kwargs: dict) -> str | None:
    """The keywords that a NumPy function takes and what stands for it doesn't; None if the call fits."""
    try:
        parameters = inspect.signature(implementation).parameters
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    unknown = [k for k in kwargs if k not in parameters]
    return ", ".join(f"{k}=" for k in unknown) or None


def special(function: object) -> Callable | None:
    """What stands for a ufunc of `scipy.special`, which isn't imported for that; or None."""
    module = sys.modules.get("scipy.special")
    name = getattr(function, "__name__", "")
    return SPECIAL.get(name) if module is not None and getattr(module, name, None) is function else None


def lookup(function: object) -> Callable | None:
    """What stands for a ufunc or NumPy function, or None."""
    try:
        return UFUNCS.get(function) or FUNCTIONS.get(function)
    except TypeError:  # unhashable: no NumPy function
        return None
