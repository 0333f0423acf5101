"""What an array of the tape says about itself, and how its values leave it as NumPy's and Python's."""

from __future__ import annotations

import numpy as np

from jitgrad.errors import TapeError
from jitgrad.ops.arraylike import ArrayLike
from jitgrad.tape.state import RECORD, state


class Values(ArrayLike):
    """The reading half of `Array`: `_data` is the NumPy array, `_node` its place in a graph."""

    __slots__ = ()

    # Attributes.
    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    # Values.
    def asnumpy(self) -> np.ndarray:
        """A copy of the values; to the graph they are constants."""
        self._escape()
        return self._data.copy()

    def item(self, *index):
        """One element as a Python number; to the graph it is a constant.

        Raises:
            ValueError: without an index, if there is more than one element.
        """
        self._escape()
        return self._data.item(*index)

    def tolist(self):
        """The values as nested lists of Python numbers."""
        self._escape()
        return self._data.tolist()

    def _escape(self) -> None:
        if state.function is not None:
            state.function._escaped = True

    def _leave(self, how: str) -> None:
        node = self._node
        if state.mode == RECORD and node is not None and node.flows:
            raise TapeError(
                f"{how} of a recorded value inside record(): its derivative would be lost. If a constant is "
                "meant, say so with asnumpy(), item() or detach(); if not, use a function that jitgrad has a "
                "rule for."
            )
        self._escape()

    def __array__(self, dtype=None, copy=None):
        self._leave("np.asarray")
        return self._data.astype(dtype or self._data.dtype)

    def __float__(self) -> float:
        self._leave("float()")
        return float(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __int__(self) -> int:
        return int(self._data)

    def __index__(self) -> int:
        return self._data.__index__()

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"tape.{self._data!r}"

    def __format__(self, spec: str) -> str:
        return format(self._data.item() if spec else self._data, spec)
