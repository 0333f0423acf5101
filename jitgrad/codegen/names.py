"""Names for values: the user's where there is one, each in use by one live value at a time."""

from __future__ import annotations

import builtins
import keyword
import re

RESERVED = frozenset(dir(builtins)) | frozenset(keyword.kwlist) | {"np", "math", "rt"}


class Namer:
    """Hands out Python names."""

    def __init__(self) -> None:
        self.taken: set[str] = set(RESERVED)
        self.free: dict[tuple, list[str]] = {}
        self.base: dict[str, tuple] = {}
        self.next: dict[str, int] = {}  # smaller numbers are taken

    def new(self, hint: str | None, kind: object = None) -> str:
        """A name that no live value has: `hint` itself, or with a number behind it.

        A name that was given back is given out again for values of the same `kind`.
        """
        base = re.sub(r"\W", "_", hint or "t")
        base = base if base.isidentifier() else f"_{base}"
        key = (base, kind)
        if self.free.get(key):
            return self.free[key].pop(0)
        name, k = base, self.next.get(base, 1)
        while name in self.taken:
            name, k = f"{base}_{k}", k + 1
        self.taken.add(name)
        self.next[base] = k
        self.base[name] = key
        return name

    def claim(self, name: str) -> bool:
        """Take a certain name that was given back; False if it wasn't."""
        names = self.free.get(self.base.get(name), ())
        if name not in names:
            return False
        names.remove(name)
        return True

    def release(self, name: str) -> None:
        """The value that has this name is not read any more; a later one may be called so."""
        key = self.base.get(name)
        if key is not None:
            names = self.free.setdefault(key, [])
            if name not in names:
                names.append(name)
                names.sort(key=lambda n: (len(n), n))
