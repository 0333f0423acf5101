"""Random programs with loops, branches and writes, as Python text, and their checks; failing ones shrink.

A program is bounded and smooth where it is run: loops end, indices are in range, numbers are mixed by `sin` and `tanh`,
and comparisons are with numbers that nothing equals. The names of the arguments say what they are (`arguments`).
"""

from __future__ import annotations

import ast
import copy
import linecache
import math
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache

import numpy as np
from feeding import close, copied, direction, inner, is_float, leaves, moved, same, slope

from jitgrad.api.forward import Pushforward
from jitgrad.api.reverse import Vjp
from jitgrad.api.transforms import Gradient
from jitgrad.errors import TraceError
from jitgrad.testing import pullback_arrays, push_arrays, run_arrays

ROWS, COLUMNS = 3, 4
KINDS = {"f": (), "v": (COLUMNS,), "m": (ROWS, COLUMNS)}
LARGEST = 1e3  # programs that give larger numbers are not used, nor those that take more decisions
DECISIONS = 5000
STEPS = (1e-3, 1e-4, 1e-5)
REFUSED = (  # what may be refused: the arrays that a name stands for, or that a view is of, depend on the run
    "this array is written to, which in NumPy may be the same array as that of another name",
    "this array may be the same as, or a view of",
    "isn't known after it",
)

UNARY = ["math.sin({})", "math.cos({})", "math.tanh({})", "math.exp(-{0} * {0})", "math.sqrt(1.3 + {0} * {0})", "-{}"]
UNARY += ["abs({})", "1.0 / (1.7 + {0} * {0})", "np.arctan({})", "({}) ** 2", "0.6 * {}", "float({})"]
BINARY = [
    "({} + {})",
    "({} - {})",
    "({} * {})",
    "{} / (1.6 + abs({}))",
    "max({}, {})",
    "min({}, {})",
    "({} + 0.5 * {})",
]
ELEMENTWISE = ["np.sin({})", "np.tanh({})", "(0.7 * {})", "np.abs({})", "({} + 0.3)", "(np.cos({}) ** 2)"]
INTEGER = ["({} + {}) % 7", "({} * {} + 1) % 5", "({} << 1 & 7) + {} % 2", "({} ^ {}) & 7", "({} // 2 + {}) % 6"]
INTEGER += ["max({}, {})", "abs({} - {})", "({} >> 1 | {}) & 5"]


def arguments(names: list[str], seed: int) -> tuple:
    """f0: a number; v0: a vector of 4; m0: a matrix of 3 by 4; n: how often; k0: an integer."""
    rng = np.random.default_rng(seed)

    def make(name: str) -> object:
        if name == "n":
            return int(rng.integers(1, 5))
        if name[0] == "k":
            return int(rng.integers(0, 7))
        numbers = rng.uniform(-1.3, 1.3, KINDS[name[0]])
        return numbers if np.ndim(numbers) else float(numbers)

    return tuple(make(name) for name in names)


