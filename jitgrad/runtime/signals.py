"""Whether the user has pressed Ctrl-C, asked from compiled code."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def interrupted(typingctx):
    """Whether a signal has come whose handler raises, as that of Ctrl-C does; the exception is taken back.

    It may be called with and without Python's lock.
    """

    def codegen(context, builder, signature, args):
        python = context.get_python_api(builder)
        lock = python.gil_ensure()
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), []), "PyErr_CheckSignals"
        )
        raised = builder.icmp_signed("!=", builder.call(function, []), ir.Constant(ir.IntType(32), 0))
        with builder.if_then(raised, likely=False):
            python.err_clear()
        python.gil_release(lock)
        return raised

    return types.boolean(), codegen
