"""`check_grads`: the derivatives of a function against differences, against each other, and compiled against not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jitgrad.api.engine import Engine
from jitgrad.api.forward import Pushforward, jvp
from jitgrad.api.reverse import Vjp, vjp
from jitgrad.api.structure import unflatten
from jitgrad.testing.arrays import pullback_arrays, push_arrays
from jitgrad.testing.trees import (
    bytes_of,
    close,
    copied,
    everything,
    float_leaves,
    inner,
    is_float,
    leaves_of,
    moved,
    name_of,
    no_statics,
    random_like,
    scaled,
)

MODES = ("fwd", "rev")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from each other numbers may be.

    `absolute` and `relative` are for differences, `rounding` is relative and for what is equal but for rounding.
    `step` is that of the differences, relative to the size of the argument.
    """

    absolute: float
    relative: float
    rounding: float
    step: float


# The error of a central difference is least at a step near the cube root of the rounding error.
DOUBLE = Tolerance(absolute=1e-8, relative=2e-6, rounding=1e-10, step=6e-6)
SINGLE = Tolerance(absolute=1e-4, relative=2e-2, rounding=5e-4, step=5e-3)


def check_grads(
    f: Callable, args: Sequence, order: int = 2, modes: Sequence[str] = MODES, *,
    atol: float | None = None, rtol: float | None = None, eps: float | None = None, seed: int = 0,
) -> None:  # fmt: skip
    """Check the derivatives of a function, compiled, at a point.

    For each order up to `order`, in one random direction v and with one random head u:

    * "fwd": J v against a central difference;
    * "rev": <J^T u, v> against <u, J v>, of forward mode to rounding if "fwd" is asked for, and of the difference;
    * the value of either mode is that of `f` as plain Python, in structure, dtypes, shapes and numbers;
    * compiled code gives what the array form gives when Python runs it, to rounding;
    * tangents and cotangents have the structure, dtypes and shapes of what they belong to, and what isn't
    floating-point
      has none;
    * the arguments are what they were before.

    Order n checks the derivatives of order n - 1 in the same way, as functions of the arguments and of v or u:
    with both
    modes, order 2 checks forward over forward, reverse over forward, forward over reverse and reverse over reverse.

    Args:
        f: the function.
        args: its positional arguments: arrays, numbers, and nested containers of them. Integers, booleans, strings and
            the like are passed as they are.
        order: the highest order to check.
        modes: of "fwd" and "rev", those to check.
        atol, rtol: how far a derivative may be from the difference: `atol + rtol * size`. By default as much as the
            rounding of the difference makes necessary for the dtypes.
        eps: the step of the differences, relative to the size of each argument (but not less than to 1).
        seed: of the random direction and head.

    Raises:
        AssertionError: a check has failed; it says which one, of which order, where, and by how much.
        ValueError, TypeError: `order`, `modes` or `args` are no such thing; there is no float argument.

    What it can't find: an error that is smaller than the tolerance (about 1e-6 for float64, a percent for float32, so
    check in float64); one that the random direction happens to be orthogonal to; one at other points, such as the
    other side
    of a branch. At a kink, or a step away from one, a difference means nothing, and neither it does where the
    function is noisy,
    random, or was told to have another derivative (`stop_gradient`). Nor does it see a missing dependence on what
    isn't among `args` (a global, a closure).

    Example:
        >>> import numpy as np
        >>> from jitgrad.testing import check_grads
        >>> check_grads(lambda x, n: np.sum(np.sin(x) ** n), (np.array([0.5, 2.0]), 2))
        >>> from jitgrad import stop_gradient
        >>> def forgets(x):
        ...     return x * stop_gradient(x)
        >>> check_grads(forgets, (2.0,), order=1, modes="fwd")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        AssertionError: check_grads(forgets), order 1, forward mode against a central difference: result is ...

    The method is that of `jax.test_util.check_grads`, with the exact comparison of the two modes added.
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not modes or not set(modes) <= set(MODES):
        raise ValueError(f"modes={modes!r}: there are 'fwd' and 'rev'")
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"order={order!r}: a positive integer is expected")
    if not isinstance(args, tuple | list):
        raise TypeError(f"args must be a tuple of the function's arguments, not a {type(args).__name__}")
    args = tuple(args)
    if not any(map(is_float, leaves_of(args)[0])):
        raise TypeError("no argument is floating-point: there is nothing to differentiate by")
    single = any(np.asarray(x).dtype == np.float32 for x in leaves_of(args)[0])
    default = SINGLE if single else DOUBLE
    tolerance = Tolerance(
        default.absolute if atol is None else atol, default.relative if rtol is None else rtol,
        default.rounding, default.step if eps is None else eps,
    )  # fmt: skip
    _check(f, args, order, modes, tolerance, np.random.default_rng(seed), f"check_grads({name_of(f)})", 1)


def _check(f, args, order, modes, tolerance, rng, title, n) -> None:
    """One order, and through itself the higher ones."""
    check = _Check(f, args, tolerance, rng, f"{title}, order {n}")
    if "fwd" in modes:
        check.forward()
    if "rev" in modes:
        check.reverse("fwd" in modes)
    if n == order:
        return
    if "fwd" in modes:

        def tangent(args, tangents):
            return jvp(f, args, tangents)[1]

        _check(tangent, (args, check.tangents), order, modes, tolerance, rng, f"{title}, of forward mode", n + 1)
    if "rev" in modes:

        def cotangents(args, heads):
            return vjp(f, *args)[1](heads)

        _check(cotangents, (args, check.heads), order, modes, tolerance, rng, f"{title}, of reverse mode", n + 1)


class _Check:
    """The checks of one function at one point."""

    def __init__(self, f: Callable, args: tuple, tolerance: Tolerance, rng: np.random.Generator, title: str):
        self.f, self.args, self.tolerance, self.title = f, args, tolerance, title
        self.leaves, _, self.structure = leaves_of(args)
        self.names = Pushforward(f).flatten(args, {}).names
        self.before = [bytes_of(x) for x in self.leaves]
        self.tangents = self._like(self.structure, self.leaves, rng)
        self.value = f(*copied(args))
        self.results, self.result_names, self.result_structure = leaves_of(self.value, "result")
        self.floats = [is_float(y) for y in self.results]
        if not any(self.floats):
            raise TypeError(f"{title}: the function returns no floating-point number")
        self.heads = self._like(self.result_structure, self.results, rng)
        self.difference = self._difference()
        self.y_dots: list | None = None

    # The two modes.
    def forward(self) -> None:
        mode = "forward mode"
        value, y_dot = self._run(Pushforward(self.f), mode, self.args, self.tangents)
        self._same_value(value, mode)
        dots = self._derivative_of_results(y_dot, mode)
        for name, dot, (slope, noise) in zip(self._float_names(), dots, self.difference, strict=True):
            self._near(dot, slope, noise, f"{mode} against a central difference", name)
        self.y_dots = dots

    def reverse(self, against_forward: bool) -> None:
        mode = "reverse mode"
        engine = Vjp(self.f)
        value, pullback = engine(*self.args)
        self._same_value(value, mode)
        x_bars = pullback(self.heads)
        self._unmodified(mode)
        self._against_arrays(x_bars, pullback_arrays(engine, self.args, self.heads), mode, "cotangent")
        bars = self._derivative_of_arguments(x_bars, mode)
        self._same_numbers(pullback(self.heads), x_bars, f"{mode}, the pullback called again", "cotangent")
        dots = [t for t in leaves_of(self.tangents, data=everything)[0] if t is not None]
        found = [inner(bar, dot) for bar, dot in zip(bars, dots, strict=True)]
        heads = [h for h in leaves_of(self.heads, data=everything)[0] if h is not None]
        pulled, size = sum(f for f, _ in found), sum(s for _, s in found)
        if against_forward:
            pushed = [inner(h, d) for h, d in zip(heads, self.y_dots, strict=True)]
            size += sum(s for _, s in pushed)
            expected = sum(p for p, _ in pushed)
            if not close(pulled, expected, self.tolerance.rounding * size + np.finfo(float).tiny):
                what = f"{mode} against forward mode{self._culprit(bars, heads)}"
                self._fail(what, "<J^T u, v>", pulled, expected, self.tolerance.rounding * size)
        slopes = [inner(h, slope) for h, (slope, _) in zip(heads, self.difference, strict=True)]
        expected = sum(s for s, _ in slopes)
        noise = sum(np.sum(np.abs(h)) * n for h, (_, n) in zip(heads, self.difference, strict=True))
        size += sum(s for _, s in slopes)
        allowed = self.tolerance.absolute + noise + self.tolerance.relative * size
        if not close(pulled, expected, allowed):
            self._fail(f"{mode} against a central difference", "<J^T u, v>", pulled, expected, allowed)

    def _culprit(self, bars: list, heads: list) -> str:
        """Which argument's cotangent is the wrong one, as far as moving one argument at a time tells."""
        engine = Pushforward(self.f)
        wrong = []
        floats = [k for k, x in enumerate(self.leaves) if is_float(x)]
        tangents = [t for t in leaves_of(self.tangents, data=everything)[0] if t is not None]
        for place, bar, dot in zip(floats, bars, tangents, strict=True):
            alone = [
                None if not is_float(x) else dot if k == place else scaled(x, 0.0) for k, x in enumerate(self.leaves)
            ]
            _, y_dot = engine(self.args, unflatten(no_statics(self.structure), iter(alone)))
            pushed = [inner(h, d) for h, d in zip(heads, float_leaves(y_dot, self.floats), strict=True)]
            pulled, size = inner(bar, dot)
            size += sum(s for _, s in pushed)
            if not close(pulled, sum(p for p, _ in pushed), self.tolerance.rounding * size + np.finfo(float).tiny):
                wrong.append(self.names[place])
        return f" (argument {', '.join(wrong)})" if wrong else ""

    # Single checks.
    def _run(self, engine: Engine, mode: str, args: tuple, tangents: tuple) -> tuple:
        result = engine(args, tangents)
        self._unmodified(mode)
        self._against_arrays(result, push_arrays(engine, args, tangents), mode, "result")
        self._same_numbers(engine(args, tangents), result, f"{mode}, called again", "result")
        return result

    def _unmodified(self, mode: str) -> None:
        for x, name, before in zip(self.leaves, self.names, self.before, strict=True):
            if bytes_of(x) != before:
                raise AssertionError(f"{self.title}, {mode}: argument {name} was modified")

    def _same_value(self, value: object, mode: str) -> None:
        self._same_structure(value, self.result_structure, f"{mode}, the value", "result")
        for y, wanted, name in zip(leaves_of(value)[0], self.results, self.result_names, strict=True):
            self._same_type(y, wanted, f"{mode}, the value against plain Python", name)
        self._same_numbers(value, self.value, f"{mode}, the value against plain Python", "result")

    def _against_arrays(self, compiled: object, arrays: object, mode: str, what: str) -> None:
        self._same_numbers(compiled, arrays, f"{mode}, compiled against the array form", what)

    def _same_numbers(self, found: object, wanted: object, what: str, prefix: str) -> None:
        """All leaves are the same but for rounding."""
        pairs = zip(*(leaves_of(x, prefix)[:2] for x in (found, wanted)), strict=True)
        (xs, ys), (names, _) = pairs
        if len(xs) != len(ys):
            raise AssertionError(f"{self.title}, {what}: {len(xs)} arrays instead of {len(ys)}")
        for x, y, name in zip(xs, ys, names, strict=True):
            if np.shape(x) != np.shape(y):
                raise AssertionError(f"{self.title}, {what}: {name} has shape {np.shape(x)} instead of {np.shape(y)}")
            x, y = np.asarray(x), np.asarray(y)
            exact = y.dtype.kind in "biu"
            size = np.max(np.abs(y[np.isfinite(y)]), initial=0.0) if not exact else 0.0
            rounding = 0.0 if exact else self.tolerance.rounding * (float(size) + 1e-30)
            if not np.all(close(x, y, rounding)):
                self._fail_at(what, name, x, y, rounding)

    def _derivative_of_results(self, y_dot: object, mode: str) -> list:
        self._same_structure(y_dot, no_statics(self.result_structure), f"{mode}, the tangent", "result")
        for dot, y, name in zip(leaves_of(y_dot)[0], self.results, self.result_names, strict=True):
            self._same_type(dot, y, f"{mode}, the tangent", name)
            if not is_float(y) and np.any(dot):
                raise AssertionError(f"{self.title}, {mode}: the tangent of {name} isn't zero, though it is no float")
        return float_leaves(y_dot, self.floats)

    def _derivative_of_arguments(self, x_bars: object, mode: str) -> list:
        floats = iter([is_float(x) for x in self.leaves])
        wanted = no_statics(self.structure, floats)
        self._same_structure(x_bars, wanted, f"{mode}, the cotangents", "args")
        bars = leaves_of(x_bars)[0]
        given = [(x, name) for x, name in zip(self.leaves, self.names, strict=True) if is_float(x)]
        for bar, (x, name) in zip(bars, given, strict=True):
            self._same_type(bar, x, f"{mode}, the cotangent", name)
        return bars

    def _same_structure(self, found: object, wanted: tuple, what: str, name: str) -> None:
        structure = leaves_of(found, name)[2]
        if structure != wanted:
            raise AssertionError(f"{self.title}, {what}: the structure is {structure} instead of {wanted}")

    def _same_type(self, found: object, wanted: object, what: str, name: str) -> None:
        for kind, a, b in (
            ("dtype", np.asarray(found).dtype, np.asarray(wanted).dtype), ("shape", np.shape(found), np.shape(wanted)),
        ):  # fmt: skip
            if a != b and not (kind == "dtype" and a.newbyteorder("=") == b.newbyteorder("=")):
                raise AssertionError(f"{self.title}, {what}: {name} has {kind} {a} instead of {b}")

    def _near(self, found, slope, noise: float, what: str, name: str) -> None:
        found, slope = np.asarray(found), np.asarray(slope)
        size = np.maximum(np.abs(found), np.abs(slope))
        allowed = self.tolerance.absolute + noise + self.tolerance.relative * np.max(size, initial=0.0)
        if not np.all(close(found, slope, allowed)):
            self._fail_at(what, name, found, slope, allowed)

    def _fail_at(self, what: str, name: str, found: np.ndarray, wanted: np.ndarray, allowed: float) -> None:
        good = close(found, wanted, allowed)
        worst = np.where(good, -1.0, np.nan_to_num(np.abs(np.subtract(found, wanted, dtype=float)), nan=np.inf))
        place = np.unravel_index(int(np.argmax(worst)), worst.shape) if worst.ndim else ()
        where = f"{name}[{', '.join(map(str, place))}]" if place else name
        self._fail(what, where, found[place], wanted[place], allowed, f"; {np.sum(~good)} of {good.size} differ")

    def _fail(self, what: str, where: str, found, wanted, allowed: float, more: str = "") -> None:
        apart = abs(float(found) - float(wanted))
        note = "" if np.isfinite(float(wanted)) else "; what isn't finite proves nothing: choose another point"
        raise AssertionError(
            f"{self.title}, {what}: {where} is {float(found)!r} instead of {float(wanted)!r}, "
            f"{apart:.2g} apart where {allowed:.2g} is allowed{more}{note}"
        )

    # Directions and differences.
    def _like(self, structure: tuple, leaves: list, rng: np.random.Generator) -> tuple:
        """Random numbers for what is floating-point, None for all else."""
        random = [random_like(x, rng) if is_float(x) else None for x in leaves]
        return unflatten(no_statics(structure), iter(random))

    def _float_names(self) -> list[str]:
        return [name for name, is_float in zip(self.result_names, self.floats, strict=True) if is_float]

    def _difference(self) -> list[tuple]:
        """For each float result the slope along the tangents, and how much of it may be rounding."""
        dots = leaves_of(self.tangents, data=everything)[0]
        dots = iter([d for d in dots if d is not None])
        lengths = [max(1.0, float(np.max(np.abs(x), initial=0.0))) for x in self.leaves if is_float(x)]
        h = self.tolerance.step * max(lengths)
        moves = [next(dots) if is_float(x) else None for x in self.leaves]
        ends = []
        for sign in (1, -1):
            end = [x if d is None else moved(x, sign * h, d) for x, d in zip(self.leaves, moves, strict=True)]
            y = self.f(*copied(unflatten(self.structure, iter(end))))
            ends.append(float_leaves(y, self.floats))
        out = []
        for up, down in zip(*ends, strict=True):
            up, down = np.asarray(up), np.asarray(down)
            precision = float(np.finfo(up.dtype).eps)
            size = float(np.max(np.abs(up[np.isfinite(up)]), initial=0.0))
            out.append(((up.astype(float) - down.astype(float)) / (2 * h), 16 * precision * size / h))
        return out
