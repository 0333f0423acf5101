"""The C library for rare arguments, out of the way of the loop.

An exact reduction of huge arguments of sin would cost every element more than the function itself, and a call to the C
library under a condition keeps LLVM from vectorising a loop, or is made for all lanes. A function that LLVM knows
vector forms of does neither: the loop calls the form of its width, which looks whether any of its lanes is concerned,
and only then goes through them. For the other arguments this costs a comparison and a call for each vector.
"""

from llvmlite import binding, ir
from numba.core import cgutils
from numba.extending import intrinsic

WIDTHS = {"double": (2, 4, 8), "float": (4, 8, 16)}  # numbers in a vector

# The calls of the C library may set `errno`, which nobody reads: so they count as functions of their argument alone.
_ATTRIBUTES = "noinline nounwind willreturn readnone"

_SCALAR = """
declare double @{c}(double)
declare {t} @llvm.fabs.{f}({t})

define weak_odr {t} @{name}({t} %x) {attributes} "vector-function-abi-variant"="{variants}" {{
  %size = call {t} @llvm.fabs.{f}({t} %x)
  %rare = fcmp ogt {t} %size, {limit}
  br i1 %rare, label %slow, label %fast
fast:
  ret {t} 0.0
slow:
{call}
  ret {t} %value
}}
"""
_CALL = {
    "double": "  %value = call double @{c}(double %x)",
    "float": """
  %wide = fpext float %x to double
  %exact = call double @{c}(double %wide)
  %value = fptrunc double %exact to float
""",
}
_VECTOR = """
declare <{n} x {t}> @llvm.fabs.v{n}{f}(<{n} x {t}>)

define weak_odr <{n} x {t}> @{name}.{n}(<{n} x {t}> %x) {attributes} {{
  %size = call <{n} x {t}> @llvm.fabs.v{n}{f}(<{n} x {t}> %x)
  %rare = fcmp ogt <{n} x {t}> %size, <{limits}>
  %lanes = bitcast <{n} x i1> %rare to i{n}
  %none = icmp eq i{n} %lanes, 0
  br i1 %none, label %fast, label %slow
fast:
  ret <{n} x {t}> zeroinitializer
slow:
{lanes}
  ret <{n} x {t}> %y{last}
}}
"""
_LANE = """
  %a{k} = extractelement <{n} x {t}> %x, i32 {k}
  %b{k} = call {t} @{name}({t} %a{k}) noinline
  %y{k} = insertelement <{n} x {t}> {before}, {t} %b{k}, i32 {k}
"""


def _llvm_text(name: str, c: str, number: ir.Type, limit: float) -> str:
    """The function of a double or float, and its vector forms."""
    kind = str(number)
    words = {
        "name": name, "c": c, "t": kind, "f": "f64" if kind == "double" else "f32",
        "limit": number(float(limit)).get_reference(), "attributes": _ATTRIBUTES,
    }  # fmt: skip
    variants = ",".join(f"_ZGV_LLVM_N{n}v_{name}({name}.{n})" for n in WIDTHS[kind])
    parts = [_SCALAR.format(variants=variants, call=_CALL[kind].format(c=c), **words)]
    for n in WIDTHS[kind]:
        lanes = [_LANE.format(n=n, k=k, before=f"%y{k - 1}" if k else "undef", **words) for k in range(n)]
        limits = ", ".join([f"{kind} {words['limit']}"] * n)
        parts.append(_VECTOR.format(n=n, last=n - 1, limits=limits, lanes="".join(lanes), **words))
    return "".join(parts)


def rarely(c: str, limit: float):
    """An intrinsic that is the function `c` of the C library where |x| > limit, and 0 elsewhere."""

    def rare(typingctx, x):
        def codegen(context, builder, signature, args):
            number = context.get_value_type(x)
            name = f"jitgrad.rare.{c}.{x}"
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number]), name)
            text = _llvm_text(name, c, number, limit)
            context.active_code_library.add_llvm_module(binding.parse_assembly(text))
            return builder.call(function, args)

        return x(x), codegen

    return intrinsic(rare)