class Scope:
    """The names that can be read, by their kinds: floats, ints, vectors, matrices, lists, and the `bounds` of
    what is not assigned to: loop variables."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {kind: [] for kind in "fkvml"}
        self.bounds: dict[str, int] = {}

    def inner(self) -> Scope:
        return copy.deepcopy(self)

    def both(self, one: Scope, other: Scope) -> None:
        """Take the names which two branches have both bound."""
        for kind, names in self.names.items():
            names += [n for n in one.names[kind] if n in other.names[kind] and n not in names]


class Writer:
    """Writes one program."""

    def __init__(self, seed: int, size: int):
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.level = 0
        self.count = 0
        self.loops: list[str] = []
        self.helpers: list[tuple[str, str, str]] = []  # name, kinds of the arguments, kind of the result
        self.result = ""
        for _ in range(self.rng.integers(0, 3)):
            self.helper()
        inputs = ["f0", "f1", "v0", "v1", "m0", "n", "k0"]
        kept = [name for name in inputs if name in ("f0", "v0", "n") or self.chance(0.6)]
        self.function("program", kept, "array", size)

    # Choices.
    def pick(self, items: list | str) -> object:
        return items[self.rng.integers(len(items))]

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def constant(self) -> str:
        return f"{self.rng.uniform(-1.1, 1.1):.4f}"

    def fresh(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count + 9}"

    def some(self, kind: str) -> str | None:
        names = self.scope.names[kind]
        return self.pick(names[-4:] + names) if names else None

    # Expressions.
    def number(self, depth: int = 2) -> str:
        if depth == 0 or self.chance(0.2):
            return self.number_leaf()
        makers = [
            lambda: self.pick(UNARY).format(self.number(depth - 1)),
            lambda: self.pick(BINARY).format(self.number(depth - 1), self.number(depth - 1)),
            lambda: self.pick(BINARY).format(self.number(depth - 1), self.number_leaf()),
            lambda: f"({self.number(depth - 1)} if {self.condition()} else {self.number_leaf()})",
            lambda: f"({self.number(depth - 1)} + 0.1 * ({self.integer()}))",
            lambda: self.pick(["np.sum({})", "np.max({})", "np.dot({0}, {0})", "np.mean({})"]).format(self.vector(1)),
            lambda: self.call("f", depth - 1),
        ]
        return self.pick(makers)() or self.number_leaf()

    def number_leaf(self) -> str:
        kind = self.pick("fffvvmc")
        name = self.some(kind) if kind != "c" else None
        if name is None:
            return self.some("f") if self.chance(0.8) else self.constant()
        return {
            "f": name,
            "v": f"{name}[{self.index(COLUMNS)}]",
            "m": f"{name}[{self.index(ROWS)}, {self.index(COLUMNS)}]",
        }[kind]

    def index(self, n: int) -> str:
        """An index of an axis of n elements."""
        small = [name for name, bound in self.scope.bounds.items() if bound <= n]
        if small and self.chance(0.6):
            return self.pick(small)
        if self.chance(0.3):
            return str(int(self.rng.integers(-n, n)))
        return self.pick(["({}) % {}", "({} + 1) % {}", "({}) % {}", "-1 - ({}) % {}"]).format(self.integer(0), n)

    def integer(self, depth: int = 1) -> str:
        if depth == 0 or self.chance(0.3):
            name = self.pick(list(self.scope.bounds) + self.scope.names["k"] + ["2"])
            return name
        return self.pick(INTEGER).format(self.integer(depth - 1), self.integer(depth - 1))

    def condition(self, depth: int = 1) -> str:
        makers = [
            lambda: f"{self.number(1)} {self.pick('<>')} {self.constant()}",
            lambda: f"{self.number_leaf()} {self.pick(['<', '>', '<=', '>='])} {self.number(1)}",
            lambda: f"{self.integer()} {self.pick(['==', '<', '>', '!='])} {int(self.rng.integers(0, 5))}",
            lambda: f"{self.integer(0)} % 2 == {int(self.rng.integers(0, 2))}",
            lambda: f"-0.7123 < {self.number_leaf()} < {self.rng.uniform(0, 1):.4f}",
        ]
        if depth and self.chance(0.3):
            one, other = self.condition(0), self.condition(0)
            return self.pick(["{} and {}", "{} or {}", "not ({}) and {}", "not ({} or {})"]).format(one, other)
        return self.pick(makers)()

    def vector(self, depth: int = 1) -> str:
        """A vector of 4."""
        makers = [
            lambda: self.some("v"),
            lambda: f"{self.some('m')}[{self.index(ROWS)}]" if self.some("m") else None,
            lambda: f"{self.some('v')}[::-1]",
            lambda: f"({self.vector(0)} {self.pick('+-*')} {self.vector(0)})",
            lambda: f"({self.vector(0)} * {self.number_leaf()})",
            lambda: self.pick(ELEMENTWISE).format(self.vector(0)),
            lambda: f"np.where({self.vector(0)} > {self.constant()}, {self.vector(0)}, {self.number_leaf()})",
        ]
        return self.pick(makers[: 7 if depth else 2])() or self.some("v")

    def call(self, result: str, depth: int) -> str | None:
        fitting = [(name, kinds) for name, kinds, kind in self.helpers if kind == result]
        if not fitting:
            return None
        name, kinds = self.pick(fitting)
        makers = {"f": lambda: self.number(min(depth, 1)), "v": lambda: self.some("v"), "k": lambda: self.integer(1)}
        return f"{name}({', '.join(makers[kind]() for kind in kinds)})"

    # Statements.
    def add(self, text: str) -> None:
        self.lines.append("    " * self.level + text)

    @contextmanager
    def block(self, head: str, loop: str = "") -> Iterator[Scope]:
        """The statements that are written meanwhile are the body; what it binds is forgotten after it."""
        self.add(head)
        outer, self.scope = self.scope, self.scope.inner()
        self.level += 1
        if loop:
            self.loops.append(loop)
        start = len(self.lines)
        yield self.scope
        if len(self.lines) == start:
            self.add("pass")
        if loop:
            self.loops.pop()
        self.level -= 1
        self.scope = outer

    def body(self, size: int) -> None:
        for _ in range(size):
            self.statement()

    def statement(self) -> None:
        makers = [self.assign] * 4 + [self.augment] * 3 + [self.store] * 4 + [self.store_slice] * 2
        makers += [self.assign_integer, self.assign_vector, self.swap, self.view, self.several, self.work]
        if self.level < 4:
            makers += [self.branch] * 4
        if len(self.loops) < 2:
            makers += [self.loop] * 5
        if self.loops:
            makers += [self.leave] * 2
        self.pick(makers)()

    def target(self, kind: str, own: float) -> str:
        """A name to bind: one that there is, or with some probability a new one."""
        name = self.some(kind)
        return self.fresh(kind) if name is None or self.chance(own) else name

    def bind(self, name: str) -> None:
        kind = {"w": "v", "i": "k", "n": "k"}.get(name[0], name[0])
        if name not in self.scope.names[kind]:
            self.scope.names[kind].append(name)

    def assign(self) -> None:
        name = self.target("f", 0.3)
        text = self.number(3)
        self.add(f"{name} = {self.pick(['math.sin({})', 'math.tanh({})', '{}']).format(text)}")
        self.bind(name)

    def augment(self) -> None:
        self.add(f"{self.some('f')} {self.pick(['+=', '-=', '+=', '*='])} {self.number(2)}")

    def store(self) -> None:
        kind = self.pick("vvm")
        name = self.some(kind)
        if name is None:
            return
        place = self.index(COLUMNS) if kind == "v" else f"{self.index(ROWS)}, {self.index(COLUMNS)}"
        self.add(f"{name}[{place}] {self.pick(['=', '=', '+=', '*=', '-='])} math.sin({self.number(2)})")

    def store_slice(self) -> None:
        v, m = self.some("v"), self.some("m")
        forms = [
            f"{v}[1:] = 0.6 * {v}[:-1]",
            f"{v}[:2] += {v}[2:]",
            f"{v}[:] = {self.vector()}",
            f"{v}[::2] = {self.number(1)}",
            f"{v} *= {self.number(1)}",
            f"{v} += np.sin({self.vector()})",
            f"{v}[{v} > {self.constant()}] *= 0.8",
            f"{v}[::-1][1:3] = {self.number(1)}",
        ]
        if m:
            forms += [
                f"{m}[{self.index(ROWS)}] = {self.vector()}",
                f"{m}[:, {self.index(COLUMNS)}] *= {self.number_leaf()}",
                f"{m}[{self.index(ROWS)}, 1:] += {self.vector(0)}[1:]",
                f"{m}[1:, {self.index(COLUMNS)}] = {m}[:-1, {self.index(COLUMNS)}]",
                f"{m}.T[{self.index(COLUMNS)}, {self.index(ROWS)}] = {self.number(1)}",
            ]
        self.add(self.pick(forms))

    def assign_integer(self) -> None:
        if self.chance(0.3) and self.scope.names["k"]:
            self.add(f"{self.some('k')} += {self.pick('12')}")
            return
        name = self.target("k", 0.4)
        whole = f"int(3.0 * abs(math.tanh({self.number(1)})))"
        self.add(f"{name} = {whole if self.chance(0.15) else self.integer(2)}")
        self.bind(name)

    def assign_vector(self) -> None:
        name = self.target("v", 0.5)
        form = self.pick(["{}.copy()", "np.tanh({})", "np.zeros(4) + 0.3 * {}", "np.sin({}) * 0.9"])
        self.add(f"{name} = {form.format(self.vector())}")
        self.bind(name)

    def swap(self) -> None:
        kind = self.pick("fvve")
        if kind == "e":
            v, i, j = self.some("v"), self.index(COLUMNS), self.index(COLUMNS)
            self.add(f"{v}[{i}], {v}[{j}] = {v}[{j}], {v}[{i}]")
            return
        one, other = self.some(kind), self.some(kind)
        if one != other:
            self.add(f"{one}, {other} = {other}, {self.pick([one, f'0.9 * {one}'])}")

    def view(self) -> None:
        """A name of its own for a part of an array, for this block only, and a write through it."""
        m, v, name = self.some("m"), self.some("v"), self.fresh("w")
        if m and self.chance(0.6):
            self.add(f"{name} = {m}[{self.index(ROWS)}]")
            self.scope.names["v"].append(name)
        else:
            self.add(f"{name} = {v}{self.pick(['[1:]', '[:3]', '[::-1]', '[::2]'])}")
        self.add(f"{name}[{self.pick(['0', '1', '-1'])}] {self.pick(['=', '+='])} math.sin({self.number(1)})")

    def several(self) -> None:
        one, other = self.target("f", 0.3), self.target("f", 0.3)
        call = self.call("p", 1)
        if one == other:
            return
        self.add(f"{one}, {other} = {call or f'math.sin({self.number(1)}), math.tanh({self.number(1)})'}")
        self.bind(one)
        self.bind(other)

    def work(self) -> None:
        """A helper that writes to its argument."""
        call = self.call("n", 1)
        if call:
            self.add(call)

    def branch(self) -> None:
        size = int(self.rng.integers(1, 3))
        with self.block(f"if {self.condition()}:") as one:
            self.body(size)
        if self.chance(0.5):
            with self.block("else:" if self.chance(0.7) else f"elif {self.condition()}:") as other:
                self.body(size)
            if self.lines and "else:" in self.lines[-1 - size]:
                self.scope.both(one, other)

    def loop(self) -> None:
        self.pick([self.count_loop] * 3 + [self.array_loop, self.while_loop, self.list_loop])()

    def count_loop(self) -> None:
        name = self.fresh("i")
        bounds = [("range(n)", 4), ("range(3)", 3), (f"range(len({self.some('v')}))", 4), ("range(3, -1, -1)", 4)]
        bounds += [("range(n - 1, -1, -1)", 4), ("range(1, n)", 4), ("range(0, 4, 2)", 4), ("reversed(range(n))", 4)]
        bounds += [(f"range({self.integer(0)} % 4)", 4)]
        text, bound = self.pick(bounds)
        with self.block(f"for {name} in {text}:", "for") as scope:
            scope.bounds[name] = bound
            self.body(int(self.rng.integers(1, 4)))
        if self.chance(0.15):
            with self.block("else:"):
                self.body(1)
        elif text == "range(3)":
            self.scope.names["k"].append(name)  # a loop's variable keeps its last value

    def array_loop(self) -> None:
        f, i, g = self.fresh("f"), self.fresh("i"), self.fresh("f")
        v, m, u = self.some("v"), self.some("m"), self.some("v")
        heads = [(f"for {f} in {v}:", [f], None), (f"for {i}, {f} in enumerate({v}):", [f], COLUMNS)]
        heads += [(f"for {f}, {g} in zip({v}, {u}):", [f, g], None)]
        if m:
            w = self.fresh("v")
            heads += [(f"for {w} in {m}:", [w], None), (f"for {i}, {w} in enumerate({m}):", [w], ROWS)]
        head, names, bound = self.pick(heads)
        with self.block(head, "for") as scope:
            for name in names:
                scope.names[name[0]].append(name)
            if bound:
                scope.bounds[i] = bound
            self.body(int(self.rng.integers(1, 4)))

    def while_loop(self) -> None:
        k = self.fresh("k")
        self.add(f"{k} = 0")
        test = self.pick([f"{k} < n", f"{k} < 4 and {self.condition(0)}", "True"])
        with self.block(f"while {test}:", "while") as scope:
            self.add(f"{k} += 1")
            if test == "True":
                with self.block(f"if {k} > n or {self.condition(0)}:"):
                    self.add("break")
            scope.bounds[k] = 9
            self.body(int(self.rng.integers(1, 4)))
        self.scope.names["k"].append(k)

    def list_loop(self) -> None:
        """A list that grows by one in each iteration, and is read after the loop."""
        name, i = self.fresh("l"), self.fresh("i")
        self.add(f"{name} = []")
        with self.block(f"for {i} in range(n):", "list") as scope:
            scope.bounds[i] = 4
            self.add(f"{name}.append({self.number(2)})")
            self.body(int(self.rng.integers(1, 3)))
        self.add(f"{self.some('f')} += {self.pick([f'{name}[-1]', f'np.sum(np.array({name}))', f'{name}[0]'])}")

    def leave(self) -> None:
        if "list" in self.loops:
            return
        with self.block(f"if {self.condition()}:"):
            if self.chance(0.3):
                self.statement()
            self.add(self.result_text() if self.chance(0.25) else self.pick(["break", "continue"]))

    # Functions.
    def result_text(self) -> str:
        return {
            "f": lambda: f"return {self.number(1)}",
            "p": lambda: f"return {self.number(1)}, {self.number_leaf()}",
            "n": lambda: "return",
            "array": lambda: f"return {self.number(1)}, {self.pick(self.scope.names['v'])}",
        }[self.result]()

    def function(self, name: str, params: list[str], result: str, size: int) -> None:
        """A function; what it doesn't get of the kinds that statements need, it makes."""
        self.scope = Scope()
        self.result = result
        for param in params:
            if param == "n":
                self.scope.bounds["n"] = 9
            else:
                self.bind(param)
        with self.block(f"def {name}({', '.join(params)}):"):
            if "n" not in params:
                self.add(f"n = {params[-1]} % 4 + 1" if params[-1][0] == "k" else "n = 3")
            if not self.scope.names["f"]:
                self.add(f"f8 = 0.7 * {params[0]}[1]")
                self.bind("f8")
            if not self.scope.names["v"]:
                self.add("v8 = np.array([0.31, -0.52, 0.73, -0.94]) * " + self.some("f"))
                self.bind("v8")
            self.body(size)
            self.add(self.result_text())

    def helper(self) -> None:
        name = f"helper{len(self.helpers)}"
        kinds, result = self.pick([("ff", "f"), ("vk", "f"), ("ff", "p"), ("fk", "p"), ("vf", "n"), ("vk", "n")])
        self.function(name, [f"{kind}{k}" for k, kind in enumerate(kinds)], result, int(self.rng.integers(1, 4)))
        self.helpers.append((name, kinds, result))


