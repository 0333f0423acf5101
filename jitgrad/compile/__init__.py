"""From the text of a generated module to machine code, kept on disk between processes."""

from jitgrad.compile.build import Compiled, compile_function, load_module
from jitgrad.compile.cache import cache_dir, digest
from jitgrad.compile.prune import clear_cache

__all__ = ["Compiled", "cache_dir", "clear_cache", "compile_function", "digest", "load_module"]
