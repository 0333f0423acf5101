"""The elementary functions that have kernels of our own in `runtime/vecmath`, which LLVM vectorises in loops."""

ELEMENTARY = frozenset((
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "sinh", "cosh", "sin", "cos", "tan",
    "arctan", "arcsin", "arccos", "arcsinh", "arccosh", "arctanh", "arctan2", "hypot", "logaddexp", "logaddexp2",
    "cbrt", "power", "erf", "erfc",
))  # fmt: skip
