"""Tracing: what needs a static argument, what can't be traced, and where errors point."""

import doctest
import functools
import linecache
import sys
import threading
import time

import numpy as np
import pytest
from tracing import Tracer, check, refused

from jitgrad.errors import LeakedValueError, TraceError
from jitgrad.ir.graph import Value
from jitgrad.ir.types import FLOAT64, INT64, Type
from jitgrad.ops.symbolic import Builder, Expr, NeedStatic, building
from jitgrad.trace import evaluate

V = np.array([1.0, 2.0, 3.0])
A = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "function",
    [
        lambda v, n: v.sum(axis=n),
        lambda v, n: [v, v * 2][n],
        lambda v, n: sum({k: v * k for k in range(n)}.values()),
        lambda v, n: v if n > 3 else None,
        lambda v, n: v if n * 2 + 1 == 7 and n else "text",
        lambda v, n: v * len("ab" * n),
        lambda v, n: {0: v}.get(int(n / 2), v),
        lambda v, n: v * [1, 2, 3][: n + 1][0],
        lambda v, n: v if not n else [v],
        lambda v, n: np.ones(3).reshape(1, 3).sum(axis=n) + v,
        lambda v, n: v * sum([1] * n),
    ],
)
def test_an_integer_argument_becomes_static(function):
    builder = Builder(checking=True)
    value = Value(Type(INT64, (), True), "n")
    v = Value(Type(FLOAT64, (3,)), "v")
    try:
        evaluate(function, (Expr(v), Expr(value)), {}, builder)
    except NeedStatic as need:
        assert need.value is value  # noqa: PT017
    else:
        pytest.fail("no need was raised")
    evaluate(function, (Expr(v), 0), {}, Builder(checking=True))


def over_a_range(a):
    return {i: a[i] for i in range(a.shape[0])}


def filtered(v):
    return [x for x in (v[0], v[1]) if x > 0]


def listed(x):
    return [1, 2, 3][int(x)]


def numbered(x):
    return np.sum(x, axis=int(x[0]))


@pytest.mark.parametrize(
    ("function", "args", "match", "text"),
    [
        (
            over_a_range,
            (A,),
            r"a loop that isn't a `for` statement needs the length of axis 0 of x0",
            "range(a.shape[0])",
        ),
        (filtered, (V,), "the `if` of a comprehension needs", "if x > 0"),
        (listed, (2.0,), "indexing a Python container", "[1, 2, 3][int(x)]"),
        (numbered, (V,), "integer", "np.sum(x, axis=int(x[0]))"),
    ],
)
def test_run_time_values_that_steer(function, args, match, text):
    refused(function, *args, match=match, text=text)


def test_the_caret_marks_the_expression():
    error = refused(filtered, V, match="known at run time only")
    assert error.text[error.offset - 1 : error.end_offset - 1] == "x > 0"


def test_errors_point_into_helpers():
    def helper(y):
        z = y * 2
        return [1, 2][int(z)]

    def f(x):
        return helper(x)

    refused(f, 2.0, match="indexing", text="return [1, 2][int(z)]")


def test_the_users_own_errors_come_through():
    def f(v):
        if v.ndim == 1:
            raise ValueError(f"rank {v.ndim} won't do")
        return v

    with pytest.raises(ValueError, match="rank 1 won't do") as caught:
        Tracer(f, V)
    if sys.version_info >= (3, 11):
        assert "raise ValueError" in caught.value.__notes__[0]
        assert "test_trace_errors.py" in caught.value.__notes__[0]

    def g(v):
        items = [v]
        return items[3]

    with pytest.raises(IndexError, match="list index"):
        Tracer(g, V)
    with pytest.raises(NameError, match="missing"):
        Tracer(lambda v: missing, V)  # noqa: F821

    def h(v):
        if v.ndim == 2:
            w = 1
        return w

    with pytest.raises(UnboundLocalError, match="'w'"):
        Tracer(h, V)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda f, v: f(), "missing 1 required"),
        (lambda f, v: f(v, 1, 2), "positional arguments but 3"),
        (lambda f, v: f(v, a=v), "multiple values"),
        (lambda f, v: f(v, c=v), "unexpected keyword argument 'c'"),
        (lambda f, v: f(v, **{"b": 1}, **{"b": 2}), "multiple values for keyword"),
    ],
)
def test_wrong_calls(call, match):
    def f(a, b=1):
        return a

    def traced(v):
        return call(f, v)

    with pytest.raises(TypeError, match=match):
        Tracer(traced, V)


def test_numpys_errors_name_the_line():
    def f(a, v):
        return a @ np.ones(4) + v

    tracer = Tracer(f, np.ones((2, 3)), V)
    with pytest.raises(
        ValueError, match=r"mismatch in its core dimension 0.*size 4 is different from 3\)\n.*return a @ np.ones"
    ):
        tracer.run(np.ones((2, 3)), V)

    def g(v):
        return np.ones(3) + np.ones(4) + v

    with pytest.raises(ValueError, match=r"could not be broadcast together with shapes \(3,\) \(4,\)\n.*np.ones\(4\)"):
        Tracer(g, V)


def endless(x):
    return endless(x + 1)


def test_recursion_without_end():
    error = refused(endless, 1.0, match="times deep", text="def endless(x)")
    assert "endless" in error.msg
    before = sys.getrecursionlimit()
    with pytest.raises(TraceError):
        Tracer(endless, 1.0)
    assert sys.getrecursionlimit() == before


