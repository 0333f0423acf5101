"""The vocabulary of the kernels: compile options and a few one-instruction intrinsics.

Kernels are straight-line code (`select` instead of `if`), so that LLVM's loop vectoriser takes them whole.
They are compiled with no fast-math flag at all, stated explicitly: a function that states none inherits its
caller's, and `contract` alone is enough to spoil an error term such as `a - (s - b)`. Where a fused
multiply-add is wanted it is written down: `mad` where fusing is merely faster, `fma` where the single
rounding matters (slow on a processor without the instruction, which means x86 from before 2013).
"""

from functools import cached_property, update_wrapper
from hashlib import sha256
from pathlib import Path
from types import CellType, FunctionType

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from jitgrad.runtime.linking import Linked

# `forceinline` is LLVM's alwaysinline (a kernel is over the usual threshold); Numba's own `inline='always'`
# would paste the source into the caller and compile it with the caller's flags.
OPTIONS = {
    "fastmath": False,
    "error_model": "numpy",
    "forceinline": True,
    "cache": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": Linked,
}

SOURCE_HASH = sha256(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


class Kernel:
    """A kernel that becomes a dispatcher of Numba's when compiled code first refers to it.

    Making all of them takes longer than loading a compiled program, which has those that it calls in it.
    """

    def __init__(self, function):
        self.py_func = function
        update_wrapper(self, function, updated=())

    @cached_property
    def dispatcher(self):
        """What Numba compiles."""
        return njit(**OPTIONS)(self.py_func)

    @property
    def _numba_type_(self):
        """Numba asks for this where compiled code refers to the kernel."""
        return types.Dispatcher(self.dispatcher)


def kernel(function):
    """The function compiled with OPTIONS, and compiled again whenever a file of this package changes.

    Numba's cache looks at the file of the function itself, not at those of its callees (its issue 1833), but
    it does look at closure variables: the function gets one, never read, with the hash of all the files.
    """
    code = function.__code__.replace(co_freevars=("source_hash",))
    cells = (CellType(SOURCE_HASH),)
    stamped = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, cells)
    return Kernel(update_wrapper(stamped, function, updated=()))


ROUND = 6755399441055744.0  # 1.5 * 2**52: x + ROUND leaves the integer nearest x in the low bits of the sum
ROUND_SINGLE = np.float32(12582912.0)  # the same for float32


@intrinsic
def bits(typingctx, x):
    """The bits of a float64, as int64."""
    if x != types.float64:
        return None

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(x), codegen


