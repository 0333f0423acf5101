"""Helpers of the tests of tracing: trace a function by hand, and run its nodes one by one on arrays."""

import numpy as np
import pytest

from jitgrad.errors import TraceError
from jitgrad.ir.graph import Block, Const, Value
from jitgrad.ir.interpret import outputs
from jitgrad.ir.types import FLOAT64, INT64, Type
from jitgrad.ir.verify import verify
from jitgrad.ops.shape import axis_length
from jitgrad.ops.symbolic import Builder, Expr
from jitgrad.trace import Traced, evaluate


class Tracer:
    """A trace of a function on the types of some arguments, which can be run on arguments of these types."""

    def __init__(self, function, *args, static=(), **kwargs):
        self.builder = Builder(checking=True)
        self.inputs: list[tuple[Value, object]] = []
        self.static = static
        exprs = tuple(a if k in static else self.expr(a, f"x{k}") for k, a in enumerate(args))
        named = {k: v if k in static else self.expr(v, k) for k, v in kwargs.items()}
        self.traced: Traced = evaluate(function, exprs, named, self.builder)

    def expr(self, x, name):
        if isinstance(x, list):
            return [self.expr(e, f"{name}_{k}") for k, e in enumerate(x)]
        if type(x) is tuple:
            return tuple(self.expr(e, f"{name}_{k}") for k, e in enumerate(x))
        if isinstance(x, tuple):
            return x._make(self.expr(e, f"{name}_{k}") for k, e in enumerate(x))
        if isinstance(x, dict):
            return {k: self.expr(e, f"{name}_{k}") for k, e in x.items()}
        if isinstance(x, np.ndarray):
            value = Value(Type(x.dtype, (1,) * x.ndim), name)
            lengths = [
                1 if n == 1 else self.builder.emit(axis_length, (value,), {"axis": k}).value
                for k, n in enumerate(x.shape)
            ]
            value.type = Type(x.dtype, tuple(lengths))
        elif isinstance(x, bool):
            value = Value(Type(np.dtype(bool)), name)
        elif isinstance(x, np.generic):
            value = Value(Type(x.dtype), name)
        elif isinstance(x, float):
            value = Value(Type(FLOAT64, (), True), name)
        elif isinstance(x, int):
            value = Value(Type(INT64, (), True), name)
        else:
            return x
        self.inputs.append((value, x))
        return Expr(value)

    def leaves(self, args):
        if isinstance(args, list | tuple):
            for a in args:
                yield from self.leaves(a)
        elif isinstance(args, dict):
            for a in args.values():
                yield from self.leaves(a)
        elif isinstance(args, np.ndarray | np.generic | float | int | Expr):
            yield args

    def run(self, *args, **kwargs):
        given = [a for k, a in enumerate(args) if k not in self.static]
        values = list(self.leaves([given, {k: v for k, v in kwargs.items() if k not in self.static}]))
        env = dict(zip((v for v, _ in self.inputs), values, strict=True))
        env.update((h.value, h.read()) for h in self.traced.hidden)
        env.update(self.builder.captured)
        if any(node.regions for node in self.builder.nodes):
            return self.fill(self.traced.result, self.interpreted(env))
        for node in self.builder.nodes:
            read = [a.value if isinstance(a, Const) else env[a] for a in node.args]
            for array in read:
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
            results = node.op.evaluate(*read, **node.attrs)
            if not isinstance(results, tuple):
                results = (results,)
            if node.outs:
                env.update(zip(node.outs, results, strict=True))
                for out, result in zip(node.outs, results, strict=True):
                    assert np.ndim(result) == out.type.ndim, node
                    assert np.asarray(result).dtype == out.type.dtype or out.type.weak, node
                    if out.type.weak and isinstance(result, np.generic | np.ndarray):
                        env[out] = result.item()  # a Python number, which doesn't promote arrays
        return self.fill(self.traced.result, env)

    def interpreted(self, env):
        """The results by the reference semantics of blocks with regions."""
        results = list(dict.fromkeys(x.value for x in self.leaves(self.traced.result) if isinstance(x, Expr)))
        block = verify(Block(tuple(env), self.builder.nodes, tuple(results)))
        return env | dict(zip(results, outputs(block, list(env.values())), strict=True))

    def fill(self, x, env):
        if isinstance(x, Expr):
            assert type(x) is Expr
            return env[x.value]
        if isinstance(x, list):
            return [self.fill(e, env) for e in x]
        if isinstance(x, tuple):
            parts = [self.fill(e, env) for e in x]
            return tuple(parts) if type(x) is tuple else x._make(parts)
        if isinstance(x, dict):
            return {k: self.fill(e, env) for k, e in x.items()}
        return x


def copied(x):
    if isinstance(x, np.ndarray):
        return x.copy()
    if isinstance(x, list):
        return [copied(e) for e in x]
    if isinstance(x, dict):
        return {k: copied(e) for k, e in x.items()}
    return x


def same(a, b, dtypes=True):
    """Equal, also in structure; without `dtypes` Python's numbers may be NumPy's and the other way round."""
    if isinstance(b, list | tuple):
        assert type(a) is type(b)
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y, dtypes)
    elif isinstance(b, dict):
        assert list(a) == list(b)
        for k in b:
            same(a[k], b[k], dtypes)
    elif isinstance(b, np.ndarray | np.generic | float | int):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)
        assert np.shape(a) == np.shape(b)
        assert not dtypes or np.asarray(a).dtype == np.asarray(b).dtype
    else:
        assert a == b


def check(function, *args, static=(), **kwargs):
    """Tracing and running gives what the function gives, and leaves the arguments alone."""
    expected = function(*map(copied, args), **{k: copied(v) for k, v in kwargs.items()})
    tracer = Tracer(function, *args, static=static, **kwargs)
    before = copied(list(args))
    result = tracer.run(*map(copied, args), **{k: copied(v) for k, v in kwargs.items()})
    same(result, expected)
    same(before, list(args))
    return tracer


def refused(function, *args, match, kind=TraceError, text=None, static=(), **kwargs):
    with pytest.raises(kind, match=match) as caught:
        Tracer(function, *args, static=static, **kwargs)
    error = caught.value
    assert error.filename.endswith(".py")
    assert error.lineno
    if text is not None:
        assert text in error.text
    return error


def agree(function, *inputs):
    """Trace a function on the first tuple of arguments, and run what is traced on all of them as Python would."""
    tracer = Tracer(function, *copied(list(inputs[0])))
    for args in inputs:
        expected = function(*map(copied, args))
        before = copied(list(args))
        same(tracer.run(*args), expected, dtypes=False)
        same(before, list(args))
    return tracer


class Cases(list):
    """Functions, each with tuples of arguments, for `pytest.mark.parametrize`; `case(*inputs)` decorates one."""

    def __call__(self, *inputs):
        def add(function):
            self.append(pytest.param(function, inputs, id=function.__name__))
            return function

        return add
