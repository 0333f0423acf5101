# ruff: noqa: B905, B007, RUF005 - the functions are written as users write them
"""Tracing of lists that grow at run time, of comprehensions, and of what in-place updates read first."""

import numpy as np
import pytest
from tracing import Cases, Tracer, agree, check, refused

from jitgrad.ops.symbolic import NeedStatic

V = np.array([1.0, -2.0, 3.0, 0.5, -0.25])
W = np.array([0.5, 4.0, -1.0, 2.0, 1.5])
A = np.arange(12.0).reshape(3, 4) / 4 - 1
case = Cases()


@pytest.mark.parametrize(("function", "inputs"), case)
def test_like_python(function, inputs):
    agree(function, *inputs)


# In-place updates: the left side is read before the right side is evaluated.
def halved(v, k):
    v[k] = v[k] / 2
    return v[k] + 1


@case((V,), (W,))
def update_of_a_number(v):
    v = v.copy()
    v[1] *= halved(v, 1)
    return v


@case((V,), (W,))
def update_of_a_slice(v):
    v = v.copy()
    v[1:3] += halved(v, 1)
    return v


@case((V,), (W,))
def update_of_a_copy(v):
    v = v.copy()
    v[[1, 2]] += halved(v, 1)
    v[v > 0] *= halved(v, 2)
    return v


@case((V,), (W,))
def update_of_names_and_attributes(v):
    x = v.copy()
    x += halved(x, 0)
    y = x[2]
    y += halved(x, 2)
    return x, y


# Lists that grow by so many items in each iteration.
@case((A, 2), (A[:2], 0), (A[:0], 1))
def states_of_a_recurrence(xs, k):
    h = np.zeros(4)
    states = []
    for x in xs:
        h = np.tanh(x + 0.5 * h)
        states.append(h)
    return np.sum(np.array(states) ** 2) + len(states) * k, h


@case((V, 0.9), (V[:0], 0.9), (W[:2], 0.5))
def scanned(x, decay):
    found = [0.1]
    for value in x:
        found.append(decay * found[-1] + value)
        found.append(found[-1] * found[-2])
    total = 0.0
    for k in range(len(found)):
        total += found[k] ** 2 * (k + 1)
    return total


@case((V,), (W[:2],))
def items_by_index_and_slice(x):
    found = [1.0, 2.0]
    for v in x:
        found.append(v * found[-2])
    y = found[0] + found[-1] * 3 + found[len(x)]
    return y, np.array(found[1:]), np.array(found[-2:]), np.array(found[:-1])


@case((V,), (W[:2],), (V[:0],))
def conditional_appends(x):
    found = []
    for v in x:
        if v > 0:
            found.append(v)
        elif v < -1:
            found.append(v * 2)
            found.append(1.0)
    s = 0.0
    for f in found:
        s = 0.5 * s + f
    return s, len(found), np.array(found)


@case((A,), (A[:1],))
def lists_of_tuples(xs):
    pairs = []
    for k, x in enumerate(xs):
        pairs.append((x, k * 2.0))
    s = 0.0
    for x, w in pairs:
        s += x.sum() * w
    return s


@case((V, 3), (V, 0), (W, 1))
def nested_loops(x, n):
    found = []
    for v in x:
        for j in range(n):
            found.append(v * j)
        found.append(-v)
    return np.array(found), len(found)


@case((V, 3), (V, 0), (W, 1))
def two_loops(x, n):
    found = []
    for v in x:
        found.append(v)
    for j in range(n):
        found.append(j * 2.0 + found[j])
    found.append(7.0)
    return np.array(found), sum(found), max(found), min(found)


@case((V, 4.0), (W, 0.5), (V[:1], 1.0))
def left_early(x, most):
    found = []
    for v in x:
        if abs(v) > most:
            break
        found.append(v)
    return len(found), np.sum(np.array(found))


@case((A,), (A[:2],))
def put_together(xs):
    rows = []
    for x in xs:
        rows.append(np.cos(x))
    a, b = np.stack(rows), np.stack(rows, axis=1)
    return a, b, np.concatenate(rows), np.vstack(rows), np.hstack(rows)


@case((V,), (W[:2],))
def zipped(x):
    a, b = [], []
    for v in x:
        a.append(v * 2)
        b.append(v + 1)
    s = 0.0
    for i, (p, q) in enumerate(zip(a, b)):
        s += p * q * i
    for p in reversed(a):
        s = s / 2 + p
    return s


