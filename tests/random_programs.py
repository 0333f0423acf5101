"""Random straight-line programs over the operation table, as Python text, and their checks; failing ones shrink.

A program is written while it is run on one set of arguments, so that shapes fit and numbers stay small.
"""

from __future__ import annotations

import linecache

import numpy as np
from feeding import close, direction, inner, leaves, moved, same, slope

from jitgrad.api.forward import Pushforward
from jitgrad.api.reverse import Vjp
from jitgrad.errors import TraceError
from jitgrad.testing import pullback_arrays, push_arrays

SHAPES = [(), (3,), (4,), (1,), (3, 4), (4, 3), (1, 4), (3, 1), (2, 3, 4), (2, 1, 4), (4, 4)]
UNARY = [
    "np.sin({})",
    "np.cos({})",
    "np.tanh({})",
    "np.exp(-{} * {})",
    "np.sqrt(1 + {} * {})",
    "np.log1p({} * {})",
    "np.arctan({})",
    "-{}",
    "abs({})",
    "np.square({})",
    "{} ** 3",
    "2.0 - {}",
    "0.5 * {}",
    "1 / (2 + {} * {})",
    "np.maximum({}, 0.1)",
    "np.clip({}, -0.7, 0.9)",
    "np.where({} > 0.2, {}, 0.3)",
    "np.expm1(np.tanh({}))",
    "np.logaddexp({}, 0.3)",
    "np.sinc({})",
    "np.arcsinh({})",
    "np.cbrt(1.5 + {} * {})",
    "np.float64(1.5) * {}",
    "{} * 1.0",
    "(1.2 + np.tanh({})) ** 1.7",
    "1.3 ** {}",
    "np.sign({}) * {}",
    "np.nan_to_num({})",
]
BINARY = [
    "{0} + {1}",
    "{0} - {1}",
    "{0} * {1}",
    "{0} / (2 + {1} * {1})",
    "np.maximum({0}, {1})",
    "np.minimum({0}, {1})",
    "np.where({0} > {1}, {0} * {1}, {1})",
    "np.hypot({0}, 1 + {1} * {1})",
    "np.arctan2({0}, 1.5 + np.tanh({1}))",
    "np.logaddexp({0}, {1})",
    "(1.5 + np.tanh({0})) ** {1}",
    "np.where({0} > 0, {0}, {1})",
]
REDUCE = ["sum", "mean", "max", "min", "prod", "var", "std"]
LIMIT = 8.0


