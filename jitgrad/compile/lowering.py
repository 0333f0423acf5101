"""How the elements of arrays in generated functions become LLVM's loads and stores.

A generated function indexes an array by as many integers as it has axes. They are in range, and not negative: that has
been proved, or is checked, and what counts from the end is a `select` in the text. So an element is where its index
says, with none of the comparisons by which Numba would find out. And each access names the buffers which it doesn't
touch (see `aliasing`), so that LLVM may keep sums in registers and needs no comparison of addresses before a loop.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping

import numpy as np
from llvmlite import ir as llvm
from numba.core import cgutils, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.ir import Arg, Assign, FunctionIR, Var
from numba.core.lowering import Lower
from numba.core.typed_passes import BaseNativeLowering, NativeLowering, NopythonTypeInference

from jitgrad.compile import allocation
from jitgrad.compile.aliasing import places
from jitgrad.compile.inference import Inference

_NO_OVERFLOW = ("nsw", "nuw")  # the number of an element that exists

# Not powers, of which Numba has others for constants.
_ON_NUMBERS = frozenset((
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
))  # fmt: skip

# Generated functions have no closures to inline, no array expressions to fuse, no branches on constants, and no
# variable of two types. Each pass that looks for these goes over all statements, some in the square of their number:
# together they take a third of what Numba takes before LLVM. By name, for from one version to the next they move.
_NEEDLESS = frozenset((
    "WithLifting", "InlineClosureLikes", "RewriteSemanticConstants", "DeadBranchPrune", "MakeFunctionToJitFunction",
    "InlineInlinables", "FindLiterallyCalls", "LiteralUnroll", "LiteralPropagationSubPipelinePass", "ReconstructSSA",
    "PreLowerStripPhis", "InlineOverloads", "NopythonRewrites", "NoPythonSupportedFeatureValidation", "AnnotateTypes",
    "DumpParforDiagnostics",
))  # fmt: skip


class Scopes:
    """The places where a function's arrays have their memory from, in LLVM's words.

    An access belongs to the scopes of its array's places, and its `noalias` lists all others. LLVM takes two accesses
    for apart if one of them lists every scope that the other belongs to.
    """

    def __init__(self, module: llvm.Module, function: str, places: Mapping[str, frozenset[str]]):
        self.module = module
        self.places = places
        # Equal texts would be one scope; the function's symbol is its alone.
        domain = module.add_metadata([function])
        names = sorted(frozenset().union(*places.values()))
        self.scopes = {name: module.add_metadata([f"{function} {name}", domain]) for name in names}

    def mark(self, access: llvm.Instruction, array: str) -> None:
        own = self.places.get(array)
        if own is None:
            return
        others = [scope for name, scope in self.scopes.items() if name not in own]
        access.set_metadata("alias.scope", self.module.add_metadata([self.scopes[name] for name in sorted(own)]))
        if others:
            access.set_metadata("noalias", self.module.add_metadata(others))


def borrowed(function: FunctionIR) -> frozenset[str]:
    """The variables that are the function's arguments, and never anything else."""
    assigned = [node for block in function.blocks.values() for node in block.find_insts(Assign)]
    times = Counter(node.target.name for node in assigned)
    return frozenset(
        node.target.name for node in assigned if isinstance(node.value, Arg) and times[node.target.name] == 1
    )


