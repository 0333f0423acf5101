"""What a thread is doing: recording or not, training or not; and the scopes that say so."""

from __future__ import annotations

import threading

from jitgrad.errors import TapeError

# Outside any scope a result that depends on an attached array is remembered as unrecorded; `pause` says that
# this is meant, and its results are constants.
OUTSIDE, RECORD, PAUSE = 0, 1, 2


class _State(threading.local):
    mode = OUTSIDE
    training = False
    function = None  # the `Function` whose forward or backward is running

    def __init__(self):
        self.scopes: list[tuple] = []


state = _State()


class Scope:
    """Sets the state of this thread and restores it; may be entered again, also inside itself."""

    __slots__ = ("_mode", "_training")

    def __init__(self, mode: int | None, training: bool | None):
        if training is not None and not isinstance(training, bool):
            raise TypeError(f"train_mode is True or False, not {type(training).__name__}")
        self._mode = mode
        self._training = training

    def __enter__(self) -> None:
        state.scopes.append((self, state.mode, state.training))
        if self._mode is not None:
            state.mode = self._mode
        if self._training is not None:
            state.training = self._training

    def __exit__(self, *exc) -> None:
        if not state.scopes or state.scopes[-1][0] is not self:
            raise TapeError("scopes of the tape must be left in the reverse order of entering them")
        _, state.mode, state.training = state.scopes.pop()


def record(train_mode: bool = True) -> Scope:
    """`with record():` operations inside are written down. Without `with` it does nothing.

    Args:
        train_mode: what `is_training()` says inside.

    Example:
        >>> with record():
        ...     is_recording(), is_training()
        (True, True)
    """
    return Scope(RECORD, train_mode)


def pause(train_mode: bool = False) -> Scope:
    """`with pause():` values computed inside are constants to the graph."""
    return Scope(PAUSE, train_mode)


def train_mode() -> Scope:
    """`with train_mode():` `is_training()` is true inside."""
    return Scope(None, True)


def predict_mode() -> Scope:
    """`with predict_mode():` `is_training()` is false inside."""
    return Scope(None, False)


def is_recording() -> bool:
    """Whether operations of this thread are being recorded."""
    return state.mode == RECORD


def is_training() -> bool:
    """Whether this thread is in training mode, as dropout and the like would ask."""
    return state.training


def set_recording(on: bool) -> bool:
    """Switch recording by hand; returns what it was."""
    before, state.mode = is_recording(), RECORD if on else OUTSIDE
    return before


def set_training(on: bool) -> bool:
    """Switch training mode by hand; returns what it was."""
    before, state.training = state.training, bool(on)
    return before
