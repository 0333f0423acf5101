# ruff: noqa: SIM108, B905, B007, RUF021 - the functions are written as users write them
"""Tracing of run-time control flow: what is traced gives what the function gives, also on inputs of another course.

Each function is traced once, and run by the reference semantics on several inputs that take different ways through it.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from tracing import Cases, Tracer, agree, refused

V = np.array([1.0, -2.0, 3.0, 0.5, -0.25])
W = np.array([0.5, 4.0, -1.0, 2.0, 1.5])
A = np.arange(12.0).reshape(3, 4) / 4 - 1
case = Cases()


@pytest.mark.parametrize(("function", "inputs"), case)
def test_like_python(function, inputs):
    agree(function, *inputs)


# Branches.
@case((2.0,), (-3.0,), (0.0,))
def if_else(x):
    if x > 0:
        y = x * 2
    else:
        y = -x
    return y


@case((2.0,), (-3.0,), (0.5,))
def if_chain(x):
    y = 1.0
    if x > 1:
        y = x
    elif x < 0:
        y = x * x
        z = y + 1
        y = z * 2
    return y


@case((2.0, 1.0), (-3.0, 1.0), (1.0, -4.0))
def ternary(x, y):
    return (x if x > y else y) * (1 if y > 0 else 2.5)


@case((2.0, 1.0), (-3.0, 1.0), (1.0, -4.0), (-1.0, -1.0))
def logic(x, y):
    a = x > 0 and y > 0
    b = x > 0 or y > 0
    c = not x > 0
    d = x and y
    e = x or y
    return a, b, c, d, e, -2 < x < 1.5 < y + 1, x > 0 and y > 0 or x < -2


@case((V, 1), (V, 7), (V, -9))
def guarded_index(v, k):
    if 0 <= k < v.shape[0] and v[k] < 0:
        return 1.0
    return 0.0


@case((2.0,), (-3.0,), (0.5,))
def early_return(x):
    if x > 1:
        return x
    x = x + 1
    if x < 0:
        return 0.0
    y = x * 3
    return y


@case((V, 2.0), (V, -3.0))
def returned_arrays(v, x):
    def f(y):
        z = y * 2
        if x > 0:
            kind = None
            return z
        kind = 3.0
        z[0] = kind
        return z * kind

    w = f(v)
    w[1] = 5.0
    return w


@case((2.0,), (-3.0,))
def closures_that_outlive_a_return(x):
    kept = []

    def f(y):
        t = y
        kept.append(lambda: t)
        if x > 0:
            t = 5.0
            return y
        t = 7.0
        return y * 2

    z = f(x)
    return z, kept[0]()


@case((2.0,), (-3.0,))
def return_tuples(x):
    if x > 0:
        return x, (x * 2, "name")
    return -x, (x, "name")


@case((2.0,), (-3.0,))
def bound_in_one_branch(x):
    if x > 0:
        t = x * 2
        u = "a"
    y = 1.0
    if x > 0:
        y = t + (u == "a")
    return y


@case((V, 2.0), (V, -2.0))
def writes_in_branches(v, x):
    w = v.copy()
    u = w[1:3]
    if x > 0:
        w[0] = x
        u[1] = x * x
    else:
        w *= 2
    return w, u, v


@case((V, 2.0), (V, -2.0))
def arrays_of_branches(v, x):
    if x > 0:
        w = v * 2
    else:
        w = np.zeros_like(v)
    w[0] = 7.0
    return w


@case((V, W, 2.0), (V, W, -2.0))
def exchanged_in_a_branch(v, w, x):
    a, b = v.copy(), w * 1
    if x > 0:
        a, b = b, a
    else:
        b = np.tanh(b)
    a[0] = 7.0
    b[1:] *= 2
    return a, b


@case((2.0,), (-2.0,))
def containers_in_branches(x):
    items = [x, 1.0]
    table = {"a": x}
    if x > 0:
        items[0] = 3.0
        table["a"] = 2.0
    else:
        items[1] = x * 2
    state = (items, table) if x > 1 else ([x, x], {"a": 1.0})
    return items, table, state


@dataclasses.dataclass
class State:
    position: object
    speed: object


@case((V, 2.0), (V, -2.0))
def dataclasses_in_branches(v, x):
    state = State(v * 1, x)
    if x > 0:
        state.position = v * 2
        state.speed += 1
    else:
        state = State(v * 3, 0.0)
    return state.position, state.speed


@case((2.0, True), (2.0, False))
def flags(x, flag):
    if flag:
        return x
    return x * 2


@case((2,), (5,), (-1,))
def integers(n):
    if n % 2:
        k = n * 3 + 1
    else:
        k = n // 2
    return k, (k if k > 2 else n) << 1


# Loops.
@case((V,), (V[:1],), (V[:0],))
def accumulate(v):
    s = 0
    for i in range(v.shape[0]):
        s += v[i] * v[i]
    return s


@case((V, 1, 4, 1), (V, 4, 0, -1), (V, 0, 5, 2), (V, 4, -1, -3), (V, 3, 3, 1))
def steps(v, start, stop, step):
    s, last = 0.0, -1
    for i in range(start, stop, step):
        s = s * 2 + v[i]
        last = i
    return s, last


@case((A,), (A[:2],))
def over_arrays(a):
    total = 0.0
    for row in a:
        for x in row:
            total = total * 0.5 + x
    for k, (x, y) in enumerate(zip(a[0], a[1])):
        total += k * x * y
    for k, x in enumerate(reversed(a[0]), 1):
        total -= x / k
    return total


@case((V,), (V[:2],))
def in_place(v):
    w = v.copy()
    for i in range(1, len(w)):
        w[i] += w[i - 1] * 0.5
    return w, v


@case((A,))
def through_views(a):
    b = a.copy()
    for i in range(b.shape[0]):
        row = b[i]
        for j in range(row.shape[0]):
            row[j] = row[j] * 2 + i
    return b


@case((V, 4), (V, 5), (V, 0))
def double_buffer(v, n):
    u, w = v.copy(), np.zeros_like(v)
    for _ in range(n):
        for j in range(u.shape[0]):
            w[j] = u[j] * 2 + w[j]
        u, w = w, u
    return u, w


@case((V, 4), (V, 0))
def array_recurrence(v, n):
    h = np.zeros(v.shape[0])
    for _ in range(n):
        h = np.tanh(h * 0.5 + v)
    return h


@case((A[:, :3], V[:3], 4), (A[:, :3], V[:3], 0))
def products_with_a_matrix(a, v, n):
    for _ in range(n):
        v = a @ v
        if v[0] > 1:
            v = a @ (v / 2)
    return v


@case((5,), (0,), (1,))
def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a, b


@case((2.0,), (100.0,), (0.5,))
def newton(a):
    x = a
    steps = 0
    while abs(x * x - a) > 1e-10:
        x = 0.5 * (x + a / x)
        steps += 1
    return x, steps


@case((2.0,), (100.0,), (0.5,))
def newton_with_break(a):
    x = a
    for k in range(50):
        new = 0.5 * (x + a / x)
        if abs(new - x) < 1e-10:
            break
        x = new
    return x, k


@case((V, 0.0), (V, -2.0), (V, 9.0))
def find(v, x):
    for i in range(v.shape[0]):
        if v[i] == x:
            return i
        if v[i] < x - 100:
            break
    else:
        return -1
    return -2


@case((V, 0.0), (V, -2.0), (V, 3.0), (V, 9.0))
def loop_else(v, x):
    for i in range(v.shape[0]):
        if v[i] == x:
            found = i
            break
    else:
        found = 99
    return found


@case((V,), (-V,), (V[:0],))
def continues(v):
    s = 0.0
    for x in v:
        if x < 0:
            continue
        s += np.sqrt(x)
        if s > 2:
            s -= 1
            continue
        s *= 1.5
    return s


@case((10.0,), (0.1,), (1.0,))
def while_true(x):
    n = 0
    while True:
        x = x / 2
        n += 1
        if x < 1:
            break
        if n > 2:
            return x, -n
    return x, n


@case((V, 3), (V, 0))
def nested_returns(v, n):
    def first_above(limit):
        for i in range(v.shape[0]):
            for j in range(n):
                if v[i] * j > limit:
                    return i * 10.0 + j
        return -1.0

    return first_above(1.0), first_above(0.25), first_above(100.0)


@case((27,), (1,), (6,))
def collatz(n):
    steps = 0
    while n != 1:
        if n % 2 == 0:
            n //= 2
        else:
            n = 3 * n + 1
        steps += 1
    return steps


@case((V,), (-V,), (np.array([0.5]),))
def sort(v):
    a = v.copy()
    n = len(a)
    for i in range(1, n):
        key = a[i]
        j = i - 1
        while j >= 0 and a[j] > key:
            a[j + 1] = a[j]
            j -= 1
        a[j + 1] = key
    return a


@case((V,), (-V,))
def swaps(v):
    a = v.copy()
    for i in range(len(a)):
        for j in range(len(a) - 1 - i):
            if a[j] > a[j + 1]:
                a[j], a[j + 1] = a[j + 1], a[j]
    return a


@case((V, W), (-V, W))
def best_of(v, w):
    best, where, kept = -np.inf, -1, np.zeros_like(v)
    for i in range(v.shape[0]):
        x = v * w[i]
        s = x.sum()
        if s > best:
            best, where, kept = s, i, x
    return best, where, kept


@case((V,), (V[:0],))
def variable_of_the_loop(v):
    i = -1
    for i in range(len(v)):
        last = v[i]
    if len(v) > 0:
        return i, last
    return i, 0.0


class Pair(NamedTuple):
    mean: object
    count: object


@case((V,), (V[:1],))
def carried_containers(v):
    state = {"s": 0.0, "p": Pair(v * 0, 0)}
    items = [0.0, v * 1]
    for i in range(len(v)):
        state = {"s": state["s"] + v[i], "p": Pair(state["p"].mean + v, state["p"].count + 1)}
        items[0] += v[i]
        items[1] = items[1] * 0.5
    return state, items


@case((V, 3), (V, 0))
def carried_objects(v, n):
    state = State(v.copy(), 0.0)
    for _ in range(n):
        state.position[0] += 1
        state.speed += state.position.sum()
        new = State(state.position * 2, state.speed)
        state = new
    return state.position, state.speed


@case((V, 6), (V, 1))
def previous(v, n):
    cur = v.copy()
    prev = v.copy()
    for _ in range(n):
        new = 2 * cur - prev
        prev = cur
        cur = new
    return cur, prev


@case((V,), (-V,), (V[:1],))
def unrolled_with_break(v):
    s = 0.0
    for k in (1, 2, 3):
        s += v[0] * k
        if s > 3:
            break
    else:
        s = -s
    for f in [np.sin, np.cos]:
        if s < 0:
            return f(s)
    return s


@case((2.0, 3), (-2.0, 0))
def with_helpers(x, n):
    count = 0

    def clamp(y, low, high):
        if y < low:
            return low
        if y > high:
            return high
        return y

    def step(y):
        nonlocal count
        count += 1
        return clamp(y * 1.5, -4.0, 4.0)

    for _ in range(n):
        x = step(x)
    return x, count


@case((V,), (-V,))
def first_is_special(v):
    for i in range(len(v)):
        if i == 0:
            t = v[0]
        else:
            t = t * 0.5 + v[i]
    return t


@case((V,))
def layers(v):
    functions = [np.sin, np.cos, np.tanh, np.exp, np.sin, np.cos]
    for k in range(6):
        v = functions[k](v)
    return v


@case((V, 2.0), (V, 0.5))
def static_whiles(v, x):
    k, n = 0, 0
    while k < 3:
        v = v * x
        k += 1
    while n < 10:
        v = v + n
        n += 1
    items = [1, 2, 3, 4, 5, 6]
    while items:
        v = v * items.pop()
    return v, k, n


@case((2.0,), (-1.0,))
def bool_arrays_of_one(x):
    y = np.ones(1) * x
    if y > 0:
        return y[0]
    return x


@case((V, 2.0), (V, -2.0))
def raises_elsewhere(v, x):
    if x > 100:
        raise ValueError("too large")
    elif x < -100:
        raise ValueError(f"too small: {3}")
    return v * x


def test_raises_at_run_time():
    def f(x):
        if x > 1:
            raise RuntimeError("diverged")
        return x

    tracer = Tracer(f, 0.5)
    assert tracer.run(0.5) == 0.5
    with pytest.raises(RuntimeError, match="diverged"):
        tracer.run(2.0)


def test_an_unbound_variable():
    def f(x):
        if x > 1:
            y = x
        return y

    tracer = Tracer(f, 0.5)
    assert tracer.run(1.5) == 1.5
    with pytest.raises(UnboundLocalError, match="'y'"):
        tracer.run(0.5)


def test_an_index_out_of_range():
    def f(v, n):
        s = 0.0
        for i in range(n):
            s += v[i]
        return s

    tracer = Tracer(f, V, 3)
    assert tracer.run(V, 2) == V[:2].sum()
    with pytest.raises(IndexError, match=r"s \+= v\[i\]"):
        tracer.run(V, 6)


def test_lengths_that_must_agree_are_checked():
    def f(a, v, n):
        for _ in range(n):
            v = a.sum(axis=1)
        return v

    tracer = Tracer(f, A[:, :3], V[:3], 4)
    tracer.run(A[:, :3], V[:3], 4)
    with pytest.raises(ValueError, match="the length of v along axis 0 is not the same"):
        tracer.run(A, V, 4)


def test_what_differs_is_refused_when_it_is_read():
    def strings(x):
        name = "a" if x > 0 else "b"
        return x, name

    def mixed(x, v):
        if x > 0:
            y = v
        else:
            y = None
        return y

    def changes(v, n):
        y = 0.0
        for _ in range(n):
            y = y + v
        return y

    def grows(v, n):
        y = v
        for _ in range(n):
            y = np.concatenate([y, v])
        return y

    refused(strings, 2.0, match="its value is 'a' or 'b'", text='name = "a" if')
    refused(
        mixed, 2.0, V, match="'y' is a float64 array .* or None, depending on the branch taken in line", text="return y"
    )
    refused(changes, V, 3, match="'y' changes from a float to a float64 array", text="y = y + v")
    refused(grows, V, 3, match="'y' changes from a float64 array of shape", text="np.concatenate")


def test_aliases_are_refused_where_they_matter():
    def written_alias(v, x):
        a, b = v.copy(), v * 2
        c = a if x > 0 else b
        c[0] = 1.0
        return a, b

    def kept_elsewhere(v, x):
        a = v.copy()
        kept = [a]
        if x > 0:
            a = a * 2
        a[0] = 1.0
        return a, kept

    def stale_alias(v, x):
        a, b = v.copy(), v * 2
        c = a if x > 0 else b
        a[0] = 1.0
        return c

    def stale_view(v, n):
        a = v.copy()
        row = a[0]
        for i in range(n):
            row = a[i]
        a[0] = 5.0
        return row

    def shared(v, n):
        cur = v.copy()
        prev = v.copy()
        for i in range(n):
            prev[0] += cur[0]
            prev = cur
            cur[i] = 1.0
        return cur, prev

    refused(written_alias, V, 1.0, match="may be the same array", text="c[0] = 1.0")
    refused(kept_elsewhere, V, 1.0, match="may be the same array", text="a[0] = 1.0")
    refused(stale_alias, V, 1.0, match="has been written to since", text="return c")
    refused(stale_view, A, 1, match="has been written to since", text="return row")
    refused(shared, V, 3, match="may be the same array", text="prev[0] += cur[0]")


def test_loops_stay_loops():
    def f(v):
        s = 0.0
        for i in range(len(v)):
            for j in range(100):
                s += v[i] * j
        return s

    tracer = agree(f, (V,))
    (loop,) = (n for n in tracer.builder.nodes if n.regions)
    assert loop.op.name == "for"
    assert [n.op.name for n in loop.regions[0].nodes if n.regions] == ["for"]


def test_side_effects_are_refused():
    def advances(v):
        it = iter([1.0, 2.0, 3.0])
        for _ in v:
            v = v * next(it)
        return v

    def appends(v, n):
        items = []
        for _ in range(n):
            items.append("a")
        return v * len(items)

    def draws(v):
        rng = np.random.RandomState(0)
        for _ in v:
            v = v * rng.normal()
        return v

    refused(advances, V, match="another number of times")
    refused(draws, V, match="another number of times")
    with pytest.raises(Exception, match="n"):  # the number of iterations becomes static
        Tracer(appends, V, 3)
