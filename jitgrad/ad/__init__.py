"""Differentiation: a block in, a block out, in forward or in reverse mode; again for higher orders."""

from jitgrad.ad.forward import jvp
from jitgrad.ad.reverse import vjp

__all__ = ["jvp", "vjp"]
