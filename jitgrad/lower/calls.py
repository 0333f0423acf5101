"""Lowering of calls, and of the functions that are called.

Each function takes one number more, the address of the stack where the program began. A recursion that goes too deep
raises before the stack ends, where the process would die. What runs on a thread has that thread's stack, and begins
anew.
"""

from __future__ import annotations

try:
    import resource
except ImportError:
    resource = None

from jitgrad.ir.function import Function, callee
from jitgrad.ir.graph import Node, Value
from jitgrad.ir.types import INT64, Type
from jitgrad.lower.lowering import Lowering, lowers
from jitgrad.lower.regions import given
from jitgrad.ops.control import check
from jitgrad.ops.flow import add_call
from jitgrad.ops.memory import stack_address
from jitgrad.ops.symbolic import Expr, as_arg, current

LARGEST = 4 << 20  # bytes of the stack: half of what a thread has, if nobody has changed that


@lowers("thread_count")
def _thread_count(self: Lowering, node: Node) -> None:
    self.set_scalar(node.out, current().emit(node.op, (), {}))


@lowers("call")
def _call(self: Lowering, node: Node) -> None:
    function = _lowered(self, callee(node))
    args = given(self, node.args)
    stack = ()
    if not function.threaded:
        stack = (current().emit(stack_address, (), {}).value if self.stack is None else self.stack,)
    outs = {o: Value(Type(o.type.dtype), o.name) for o in node.outs if not o.type.shape}
    for old, new in outs.items():
        self.set_scalar(old, Expr(new))
    outs |= {o: Value(self.type(o.type), o.name) for o in node.outs if o.type.shape}
    add_call(function, (*stack, *args), tuple(outs[o] for o in node.outs))
    sources = {result: args[k] for k, result in callee(node).updates.items()}
    for j, out in enumerate(node.outs):
        if out.type.shape:
            roots = self.roots(sources[j]) if j in sources else ()
            self.arrays[out] = self.shared(outs[out], frozenset((outs[out], *roots)))


def _lowered(self: Lowering, function: Function) -> Function:
    """The function over elements and buffers; each is made once, and so calls itself."""
    if function in self.functions:
        return self.functions[function]
    inner = Lowering(function.block, self.functions, function.updates)
    if function.threaded:
        new = self.functions[function] = Function(
            function.name, updates=function.updates, loc=function.loc, threaded=True
        )
        new.block = inner.run()
        return new
    updates = {k + 1: j for k, j in function.updates.items()}
    new = self.functions[function] = Function(function.name, updates=updates, loc=function.loc)
    inner.stack = Value(Type(INT64), "stack")
    block = inner.run(lambda: _check_stack(inner.stack, function))
    block.params = (inner.stack, *block.params)
    new.block = block
    return new


def _check_stack(stack: Value, function: Function) -> None:
    depth = Expr(stack) - current().emit(stack_address, (), {})
    name = function.loc.function or function.name
    attrs = {"message": f"maximum recursion depth exceeded in {name}", "where": str(function.loc), "sides": ()}
    current().emit(check, (as_arg(depth < _stack_bytes()),), attrs)


def _stack_bytes() -> int:
    """How much of the stack a recursion may use: half of what this process has."""
    if resource is None:  # Windows gives a thread a megabyte
        return 1 << 19
    limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return LARGEST if limit == resource.RLIM_INFINITY else min(LARGEST, limit // 2)
