"""JIT-compiled automatic differentiation of NumPy code, by source transformation, with Numba."""

from jitgrad.api import checkpoint, grad, jit, jvp, stop_gradient, value_and_grad, vjp

__all__ = ["checkpoint", "grad", "jit", "jvp", "stop_gradient", "value_and_grad", "vjp"]
__version__ = "0.1.0"
