"""Tracing: the nodes of a function, run one by one on arrays, give what the function itself gives.

Each function here is ordinary NumPy code that uses one part of Python; it is traced and compared with itself.
"""

import dataclasses
import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from tracing import Tracer, check

A = np.arange(12.0).reshape(3, 4) + 1
V = np.array([1.0, 2.0, 3.0])
CASES = []


def case(*args, **kwargs):
    """Decorator: trace this function on these arguments."""

    def add(function):
        CASES.append(pytest.param(function, args, kwargs, id=function.__name__))
        return function

    return add


@pytest.mark.parametrize(("function", "args", "kwargs"), CASES)
def test_like_python(function, args, kwargs):
    check(function, *args, **kwargs)


@case(A, V)
def straight(x, v):
    y = np.exp(-x) @ x.T
    z = y.sum(axis=0) + v
    return z, x.shape[0] * 2.0, len(x), x.T


@case(V)
def nested_functions(v):
    scale = 2.0

    def inner(x, factor=scale, *, offset=1.0):
        return x * factor + offset

    return inner(v), inner(v, offset=3.0), inner(v, 5.0), (lambda t: t - scale)(v)


@case(V)
def nonlocal_counter(v):
    count = 0

    def step(x):
        nonlocal count
        count += 1
        return x + count

    a = step(v)
    b = step(a)
    return b, count


@case(V, V)
def star_arguments(a, b):
    def f(first, *rest, scale=1.0, **others):
        return first * scale + sum(rest) + others["bias"] * len(others)

    args = (b, a)
    options = {"bias": 2.0, "extra": None}
    return f(a, *args, scale=3.0, **options)


@case(V)
def comprehensions(v):
    x = "outer"
    squares = [v[i] ** 2 for i in range(3) if i != 1]
    table = {k: v * k for k in (1, 2)}
    nested = [x * y for x in (1, 2) for y in (3, 4)]
    names = {c for c in "abca"}
    total = sum(v[i] * w for i, w in enumerate([0.5, 0.25, 0.125]))
    return squares, table, nested, len(names), total, x


@case(V)
def walrus(v):
    results = [last := v[i] * 2 for i in range(3)]
    if (n := 4) > 3:
        results.append(last + n)
    return results


@case(V, A)
def unpacking(v, a):
    x, *rest = v[0], v[1], v[2]
    (p, q), r = (rest[0], rest[1]), a
    first, second, third = np.ones(3)
    [one, two] = (1, 2)
    return x, p, q, r, first + second, one + two, third


@case(V)
def formatted(v):
    k = 3
    name = f"layer{k:02d}_{k!r}{k:>{4}}"
    return {name: v}


@case(V)
def control_flow(v):
    total = 0.0
    for k in range(10):
        if k % 2:
            continue
        if k > 6:
            break
        total += v[k % 3]
    else:
        total = -1.0
    for _ in range(2):
        total *= 2
    else:
        total += 1
    k = 0
    while k < 3:
        total += k
        k += 1
    else:
        total += 0.5
    while True:
        k -= 1
        if k < 0:
            break
    return total if k else -total


@case(V)
def early_return(v):
    for k in range(5):
        if k == 2:
            return v * k
    return v


@case(V)
def logic(v):
    options = None
    a = options or {"w": 2.0}
    b = a and a["w"]
    return v * b if not options and 1 < 2 <= 2 < 3 else v


@case(V)
def exceptions(v):
    log = []
    try:
        {}["missing"]
    except KeyError as error:
        log.append(str(error))
    except ValueError:
        log.append("no")
    else:
        log.append("no")
    finally:
        log.append("finally")
    try:
        try:
            raise ValueError("inner")
        except ValueError:
            raise
    except (TypeError, ValueError) as error:
        log.append(error.args[0])

    def leave():
        try:
            return v * 2
        finally:
            log.append("left")

    return leave(), len(log)


@case(V)
def context_managers(v):
    class Manager:
        def __init__(self):
            self.log = []

        def __enter__(self):
            self.log.append("in")
            return self

        def __exit__(self, kind, error, traceback):
            self.log.append("out")
            return kind is KeyError

    with np.errstate(all="ignore"), Manager() as m:
        v = v * 2
        raise KeyError
    return v, len(m.log)


@case(V)
def deletion(v):
    a, d = v + 1, {"x": v, "y": 2}
    del d["y"]
    try:
        del a
        a  # noqa: B018
    except NameError:
        d["gone"] = True
    return d


@case(V)
def imports(v):
    import math as m
    from math import pi, tau

    import numpy.linalg as la

    return m.sqrt(4.0) * la.norm(v) * pi + tau


@case(V)
def assertions(v):
    assert v.ndim == 1, "a vector"
    assert isinstance(v, np.ndarray)
    return v


