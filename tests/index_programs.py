"""Random functions of nested loops that read and write at indices of all kinds, most of which are in range."""

from __future__ import annotations

import random

HEAD = """\
def f(x, y, idx, n, m):
    s, c = 0.0, 0
    z, w = np.zeros(x.shape[0]), x * 1.0
"""
LENGTHS = ("n", "m", "x.shape[0]", "y.shape[0]", "len(idx)")


def generate(rng: random.Random) -> str:
    """The source of `f(x, y, idx, n, m)`: two vectors, a vector of integers, two integers."""
    writer = _Writer(rng)
    for _ in range(rng.randint(1, 2)):
        writer.loop([], 1)
    return f"{HEAD}{''.join(writer.lines)}    return s + np.sum(z) + np.sum(w) + c\n"


class _Writer:
    def __init__(self, rng: random.Random):
        self.rng = rng
        self.lines: list[str] = []
        self.loops = 0

    def write(self, depth: int, text: str) -> None:
        self.lines.append(f"{'    ' * depth}{text}\n")

    def index(self, loops: list[str]) -> str:
        """An integer: mostly a sum of loop indices."""
        rng = self.rng
        factors = [(i, rng.choice([0, 1, 1, 1, -1, 2, -2, 3])) for i in loops]
        parts = [i if k == 1 else f"{k} * {i}" for i, k in factors if k]
        if rng.random() < 0.3:
            parts.append(rng.choice(["", "-"]) + rng.choice(LENGTHS))
        offset = rng.choice([0, 0, 1, -1, 2, -3])
        text = " + ".join([*parts, str(offset)] if offset or not parts else parts)
        kinds = [
            text,
            f"({text}) % {rng.choice(['x.shape[0]', '3', 'm', '(n + 1)'])}",
            f"({text}) // {rng.choice(['2', '3', '-2'])}",
            f"min({text}, {rng.choice(LENGTHS)} - 1)",
            f"max({text}, 0)",
            f"idx[{text}]",
            "c",
        ]
        return rng.choices(kinds, weights=[14, 2, 1, 1, 1, 1, 1])[0]

    def condition(self, loops: list[str]) -> str:
        rng = self.rng
        other = rng.choice([self.index(loops), rng.choice(LENGTHS), "0", "2"])
        text = f"{self.index(loops)} {rng.choice(['<', '<=', '>', '>=', '==', '!='])} {other}"
        if rng.random() < 0.3:
            text += f" {rng.choice(['and', 'or'])} {self.index(loops)} {rng.choice(['<', '>='])} {rng.choice(LENGTHS)}"
        return f"not ({text})" if rng.random() < 0.15 else text

    def body(self, loops: list[str], depth: int) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.statement(loops, depth)

    def statement(self, loops: list[str], depth: int) -> None:
        rng = self.rng
        kinds = ["read", "write", "add", "count", "slice", "if", "leave", "loop"]
        kind = rng.choices(kinds, weights=[34, 12, 4, 6, 4, 12, 4, 24])[0]
        if kind in ("if", "leave", "loop") and depth > 3:
            kind = "read"
        if kind == "read":
            self.write(depth, f"s += {rng.choice('xyzw')}[{self.index(loops)}]")
        elif kind == "write":
            self.write(depth, f"{rng.choice('zw')}[{self.index(loops)}] = s")
        elif kind == "add":
            self.write(depth, f"w[{self.index(loops)}] += {rng.choice('xy')}[{self.index(loops)}]")
        elif kind == "count":
            self.write(depth, f"c += {rng.choice([1, 1, 2, -1])}")
        elif kind == "slice":
            self.write(depth, f"s += np.sum(x[{self.index(loops)} : {self.index(loops)}])")
        elif kind == "leave":
            self.write(depth, f"if {self.condition(loops)}:")
            self.write(depth + 1, "break")
        elif kind == "if":
            self.write(depth, f"if {self.condition(loops)}:")
            self.body(loops, depth + 1)
            if rng.random() < 0.3:
                self.write(depth, "else:")
                self.body(loops, depth + 1)
        else:
            self.loop(loops, depth)

    def loop(self, loops: list[str], depth: int) -> None:
        rng = self.rng
        index = f"i{self.loops}"
        self.loops += 1
        if rng.random() < 0.2:
            self.write(depth, f"{index} = {rng.choice(['0', '1', 'm'])}")
            self.write(depth, f"while {index} < {rng.choice(LENGTHS)}:")
            self.body([*loops, index], depth + 1)
            self.write(depth + 1, f"{index} += {rng.choice([1, 2, 3])}")
            return
        self.write(depth, f"for {index} in range({self.bounds(loops)}):")
        self.body([*loops, index], depth + 1)

    def bounds(self, loops: list[str]) -> str:
        rng = self.rng
        stops = [
            *LENGTHS,
            f"{rng.choice(LENGTHS)} - {rng.randint(0, 2)}",
            *(f"{i} + {rng.randint(0, 2)}" for i in loops),
        ]
        stop = rng.choice([*stops, "3", "5"])
        kind = rng.random()
        if kind < 0.5:
            return stop
        if kind < 0.75:
            return f"{rng.choice([*map(str, range(-2, 4)), *loops, 'm'])}, {stop}"
        start = rng.choice(["0", "1", "n", "m", "x.shape[0] - 1", *loops])
        return f"{start}, {rng.choice(['-1', '0', 'm', 'n', 'x.shape[0]', *loops])}, {rng.choice([1, 2, -1, -2, 3])}"