# Programs.
class Invalid(Exception):
    """A program that can't be used: it fails in plain Python, or its numbers are too large."""


class Refused(Invalid):
    """A program that the library refuses, and may refuse."""


class Program:
    """Functions as text, the last of which is `program`; and its arguments, by their names and the seed."""

    count = 0

    def __init__(self, text: str, seed: int):
        self.text, self.seed = text, seed
        self.function = self.load(text)
        code = self.function.__code__
        self.args = arguments(list(code.co_varnames[: code.co_argcount]), seed)

    @staticmethod
    def written(seed: int, size: int = 6) -> Program:
        return Program("\n".join(Writer(seed, size).lines) + "\n", seed)

    def load(self, text: str, **space) -> Callable:
        """The function; while the program lives, its text is where `inspect` finds it."""
        Program.count += 1
        name = f"<random program {Program.count}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        weakref.finalize(self, linecache.cache.pop, name, None)
        space |= {"np": np, "math": math, "__name__": "random_program"}
        exec(compile(text, name, "exec"), space)
        return space["program"]

    @cached_property
    def watched(self) -> Callable:
        """The program, telling the decisions that it takes."""
        tree = ast.fix_missing_locations(_Watched().visit(ast.parse(self.text)))
        return self.load(ast.unparse(tree), _see=self.see, _decide=self.decide)

    def see(self, x: object) -> object:
        if len(self.seen) > DECISIONS:
            raise Invalid("endless")
        self.seen.append(np.asarray(x).tobytes())
        return x

    def decide(self, name: str, *args) -> object:
        if name in ("abs", "np.abs"):
            self.see(np.sign(args[0]))
            return np.abs(args[0])
        if name == "int":
            return self.see(int(args[0]))
        of = args if len(args) > 1 else args[0]
        self.see(np.argmin(of) if name == "min" else np.argmax(of))
        return min(of) if name == "min" else max(of)

    def run(self, args: tuple) -> tuple[tuple, list]:
        """The result in plain Python, and every decision that was taken on the way.

        Raises:
            Invalid: there is none.
        """
        self.seen: list[bytes] = []
        try:
            with np.errstate(all="raise", under="ignore"):
                value = self.watched(*copied(args))
        except Exception as error:
            raise Invalid(str(error)) from error
        if not all(np.all(np.abs(x) < LARGEST) for x in leaves(value)):
            raise Invalid("large")
        return value, self.seen