class ElementLower(Lower):
    """Numba's lowering, but for elements of contiguous arrays of numbers, and for arguments.

    The caller holds its arguments until the call returns. Numba counts another reference on entry, and takes it off on
    return, which it can save itself only in functions that raise nothing.
    """

    def pre_lower(self):
        super().pre_lower()
        self.known = {}
        found = places(self.func_ir, self.fndesc.typemap)
        self.scopes = Scopes(self.module, self.fndesc.mangled_name, found)
        self.borrowed = borrowed(self.func_ir)
        self.counts = True

    def lower_assign(self, ty, inst):
        self.counts = inst.target.name not in self.borrowed
        value = super().lower_assign(ty, inst)
        self.counts = True
        return value

    def incref(self, typ, val):
        if self.counts:
            super().incref(typ, val)

    def delvar(self, name):
        if name not in self.borrowed:
            super().delvar(name)

    def lower_binop(self, resty, expr, op):
        """Operations on numbers need no second look for their types, nor one for those of constants."""
        signature = self.fndesc.calltypes[expr]
        if op not in _ON_NUMBERS or not all(map(_is_number, (*signature.args, signature.return_type))):
            return super().lower_binop(resty, expr, op)
        args = [
            self.context.cast(self.builder, self.loadvar(v.name), self.typeof(v.name), kind)
            for v, kind in zip((expr.lhs, expr.rhs), signature.args, strict=True)
        ]
        result = self._on_numbers(op, signature.args)(self.builder, args)
        return self.context.cast(self.builder, result, signature.return_type, resty)

    def _on_numbers(self, op, kinds):
        """Numba's code for an operation on numbers, looked for once."""
        if (op, kinds) not in self.known:
            context = self.context.typing_context
            function = context.resolve_value_type(op)
            self.known[op, kinds] = self.context.get_function(function, function.get_call_type(context, kinds, {}))
        return self.known[op, kinds]

    def lower_call(self, resty, expr):
        function = self.typeof(expr.func.name)
        array = isinstance(function, types.Function) and function.typing_key is np.empty
        if not (array and allocation.signature([self.typeof(a.name) for a in expr.args])):
            return super().lower_call(resty, expr)
        return allocation.allocate(self.context, self.builder, resty, self._indices(expr.args[0]))

    def lower_getitem(self, resty, expr, value, index, signature):
        if not self._is_element(value, index):
            return super().lower_getitem(resty, expr, value, index, signature)
        array = self.typeof(value.name)
        pointer = self._pointer(value, index)
        first = len(self.builder.block.instructions)
        result = self.context.unpack_value(self.builder, array.dtype, pointer, None if array.aligned else 1)
        self._mark(first, value)
        return self.context.cast(self.builder, result, array.dtype, resty)

    def lower_setitem(self, target_var, index_var, value_var, signature):
        array, kind = self.typeof(target_var.name), self.typeof(value_var.name)
        if not (self._is_element(target_var, index_var) and _is_number(kind)):
            return super().lower_setitem(target_var, index_var, value_var, signature)
        value = self.context.cast(self.builder, self.loadvar(value_var.name), kind, array.dtype)
        pointer = self._pointer(target_var, index_var)
        first = len(self.builder.block.instructions)
        self.context.pack_value(self.builder, array.dtype, value, pointer, None if array.aligned else 1)
        self._mark(first, target_var)
        return None

    def _mark(self, first: int, array: Var) -> None:
        """Say of the loads and stores, from an instruction of the current block on, what they touch."""
        for instruction in self.builder.block.instructions[first:]:
            if isinstance(instruction, llvm.LoadInstr | llvm.StoreInstr):
                self.scopes.mark(instruction, array.name)

    def _is_element(self, variable: Var, index: Var) -> bool:
        array = self.typeof(variable.name)
        if not (isinstance(array, types.Array) and array.layout == "C" and array.ndim and _is_number(array.dtype)):
            return False
        kinds = self._index_types(index)
        return len(kinds) == array.ndim and all(isinstance(t, types.Integer) for t in kinds)

    def _index_types(self, index: Var) -> tuple[types.Type, ...]:
        kind = self.typeof(index.name)
        return tuple(kind) if isinstance(kind, types.BaseTuple) else (kind,)

    def _indices(self, index: Var) -> list[llvm.Value]:
        value, kinds = self.loadvar(index.name), self._index_types(index)
        parts = [value]
        if isinstance(self.typeof(index.name), types.BaseTuple):
            parts = [self.builder.extract_value(value, k) for k in range(len(kinds))]
        return [self.context.cast(self.builder, p, t, types.intp) for p, t in zip(parts, kinds, strict=True)]

    def _pointer(self, variable: Var, index: Var) -> llvm.Value:
        """Where an element is."""
        builder = self.builder
        place = None
        for axis, number in enumerate(self._indices(index)):
            if axis or self.context.enable_boundscheck:
                length = self._field(variable, "shape", axis)
            if self.context.enable_boundscheck:  # by NUMBA_BOUNDSCHECK=1: whether the text keeps its word
                cgutils.do_boundscheck(self.context, builder, number, length, axis)
            if axis:
                number = builder.add(builder.mul(place, length, flags=_NO_OVERFLOW), number, flags=_NO_OVERFLOW)
            place = number
        return builder.gep(self._field(variable, "data"), [place], inbounds=True)

    def _field(self, variable: Var, name: str, *rest: int) -> llvm.Value:
        """A part of an array's descriptor, without loading all of it."""
        place = [self.context.data_model_manager[self.typeof(variable.name)].get_field_position(name), *rest]
        if variable.name in self._blk_local_varmap:
            return self.builder.extract_value(self.loadvar(variable.name), place)
        return self.builder.load(cgutils.gep_inbounds(self.builder, self.getvar(variable.name), 0, *place))


def _is_number(kind: types.Type) -> bool:
    return isinstance(kind, types.Number | types.Boolean)


@register_pass(mutates_CFG=True, analysis_only=False)
class ElementLowering(BaseNativeLowering):
    """Numba's last pass, with our lowering of elements."""

    _name = "jitgrad_native_lowering"

    @property
    def lowering_class(self):
        return ElementLower


_OURS = {NopythonTypeInference: Inference, NativeLowering: ElementLowering}


class Compiler(CompilerBase):
    """Numba's compiler, with our lowering of elements, and without the passes that generated code has no need of."""

    def define_pipelines(self):
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        needed = [(p, text) for p, text in pipeline.passes if p.__name__ not in _NEEDLESS]
        pipeline.passes = [(_OURS.get(p, p), text) for p, text in needed]
        pipeline.finalize()
        return [pipeline]
