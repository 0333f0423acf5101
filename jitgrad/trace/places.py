"""Which elements a basic index takes: numbers and slices, as patterns with operands (see `ops.index`)."""

from __future__ import annotations

from jitgrad.ops.symbolic import Expr


def is_block(pattern: tuple, operands: list, x: Expr) -> bool:
    """Whether an index reads one block of memory: numbers, then a slice of step one, then whole axes."""
    sliced, axis = False, 0
    for part in pattern:
        if part[0] == "new":
            continue
        n = x.shape[axis]
        axis += 1
        count = operands[part[2]] if part[0] == "slice" else 1
        whole = part[0] == "slice" and part[3] == 1 and _same_length(count, n)
        if sliced and not whole:
            return False
        sliced = sliced or part[0] == "slice"
        if part[0] == "slice" and part[3] != 1:
            return False
    return True


def is_whole(pattern: tuple, operands: list, x: Expr) -> bool:
    """Whether an index reads everything, in order."""
    return len(pattern) == x.ndim and all(
        part[0] == "slice" and part[3] == 1 and _same_length(operands[part[1]], 0)
        and _same_length(operands[part[2]], n)
        for part, n in zip(pattern, x.shape, strict=True)
    )  # fmt: skip


def _same_length(a: object, b: object) -> bool:
    if isinstance(a, Expr) or isinstance(b, Expr):
        return isinstance(a, Expr) and isinstance(b, Expr) and a.value is b.value
    return a == b


def composed(outer: tuple, inner: tuple) -> tuple | None:
    """The place in an array of a place in a part of it; None unless both are numbers and slices only.

    Args:
        outer: the pattern and operands of the part.
        inner: those of the place within it, which has an entry for each slice of the part.
    """
    if any(entry[0] not in ("at", "slice") for entry in (*outer[0], *inner[0])):
        return None
    pattern: list[tuple] = []
    operands: list = []
    entries = iter(inner[0])
    for entry in outer[0]:
        if entry[0] == "at":
            pattern.append(("at", len(operands)))
            operands.append(outer[1][entry[1]])
            continue
        kind, *rest = next(entries)
        first, step = outer[1][entry[1]], entry[3]
        at = inner[1][rest[0]]
        whole = step == 1 and isinstance(first, int) and first == 0
        at = at if whole else first + step * at
        if kind == "at":
            pattern.append(("at", len(operands)))
            operands.append(at)
        else:
            # Bounds say from where to where in the array; those in a part mean the same if it is all of the axis.
            bounds = rest[3] if whole and entry[4] == (None, None) else None
            pattern.append(("slice", len(operands), len(operands) + 1, step * rest[2], bounds))
            operands += [at, inner[1][rest[1]]]
    return tuple(pattern), operands
