"""What is done to the loops that lowering has made, in this order."""

from __future__ import annotations

from collections.abc import Callable

from jitgrad.ir.graph import Block
from jitgrad.lower.allocations import allocated_once
from jitgrad.lower.elements import as_numbers
from jitgrad.lower.fills import filled_on_the_way
from jitgrad.lower.handed_on import handed_on
from jitgrad.lower.join import joined
from jitgrad.lower.lanes import from_library
from jitgrad.lower.live import of_live_directions
from jitgrad.lower.overwritten import without_overwritten
from jitgrad.lower.ranges import compared_once
from jitgrad.lower.rows import in_rows
from jitgrad.lower.series import series_first
from jitgrad.lower.skip import skipping
from jitgrad.lower.sums import in_any_order
from jitgrad.lower.takeover import in_place

STEPS: list[tuple[Callable[[Block], Block], str]] = [
    (without_overwritten, "what is overwritten from end to end before it is read is not filled"),
    (filled_on_the_way, "what is filled first, and then gone through, is filled while it is gone through"),
    (joined, "loops that follow each other are one, and what they hand on stays in registers"),
    (as_numbers, "the elements of small arrays that are touched at known places are numbers"),
    (handed_on, "what a branch has computed, a later one on the same condition doesn't compute again"),
    (in_place, "an array takes the memory of one that it is computed from"),
    (of_live_directions, "loops over directions run over those in which something moves, points innermost"),
    (in_rows, "what a loop chooses by is computed for all its iterations first"),
    (allocated_once, "scratch of an iteration is allocated in front of the loop"),
    (series_first, "geometric series that a loop keeps are computed before it, four terms at a time"),
    (skipping, "stretches of a loop in which nothing is chosen are skipped"),
    (compared_once, "an index is compared once to be found in range"),
    (from_library, "where there are no lanes, elementary functions come from the C library"),
    (in_any_order, "what is added to the sums that loops carry is a step of a reduction"),
]


def improved(block: Block) -> Block:
    """The lowered block after all of these."""
    for step, _ in STEPS:
        block = step(block)
    return block
