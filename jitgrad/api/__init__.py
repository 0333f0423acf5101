"""What users call: the chain from a Python function to its compiled derivative."""

from jitgrad.api.constants import stop_gradient
from jitgrad.api.forward import jvp
from jitgrad.api.reverse import vjp
from jitgrad.api.transforms import grad, jit, value_and_grad
from jitgrad.ops.checkpoint import checkpoint

__all__ = ["checkpoint", "grad", "jit", "jvp", "stop_gradient", "value_and_grad", "vjp"]
