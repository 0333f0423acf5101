"""Copies of containers that existed before the call: they can be read, not changed."""

from __future__ import annotations

from jitgrad.trace.arrays import ReadOnlyMark
from jitgrad.trace.values import refuse


def _refusing(kind: type, names: str) -> dict:
    def method(name: str):
        def mutate(self, *args, **kwargs):
            refuse(
                f"a {kind.__name__} that existed before the call is changed here, which a compiled "
                "function can't "
                "repeat; change a copy of it, or return what is new"
            )

        mutate.__name__ = name
        return mutate

    return {name: method(name) for name in names.split() if hasattr(kind, name)}


_COMMON = "__setitem__ __delitem__ __iadd__ __imul__ __ior__ __iand__ __isub__ __ixor__ clear pop update"

ReadOnlyList = type(
    "ReadOnlyList", (ReadOnlyMark, list),
    {"__slots__": (), "__doc__": "A list of outside the function.", "__module__": __name__,
     **_refusing(list, _COMMON + " append extend insert remove reverse sort")},
)  # fmt: skip
ReadOnlyDict = type(
    "ReadOnlyDict", (ReadOnlyMark, dict),
    {"__slots__": (), "__doc__": "A dict of outside the function.", "__module__": __name__,
     **_refusing(dict, _COMMON + " popitem setdefault")},
)  # fmt: skip
ReadOnlySet = type(
    "ReadOnlySet", (ReadOnlyMark, set),
    {"__slots__": (), "__doc__": "A set of outside the function.", "__module__": __name__,
     **_refusing(set, _COMMON + " add discard remove difference_update intersection_update "
                 "symmetric_difference_update")},
)  # fmt: skip


_special: dict[type, type] = {}


def special_copy(original: object, items: object, state: dict) -> object:
    """A read-only copy of a list or dict of a class of the user's: of a subclass of it, with its methods."""
    kind = type(original)
    base = ReadOnlyDict if isinstance(items, dict) else ReadOnlyList
    if kind not in _special:
        methods = {k: v for k, v in vars(base).items() if callable(v)}
        _special[kind] = type(kind.__name__, (ReadOnlyMark, kind), {**methods, "__module__": kind.__module__})
    plain = dict if isinstance(items, dict) else list
    new = plain.__new__(_special[kind])
    plain.__init__(new, items)
    if hasattr(new, "__dict__"):
        new.__dict__.update(state)
    return new


def thaw(x: object) -> object:
    """The ordinary container that a read-only copy stands for."""
    if isinstance(x, ReadOnlyMark) and type(x) not in (ReadOnlyList, ReadOnlyDict, ReadOnlySet):
        return x  # of a class of the user's
    if isinstance(x, ReadOnlyList):
        return [thaw(e) for e in x]
    if isinstance(x, ReadOnlyDict):
        return {k: thaw(v) for k, v in x.items()}
    if isinstance(x, ReadOnlySet):
        return set(x)
    return x