class _Watched(ast.NodeTransformer):
    """Comparisons, and functions with a kink or a jump, tell what they decide; a loop without an end is noticed."""

    FUNCTIONS = ("abs", "max", "min", "int", "np.abs", "np.max")

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        return ast.Call(ast.Name("_see", ast.Load()), [node], [])

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        name = ast.unparse(node.func)
        if name not in self.FUNCTIONS:
            return node
        return ast.Call(ast.Name("_decide", ast.Load()), [ast.Constant(name), *node.args], [])

    def visit_While(self, node: ast.While) -> ast.stmt:
        self.generic_visit(node)
        node.test = ast.Call(ast.Name("_see", ast.Load()), [node.test], [])
        return node


# Checks.
_UNLIKE = re.compile(r"'[^']*'|<[^>]*>|\d+|\w+\[[^]]*\]|\n(.|\n)*")  # what differs between messages of one kind


class Finding(Exception):
    """A check that failed: at which stage, and how. Those of one `key` are taken to have one cause."""

    def __init__(self, stage: str, error: Exception):
        self.stage, self.kind = stage, type(error).__name__
        words = "" if type(error) is AssertionError else _UNLIKE.sub("", str(error))
        self.key = (stage, self.kind, words[:50])
        super().__init__(f"{stage}: {self.kind}: {error}")


