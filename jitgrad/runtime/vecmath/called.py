"""The kernels as functions that are called, not inlined.

A kernel is a hundred instructions. In a loop with lanes it belongs into the loop; for single numbers a call takes a
tenth of its time, and a long program with all its calls inlined takes LLVM minutes.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from jitgrad.runtime.vecmath.kernels import KERNELS


def _called(kernel):
    """An intrinsic: a call of one function for all calls in a module, which has the kernel in it."""

    def typed(typingctx, *given):
        kinds = tuple(map(types.unliteral, given))
        signature = types.Dispatcher(kernel.dispatcher).get_call_type(typingctx, kinds, {})

        def codegen(context, builder, _, args):
            return builder.call(_function(context, builder.module, kernel.dispatcher, signature), args)

        return signature, codegen

    if kernel.py_func.__code__.co_argcount == 1:
        return intrinsic(lambda typingctx, x: typed(typingctx, x))
    return intrinsic(lambda typingctx, x, y: typed(typingctx, x, y))


def _function(context, module, dispatcher, signature):
    compiled = dispatcher.overloads[signature.args]
    name = f"jitgrad.called.{compiled.fndesc.mangled_name}"
    if name in module.globals:
        return module.globals[name]
    numbers = [context.get_value_type(t) for t in signature.args]
    function = ir.Function(module, ir.FunctionType(context.get_value_type(signature.return_type), numbers), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    context.active_code_library.add_linking_library(compiled.library)
    _, result = context.call_internal_no_propagate(builder, compiled.fndesc, signature, function.args)
    builder.ret(result)
    return function


CALLED = {f"called_{name}": _called(kernel) for name, kernel in KERNELS.items()}
globals().update(CALLED)