@case((V, 5), (W, 9), (V[:2], 2))
def recurrence_by_index(x, n):
    f = [0.5, x[0]]
    for i in range(2, n):
        f.append(f[i - 1] * 0.5 + f[i - 2])
    return f[n - 1], sum(f)


@case((V,), (W,))
def balanced_stack(x):
    stack = []
    for v in x:
        stack.append(v)
    s, k = 0.0, 0
    while stack:
        top = stack.pop()
        s = s * 0.5 + top
        if top > 0 and k < 4:
            stack.append(top - 1.0)
        k += 1
    return s, k


@case((V,), (W[:2],), (V[:0],))
def stack_machine(x):
    stack = [0.5]
    for v in x:
        if v > 0:
            stack.append(v)
        elif len(stack) > 1:
            stack[-1] = stack[-1] + stack.pop() * 3
    s = 1.0
    while stack:
        s = s * 0.5 + stack.pop()
    return s


@case((V,), (W[:2],))
def other_lists_of_it(x):
    found = []
    for v in x:
        found.append(v)
    more = [1.0] + found + [2.0, 3.0]
    twice = found * 2
    same = list(found)
    same.extend(found[:1])
    return np.array(more), np.array(twice), np.array(same), np.array(found)


@case((V,), (W,))
def transient_longer_lists(x):
    found = []
    s = 0.0
    for i, v in enumerate(x):
        longer = found + [v, v * 2, v * 3]
        s += longer[i + 2]
        found.append(v)
    return s, np.array(found)


@case((V, 1.0), (V, -1.0))
def appended_in_a_branch(x, c):
    found = [x[0]]
    if c > 0:
        found.append(x[1])
    return np.array(found), found[-1]


@case((V,), (W[:3],))
def known_in_the_end(x):
    found = []
    for k in range(6):
        found.append(x * k)
    a, b, *rest = found
    return a, b, rest


@case((V, 7), (V, 7))
def settled_by_an_argument(x, n):
    found = []
    for k in range(n):
        found.append(x * k)
    return np.sum(found)


@case((V,), (W,))
def alias_of_the_last(x):
    h = np.zeros(3)
    states = []
    for v in x:
        h = h + v
        states.append(h)
        h[0] = 5.0
    return np.array(states)


def test_arrays_in_a_list_are_not_written_to():
    def next_iteration(x):
        h = np.zeros(3)
        states = []
        for v in x:
            h[1] = v
            states.append(h)
        return np.array(states)

    def after_a_branch(x):
        states = []
        for v in x:
            h = np.zeros(3)
            if v > 0:
                states.append(h)
            h[0] = v
        return np.array(states)

    def after_the_loop(x):
        h = np.ones(3)
        states = []
        for v in x:
            h = h * v
            states.append(h)
        h[0] = 2.0
        return np.array(states)

    def outer(x):
        h = np.ones(3)
        states = []
        for v in x:
            states.append(h)
        h[0] = 2.0
        return np.array(states)

    def item(x):
        states = []
        for v in x:
            states.append(np.ones(2) * v)
        states[-1][0] = 2.0
        return np.array(states)

    for f in (next_iteration, after_a_branch, after_the_loop, outer, item):
        refused(f, V, match="written")


def test_what_lists_cannot_do():
    def endless(x):
        found = []
        while x > 1:
            x = x / 2
            found.append(x)
        return sum(found)

    def returned(x):
        found = []
        for v in x:
            found.append(v)
        return found

    def mixed(x):
        found = []
        for v in x:
            found.append(v)
            found.append(x)
        return len(found)

    def while_looping(x):
        found = [1.0]
        for v in x:
            found.append(v)
        for f in found:
            found.append(f)
        return len(found)

    def compares(x):
        found = []
        for v in x:
            found.append(v)
        return found == [1.0, 2.0]

    refused(endless, 9.0, match="`while`")
    refused(returned, V, match="returning needs the items")
    refused(mixed, V, match="list")
    refused(while_looping, V, match="changed in the loop|list")
    refused(compares, V, match="comparison needs the items")


# Comprehensions.
@case((V, W), (V[:0], W[:0]), (W[:2], V[:2]))
def comprehensions(x, y):
    n = len(x)
    squares = [x[i] ** 2 for i in range(n)]
    positive = [(a, b) for a, b in zip(x, y) if a > 0 if b > -2]
    s = 0.0
    for a, b in positive:
        s += a * b
    return np.array(squares), sum(x[i] * y[i] for i in range(n)), s, len(positive)


@case((V, 0.5), (W, 5.0), (W[:2], -2.0), (V[:0], 1.0))
def quantifiers(x, most):
    return any(v > most for v in x), all(v < most for v in x)