def test_recursion_without_end_in_a_thread():
    caught = []

    def work():
        try:
            Tracer(endless, 1.0)
        except TraceError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_recursion_through_native_code():
    def f(x):
        return list(map(f, [x + 1]))

    refused(f, 1.0, match="deep")


async def asynchronous(x):
    return x


def test_asynchronous_code():
    refused(asynchronous, 1.0, match="async")


def test_code_without_source():
    space = {"np": np}
    exec("def f(x):\n    return np.exp(x) * x.sum()", space)
    check(space["f"], V)
    exec("def g(x):\n    if x.sum() > 0:\n        return x\n    return -x", space)
    with pytest.raises(TraceError, match="known at run time only"):
        Tracer(space["g"], V)
    space["W"] = np.ones(3)
    exec("def h(x):\n    return x * W", space)
    with pytest.raises(TraceError, match="no source"):
        Tracer(space["h"], V)


def test_code_of_exec_with_lines():
    text = "def f(x):\n    y = x.zeros if x.ndim == 7 else x * 2\n    return y if y.ndim else 0\n"
    linecache.cache["<made up>"] = (len(text), None, text.splitlines(keepends=True), "<made up>")
    space = {}
    exec(compile(text, "<made up>", "exec"), space)
    check(space["f"], V)


def test_changed_source_is_not_used():
    text = "def f(x):\n    return x * 2\n"
    changed = "def f(x):\n    return y * 2\n"
    linecache.cache["<changed>"] = (len(text), None, changed.splitlines(keepends=True), "<changed>")
    space = {"y": None}
    exec(compile("def f(x):\n    return abs(x) * 2\n", "<changed>", "exec"), space)
    check(space["f"], V)


def documented():
    """A function in a doctest is traced, too.

    >>> def f(x):
    ...     y = x if x.ndim else None
    ...     return y * 2
    >>> check(f, V).traced.guards[0].path
    'f.__code__'
    """


def test_in_a_doctest():
    (test,) = doctest.DocTestFinder(recurse=False).find(documented, globs={"check": check, "V": V})
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.summarize().failed == 0


def test_a_leaked_value_says_so():
    kept = Tracer(lambda v: v * 2, V).traced.result
    with pytest.raises(LeakedValueError):
        kept + 1


def test_several_lambdas_on_one_line():
    fs = (lambda v: v + 1, lambda v: v + 2, lambda v: (lambda v: v + 3)(v))  # fmt: skip
    for f in fs:
        check(f, V)
    make = lambda k: lambda v: v * k  # noqa: E731
    check(make(2.0), V)
    check(make(3.0), V)


def test_names_and_locations():
    def f(v):
        first = v * 2
        second = first + 1
        return second

    tracer = check(f, V)
    names = {n.outs[0].name: n.loc for n in tracer.builder.nodes if n.op.name in ("multiply", "add")}
    assert set(names) == {"first", "second"}
    loc = names["second"]
    assert loc.text.strip() == "second = first + 1"
    assert loc.text[loc.column : loc.end_column] == "first + 1"
    assert loc.function == "f"


def test_a_written_array_keeps_its_name():
    def f(v):
        out = np.zeros(3)
        out[0] = v[0]
        return out

    assert check(f, V).traced.result.value.name == "out"


class Inner:
    """Does what a nested `grad` does: evaluate with a builder of its own, inside the running trace."""

    def __init__(self, function):
        functools.update_wrapper(self, function, updated=())
        self.function = function

    def __call__(self, *args):
        from jitgrad.ops.symbolic import current

        outer = current()
        builder = Builder(checking=True, parent=outer)
        traced = evaluate(self.function, args, {}, builder)
        assert traced.hidden == []
        assert traced.guards == []
        outer.nodes.extend(builder.nodes)
        return traced.result


Inner.__module__ = "jitgrad.testing"  # objects of the package itself are called as they are
W = np.array([1.0, 5.0, 2.0])


def test_a_trace_inside_a_trace():
    def f(v):
        scale = v * 2

        def g(x):
            y = np.zeros(3)
            y[0] = x[0]
            return x * scale * W + y

        return Inner(g)(v) + W

    builder = Builder(checking=True)
    v = Value(Type(FLOAT64, (3,)), "v")
    traced = evaluate(f, (Expr(v),), {}, builder)
    assert [h.path for h in traced.hidden] == ["W"]
    defined = {v, traced.hidden[0].value}
    for node in builder.nodes:
        assert all(a in defined for a in node.args if isinstance(a, Value))
        defined.update(node.outs)


def test_an_inner_function_does_not_write_outside():
    def f(v):
        kept = v * 2

        def g(x):
            kept[0] = 1.0
            return x

        return Inner(g)(v) + kept

    refused(f, V, match="differentiated by itself", text="kept[0] = 1.0")


def test_a_call_outside_a_trace_is_unharmed():
    with building(Builder()):
        pass
    assert over_a_range(A)[1].tolist() == A[1].tolist()


def test_tracing_is_quick():
    def f(v):
        x = v
        for k in range(40):
            x = x * 2 + k
            y = np.exp(x)
            x = y / (1 + y)
        return x

    Tracer(f, V)
    start = time.perf_counter()
    Tracer(f, V)
    assert time.perf_counter() - start < 0.1