@contextmanager
def stage(name: str) -> Iterator[None]:
    try:
        yield
    except (Invalid, Finding):
        raise
    except Exception as error:  # whatever goes wrong is a finding
        if isinstance(error, TraceError) and any(text in str(error) for text in REFUSED):
            raise Refused(str(error)) from error
        raise Finding(name, error) from error


def check(program: Program, compiled: bool = False, second: bool = False) -> None:
    """Array form against plain Python, forward against differences, reverse against forward; more if asked for.

    Raises:
        Invalid: the program proves nothing.
        Finding: it shows an error.
    """
    value, seen = program.run(program.args)
    rng = np.random.default_rng(program.seed + 1)
    tangents, heads = direction(program.args, rng), direction(value, rng)
    before = copied(program.args)
    with np.errstate(all="ignore"):
        dots = _forward(program, value, tangents, compiled and program.seed % 2 == 0)
        with stage("differences"):
            _differences(program, dots, tangents, seen)
        _reverse(program, tangents, heads, dots, compiled and program.seed % 2 == 1)
        if second:
            _second(program, heads)
    with stage("arguments"):
        same(program.args, before, 0)


def _forward(program: Program, value: tuple, tangents: tuple, compiled: bool) -> list:
    """The tangents."""
    engine = Pushforward(program.function)
    with stage("forward"):
        found, dots = push_arrays(engine, program.args, tangents)
    with stage("value"):
        same(found, value, 1e-10)
    if compiled:
        with stage("forward compiled"):
            value_c, dots_c = engine(program.args, tangents)
            same(value_c, found, 1e-10)
            close(leaves(dots_c), leaves(dots), 1e-9)
    return leaves(dots)