class Writer:
    """Writes one program."""

    def __init__(self, seed: int, steps: int):
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.space: dict[str, object] = {"np": np}
        exec(HELPER, self.space)
        self.names: list[str] = []
        self.params = []
        for k in range(self.rng.integers(1, 4)):
            shape = self.pick(SHAPES)
            numbers = self.rng.uniform(-1.5, 1.5, shape)
            self.params.append(numbers if shape else float(numbers))
            self.names.append(f"x{k}")
            self.space[f"x{k}"] = self.params[-1]
        self.inputs = list(self.names)
        while len(self.lines) < steps:
            text = self.pick(self.makers())()
            if text is not None:
                self.add(text)

    def pick(self, items: list) -> object:
        return items[self.rng.integers(len(items))]

    def add(self, text: str) -> None:
        name = f"t{len(self.lines)}"
        with np.errstate(all="ignore"):
            try:
                value = eval(text, self.space)
            except (ValueError, IndexError):
                return  # the shapes don't fit, and need not
        if np.size(value) > 60 or np.ndim(value) > 4 or not np.all(np.isfinite(value)) or np.size(value) == 0:
            return
        if np.max(np.abs(value)) > LIMIT:
            text = f"np.tanh({text})"
            value = np.tanh(value)
        self.lines.append(f"{name} = {text}")
        self.space[name] = value
        self.names.append(name)

    def any(self, rank: int | None = None, least: int = 0) -> str | None:
        fit = [n for n in self.names if np.ndim(self.space[n]) >= least and rank in (None, np.ndim(self.space[n]))]
        return self.pick(fit[-6:] + fit) if fit else None

    def shape(self, name: str) -> tuple:
        return np.shape(self.space[name])

    def makers(self) -> list:
        return [
            self.unary,
            self.unary,
            self.binary,
            self.binary,
            self.binary,
            self.reduce,
            self.reduce,
            self.index,
            self.index,
            self.move,
            self.join,
            self.product,
            self.scan,
            self.write,
        ]

    def unary(self) -> str:
        x, form = self.any(), self.pick(UNARY)
        return form.format(*[x] * form.count("{}"))

    def binary(self) -> str:
        return self.pick(BINARY).format(self.any(), self.any())

    def reduce(self) -> str | None:
        x = self.any(least=1)
        if x is None:
            return None
        n, function = len(self.shape(x)), self.pick(REDUCE)
        axis = self.pick([None, *range(-n, n), *([(0, n - 1)] if n > 1 else [])])
        return f"np.{function}({x}, axis={axis}, keepdims={self.pick([True, False])})"

    def scan(self) -> str | None:
        x = self.any(least=1)
        return None if x is None else f"np.cumsum({x}, axis={self.pick([None, 0, -1])})"

    def index(self) -> str | None:
        x = self.any(least=1)
        if x is None:
            return None
        parts = []
        for n in self.shape(x)[: self.rng.integers(1, len(self.shape(x)) + 1)]:
            a, b = sorted(int(k) for k in self.rng.integers(-n, n + 1, 2))
            parts.append(
                self.pick(
                    [
                        f"{a}:",
                        f":{b}",
                        f"{a}:{b}",
                        "::-1",
                        "::2",
                        f"{int(self.rng.integers(n))}",
                        "-1",
                        f"[{n - 1}, 0, {n - 1}]",
                        "None",
                        ":",
                        f"np.array([True, {', '.join(['False', 'True'][k % 2] for k in range(n - 1))}])"
                        if n > 1
                        else "0",
                        "...",
                    ]
                )
            )
        return f"{x}[{', '.join(parts)}]" if parts.count("...") < 2 else None

    def move(self) -> str | None:
        x = self.any(least=1)
        if x is None:
            return None
        shape = self.shape(x)
        n, size = len(shape), int(np.prod(shape))
        order = tuple(int(k) for k in self.rng.permutation(n))
        return self.pick(
            [
                f"{x}.T",
                f"np.transpose({x}, {order})",
                f"{x}.reshape(-1)",
                f"{x}.reshape({size // 2}, 2)",
                f"np.flip({x})",
                f"np.roll({x}, {int(self.rng.integers(-3, 4))}, axis={self.pick([None, 0])})",
                f"np.expand_dims({x}, {n})",
                f"np.repeat({x}, 2, axis={self.pick([None, 0])})",
                f"np.tile({x}, 2)",
                f"np.broadcast_to({x}, (2, *{shape}))",
                f"np.moveaxis({x}, 0, -1)",
                f"{x}.reshape({shape[-1]}, -1)",
                f"np.squeeze({x}[:1])",
                f"np.ravel({x}, order='F')",
            ]
        )

    def join(self) -> str | None:
        x = self.any(least=1)
        y = self.any(rank=len(self.shape(x))) if x else None
        if y is None:
            return None
        return self.pick(
            [
                f"np.concatenate([{x}, {y}])",
                f"np.stack([{x}, {x} * 2], axis=-1)",
                f"np.concatenate([{y}, {x}], axis=-1)",
                f"np.vstack([{x}, {x}])",
                f"np.hstack([{x}, {y}])",
                f"np.pad({x}, 1)",
            ]
        )

    def product(self) -> str | None:
        x, y = self.any(least=1), self.any(least=1)
        if x is None:
            return None
        n = len(self.shape(x))
        letters = "abcd"[:n]
        return self.pick(
            [
                f"{x} @ {y}",
                f"np.dot({x}, {y})",
                f"{x} @ {x}.T",
                f"np.outer({x}, {y})",
                f"np.linalg.norm({x})",
                f"np.inner({x}, {y})",
                f"np.einsum('{letters},{letters}->{letters[0]}', {x}, {x})",
                f"np.tensordot({x}, {y}, axes=1)",
                f"np.trace({x})",
                f"np.tril({x})",
                f"np.diagonal({x})",
                f"np.linalg.norm({x}, axis=0)",
            ]
        )

    def write(self) -> str | None:
        x, y = self.any(least=1), self.any(rank=0)
        if x is None or y is None:
            return None
        n = self.shape(x)[0]
        place = self.pick(["0", "-1", "1:", "::2", "...", f"[0, {n - 1}, 0]", "::-1"])
        value = self.pick([y, f"{x}[0] * 2", f"{y} + {x}[-1]"])
        return f"written({x}, {_slice(place) if ':' in place or place == '...' else place}, {value})"

    def build(self) -> Program:
        """The program; its results are what no statement reads, so that nothing is computed for nothing."""
        read = set().union(*(_words(line.split(" = ", 1)[1]) for line in self.lines))
        results = [name for name in self.names[len(self.inputs) :] if name not in read]
        return Program(self.inputs, self.lines, results, self.params)


def _slice(text: str) -> str:
    if text == "...":
        return "Ellipsis"
    bounds = [b or "None" for b in text.split(":")]
    return f"slice({', '.join(bounds)})"


