"""What `checkpoint` means to a trace."""

from __future__ import annotations

from collections.abc import Callable

from jitgrad.ops.checkpoint import checkpoint
from jitgrad.ops.symbolic import Expr
from jitgrad.trace.builtin_names import builtin
from jitgrad.trace.items import Items, items_of


@builtin(checkpoint)
def _checkpoint(frame, what):
    if callable(what) and not isinstance(what, Expr):
        return _staying(frame, what)
    found = items_of(frame, what)
    if found is None:
        return what
    marked = Items(found.count, found.item, found.sources)
    marked.chunked = True
    return marked


def _staying(frame, function: Callable) -> Callable:
    """The function, called as one of the program's own, which is run again for its gradient."""

    def checkpointed(*args, **kwargs):
        known = frame.trace.recursions
        known.stays = True
        try:
            return frame.trace.call(frame, function, args, kwargs)
        finally:
            known.stays = False

    return checkpointed
