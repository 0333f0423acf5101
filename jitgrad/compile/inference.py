"""Numba's type inference, which asks each question once.

The type of `a * b` is found by trying all that Numba knows of `*`, dozens of overloads, each by comparisons of types in
Python: half of what Numba takes for a long function of numbers. A generated function asks the same few questions, such
as `float64 * float64`, again in each line.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NopythonTypeInference
from numba.core.types import Function

from jitgrad.compile import allocation


class Remembering:
    """A typing context that remembers its answers for the time of one compilation.

    They depend on types alone. What a user's function makes of its arguments is left to Numba, which compiles it.
    """

    def __init__(self, context: object):
        self._context = context
        self._answers: dict[tuple, object] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def resolve_function_type(self, func, args, kws):
        ask = self._context.resolve_function_type
        if not isinstance(func, Function) or kws:
            return ask(func, args, kws)
        if func.typing_key is np.empty and (found := allocation.signature(args)):
            return found
        return self._answer((func, *args), lambda: ask(func, args, kws))

    def resolve_getitem(self, value, index):
        return self._answer(("getitem", value, index), lambda: self._context.resolve_getitem(value, index))

    def resolve_setitem(self, target, index, value):
        return self._answer(
            ("setitem", target, index, value), lambda: self._context.resolve_setitem(target, index, value)
        )

    def _answer(self, question: tuple, ask: Callable[[], object]) -> object:
        if self._answers.get(question) is None:  # there may be an answer to nothing later
            self._answers[question] = ask()
        return self._answers[question]


@register_pass(mutates_CFG=True, analysis_only=False)
class Inference(NopythonTypeInference):
    """Numba's inference of types, in a context that remembers."""

    _name = "jitgrad_type_inference"

    def run_pass(self, state) -> bool:
        context, state.typingctx = state.typingctx, Remembering(state.typingctx)
        try:
            return super().run_pass(state)
        finally:
            state.typingctx = context