@case((V,), (W[:2],))
def extrema_of_generators(x):
    return max(v * v for v in x), min(abs(v) for v in x), sum((v for v in x if v > 0), 1.5)


@case((A,), (A[:1],))
def nested_comprehensions(a):
    n, m = a.shape
    flat = [a[i, j] * i for i in range(n) for j in range(m)]
    rows = np.array([a[i] * 2 for i in range(n)])
    return np.array(flat), rows, sum(a[i] for i in range(n)), sum(sum(v * k for k, v in enumerate(r)) for r in a)


@case((V,), (W[:2],))
def comprehension_reads_and_binds_outside(x):
    k = 2.0
    found = [(last := v * k) for v in x]
    return np.array(found), last


def test_what_needs_the_items_makes_an_argument_static():
    def of_lists(x, n):
        a, b = [[x * i, i] for i in range(n)]
        return a[0] + b[0] * b[1]

    def unpacked(x, n):
        found = []
        for i in range(n):
            found.append(x * i)
        a, b = found
        return a + b

    for f in (of_lists, unpacked):
        with pytest.raises(NeedStatic):
            Tracer(f, V, 2)
        check(f, V, 2, static=(1,))


# `in` and `match` on what is known at run time.
@case((1, 2.0), (3, -1.0), (2, 0.0))
def contained(k, x):
    y = 0.0
    if k in (1, 3):
        y += x
    if x not in [2.0, -1.0]:
        y += 10.0
    found = []
    for i in range(k):
        found.append(i)
    if k - 1 in found and k in {1, 2}:
        y += 100.0
    return y


@case((0, 2.0), (1, 2.0), (2, 2.0), (3, -2.0), (3, 2.0), (9, 2.0))
def matched(k, x):
    match k:
        case 0:
            return x
        case 1 | 2:
            y = x * 2
        case 3 if x < 0:
            y = x * 3
        case n:
            y = x * n
    match (k, True):
        case (3, True):
            y += 1
        case (1, flag):
            y += 2 * flag
        case _:
            y += 0.5
    match x > 0:
        case True:
            y *= 2
        case False:
            y *= 3
    return y


# Arrays that no name can reach any more.
def scaled(v, x):
    if x > 0:
        v = v * 1
    v *= 2
    return v


@case((V, 1.0), (V, -1.0))
def held_by_a_dead_name(v, x):
    v = v.copy()
    return scaled(v, x)


def test_arrays_of_live_names_of_callers_are_held():
    def after(v, x):
        w = v.copy()
        y = scaled(w, x)
        return y + w

    def in_the_statement(v, x):
        w = v.copy()
        return scaled(w, x) + w

    def in_a_loop(v, x):
        w = v.copy()
        for _ in range(6):
            v = v + scaled(w, x)
        return v

    for f in (after, in_the_statement, in_a_loop):
        refused(f, V, 1.0, match="may be the same array")


def test_an_item_that_gets_a_name_stays_the_array_of_the_list():
    def by_a_loop(x):
        states = [np.zeros(3)]
        h = np.ones(3)
        for v in x:
            states.append(np.ones(3) * v)
            h = states[-1]
        h[0] = 5.0
        return np.array(states)

    def by_a_branch(x):
        states = []
        for v in x:
            states.append(np.ones(3) * v)
        h = np.ones(3)
        if x[0] > 0:
            h = states[-1]
        h[0] = 5.0
        return np.array(states)

    def of_an_array_from_before(x):
        w = np.ones(3)
        states = []
        for v in x:
            states.append(w)
        h = np.ones(3)
        for _ in x:
            h = states[-1]
        w[0] = 5.0
        return h

    def of_an_array_from_before_by_a_branch(x):
        w = np.ones(3)
        states = []
        for v in x:
            states.append(w)
        h = np.ones(3)
        if x[0] > 0:
            h = states[-1]
        w[0] = 5.0
        return h

    for f in (by_a_loop, by_a_branch):
        refused(f, V, match="may be the same array")
    for f in (of_an_array_from_before, of_an_array_from_before_by_a_branch):
        refused(f, V, match="written to since")


def test_names_of_what_loops_carry():
    def f(xs, x):
        h = x
        states = []
        for v in xs:
            h = np.tanh(h + v)
            states.append(h)
        return np.array(states)

    (loop,) = (n for n in agree(f, (V, 1.0)).builder.nodes if n.regions)
    assert {p.name for p in loop.regions[0].params} == {"k", "h", "states", "states_count"}