@case(V)
def augmented(v):
    x = 1
    x += 2
    x **= 2
    items = [v]
    items += [v * 2]
    d = {"a": 1.0}
    d["a"] *= 3
    y = v * 1
    y -= 1
    y /= 2
    return x, items, d, y


@case(V)
def chained_assignment(v):
    a = b = v + 1
    b[0] = 100.0
    return a, b


@case(A)
def slices(a):
    s = slice(1, None)
    return a[s, ::2], a[..., -1], a[None, 0], a[-1][1:3], a[:, [0, 2]], a[1:, None].shape[1]


class Layer:
    scale = 2.0

    def __init__(self, w, b=0.0):
        self.w, self.b = w, b
        self.__calls = 0

    def __call__(self, x):
        self.__calls += 1
        return x @ self.w + self.b * self.scale

    @property
    def calls(self):
        return self.__calls

    @staticmethod
    def act(x):
        return np.tanh(x)

    @classmethod
    def unit(cls, n):
        return cls(np.eye(n), 1.0)

    def __matmul__(self, other):
        return self.w @ other.w

    def __getitem__(self, k):
        return self.w[k]

    def __bool__(self):
        return True


class Deep(Layer):
    def __init__(self, w):
        super().__init__(w, 1.5)

    def __call__(self, x):
        return self.act(super().__call__(x)) * 2


@case(A)
def instances(a):
    f, g = Layer(a, 0.5), Deep(a.T)
    y = g(f(np.ones(3)))
    unit = Layer.unit(3)
    return y, f.calls, f @ g, f[0], unit(np.ones(3)) if f else 0


@case(V)
def local_class(v):
    class Base:
        factor = 3

        def apply(self, x):
            return x * self.factor

    class Derived(Base):
        def apply(self, x):
            return super().apply(x) + 1

    @dataclasses.dataclass
    class State:
        x: object
        n: int = 2

        def next(self):
            return State(self.x * self.n, self.n + 1)

    return Derived().apply(v), State(v).next().next().x


@dataclasses.dataclass
class Params:
    w: np.ndarray
    b: float = 1.0
    extra: list = dataclasses.field(default_factory=list)


class Pair(NamedTuple):
    left: object
    right: object = 2.0


@case(V)
def records(v):
    p = Params(v, extra=[v])
    q = dataclasses.replace(p, b=3.0)
    pair = Pair(v)._replace(right=q.b)
    left, right = pair
    return left * right + p.b + len(q.extra), pair


@case({"w": A, "layers": [V, V * 2]}, Pair(V, 3.0))
def nested_arguments(params, pair):
    params["new"] = params["w"][0]
    params["layers"].append(pair.left)
    return [x * pair.right for x in params["layers"]], params["new"], pair


@case(V, A)
def builtins_on_arrays(v, a):
    total = sum(v[i] for i in range(3)) + abs(-v).sum() + sum(np.split(v, [1, 2])).sum()
    pairs = [x * k for k, x in zip((1, 2), (v, v * 3), strict=True)]
    doubled = list(map(lambda t: t * 2, pairs))
    kept = list(filter(lambda t: t is not None, [v, None]))
    return total, doubled, kept, round(v[0] / 3, 2), divmod(v[0], 2.0), pow(v, 2), max(3, 1)


@case(2.0, 3.0)
def extrema(x, y):
    return max(x, y), min(x, y), max(x, y, 7.0), min([x, 0.5]), max([1, 2])


@case(V)
def sorting(v):
    items = sorted([(2, "b"), (1, "a")], key=lambda t: t[0])
    items.sort(key=lambda t: -t[0])
    return v * items[0][0], [k for k, _ in reversed(items)]


@case(V)
def functional(v):
    f = functools.partial(lambda a, b, c=0: a * b + c, 2.0, c=1)
    total = functools.reduce(lambda a, b: a + b, [v, v, v])
    pairs = [a * b for a, b in itertools.product([1, 2], [v])]
    sums = list(itertools.accumulate([v, v * 2, v * 3], lambda a, b: a + b))
    return f(v), total, pairs, sums


@case(0.5)
def math_functions(x):
    return (
        math.exp(x) + math.log(x) + math.sin(x) * math.atan2(x, 2.0) + math.pow(x, 2) + math.log(x, 2),
        math.sqrt(4.0) + math.pi, math.floor(x), np.ones(2, np.float32) * math.tanh(x),
    )  # fmt: skip


@case(2.7, 3)
def conversions(x, n):
    return (
        float(n),
        int(x),
        float(x),
        x.is_integer() if isinstance(x, str) else int(n),
        np.float32(x),
        bool(n),
    )


