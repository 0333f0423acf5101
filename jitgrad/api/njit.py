"""What Numba gets for a gradient that the user's compiled code calls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jitgrad.api.caller import write_result
from jitgrad.api.engine import Engine
from jitgrad.api.outs import Outs, outs_of
from jitgrad.api.structure import LEAF, Static
from jitgrad.compile.numba_bridge import contiguous, dispatcher


def kernel_for(
    engine: Engine, request: object, values: list, extras: list[str], extra_values: tuple, out: object
) -> tuple:
    """Kernel, arguments, result and bound names for a call from compiled code.

    Args:
        engine: the gradient.
        request: the kind of head.
        values: values like those of the call's arguments.
        extras: the expressions for the further params.
        extra_values: values like those of the further params.
        out: arrays like those that are given for results, or None.

    Raises:
        TypeError, ValueError: what can't be done inside compiled code.
    """
    flat = engine.flatten(tuple(values), {})
    entry = engine.entry(flat, request)
    program = entry.program
    if entry.static:
        names = ", ".join(repr(flat.names[k]) for k in sorted(entry.static))
        raise TypeError(f"the value of {names} must be known while compiling, which it isn't inside compiled code")
    if entry.primal.written and sum(isinstance(x, np.ndarray) for x in flat.leaves) > 1:
        raise TypeError("it writes to an argument, which another array might share memory with; let it write to a copy")
    bound: dict[str, object] = {}
    leaves: list[str] = []
    for name, structure in zip(engine.arguments.names, flat.structures, strict=False):
        _take_apart(name, structure, leaves)
    arguments, passed = [], []
    for kind, k in program.params:
        if kind == "leaf":
            value, text = flat.leaves[k], contiguous(leaves[k], flat.leaves[k])
        elif kind == "extra":
            value, text = extra_values[k], extras[k]
        else:
            value = entry.primal.hidden[k].read() if kind == "hidden" else entry.primal.captured[k]
            if kind == "hidden" and isinstance(value, np.ndarray):
                path = entry.primal.hidden[k].path
                raise TypeError(f"it reads the array {path!r} from outside; pass it as an argument instead")
            if isinstance(value, np.ndarray):
                value = value.copy()
                value.flags.writeable = False  # as Numba types a global array
            text = f"{kind}{k}"
            bound[text] = value
        arguments.append(text)
        passed.append(value)
    texts: dict[int, str] = {}
    if out is not None:
        outs = outs_of(out, entry.target, entry.first, program, passed)
        if len(outs.names) < len(outs.arrays):
            raise TypeError("inside compiled code the arrays of out have axes, and are C-contiguous")
        program, texts = program.into(outs.names), _texts(outs)
        arguments += texts.values()
        passed += outs.arrays.values()
    kernel = engine.kernel(program, passed)
    texts |= program.texts()
    return kernel, arguments, write_result(entry.structure, program.results, _refuse, texts, in_python=False), bound


def _texts(outs: Outs) -> dict[int, str]:
    """The expressions for the arrays that are given for results."""
    names: list[str] = []
    _take_apart("out", outs.structure, names)
    return dict(zip(outs.arrays, names, strict=True))


def _take_apart(name: str, structure: tuple, leaves: list[str]) -> None:
    """The expressions for the leaves of an argument."""
    if structure == LEAF:
        leaves.append(name)
    elif structure[0] == "tuple":
        for k, part in enumerate(structure[4:]):
            _take_apart(f"{name}[{k}]", part, leaves)
    elif structure != ("static", Static(None)):
        raise TypeError(f"argument {name!r} is no array, number or tuple")


def _refuse(what: object) -> str:
    raise TypeError("inside compiled code only arrays, numbers and tuples can be returned")


def make_dispatcher(engine: Engine, suffix: str, build: Callable, head: bool):
    """The function that stands for an engine in compiled code.

    `build` gets the values of its arguments, of the head if there is one, and of `out`.
    """
    names = list(engine.arguments.names)
    name = f"{getattr(engine.function, '__name__', 'function')}_{suffix}"
    name = name if name.isidentifier() else f"function_{suffix}"
    defaults = {"head": 1.0} if head else {}
    if "out" not in names:
        defaults["out"] = None

    def build_for(values: list) -> tuple:
        return build(values if "out" in defaults else [*values, None])

    return dispatcher(name, [*names, *defaults], defaults, build_for)
