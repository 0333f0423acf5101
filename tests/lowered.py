"""The lowered form run by plain Python, with memory that notices what machine code would not.

What Numba compiles is Python, too: with stand-ins for the intrinsics it runs as it stands. An array made by `np.empty`
is full of NaN here, and an index that is negative or beyond the end raises, so that a program that reads what it has
not written, or beyond an array, is wrong in a way that shows.
"""

import math
import re
from contextlib import contextmanager, nullcontext
from functools import partialmethod
from unittest import mock

import numpy as np
import scipy.special
from feeding import leaves

from jitgrad.api.forward import Pushforward
from jitgrad.api.program import Program
from jitgrad.api.reverse import Vjp
from jitgrad.api.transforms import Gradient
from jitgrad.codegen import module_source
from jitgrad.lower import lower, pipeline
from jitgrad.passes import parallel
from jitgrad.runtime import errors, vecmath
from jitgrad.testing.arrays import pullback_arrays, push_arrays, run_arrays

WORST = {"f": np.nan, "i": -(2**62), "u": 2**31, "b": True}


class Checked(np.ndarray):
    """An array that takes no index out of range."""

    def _check(self, index: object) -> None:
        for k, i in enumerate(index if isinstance(index, tuple) else (index,)):
            if isinstance(i, int | np.integer) and not 0 <= i < self.shape[k]:
                raise AssertionError(f"index {i} on axis {k}, which has length {self.shape[k]}")

    def __getitem__(self, index):
        self._check(index)
        found = super().__getitem__(index)
        return found if isinstance(found, np.ndarray) and found.ndim else found[()]

    def __setitem__(self, index, value):
        self._check(index)
        super().__setitem__(index, value)


class Numpy:
    """NumPy, whose `empty` arrays hold the worst."""

    def __getattr__(self, name):
        return getattr(np, name)

    @staticmethod
    def empty(shape, dtype=np.float64):
        return np.full(shape, WORST[np.dtype(dtype).kind], dtype).view(Checked)


def _kernel(name: str):
    special = {"sigmoid": scipy.special.expit, "softplus": lambda x: np.logaddexp(0, x).astype(np.result_type(x))}
    return special.get(name) or getattr(scipy.special, name, None) or getattr(np, name)


STEPS = {
    "sum_step": lambda a, b: a + b,
    "serial_step": lambda a, b: a + b,
    "product_step": lambda a, b: a * b,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "select": lambda condition, a, b: a if condition else b,
    "in_range": lambda i, n: -n <= i < n,
    "stack_address": lambda: 0,
    "thread_count": lambda: 3,
    "writable": lambda x: x,
    "truncated": lambda x: int(x) if abs(x) < 2.0**63 else -(2**63),
    "clear": lambda x: x.fill(0),
    "copy_into": lambda x, source: np.copyto(x, source.reshape(x.shape)),
    "interrupted": lambda: False,
}


def space_of(text: str) -> dict:
    """The names that the text of a module imports, by what runs in plain Python."""
    space: dict = {"np": Numpy(), "math": math, "prange": range}
    for module, name in re.findall(r"^from jitgrad\.runtime\.([\w.]+) import (\w+)$", text, re.MULTILINE):
        if name in STEPS:
            space[name] = STEPS[name]
        elif module == "vecmath":
            kernel = name.removesuffix("_waited_for")
            space[name] = _kernel(kernel) if kernel in vecmath.KERNELS else getattr(vecmath, name)
        elif module == "vecmath.called":
            space[name] = _kernel(name.removeprefix("called_"))
        elif module == "errors":
            space[name] = getattr(errors, name)
        elif module == "linalg":
            space[name] = _product(name.removesuffix("_plain"))
        else:
            space[name] = _compiled(module, name)
    return space


def _product(name: str):
    """A product of matrices; those that are meant transposed have a t in its name."""
    left, right = name[-2:] if name.startswith("matmul_") and name != "matmul_batch" else "nn"

    def product(a, b, out):
        a, b = (x.view(np.ndarray).T if t == "t" else x.view(np.ndarray) for x, t in ((a, left), (b, right)))
        np.copyto(out, a @ b)

    return product


def _compiled(module: str, name: str):
    found = getattr(__import__(f"jitgrad.runtime.{module}", fromlist=[name]), name)
    return getattr(found, "py_func", found)


def function_of(engine, *args) -> tuple:
    """The function that is compiled for such arguments, and its source."""
    text = engine.source(*args, form="numba")
    space = space_of(text)
    exec(re.sub(r"^(from|import) .*$", "", text, flags=re.MULTILINE), space)
    return space[re.findall(r"^def (\w+)", text, re.MULTILINE)[-1]], text


