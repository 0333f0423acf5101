"""The pictures of the report, each of the numbers that a benchmark has written."""

from __future__ import annotations

from pathlib import Path


def _plots():
    import matplotlib

    matplotlib.use("Agg")  # no display needed
    import matplotlib.pyplot as plt

    return plt


def _save(figure, path: Path) -> None:
    figure.savefig(path, dpi=120)
    _plots().close(figure)


def speed(numbers: dict, path: Path) -> None:
    """For each problem the derivative's time by that of the plain primal, and the largest that it may have."""
    rows = [row for row in numbers["rows"] if row["size"] == "middle"]
    names = [row["problem"] for row in rows]
    figure, axes = _plots().subplots(figsize=(9, 3.5), layout="constrained")
    by_hand = [row["seconds"]["hand"] / row["seconds"]["plain"] for row in rows]
    axes.bar(names, [row["ratios"]["plain"] for row in rows], width=0.6, color="tab:blue", label="jitgrad")
    axes.plot(names, by_hand, "D", color="tab:orange", label="by hand")
    bounded = [row for row in rows if "bound" in row]
    bounds = [row["bound"] for row in bounded]
    axes.plot([row["problem"] for row in bounded], bounds, "_", color="black", markersize=28, label="bound")
    axes.set(title="time of a derivative, in times of the primal under plain Numba", yscale="log")
    axes.legend()
    axes.grid(axis="y", alpha=0.3)
    _save(figure, path)


def peers(numbers: dict, path: Path) -> None:
    """How many times as long the others take, for each problem and size."""
    rows = numbers["rows"]
    names = [f"{row['problem']}, {row['size']}" for row in rows]
    figure, axes = _plots().subplots(figsize=(9, 1 + 0.2 * len(rows)), layout="constrained")
    for tool in numbers["tools"][1:]:
        found = [(row["ratios"][tool], k) for k, row in enumerate(rows) if tool in row["ratios"]]
        if found:
            axes.plot(*zip(*found, strict=True), "o", label=tool, alpha=0.8)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set(title="time of a gradient, in times of jitgrad's", xscale="log")
    axes.set(yticks=range(len(rows)), yticklabels=names)
    axes.tick_params(axis="y", labelsize="small")
    axes.invert_yaxis()
    axes.legend(loc="upper right")
    axes.grid(alpha=0.3)
    _save(figure, path)


def compile_time(numbers: dict, path: Path) -> None:
    """Seconds of the first call of each case; and milliseconds by the statement."""
    figure, (left, right) = _plots().subplots(1, 2, figsize=(9, 4), layout="constrained")
    cases, tools = numbers["cases"], numbers["tools"]
    for k, tool in enumerate(tools):
        places = [i + 0.4 * k for i in range(len(cases))]
        left.barh(places, [case["seconds"][tool] for case in cases], height=0.4, label=tool)
    left.set(title="first call", xlabel="seconds", yticks=range(len(cases)), yticklabels=[c["case"] for c in cases])
    left.invert_yaxis()
    left.legend()
    for what in dict.fromkeys(line["statements"] for line in numbers["growth"]):
        lines = [line for line in numbers["growth"] if line["statements"] == what]
        each = [1e3 * line["each"]["jitgrad"] for line in lines]
        right.semilogx([line["number"] for line in lines], each, marker=".", label=what)
    right.set(title="by the statement", xlabel="statements", ylabel="milliseconds", ylim=(0, None))
    right.legend(fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    _save(figure, path)


def scale(numbers: dict, path: Path) -> None:
    """Time and memory by the element over the size."""
    figure, (left, right) = _plots().subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for name in dict.fromkeys(line["function"] for line in numbers["rows"]):
        lines = [line for line in numbers["rows"] if line["function"] == name]
        sizes = [line["size"] for line in lines]
        left.loglog(sizes, [line["nanoseconds"]["gradient"] for line in lines], marker=".", label=name)
        right.semilogx(sizes, [line["bytes"]["gradient"] for line in lines], marker=".")
    left.set(title="time of a gradient", xlabel="elements", ylabel="nanoseconds by the element")
    right.set(title="memory of a gradient", xlabel="elements", ylabel="bytes by the element", ylim=(0, 40))
    left.legend(fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    _save(figure, path)
