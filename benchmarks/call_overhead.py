"""What a call costs beside the machine code: the way of a call against Numba's bare dispatcher with the same arguments.

    python -m benchmarks.call_overhead

Nanoseconds a call; both are measured in turns, and the least of many short runs is taken. The allowance is one
microsecond for a few array arguments, and three for a dict of eight arrays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.machine import header
from jitgrad import grad, jit, jvp, value_and_grad, vjp
from jitgrad.api.forward import _engine as pushforward
from jitgrad.api.reverse import _engine as forward_pass

CALLS, RUNS = 500, 200
W, X, Y = (np.linspace(1.0, 2.0, 4) + k for k in range(3))
PARAMS = {f"w{k}": W + k for k in range(8)}


def loss(w, x, y):
    return np.sum((x * w - y) ** 2)


def layers(params, x):
    total = 0.0
    for key in params:
        total = total + np.sum(params[key] * x)
    return total


def wave(x):
    return x**2 + np.sin(x)


def number(a, b):
    return a * b + np.sin(a)


class Case:
    """A call, and the call of the dispatcher that it comes down to."""

    def __init__(self, name: str, call: Callable, engine: object, args: tuple, extras: tuple, request: object = None):
        call()
        self.name, self.call = name, call
        flat = engine.flatten(args, {})
        entry = engine.entry(flat, request)
        values = engine.values(entry, flat, extras)
        self.bare = partial(engine.kernel(entry.program, values), *values)


def cases() -> Iterator[Case]:
    """The calls of the table."""
    for name, make in (("grad", grad), ("value_and_grad", value_and_grad)):
        engine = make(loss)
        yield Case(f"{name}, three arrays", partial(engine, W, X, Y), engine, (W, X, Y), (1.0,), "scalar")
    engine = grad(loss)
    yield Case("grad, head=2.0", partial(engine, W, X, Y, head=2.0), engine, (W, X, Y), (2.0,), "scalar")
    engine = grad(wave)
    yield Case("grad, an array as the head", partial(engine, X, head=Y), engine, (X,), (Y,), "array")
    engine = grad(layers)
    yield Case("grad, a dict of eight arrays", partial(engine, PARAMS, X), engine, (PARAMS, X), (1.0,), "scalar")
    engine = jit(loss)
    yield Case("jit, three arrays", partial(engine, W, X, Y), engine, (W, X, Y), ())
    for kind in (float, int, np.float64):
        engine = grad(number, argnums=1)
        args = (kind(2), 3.0)
        yield Case(f"grad, numbers, {kind.__name__}", partial(engine, *args), engine, args, (1.0,), "scalar")
    engine = pushforward(wave, True)
    yield Case("jvp", partial(jvp, wave, (X,), (Y,)), engine, (X,), (Y,))
    engine = forward_pass(wave, True)
    yield Case("vjp, the value", partial(vjp, wave, X), engine, (X,), ())
    _, pullback = vjp(wave, X)
    yield pulled("vjp, the pullback", partial(pullback, Y), engine, Y)


def pulled(name: str, call: Callable, engine: object, head: np.ndarray) -> Case:
    """The call of a pullback."""
    entry = engine.entry(engine.flatten((X,), {}), None)
    _, residuals = engine.execute(engine.flatten((X,), {}), None, ())
    second = entry.companion.entry
    given = {"leaf": list(residuals)[1:], "extra": [head]}
    values = [given[kind][k] for kind, k in second.program.params]
    case = object.__new__(Case)
    call()
    case.name, case.call = name, call
    case.bare = partial(engine.kernel(second.program, values), *values)
    return case


def least(functions: list[Callable]) -> list[float]:
    """Nanoseconds a call of each, called in turns."""
    found = [float("inf")] * len(functions)
    for _ in range(RUNS):
        for k, function in enumerate(functions):
            start = time.perf_counter_ns()
            for _ in range(CALLS):
                function()
            found[k] = min(found[k], (time.perf_counter_ns() - start) / CALLS)
    return found


def main() -> None:
    print(header())
    print(f"{'call':34}{'dispatcher':>12}{'jitgrad':>10}{'over':>8}")
    for case in cases():
        bare, ours = least([case.bare, case.call])
        print(f"{case.name:34}{bare:9.0f} ns{ours:7.0f} ns{ours - bare:5.0f} ns", flush=True)


if __name__ == "__main__":
    main()
