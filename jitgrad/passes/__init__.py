"""What is done to a program between differentiation and lowering; `pipeline` is the list."""

from jitgrad.passes.pipeline import FINISH, SIMPLIFY, optimise, run
from jitgrad.passes.split import split

__all__ = ["FINISH", "SIMPLIFY", "optimise", "run", "split"]