def interpret(program: Program, values: list, improve: bool = True) -> object:
    """What the lowered program gives for these values of the params; its loops improved, or as they are at first."""
    types = [p.type for p in program.block.params]
    values = [v if t.ndim or t.weak else t.dtype.type(v) for v, t in zip(values, types, strict=True)]
    values = [np.ascontiguousarray(v).view(Checked) if t.ndim else v for v, t in zip(values, types, strict=True)]
    text = program.source("numba") if improve else unimproved(program)
    space = space_of(text)
    exec(compile(re.sub(r"^(from|import) .*$", "", text, flags=re.MULTILINE), "<lowered>", "exec"), space)
    try:
        with np.errstate(all="ignore"):
            results = space[program.entry](*values)
    except (errors.OutOfBounds, errors.Mismatch) as error:
        raise errors.plain(error) from None
    return _plain(results)


def _plain(results: object) -> object:
    if isinstance(results, tuple):
        return tuple(map(_plain, results))
    return np.asarray(results) if isinstance(results, np.ndarray) else results


def unimproved(program: Program) -> str:
    """The text of a program whose array operations have become loops, and no more than that."""
    with mock.patch.object(pipeline, "STEPS", []):
        return module_source(lower(program.block), program.entry, "numba", program.doc, program.defaults)


@contextmanager
def lowered(improve: bool = True):
    """What runs the array form runs the lowered form instead."""
    with mock.patch.object(Program, "interpret", partialmethod(interpret, improve=improve)):
        yield


# How a program may be run: are its loops shared out among threads, and improved?
LEVELS = ((False, False), (False, True), (True, True))


def levels_agree(function, places: tuple[int, ...], args: tuple, rtol: float = 1e-9) -> None:
    """Check that value and gradient by these arguments are the same at all levels of optimisation.

    They are the array form, its loops as lowering makes them, these improved, and those of the program on threads.
    """

    def run(threads: bool = False) -> list:
        engine = Gradient(function, places, has_aux=False, with_value=True, parallel=threads)
        return _leaves(run_arrays(engine, engine.flatten(args, {}), (1.0,)))

    wanted = run()
    for threads, improve in LEVELS:
        with lowered(improve), mock.patch.object(parallel, "GRAIN", 1):
            found = run(threads)
        for x, y in zip(found, wanted, strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-11)


def agree(function, args: tuple, rtol: float = 1e-9) -> None:
    """Check value, tangents and cotangents in array form and in lowered form, against Python and differences."""
    rng = np.random.default_rng(0)
    tangents = tuple(rng.normal(size=np.shape(a)) if _is_float(a) else None for a in args)
    value = _leaves(function(*args))
    heads = [rng.normal(size=np.shape(v)) for v in value]
    seen = []
    for how in (nullcontext, lowered):
        with how():
            found, dots = push_arrays(Pushforward(function), args, tangents)
            bars = pullback_arrays(Vjp(function), args, heads[0] if len(heads) == 1 else tuple(heads))
        seen.append([*_leaves(found), *_leaves(dots), *_leaves(bars)])
    for array, low in zip(*seen, strict=True):
        np.testing.assert_allclose(low, array, rtol=rtol, atol=rtol)
    for got, wanted in zip(seen[0], value, strict=False):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    dots, bars = seen[0][len(value) : 2 * len(value)], seen[0][2 * len(value) :]
    ends = [_leaves(function(*_moved(args, tangents, h))) for h in (1e-6, -1e-6)]
    for dot, plus, minus in zip(dots, *ends, strict=True):
        np.testing.assert_allclose(dot, (plus - minus) / 2e-6, rtol=1e-5, atol=1e-6)
    pulled = sum(np.vdot(b, t) for b, t in zip(bars, (t for t in tangents if t is not None), strict=True))
    pushed = sum(np.vdot(h, d) for h, d in zip(heads, dots, strict=True))
    np.testing.assert_allclose(pulled, pushed, rtol=1e-9, atol=1e-9)


def _is_float(x: object) -> bool:
    return isinstance(x, float) or getattr(x, "dtype", np.dtype(int)).kind == "f"


def _leaves(tree: object) -> list:
    return [np.asarray(leaf) for leaf in leaves(tree) if leaf is not None]


def _moved(args: tuple, tangents: tuple, h: float) -> tuple:
    return tuple(a if t is None else a + h * t for a, t in zip(args, tangents, strict=True))