@case(V, 2.5, 3, True)
def types(v, x, n, flag):
    checks = [
        isinstance(v, np.ndarray), isinstance(x, float), isinstance(x, int), isinstance(n, int | np.integer),
        isinstance(n, (float, np.floating)), isinstance(flag, bool), type(x) is float, type(n) is int,
        isinstance(v[0], float), isinstance(v.sum(), np.floating), np.isscalar(x), np.isscalar(v),
        callable(v),
        type(v) is np.ndarray, hasattr(v, "shape"), isinstance(None, type(None)), v is v, v is None,
    ]  # fmt: skip
    return checks


@case(V)
def generators(v):
    def pairs(n):
        for k in range(n):
            yield k, v[k]

    return [k * x for k, x in pairs(3)], sum(x for _, x in pairs(2))


@case(A)
def iteration(a):
    out = []
    for row in np.ones((2, 4)):
        out.append(row * a[0])
    for k, c in enumerate(np.array([1.0, 2.0])):
        out.append(a[k] * c)
    layers = [a, a * 2, a * 3]
    for k in np.arange(3):
        out.append(layers[k][0])
    return out


@case(V)
def recursion(v):
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    return power(v, 6), depth(v, 60)


def depth(x, n):
    return x if n == 0 else depth(x, n - 1) + 1


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) + 1

    return wrapper


@logged
def decorated_outside(x):
    return x * 2


@functools.lru_cache
def cached(x):
    return x * 3


@case(V)
def decorators(v):
    @logged
    @logged
    def inner(x):
        return x * 2

    return inner(v), decorated_outside(v), inner.__name__, cached(2)


twice, thrice = lambda x: x * 2, lambda x: x * 3


@case(V)
def lambdas_on_a_line(v):
    fs = [lambda x: x + 1, lambda x: x + 2, lambda x: x + 3]
    return twice(v), thrice(v), [f(v) for f in fs]


@case(V)
def matching(v):
    def kind(x):
        match x:
            case 0 | 1:
                return "small"
            case int(n) if n > 10:
                return f"large {n}"
            case [a, *rest]:
                return (a, len(rest))
            case {"w": w, **others}:
                return (w, len(others))
            case Pair(left=l, right=2.0):
                return l
            case None:
                return "none"
            case str() as s:
                return s
            case _:
                return "other"

    things = [0, 20, [v, 2, 3], {"w": v, "b": 1}, None, "text", 3.5, 5]
    return [kind(t) for t in things]


@case(A, V)
def comparisons_of_lengths(a, v):
    w = np.zeros(a.shape)
    assert w.shape == a.shape
    assert a.shape[0] == len(w)
    assert a.shape != (3,)
    return w if a.shape[1] != 1 and (a * 2).shape == w.shape else v


@case(V)
def return_in_finally(v):
    def f():
        try:
            raise ValueError
        finally:
            return v * 2  # noqa: B012

    return f()


@functools.singledispatch
def kind(x):
    return 0.0


@kind.register(np.ndarray)
def _(x):
    return x * 2


@kind.register(float)
def _(x):
    return x * 3


@case(V, 2.0)
def single_dispatch(v, x):
    return kind(v), kind(x), kind("text")


class Vector:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x

    def __add__(self, other):
        return Vector(self.x + (other.x if isinstance(other, Vector) else other))

    __radd__ = __add__

    def __neg__(self):
        return Vector(-self.x)

    def __eq__(self, other):
        return isinstance(other, Vector)

    __hash__ = None

    def __len__(self):
        return 3

    def __iter__(self):
        return iter([self.x[0], self.x[1]])

    def __contains__(self, item):
        return item == 7

    def __setitem__(self, k, value):
        self.x[k] = value

    @property
    def y(self):
        return self.x * 2

    @y.setter
    def y(self, value):
        self.x = value / 2


@case(V)
def special_methods(v):
    a = Vector(v * 1)
    b = 1.0 + a + a + 2
    b[0] = 5.0
    b.y = b.y + 4
    first, second = -b
    return first + second, b == a, b != a, 7 in b, len(b), [x for x in b], b.x


@case(V)
def late_binding(v):
    functions = [lambda: v * k for k in range(3)]  # noqa: B023
    pairs = list(zip(*[(1, v), (2, v * 2)], strict=True))

    def collect(x, into=[]):  # noqa: B006
        into.append(x)
        return len(into)

    collect(v)
    return [f() for f in functions], pairs, collect(v)


def test_functions_of_numba():
    numba = pytest.importorskip("numba")

    @numba.njit
    def loop(v, n):
        out = np.zeros(3)
        for k in range(n):
            out[k] = v[k] * k
        return out

    @numba.vectorize
    def smooth(x, y):
        return math.exp(x) * y

    def f(v):
        return loop(v, 3) + smooth(v, 2.0)

    def g(v):
        return loop.py_func(v, 3) + np.exp(v) * 2.0

    v = V
    np.testing.assert_allclose(Tracer(f, v).run(v), g(v))