def _differences(program: Program, dots: list, tangents: tuple, seen: list) -> None:
    """Where no decision changes between the ends, and two steps agree on the slope."""

    def at(t: float) -> list:
        value, decisions = program.run(moved(program.args, tangents, t))
        if decisions != seen:
            raise Invalid("near a kink")
        return leaves(value)

    slopes = []
    for h in STEPS:
        try:
            ends = lru_cache(at)
            slopes.append([slope(lambda t, k=k, f=ends: f(t)[k], h) for k in range(len(dots))])
        except Invalid:
            continue
        if len(slopes) == 2:
            break
    if len(slopes) == 2 and all(np.allclose(x, y, rtol=1e-6, atol=1e-6) for x, y in zip(*slopes, strict=True)):
        close(dots, slopes[0], 1e-5)


def _reverse(program: Program, tangents: tuple, heads: tuple, dots: list, compiled: bool) -> None:
    """By `vjp` with the given heads, or by `grad` with ones, in turn."""
    args = program.args
    if program.seed % 3 == 0:
        with stage("reverse"):
            bars = pullback_arrays(Vjp(program.function), args, heads)
    else:
        heads = [np.ones_like(dot) for dot in dots]
        places = tuple(k for k, x in enumerate(args) if is_float(x))
        engine = Gradient(program.function, places, has_aux=False, with_value=False)
        with stage("reverse"):
            bars = run_arrays(engine, engine.flatten(args, {}), (1.0,))
        if compiled:
            with stage("reverse compiled"):
                close(leaves(engine(*args)), leaves(bars), 1e-9)
    with stage("reverse against forward"):
        (pulled, size), (pushed, more) = inner(bars, tangents), inner(heads, dots)
        assert abs(pulled - pushed) <= 1e-9 * (size + more + 1e-3), f"reverse {pulled!r}, forward {pushed!r}"


