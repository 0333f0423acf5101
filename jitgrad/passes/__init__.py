"""What is done to a program between differentiation and lowering; `pipeline` is the list."""

from jitgrad.passes.functions import optimise
from jitgrad.passes.pipeline import FINISH, MACHINE, SIMPLIFY, run
from jitgrad.passes.split import split

__all__ = ["FINISH", "MACHINE", "SIMPLIFY", "optimise", "run", "split"]
