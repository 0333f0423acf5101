"""The fast ways that the calls of a function have gone."""

from __future__ import annotations

from collections.abc import Callable

KEPT = 8  # ways that are tried before the slow one


class Miss(Exception):
    """The fast way doesn't fit the call."""


def miss(*args, **kwargs):
    """The fast way of a function that has none yet."""
    raise Miss


class Ways:
    """Generated functions, each for calls of one kind; they raise `Miss`, or `TypeError`, for any other.

    A caller tries `last` by itself, which costs least, and then all of them.

    Attributes:
        last: the way of the last call.
        others: those of calls before, the latest first.
    """

    __slots__ = ("last", "others")

    def __init__(self) -> None:
        self.last: Callable = miss
        self.others: tuple[Callable, ...] = ()

    def __call__(self, *args, **kwargs) -> object:
        """The result by one of the ways, which is the last from now on.

        Raises:
            Miss: none fits.
        """
        for way in (self.last, *self.others):
            try:
                result = way(*args, **kwargs)
            except (Miss, TypeError):
                continue
            self.remember(way)
            return result
        raise Miss

    def remember(self, way: Callable) -> None:
        """Put a way in front of the others."""
        if way is not self.last:
            before = (self.last, *self.others)
            self.last, self.others = way, tuple(w for w in before if w is not way and w is not miss)[:KEPT]