def _second(program: Program, heads: tuple) -> None:
    """Forward over reverse and reverse over reverse: the Hessian is symmetric."""
    args = program.args
    places = tuple(k for k, x in enumerate(args) if is_float(x))
    engine = Gradient(program.function, places, has_aux=False, with_value=False)
    rng = np.random.default_rng(program.seed + 2)
    u, w = direction(args, rng), direction(args, rng)

    def gradient(*args):
        return engine(*args, head=heads)

    pushed = Pushforward(gradient)
    with stage("forward over reverse"):
        (uw, size), (wu, more) = (inner(push_arrays(pushed, args, a)[1], b) for a, b in ((u, w), (w, u)))
        assert abs(uw - wu) <= 1e-8 * (size + more + 1e-3), f"the Hessian is not symmetric: {uw!r}, {wu!r}"
    with stage("reverse over reverse"):
        bars = pullback_arrays(Vjp(gradient), args, tuple(x for x in w if x is not None))
        pulled, size = inner(bars, u)
        assert abs(pulled - uw) <= 1e-8 * (size + more + 1e-3), f"reverse {pulled!r}, forward {uw!r}"


def finding(program: Program, **options) -> Finding | None:
    try:
        check(program, **options)
    except Invalid:
        return None
    except Finding as found:
        return found
    return None


