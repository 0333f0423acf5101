"""What an operation is: a name, a type rule, what it computes, and what kind of map it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class Rule:
    """How an operation is differentiated; the kinds are in `jitgrad.ops.rules`."""


@dataclass(eq=False, slots=True)
class Op:
    """An operation. Calling it builds a node, records on the tape or computes, as its arguments ask for.

    Attributes:
        name: what the text form and the printers call it.
        infer: `infer(args, **attrs)`: the type, or tuple of types, of the results.
        evaluate: the operation on NumPy arrays; `None` for operations that only exist after lowering.
        rule: what kind of map it is (`jitgrad.ops.rules`).
        effect: a node of it is kept though nobody reads it (a check).
        ufunc: `infer` is NumPy's own for this ufunc, elementwise with broadcasting.
    """

    name: str
    infer: Callable | None = None
    evaluate: Callable | None = None
    rule: Rule | None = None
    effect: bool = False
    ufunc: object = None

    def __call__(self, *args, **attrs):
        for arg in args:
            bind = getattr(arg, "__jitgrad_bind__", None)
            if bind is not None:
                return bind(self, args, attrs)
        return self.evaluate(*args, **attrs)

    def __repr__(self) -> str:
        return f"<op {self.name}>"
