"""Errors with numbers in them, which compiled code raises.

Numba can't put a text together in reasonable time, but hands numbers on.
"""


class Numbered(Exception):
    """An error whose text is put together when it is read: of a message, the numbers for its `{0}`, and the place."""

    def __str__(self) -> str:
        message, where, *numbers = self.args
        text = message.format(*numbers)
        return f"{text}\n  {where}" if where else text


class OutOfBounds(Numbered, IndexError):
    """An index is out of bounds."""


class Mismatch(Numbered, ValueError):
    """Lengths don't fit together."""


class Interrupted(Exception, KeyboardInterrupt):
    """Ctrl-C, in a loop of compiled code: Numba raises subclasses of `Exception` only."""


def plain(error: Exception) -> Exception:
    """The error as Python's own one."""
    if isinstance(error, Interrupted):
        return KeyboardInterrupt()
    return type(error).__bases__[1](str(error)) if isinstance(error, Numbered) else error