HELPER = """def written(x, place, value):
    z = x * 1.0
    z[place] = value
    return z


"""


class Program:
    """Statements, results, and arguments to run them on."""

    count = 0

    def __init__(self, inputs: list[str], lines: list[str], results: list[str], args: list):
        self.inputs, self.lines, self.results, self.args = inputs, lines, results, tuple(args)

    def text(self) -> str:
        body = "".join(f"    {line}\n" for line in self.lines)
        return f"{HELPER}def program({', '.join(self.inputs)}):\n{body}    return {', '.join(self.results)}\n"

    def function(self):
        Program.count += 1
        name = f"<random program {Program.count}>"
        text = self.text()
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        space = {"np": np, "__name__": "random_program"}
        exec(compile(text, name, "exec"), space)
        return space["program"]

    def smaller(self):
        """Programs with less: without a line, or with one result."""
        for k in range(len(self.results)):
            if len(self.results) > 1:
                yield Program(self.inputs, self.lines, [self.results[k]], self.args)
        for k in reversed(range(len(self.lines))):
            gone = self.lines[k].split(" = ", 1)[0]
            rest = self.lines[:k] + self.lines[k + 1 :]
            if not any(gone in _words(line) for line in rest) and gone not in self.results:
                yield Program(self.inputs, rest, self.results, self.args)
        if len(self.results) == 1:
            for name in [line.split(" = ", 1)[0] for line in self.lines]:
                if name == self.results[0]:
                    break  # only earlier ones, or this would go round in circles
                yield Program(self.inputs, self.lines, [name], self.args)


def _words(line: str) -> set[str]:
    return set("".join(c if c.isalnum() else " " for c in line).split())


def check(program: Program, seed: int, compiled: bool = False) -> None:
    """Array form against NumPy, forward against differences, reverse against forward; if asked, one mode compiled."""
    function, args = program.function(), program.args
    rng = np.random.default_rng(seed)
    tangents = direction(args, rng)
    value = function(*args)
    value = value if isinstance(value, tuple) else (value,)
    heads = direction(value, rng)
    engine, reverse = Pushforward(function), Vjp(function)
    found, dots = push_arrays(engine, args, tangents)
    same(found, value, 1e-10)
    for h in (1e-3, 1e-5, 1e-6):  # a kink may be near
        slopes = [slope(lambda t, k=k: leaves(function(*moved(args, tangents, t)))[k], h) for k in range(len(value))]
        try:
            close(leaves(dots), slopes, {1e-3: 1e-6, 1e-5: 1e-6, 1e-6: 1e-5}[h])
            break
        except AssertionError:
            if h == 1e-6:
                raise
    bars = pullback_arrays(reverse, args, heads if len(value) > 1 else heads[0])
    (pulled, size), (pushed, more) = inner(bars, tangents), inner(heads, dots)
    assert abs(pulled - pushed) <= 1e-9 * (size + more + 1e-3), f"reverse {pulled!r}, forward {pushed!r}"
    if compiled and seed % 2:
        value_c, dots_c = engine(args, tangents)
        same(value_c, found, 1e-10)
        close(leaves(dots_c), leaves(dots), 1e-10)
    elif compiled:
        _, pullback = reverse(*args)
        close(leaves(pullback(heads if len(value) > 1 else heads[0])), leaves(bars), 1e-10)


def failure(program: Program, seed: int, compiled: bool = False) -> Exception | None:
    try:
        check(program, seed, compiled)
    except TraceError as error:  # refused with the line of what can't be traced, which is right; else a finding
        return None if "known at run time only" in str(error) else error
    except Exception as error:  # whatever goes wrong is a finding
        return error
    return None


def shrink(program: Program, seed: int, compiled: bool = False) -> Program:
    """A smaller program that fails with the same kind of exception."""
    kind = type(failure(program, seed, compiled))
    while True:
        for candidate in program.smaller():
            if type(failure(candidate, seed, compiled)) is kind:
                program = candidate
                break
        else:
            return program


def run(seeds, steps: int = 12, compiled: bool = False) -> list[str]:
    """Check the programs with these seeds; the reports of those that fail."""
    reports = []
    for seed in seeds:
        program = Writer(seed, steps).build()
        error = failure(program, seed, compiled)
        if error is not None:
            small = shrink(program, seed, compiled)
            last = failure(small, seed, compiled) or error
            given = "\n".join(f"{n} = {a!r}" for n, a in zip(small.inputs, small.args, strict=True))
            reports.append(f"seed {seed}: {type(last).__name__}: {last}\n{given}\n{small.text()[len(HELPER) :]}")
    return reports
