"""The signature of a call: what it shares with all calls that run the same compiled function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jitgrad.api.structure import flatten
from jitgrad.ir.types import BOOL, FLOAT64, INT64
from jitgrad.ops.symbolic import Expr

DTYPES = frozenset(np.dtype(t) for t in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"))


@dataclass(frozen=True, slots=True)
class LeafType:
    """Dtype, and for each axis whether its length is one. `weak` is a Python number; it has no axes."""

    dtype: np.dtype
    ones: tuple[bool, ...] = ()
    weak: bool = False


def is_leaf(x: object, name: str) -> bool:
    """Whether an argument is data.

    Raises:
        TypeError: for arrays that can't be computed with (complex, objects, another library's).
    """
    if isinstance(x, Expr | float | int | np.generic | np.ndarray):
        if isinstance(x, np.ma.MaskedArray | np.matrix):
            raise TypeError(f"argument {name!r} is a {type(x).__name__}; pass a plain NumPy array")
        dtype = getattr(x, "dtype", None)
        if dtype is None or isinstance(x, Expr) or dtype.newbyteorder("=") in DTYPES:
            return True
        if dtype.kind in "USOMm" and not isinstance(x, np.ndarray):
            return False
        raise TypeError(
            f"argument {name!r} has dtype {dtype}; only float64, float32, integers and booleans are supported"
        )
    if isinstance(x, complex):
        raise TypeError(f"argument {name!r} is complex; only real numbers are supported")
    if hasattr(x, "__array__") and not isinstance(x, type):
        raise TypeError(f"argument {name!r} is a {type(x).__name__}; pass np.asarray({name}) instead")
    return False


def normalize(x: object) -> object:
    """A leaf as the compiled function takes it: a C-contiguous array in native byte order, or a number."""
    if isinstance(x, np.ndarray):
        if x.ndim == 0:
            return x[()]
        if type(x) is np.ndarray and x.flags.c_contiguous and x.flags.aligned and x.dtype.isnative:
            return x
        return np.require(x, x.dtype.newbyteorder("="), ("C", "A"))[...].view(np.ndarray)
    return x


def leaf_type(x: object) -> LeafType:
    """The part of the signature that a normalized leaf is."""
    if isinstance(x, np.ndarray):
        return LeafType(x.dtype, tuple(n == 1 for n in x.shape))
    if isinstance(x, Expr):
        ones = tuple(isinstance(n, int) and n == 1 for n in x.type.shape)
        return LeafType(x.dtype, ones, x.type.weak)
    if isinstance(x, np.generic) and not isinstance(x, float | int):
        return LeafType(x.dtype)
    if isinstance(x, np.float64):
        return LeafType(FLOAT64)
    if isinstance(x, bool):
        return LeafType(BOOL, (), True)
    return LeafType(INT64 if isinstance(x, int) else FLOAT64, (), True)


class StaticLeaf(Exception):
    """Tracing needs a leaf of the arguments as a Python number."""

    def __init__(self, leaf: int):
        super().__init__(leaf)
        self.leaf = leaf


def overlaps(a: object, b: object) -> bool:
    """Whether two leaves share memory."""
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


class Arguments:
    """Binds the arguments of calls of one function, and flattens them.

    Attributes:
        names: the names of positional parameters, as far as they are known.
    """

    def __init__(self, function: Callable):
        self.function = function
        try:
            self.signature = inspect.signature(function)
        except (TypeError, ValueError):  # a builtin that doesn't tell
            self.signature = None
        kinds = self.signature.parameters.values() if self.signature else ()
        self.names = [p.name for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.keywords = {p.name for p in kinds if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}

    def bind(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Keywords that stand for positional parameters are put in their places; `TypeError` as Python raises it."""
        if self.signature is None:
            return args, kwargs
        bound = self.signature.bind(*args, **kwargs)
        return bound.args, bound.kwargs

    def name(self, k: int) -> str:
        """What the positional argument `k` is called."""
        if k < len(self.names):
            return self.names[k]
        star = (
            [p.name for p in self.signature.parameters.values() if p.kind is p.VAR_POSITIONAL] if self.signature else []
        )
        return f"{star[0]}_{k - len(self.names)}" if star else f"x{k}"

    def position(self, argnum: int | str) -> int | str:
        """`argnums` as a position, or the name of a keyword-only parameter."""
        if isinstance(argnum, str):
            if argnum in self.names:
                return self.names.index(argnum)
            if argnum in self.keywords:
                return argnum
            raise ValueError(f"argnums={argnum!r}: {_name(self.function)} has no parameter of that name")
        if isinstance(argnum, bool) or not isinstance(argnum, int | np.integer):
            raise TypeError(f"argnums must be integers or names of parameters, not {argnum!r}")
        if argnum < 0:
            if self.names and -argnum <= len(self.names):
                return int(argnum) % len(self.names)
            raise ValueError(
                f"argnums={argnum} is out of range: {_name(self.function)} takes {len(self.names)} arguments"
            )
        return int(argnum)


def _name(function: object) -> str:
    return f"{getattr(function, '__name__', 'the function')}()"


@dataclass(frozen=True, slots=True)
class Flat:
    """The arguments of one call as leaves.

    `groups[place]` is the range of leaves that an argument has; `place` is a position or a keyword. `places` are
    the names of the arguments, `given` the leaves as they came, and `changed` those that were no C-contiguous arrays.
    """

    leaves: list
    given: list
    names: list[str]
    structures: tuple
    keywords: tuple[str, ...]
    groups: dict
    places: list[str]
    changed: frozenset[int]


def flatten_arguments(arguments: Arguments, args: tuple, kwargs: dict) -> Flat:
    """All leaves in order: positional arguments, then keywords by name."""
    given: list = []
    leaves: list = []
    names: list[str] = []
    structures = []
    groups = {}
    keywords = tuple(sorted(kwargs))
    places = [(k, arguments.name(k), a) for k, a in enumerate(args)] + [(k, k, kwargs[k]) for k in keywords]
    for place, name, value in places:
        found, found_names, structure = flatten(value, name, is_leaf)
        groups[place] = range(len(leaves), len(leaves) + len(found))
        given += found
        leaves += [normalize(x) for x in found]
        names += found_names
        structures.append(structure)
    changed = frozenset(k for k, (x, y) in enumerate(zip(given, leaves, strict=True)) if x is not y)
    return Flat(leaves, given, names, tuple(structures), keywords, groups, [name for _, name, _ in places], changed)
