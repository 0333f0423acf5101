"""Functions that compiled code calls and nobody else: LLVM's code to link into others, no machine code.

Numba makes machine code of every function that it compiles. A kernel is called from generated code alone, which has it
linked in and compiled as part of itself: its own machine code would never run, and takes as long to make as the rest.
"""

from __future__ import annotations

from llvmlite import binding, ir
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder

# Variables whose address the process must know. Of a function that calls itself, or has addresses of Python's in it,
# there is machine code.
_OF_THE_PROCESS = (".numba.unresolved$", "numba.dynamic.globals")
_ENVIRONMENT = "_ZN08NumbaEnv"


class LinkedLibrary(JITCodeLibrary):
    """Numba's library of one function, which is handed on to those that link it, and not to the machine."""

    def _finalize_final_module(self):
        whole = self._final_module
        names = [variable.name for variable in whole.global_variables]
        if not any(name.startswith(_OF_THE_PROCESS) for name in names):
            for function in whole.functions:
                if not function.is_declaration and function.linkage == binding.Linkage.external:
                    function.linkage = binding.Linkage.linkonce_odr
            self._shared_module = whole
            self._final_module = self._with_variables([n for n in names if n.startswith(_ENVIRONMENT)])
        super()._finalize_final_module()

    def _with_variables(self, names: list[str]) -> binding.ModuleRef:
        """A module with these pointers alone: Numba sets them when it loads the function."""
        module = self._codegen._create_empty_module(self.name)
        for name in names:
            pointer = ir.GlobalVariable(module, ir.IntType(8).as_pointer(), name)
            pointer.linkage = "common"
            pointer.initializer = ir.Constant(pointer.value_type, None)
        return binding.parse_assembly(str(module))


class Linked(CompilerBase):
    """Numba's compiler, for functions that are linked into others."""

    def define_pipelines(self):
        state = self.state
        if state.library is None:
            codegen = state.targetctx.codegen()
            state.library = LinkedLibrary(codegen, state.func_id.func_qualname)
            state.library.enable_object_caching()
        return [DefaultPassBuilder.define_nopython_pipeline(state)]
