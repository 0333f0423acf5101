"""IR to Python text: the array form for reading, the lowered form for Numba."""

from jitgrad.codegen.module import module_source

__all__ = ["module_source"]
