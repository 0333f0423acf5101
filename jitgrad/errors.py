"""The exceptions that jitgrad raises, each with its cause, an example and the way out.

Wrong arguments raise the built-in exceptions that NumPy would raise (`ValueError` for shapes, `TypeError` for
dtypes, `IndexError` for indices). The classes here are for what only a differentiating compiler can refuse.
"""

from __future__ import annotations


class JitgradError(Exception):
    """Base class of every error that is jitgrad's own."""


class SourceError(JitgradError, SyntaxError):
    """An error that points at a line of the user's function, shown as Python shows a `SyntaxError`.

    `SyntaxError` is a base class because the interpreter, IPython and pytest then print file, line and caret.
    """

    def __init__(self, message: str, location: tuple | None = None):
        if location is None:
            super().__init__(message)
        else:
            super().__init__(message, location)


class TraceError(SourceError):
    """The function does something that can't become part of a compiled graph.

    Cause: a loop whose variable changes its type or shape, a branch that makes a name a number or a string, a random
    generator called inside the function, the mutation of an object that existed before the call, source code that can't
    be found, ...

        @grad
        def f(x):
            y = None if x > 0 else 2.0 * x
            return y * x        # y is known to be a number or `None` at run time only

    Way out: the message's last sentence says it; here `y = 0.0 if x > 0 else 2.0 * x`.
    """


class UnsupportedError(SourceError):
    """A function that jitgrad has no rule for was called with a traced value.

        @grad
        def f(x):
            return np.sum(np.fft.fft(x))

    Way out: write it with the functions listed in `docs/operations.md`, or, where no derivative is needed,
    call it on `stop_gradient` values outside the traced function and pass the result in as an argument.
    """


class LeakedValueError(JitgradError):
    """A traced value was used after its trace had ended, for example through a global list it was appended
    to.

    Way out: return what is needed outside from the function (`has_aux=True` lets a loss return more).
    """


class TapeError(JitgradError):
    """Base class of the tape's errors: `backward` or `grad` can't give what was asked for."""


class NotRecordedError(TapeError):
    """An array has no place in a graph, or a value that should have one is about to enter a graph as a
    constant.

        x.attach_grad()
        y = x * x               # outside record()
        y.backward()

    The message says which it was: never attached, computed outside `record()` or inside `pause()`, bound to a
    new array (`x = x - g`), not reached from the head.
    Way out: compute it inside `with record():`, from an array whose `attach_grad()` was called before; for
    what is meant to be a constant, say so with `detach()` or `pause()`.
    """


class DetachedError(TapeError):
    """`backward` was called on an array that `detach()` has cut from its history, or that only depends on
    such.

    Way out: call `backward` on the array that was detached, or don't detach it.
    """


class GraphFreedError(TapeError):
    """The graph, or a part that it shares with another, was already used by a `backward` that did not keep
    it.

    Way out: `backward(retain_graph=True)` for all calls but the last, or record again.
    """


class ModifiedError(TapeError):
    """A value that a derivative needs was changed in place, or a write in place would lose a derivative.

        with record():
            y = x * x
        x[:] = 10               # the derivative of y needs the old value
        y.backward()

    Way out: change it after `backward`, or change a copy; inside `record()` write to an array itself rather
    than to a view of it, and never to an attached one.
    """


class CacheWarning(UserWarning):
    """The compile cache can't be used; functions are compiled anew in each process."""
