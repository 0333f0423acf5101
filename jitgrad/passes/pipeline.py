"""The passes in their order, a sentence each."""

from __future__ import annotations

from collections.abc import Callable

from jitgrad.ir import verify as checker
from jitgrad.ir.graph import Block
from jitgrad.passes.accumulate import accumulate
from jitgrad.passes.checks import checks_before_loops, checks_first
from jitgrad.passes.copies import make_copies
from jitgrad.passes.cse import cse
from jitgrad.passes.dce import dce
from jitgrad.passes.decide import decide
from jitgrad.passes.delay import delay_additions
from jitgrad.passes.fuse import fuse
from jitgrad.passes.interchange import interchange
from jitgrad.passes.invariants import invariants
from jitgrad.passes.joined import join_calls
from jitgrad.passes.once import checked_once
from jitgrad.passes.orderless import count_up
from jitgrad.passes.short_sums import short_sums_at_once
from jitgrad.passes.simplify import simplify
from jitgrad.passes.writes import direct_writes

Passes = list[tuple[Callable[[Block], Block], str]]

SIMPLIFY: Passes = [
    (dce, "what no result and no check reads is dropped, first, so that the others have less to look at"),
    (
        simplify,
        "local identities: x * 1 is x, a + -b is a - b, two transposes are one or none, constants are computed; "
        "what a loop carries without changing it is what it was",
    ),
    (invariants, "what is the same in every iteration of a loop is computed in front of it"),
    (cse, "what is computed twice is computed once"),
    (decide, "what bounds, branches and earlier checks make certain is not asked"),
    (checks_before_loops, "an index that grows evenly is checked once for a whole loop"),
    (simplify, "identities that the last have laid open"),
    (direct_writes, "a write of an element and something more adds to it"),
    (interchange, "independent iterations are done at once where the loops within them are the worse to go along"),
    (invariants, "what that has laid open"),
    (dce, "what the others have left over"),
]

FINISH: Passes = [
    (join_calls, "a function that gives cotangents beside its results is called once for both"),
    (accumulate, "x_bar + scatter(g, i) adds g into x_bar in place of making an array of zeros"),
    (dce, "the zeros that this leaves over"),
    (checked_once, "a loop that only checks, and the same each time, checks once"),
    (checks_first, "checks of numbers come first, before anything is allocated that an exception would leak"),
    (count_up, "a reversed loop that may as well count up does so"),
    (fuse, "a loop runs within an earlier one, above all a reversed loop within that of the primal"),
    (cse, "what both compute is computed once"),
    (simplify, "identities that this has laid open"),
    (dce, "what the others have left over"),
    (make_copies, "a write gets memory of its own, so that later stages may write in place"),
]

# For machine code alone; the array form is for reading.
MACHINE: Passes = [
    (short_sums_at_once, "independent iterations with short sums in them are done a block at a time"),
    (delay_additions, "a reversed stencil adds to each element once"),
]


def run(passes: Passes, block: Block, nested: bool = False) -> Block:
    """Some passes, each verified in tests; a nested block reads values of the one around it."""
    for function, _ in passes:
        block = function(block)
        if checker.ENABLED:
            checker.verify(block, function.__name__, nested)
    return block
