"""Loops that choose one of many values: the reverse looks at the iteration that was chosen, and keeps nothing."""

import numpy as np
import pytest

from jitgrad import grad, jit, jvp

X = np.array([0.3, 0.9, -0.4, 1.2, 0.5, 1.2, -0.4])


def log_sum_exp(x):
    largest = x[0]
    for i in range(1, x.size):
        if x[i] > largest:
            largest = x[i]
    total = 0.0
    for i in range(x.size):
        total += np.exp(x[i] - largest)
    return largest + np.log(total)


def last_of_equals(x):
    largest = -np.inf
    for i in range(x.size):
        if x[i] >= largest:
            largest = x[i]
    return largest**2


def least_and_largest(x):
    least = largest = x[0] * x[1]
    for i in range(1, x.size):
        value = np.sin(x[i]) * x[0]
        if value > largest:
            largest = value
        if value < least:
            least = value
    return largest - 3.0 * least


def builtin_max(x):
    largest = 0.5 * x[2]
    for i in range(x.size):
        largest = max(largest, x[i] * x[i])
    return np.sin(largest)


def chosen_with_it(x):
    best, weight, place = -np.inf, 0.0, -1
    for i in range(x.size - 1):
        if np.cos(x[i]) > best:
            best, weight, place = np.cos(x[i]), x[i] * x[i + 1], i
    return best * weight * x[place]


def condition_in_condition(x):
    found = x[0]
    for i in range(x.size):
        if x[i] > 0:  # noqa: SIM102
            if x[i] < 1:
                found = x[i] ** 3
    return found


def one_of_two(x):
    found = x[0]
    for i in range(x.size):
        if x[i] > 1:
            found = x[i] ** 2
        elif x[i] < 0:
            found = x[i] ** 3
    return found


def value_of_a_branch(x):
    found = x[0]
    for i in range(x.size):
        if x[i] > 0.4:
            found = x[i] ** 2 if i > 3 else x[i] ** 3
    return found


def last_value(x):
    y = x[0]
    for i in range(x.size):
        y = np.exp(x[i]) * i
    return y


def beside_a_sum(x):
    total, largest = 0.0, x[0]
    for i in range(x.size):
        total += x[i] ** 2
        if x[i] > largest:
            largest = x[i]
    return total * largest


def within_a_sum(x):
    total, largest = 0.0, x[0]
    for i in range(x.size):
        if x[i] > largest:
            largest = x[i]
        total += largest * x[i]
    return total


def relative(x):
    largest = x[0]
    for i in range(x.size):
        if x[i] > largest:
            largest = 0.5 * largest + x[i]
    return largest


def second_largest(x):
    first = second = -np.inf
    for i in range(x.size):
        if x[i] > first:
            first, second = x[i], first
        elif x[i] > second:
            second = x[i]
    return first * second


def of_a_running_number(x):
    found, scale, count = x[0], 1.0, 0
    for i in range(x.size):
        scale = scale * 0.7 + 0.1
        count += 2
        if x[i] > 0.4:
            found = x[i] * scale * count
    return found


def of_scratch(x):
    row, best = np.empty(3), np.inf
    for i in range(x.size - 2):
        for j in range(3):
            row[j] = x[i + j] ** 2
        cost = row[0] + row[1] * row[2]
        if cost < best:
            best = cost
    return best


def of_a_history(x):
    y, best = x.copy(), np.inf
    steps = np.zeros(x.size)
    for i in range(1, x.size):
        steps[i] = steps[i - 1] + 0.5
        if y[i] * steps[i - 1] < best:
            best = y[i] * steps[i - 1]
    return best


def rows(x):
    chosen = x
    for i in range(3):
        if x[i] > 0.5:
            chosen = x * x[i]
    return np.sum(chosen**2)


def nested(x):
    total = 0.0
    for i in range(x.size):
        nearest = np.inf
        for j in range(x.size):
            distance = (x[i] - 1.3 * x[j] - 0.1) ** 2
            if distance < nearest:
                nearest = distance
        total += nearest * x[i]
    return total


ONE_ITERATION = [
    log_sum_exp, last_of_equals, least_and_largest, builtin_max, chosen_with_it, condition_in_condition,
    value_of_a_branch, last_value, beside_a_sum, of_a_running_number, of_scratch, rows, nested,
]  # fmt: skip
ALL = [within_a_sum, relative, second_largest, one_of_two, of_a_history]


def array_form(engine, *args):
    """What the array form gives under plain Python."""
    space = {}
    exec(engine.source(*args), space)
    return next(v for k, v in space.items() if k.endswith(("_grad", "_jit")))


def slope(f, x, h=1e-6):
    return np.array([(f(x + d) - f(x - d)) / (2 * h) for d in h * np.eye(x.size)])


@pytest.mark.parametrize("f", ONE_ITERATION + ALL)
def test_gradient(f):
    x = np.array([0.31, 0.92, -0.43, 1.24, 0.55, 1.16, -0.37])
    gradient = array_form(grad(f), x)
    for sign in (1.0, -1.0, 0.4):
        assert np.allclose(gradient(sign * x), slope(f, sign * x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("f", ONE_ITERATION)
def test_keeps_nothing(f):
    assert "_steps" not in grad(f).source(X)


@pytest.mark.parametrize("f", [least_and_largest, chosen_with_it, nested])
def test_compiled(f):
    gradient = grad(f)
    assert np.allclose(gradient(X), array_form(gradient, X)(X), rtol=1e-14)


def test_ties_go_to_the_one_that_was_taken():
    assert np.flatnonzero(array_form(grad(log_sum_exp), X)(X)).size == X.size
    assert np.flatnonzero(array_form(grad(last_of_equals), X)(X)).tolist() == [5]
    assert np.flatnonzero(array_form(grad(builtin_max), X)(X)).tolist() == [3]


def test_nothing_is_chosen():
    gradient = array_form(grad(builtin_max), X)
    assert np.isnan(gradient(np.array([0.1, 0.2, np.nan]))).any()
    assert array_form(grad(condition_in_condition), X)(np.array([-2.0, np.nan, 3.0])).tolist() == [1, 0, 0]
    assert array_form(grad(rows), X)(np.array([0.1, 0.2, 0.3])).tolist() == [0.2, 0.4, 0.6]
    assert array_form(grad(last_of_equals), X)(np.empty(0)).size == 0


@pytest.mark.parametrize("f", [chosen_with_it, beside_a_sum, nested])
def test_second_order(f):
    x, v = X + 0.01 * np.arange(X.size), np.linspace(-1, 1, X.size)
    gradient = array_form(grad(f), x)
    want = (gradient(x + 1e-6 * v) - gradient(x - 1e-6 * v)) / 2e-6
    again = array_form(grad(lambda x, v: np.sum(grad(f)(x) * v)), x, v)  # reverse over reverse
    assert np.allclose(again(x, v), want, rtol=1e-6, atol=1e-7)
    forward = array_form(jit(lambda x, v: jvp(grad(f), (x,), (v,))[1]), x, v)
    assert np.allclose(forward(x, v), want, rtol=1e-6, atol=1e-7)
