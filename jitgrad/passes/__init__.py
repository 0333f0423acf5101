"""What is done to a program between differentiation and lowering; `pipeline` is the list."""

from jitgrad.passes.pipeline import optimise

__all__ = ["optimise"]
