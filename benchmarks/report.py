"""Runs all benchmarks and writes what they print, with pictures, into `benchmarks/results.md`.

    python -m benchmarks.report [--quick] [--only scale speed] [--folder FOLDER]

Each benchmark is a command of its own, one after the other, one thread each; what it prints and its numbers go to the
folder. A benchmark that isn't run is reported as the folder has it. With --quick, less than a quarter of an hour on a
machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import pictures
from benchmarks.timing import settle

HERE = Path(__file__).parent


class Section(NamedTuple):
    """A benchmark.

    Attributes:
        title, text: what the report says above its table.
        options: of the command, also for a quick run.
        quick: more options then.
        numbers: whether it writes a file of numbers.
        draw: the picture, of those numbers.
        table: whether it prints Markdown.
    """

    title: str
    text: str
    options: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    numbers: bool = True
    draw: Callable | None = None
    table: bool = True


SECTIONS = {
    "problems.speed": Section(
        "Twelve problems",
        "Each problem as a Numba user writes it, jitgrad's derivative, and a derivative written by hand.",
        quick=("--sizes", "middle"),
        draw=pictures.speed,
        table=False,
    ),
    "versus_peers": Section(
        "Other tools",
        "The same gradient by JAX, PyTorch, autograd and CasADi.",
        quick=("--quick",),
        draw=pictures.peers,
    ),
    "versus_tape": Section("Tapes", "Programs of a few array operations, and the eager tape.", quick=("--quick",)),
    "compile_time": Section(
        "Compile time", "The first call in a new process.", quick=("--quick",), draw=pictures.compile_time
    ),
    "start": Section("Start", "A process that finds its machine code on the disk.", numbers=False, table=False),
    "call_overhead": Section("Calls", "What a call costs beside its work.", numbers=False, table=False),
    "out_arrays": Section("Arrays for results", "What new memory for a gradient costs.", numbers=False, table=False),
    "scale": Section("Scale", "From a thousand elements on.", quick=("--quick",), draw=pictures.scale),
    "memory": Section("Memory", "What a gradient allocates as its problem grows.", numbers=False, table=False),
    "vector_math": Section("Elementary functions", "In loops, by the element.", numbers=False, table=False),
    "reductions": Section("Reductions", "Against NumPy's, by the element.", numbers=False, table=False),
}


def run(name: str, section: Section, folder: Path, quick: bool) -> None:
    """Runs a benchmark; what it prints and its numbers go to the folder, whatever they say."""
    command = ["python", "-m", f"benchmarks.{name}", *section.options, *(section.quick if quick else ())]
    shown = " ".join(command)
    if section.numbers:
        command += ["--json", str(folder / f"{name}.json")]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=False)
    print(f"{shown}: {time.perf_counter() - start:.0f} s, exit code {done.returncode}", flush=True)
    if done.stdout.strip():
        (folder / f"{name}.txt").write_text(f"{shown}\n{done.stdout}")
    else:
        print(done.stderr, file=sys.stderr)


def reported(name: str, section: Section, folder: Path) -> list[str]:
    """The lines of the report; none where there is nothing to report."""
    path = folder / f"{name}.txt"
    if not path.exists():
        return []
    command, _, output = path.read_text().partition("\n")
    date = time.strftime("%Y-%m-%d", time.localtime(path.stat().st_mtime))
    lines = [f"## {section.title}", "", f"{section.text} `{command}`, {date}.", ""]
    numbers = folder / f"{name}.json"
    if section.draw is not None and numbers.exists():
        picture = HERE / "pictures" / f"{name.rpartition('.')[2]}.png"
        picture.parent.mkdir(exist_ok=True)
        section.draw(json.loads(numbers.read_text()), picture)
        lines += [f"![{section.title}](pictures/{picture.name})", ""]
    body = output.strip()
    return [*lines, body if section.table else f"```\n{body}\n```", ""]


def main() -> int:
    """Run what is asked for, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes, few rounds")
    parser.add_argument("--only", nargs="*", default=list(SECTIONS), choices=list(SECTIONS), help="what is run")
    parser.add_argument("--folder", type=Path, default=HERE / "numbers", help="for what is printed, and the numbers")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    settle(1)  # for the commands, too
    for name in options.only:
        run(name, SECTIONS[name], options.folder, options.quick)
    from benchmarks import machine

    parts = [
        "# Results",
        "",
        "Written by `python -m benchmarks.report`. Ratios are of one run, in which what is compared takes turns.",
        "",
        f"{time.strftime('%d %B %Y')}. {machine.header()}".replace("\n", "; "),
        "",
    ]
    for name, section in SECTIONS.items():
        parts += reported(name, section, options.folder)
    (HERE / "results.md").write_text("\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