@intrinsic
def from_bits(typingctx, i):
    """The float64 that has these bits."""
    if not isinstance(i, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@intrinsic
def shift_right(typingctx, i, n):
    """Logical shift of an int64: AVX2 has no arithmetic one for 64 bits."""

    def codegen(context, builder, signature, args):
        return builder.lshr(*args)

    return types.int64(types.int64, types.int64), codegen


def _llvm_function(name, n):
    """An intrinsic for an LLVM function of n numbers of one floating-point type."""

    def function(kind):
        def codegen(context, builder, signature, args):
            number = context.get_value_type(kind)
            callee = builder.module.declare_intrinsic(name, [number], ir.FunctionType(number, [number] * n))
            return builder.call(callee, args)

        return kind(*[kind] * n), codegen

    return function


_fma, _mad, _copysign = (
    _llvm_function("llvm.fma", 3),
    _llvm_function("llvm.fmuladd", 3),
    _llvm_function("llvm.copysign", 2),
)
_fabs, _sqrt, _rint = (_llvm_function(f"llvm.{name}", 1) for name in ("fabs", "sqrt", "rint"))


@intrinsic
def fma(typingctx, a, b, c):
    """a*b + c, rounded once."""
    return _fma(a)


@intrinsic
def mad(typingctx, a, b, c):
    """a*b + c, rounded once or twice, whichever is faster."""
    return _mad(a)


@intrinsic
def copysign(typingctx, a, b):
    """|a| with the sign of b."""
    return _copysign(a)


@intrinsic
def fabs(typingctx, a):
    """|a|."""
    return _fabs(a)


@intrinsic
def sqrt(typingctx, a):
    """The square root, correctly rounded; NaN below zero."""
    return _sqrt(a)


@intrinsic
def rint(typingctx, a):
    """The nearest integer, ties to even."""
    return _rint(a)


@intrinsic
def is_single(typingctx, x):
    """Whether x is a float32: a constant to LLVM, which then drops the side of a `select` not taken."""

    def codegen(context, builder, signature, args):
        return ir.Constant(ir.IntType(1), signature.args[0] == types.float32)

    return types.boolean(x), codegen


@intrinsic
def select(typingctx, condition, a, b):
    """`a if condition else b`, both evaluated, with no branch for LLVM to keep."""

    def codegen(context, builder, signature, args):
        return builder.select(*args)

    kind = types.int64 if isinstance(a, types.Integer) else a
    return kind(types.boolean, kind, kind), codegen


def _polynomial(evaluate):
    """An intrinsic (x, constant tuple of coefficients, lowest degree first) -> value."""

    def polynomial(typingctx, x, coefficients):
        def codegen(context, builder, signature, args):
            number = context.get_value_type(x)
            mad_type = ir.FunctionType(number, [number] * 3)
            muladd = builder.module.declare_intrinsic("llvm.fmuladd", [number], mad_type)
            point, values = args
            terms = [builder.extract_value(values, i) for i in range(len(signature.args[1]))]
            return evaluate(builder, lambda *abc: builder.call(muladd, abc), point, terms)

        return x(x, coefficients), codegen

    return intrinsic(polynomial)


def _horner(builder, muladd, x, terms):
    total = terms.pop()
    while terms:
        total = muladd(total, x, terms.pop())
    return total


def _estrin(builder, muladd, x, terms):
    while True:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        terms = [muladd(high, x, low) for low, high in pairs] + terms[len(terms) // 2 * 2 :]
        if len(terms) == 1:
            return terms[0]
        x = builder.fmul(x, x)


def _halves(builder, muladd, x, terms):
    square = builder.fmul(x, x)
    even, odd = (_horner(builder, muladd, square, terms[k::2]) for k in (0, 1))
    return muladd(odd, x, even)


# Estrin's scheme needs a few multiplications more, but a third of the time where a loop carries the result
# along; Horner's is more accurate where terms cancel. By halves, even and odd powers, costs one multiplication, or
# none where the square is needed anyway, and half of Horner's time.
horner = _polynomial(_horner)
estrin = _polynomial(_estrin)
halves = _polynomial(_halves)


@intrinsic
def widen(typingctx, x):
    """The argument as float64."""

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[0], signature.args[0], types.float64)

    return types.float64(x), codegen


@intrinsic
def single(typingctx, x):
    """The argument as float32."""

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[0], signature.args[0], types.float32)

    return types.float32(x), codegen


@intrinsic
def is_odd(typingctx, shifted):
    """Whether n is odd, given the float32 `n + ROUND_SINGLE`."""

    def codegen(context, builder, signature, args):
        pattern = builder.bitcast(args[0], ir.IntType(32))
        return builder.trunc(pattern, ir.IntType(1))

    return types.boolean(types.float32), codegen


@intrinsic
def turned(typingctx, value, shifted):
    """The float32 with its sign changed if the second bit of n is set, given `n + ROUND_SINGLE`."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(32)
        pattern, n = (builder.bitcast(a, word) for a in args)
        sign = builder.and_(builder.shl(n, word(30)), word(1 << 31))
        return builder.bitcast(builder.xor(pattern, sign), ir.FloatType())

    return types.float32(types.float32, types.float32), codegen


@intrinsic
def narrow(typingctx, y, x):
    """The result y, float64, in the type that NumPy gives the function of x: float32 for float32."""
    kind = types.float32 if x == types.float32 else types.float64

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[0], types.float64, kind)

    return kind(types.float64, x), codegen