# Shrinking.
def smaller(text: str) -> Iterator[tuple[int, str]]:
    """Programs with a statement less, a body in the place of its loop or branch, or a simpler expression; numbered."""
    place = 0
    for change in (_without, _flattened, _simplified):
        for k in range(sum(1 for _ in ast.walk(ast.parse(text)))):
            tree = ast.parse(text)
            for new in change(tree, list(ast.walk(tree))[k]):
                yield place, ast.unparse(ast.fix_missing_locations(new)) + "\n"
                place += 1


def _bodies(node: ast.AST) -> Iterator[list]:
    for name in ("body", "orelse"):
        body = getattr(node, name, None)
        if isinstance(body, list) and body:
            yield body


def _without(tree: ast.AST, node: ast.AST) -> Iterator[ast.AST]:
    for body in _bodies(node):
        for k in reversed(range(len(body))):
            gone = body.pop(k)
            if body or isinstance(node, ast.Module):
                yield tree
            elif not isinstance(gone, ast.Pass):
                body.append(ast.Pass())
                yield tree
                body.pop()
            body.insert(k, gone)


def _flattened(tree: ast.AST, node: ast.AST) -> Iterator[ast.AST]:
    for body in _bodies(node):
        for k, statement in enumerate(body):
            if isinstance(statement, ast.If | ast.For | ast.While):
                for part in _bodies(statement):
                    body[k : k + 1] = part
                    yield tree
                    body[k : k + len(part)] = [statement]


def _simplified(tree: ast.AST, node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        for k, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if name == "func" or not isinstance(item, ast.expr) or isinstance(item, ast.Constant | ast.Slice):
                continue
            for new in _parts(item):
                _put(node, name, k, new)
                yield tree
            _put(node, name, k, item)


def _put(node: ast.AST, name: str, k: int | None, new: ast.expr) -> None:
    if k is None:
        setattr(node, name, new)
    else:
        getattr(node, name)[k] = new


def _parts(item: ast.expr) -> Iterator[ast.expr]:
    """What may stand in the place of an expression."""
    for child in ast.iter_child_nodes(item):
        if isinstance(child, ast.expr) and getattr(child, "ctx", None).__class__ is not ast.Store:
            yield child
    if not isinstance(getattr(item, "ctx", None), ast.Store):
        yield from (ast.Constant(c) for c in (0.5, 1))


def shrink(program: Program, **options) -> Program:
    """A smaller program that fails in the same way."""
    key, start = finding(program, **options).key, 0
    while True:
        for place, text in smaller(program.text):
            if place >= start and len(text) < len(program.text) and _fails(text, program.seed, key, options):
                program, start = Program(text, program.seed), place
                break
        else:
            if start == 0:
                return program
            start = 0  # what could not go before may go now


def _fails(text: str, seed: int, key: tuple, options: dict) -> bool:
    """Whether the program fails in this way."""
    try:
        found = finding(Program(text, seed), **options)
    except (SyntaxError, KeyError):  # it is no program any more
        return False
    return found is not None and found.key == key


def run(seeds, size: int = 6, **options) -> list[str]:
    """Check the programs with these seeds; for each that fails a report, which is a test as it stands."""
    reports = []
    for seed in seeds:
        program = Program.written(seed, size)
        if finding(program, **options) is not None:
            small = shrink(program, **options)
            reports.append(report(small, finding(small, **options)))
    return reports


def report(program: Program, found: Finding) -> str:
    lines = "".join(f"# {line}\n" for line in str(found).splitlines() if line.strip())
    return f'{lines}Program(\n    """\n{program.text}""",\n    seed={program.seed},\n)\n'
