"""What the fast way of a call says if it isn't one for the call."""

from __future__ import annotations


class Miss(Exception):
    """The fast way doesn't fit the call."""


def miss(*args, **kwargs):
    """The fast way of a function that has none yet."""
    raise Miss
