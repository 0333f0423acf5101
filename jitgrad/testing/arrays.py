"""Derivatives by the array form of their programs, run by plain Python: the second opinion on what is compiled."""

from __future__ import annotations

from jitgrad.api.engine import Engine
from jitgrad.api.forward import Pushforward
from jitgrad.api.reverse import Vjp
from jitgrad.api.signature import normalize
from jitgrad.api.structure import unflatten
from jitgrad.testing.trees import everything, leaves_of


def run_arrays(engine: Engine, flat: object, extras: tuple) -> object:
    """What a call gives, by the array form of the program, run by plain Python.

    Args:
        engine: what `jitgrad.grad` and the others make.
        flat: `engine.flatten(args, kwargs)`.
        extras: the leaves of head gradients or tangents.
    """
    entry, results = engine.execute(flat, engine.request(), extras, interpreted=True)
    return unflatten(entry.structure, results)


def push_arrays(engine: Pushforward, args: tuple, tangents: tuple) -> tuple:
    """`jvp` by the array form."""
    flat = engine.flatten(args, {})
    dots = [normalize(t) for t in leaves_of(tangents, data=everything)[0] if t is not None]
    return run_arrays(engine, flat, tuple(dots))


def pullback_arrays(engine: Vjp, args: tuple, heads: object) -> tuple:
    """`vjp(f, *args)[1](heads)` by the array form, both parts."""
    flat = engine.flatten(args, {})
    entry, results = engine.execute(flat, None, (), interpreted=True)
    _, residuals = unflatten(entry.structure, results)
    second = entry.companion.entry
    given = {
        "leaf": residuals,
        "extra": [normalize(h) for h in leaves_of(heads, data=everything)[0] if h is not None],
    }
    values = [given[kind][k] for kind, k in second.program.params]
    return unflatten(second.structure, second.program.unpack(second.program.interpret(values)))
