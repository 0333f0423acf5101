"""Checking derivatives: `check_grads`, for the tests of whoever writes functions to be differentiated."""

from jitgrad.testing.arrays import pullback_arrays, push_arrays, run_arrays
from jitgrad.testing.gradients import check_grads

__all__ = ["check_grads", "pullback_arrays", "push_arrays", "run_arrays"]
