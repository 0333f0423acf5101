"""Small, real algorithms as a Numba user writes them: run-time loops, branches, in-place writes, integer state.

`@algorithm(make, ...)` puts a function into `ALGORITHMS`; each `make(rng)` gives a tuple of arguments, of sizes of its
own. All that is floating-point is differentiated. The numbers are such that no branch is about to go the other way.
To add a case, add a function.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jitgrad import grad, jvp, stop_gradient, value_and_grad


@dataclass(frozen=True)
class Algorithm:
    """A function, what to feed it with, and how its derivatives are to be checked.

    Attributes:
        function: it leaves its arguments alone.
        makes: each gives arguments, from a random generator.
        step: of the differences.
        reference: gives for some arguments a function whose differences are taken instead: where the derivative isn't
            that of the value (`stop_gradient`), or where plain Python would call this library.
        second: whether the gradient is smooth, and its differences mean something.
    """

    function: Callable
    makes: tuple[Callable, ...]
    step: float = 1e-3
    reference: Callable | None = None
    second: bool = True


ALGORITHMS: dict[str, Algorithm] = {}


def algorithm(*makes: Callable, **how) -> Callable:
    def add(function: Callable) -> Callable:
        ALGORITHMS[function.__name__] = Algorithm(function, makes, **how)
        return function

    return add


def spd(rng: np.random.Generator, n: int) -> np.ndarray:
    """A symmetric positive definite matrix."""
    a = rng.uniform(-1.0, 1.0, (n, n))
    return a @ a.T + n * np.eye(n)


def apart(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers in (-1, 1), in any order, no two of them near."""
    n = math.prod(shape)
    return (rng.permutation(n).reshape(shape) + rng.uniform(0.3, 0.7, shape)) / n * 2.0 - 1.0


# Roots and convergence.
@algorithm(lambda rng: (0.9, 0.13, 1.97, 9), lambda rng: (3.1, 0.13, 1.97, 0))
def bisection(c, low, high, n):
    """The root of x**3 + x = c: some halvings, then one step of Newton's method."""
    for _ in range(n):
        middle = 0.5 * (low + high)
        if middle**3 + middle > c:
            high = middle
        else:
            low = middle
    x = 0.5 * (low + high)
    return x - (x**3 + x - c) / (3.0 * x * x + 1.0)


@algorithm(lambda rng: (rng.uniform(0.3, 2.8, 5), 0.3))
def kepler(mean, eccentricity):
    """The eccentric anomalies by Newton's method, each until it has converged."""
    total = 0.0
    for k in range(len(mean)):
        e = mean[k]
        step = 1.0
        while abs(step) > 1e-12:
            step = (e - eccentricity * math.sin(e) - mean[k]) / (1.0 - eccentricity * math.cos(e))
            e -= step
        total += (k + 1) * e
    return total


@algorithm(lambda rng: (2.5, 1.0, 1.2, 50))
def secant(c, x0, x1, limit):
    f0 = x0**3 - c
    count = 0
    while True:
        f1 = x1**3 - c
        if abs(f1) < 1e-13 or count == limit:
            break
        x0, x1, f0 = x1, x1 - f1 * (x1 - x0) / (f1 - f0), f1
        count += 1
    return x1, count


@algorithm(lambda rng: (0.3, 1.7, 0.9), step=1e-5, second=False)
def golden_section(low, high, c):
    """A smooth function of a bracket of the minimum of (x - c)**2 + 0.1 x**4."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    a = high - ratio * (high - low)
    b = low + ratio * (high - low)
    fa, fb = (a - c) ** 2 + 0.1 * a**4, (b - c) ** 2 + 0.1 * b**4
    while high - low > 0.05:
        if fa < fb:
            high, b, fb = b, a, fa
            a = high - ratio * (high - low)
            fa = (a - c) ** 2 + 0.1 * a**4
        else:
            low, a, fa = a, b, fb
            b = low + ratio * (high - low)
            fb = (b - c) ** 2 + 0.1 * b**4
    return 0.5 * (low + high) + fa * fb


# Differential equations.
def lotka_volterra(x, y, a, b):
    return a * x - b * x * y, b * x * y - y


@algorithm(lambda rng: (1.2, 0.7, 1.1, 0.8, 0.05, 20), lambda rng: (1.2, 0.7, 1.1, 0.8, 0.05, 0))
def rk4(x, y, a, b, h, n):
    for _ in range(n):
        k1x, k1y = lotka_volterra(x, y, a, b)
        k2x, k2y = lotka_volterra(x + 0.5 * h * k1x, y + 0.5 * h * k1y, a, b)
        k3x, k3y = lotka_volterra(x + 0.5 * h * k2x, y + 0.5 * h * k2y, a, b)
        k4x, k4y = lotka_volterra(x + h * k3x, y + h * k3y, a, b)
        x, y = x + h / 6.0 * (k1x + 2.0 * k2x + 2.0 * k3x + k4x), y + h / 6.0 * (k1y + 2.0 * k2y + 2.0 * k3y + k4y)
    return x, y


@algorithm(lambda rng: (1.1, 2.0, 1e-4))
def adaptive(y, end, tolerance):
    """y' = -y**2 cos(t), the middle point rule against Euler's, with a step that adapts itself."""
    t, h, steps, rejected = 0.0, 0.3, 0, 0
    while end - t > 1e-9:
        h = min(h, end - t)
        k1 = -y * y * math.cos(t)
        middle = y + 0.5 * h * k1
        k2 = -middle * middle * math.cos(t + 0.5 * h)
        error = h * abs(k2 - k1)
        if error > 10.0 * tolerance:
            rejected += 1
            h = 0.5 * h
            continue
        t += h
        y += h * k2
        steps += 1
        h *= min(2.0, 0.9 * math.sqrt(10.0 * tolerance / (error + 1e-9)))
    return y, steps, rejected


@algorithm(lambda rng: (rng.uniform(-1, 1, 2), 1.5, 1e-6))
def rk45(start, end, tolerance):
    """Van der Pol's equation by Bogacki and Shampine's embedded pair."""
    y = start.copy()
    k = np.zeros((4, 2))
    trial = np.zeros(2)
    t, h = 0.0, 0.1
    accepted = 0
    while end - t > 1e-9 and accepted < 500:
        if t + h > end:
            h = end - t
        for s in range(4):
            for i in range(2):
                if s == 0:
                    trial[i] = y[i]
                elif s == 1:
                    trial[i] = y[i] + 0.5 * h * k[0, i]
                elif s == 2:
                    trial[i] = y[i] + 0.75 * h * k[1, i]
                else:
                    trial[i] = y[i] + h * (2.0 / 9.0 * k[0, i] + 1.0 / 3.0 * k[1, i] + 4.0 / 9.0 * k[2, i])
            k[s, 0] = trial[1]
            k[s, 1] = 0.8 * (1.0 - trial[0] ** 2) * trial[1] - trial[0]
        error = 0.0
        for i in range(2):
            e = h * (-5.0 / 72.0 * k[0, i] + 1.0 / 12.0 * k[1, i] + 1.0 / 9.0 * k[2, i] - 0.125 * k[3, i])
            error += e * e
        error = math.sqrt(error) / tolerance
        if error <= 1.0:
            t += h
            y[:] = trial
            accepted += 1
        h *= min(3.0, max(0.3, 0.9 * error ** (-1.0 / 3.0)))
    return y


@algorithm(lambda rng: (apart(rng, 4, 3), rng.uniform(-0.3, 0.3, (4, 3)), rng.uniform(0.5, 1.5, 4), 0.02, 6))
def nbody(position, velocity, mass, h, steps):
    """Leapfrog; the energy and the last positions."""
    x, v = position.copy(), velocity.copy()
    n = x.shape[0]
    a = np.zeros((n, 3))
    for _ in range(steps):
        a[:] = 0.0
        for i in range(n):
            for j in range(n):
                if i != j:
                    r2 = 0.05
                    for k in range(3):
                        r2 += (x[j, k] - x[i, k]) ** 2
                    w = mass[j] / (r2 * math.sqrt(r2))
                    for k in range(3):
                        a[i, k] += w * (x[j, k] - x[i, k])
        for i in range(n):
            for k in range(3):
                v[i, k] += h * a[i, k]
                x[i, k] += h * v[i, k]
    energy = 0.0
    for i in range(n):
        energy += 0.5 * mass[i] * np.sum(v[i] * v[i])
    return energy, x


@algorithm(
    lambda rng: (apart(rng, 7), 0.21, 5), lambda rng: (apart(rng, 7), 0.21, 0), lambda rng: (apart(rng, 2), 0.2, 3)
)
def heat(u0, c, steps):
    """Two buffers that change places."""
    u = u0.copy()
    v = u0.copy()
    for _ in range(steps):
        for i in range(1, u.shape[0] - 1):
            v[i] = u[i] + c * (u[i - 1] - 2.0 * u[i] + u[i + 1])
        u, v = v, u
    return np.sum(u * u)


@algorithm(lambda rng: (apart(rng, 6), 0.21, 4))
def heat_in_place(u0, c, steps):
    """One array and a scalar that remembers what was overwritten."""
    u = u0.copy()
    for _ in range(steps):
        left = u[0]
        for i in range(1, len(u) - 1):
            here = u[i]
            u[i] = here + c * (left - 2.0 * here + u[i + 1]) + 0.1 * here * here
            left = here
    return u


@algorithm(lambda rng: (apart(rng, 5, 6), 0.15, 3))
def heat_slices(u0, c, steps):
    u = u0.copy()
    for _ in range(steps):
        u[1:-1, 1:-1] += c * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4.0 * u[1:-1, 1:-1])
        u[0] = 0.5 * u[1]
        u[:, -1] *= 0.9
    return u


@algorithm(lambda rng: (apart(rng, 8), 0.5, 6))
def wave(start, c, steps):
    """Three buffers that rotate."""
    before = start.copy()
    now = start.copy()
    after = np.zeros_like(start)
    n = len(start)
    for _ in range(steps):
        for i in range(n):
            left, right = now[i - 1], now[(i + 1) % n]
            after[i] = 2.0 * now[i] - before[i] + c * c * (left - 2.0 * now[i] + right) - 0.01 * now[i] ** 3
        before, now, after = now, after, before
    return np.sum(now**2), before


@algorithm(lambda rng: (apart(rng, 6), 0.1, 4))
def gauss_seidel_nonlinear(u0, c, sweeps):
    u = u0.copy()
    for _ in range(sweeps):
        for i in range(1, u.shape[0] - 1):
            u[i] = 0.5 * (u[i - 1] + u[i + 1]) - c * math.exp(u[i])
    return u[1] * u[2] + u[3]


@algorithm(lambda rng: (apart(rng, 2), apart(rng, 2), 0.1, 7))
def hmc_leapfrog(q0, p0, h, steps):
    """The Hamiltonian's error along a trajectory in a banana-shaped potential."""
    q, p = q0.copy(), p0.copy()

    def force(q):
        bend = q[1] - q[0] * q[0]
        g = np.empty(2)
        g[0] = -q[0] + 2.0 * bend * q[0]
        g[1] = -bend
        return g

    p += 0.5 * h * force(q)
    for k in range(steps):
        q += h * p
        if k < steps - 1:
            p += h * force(q)
    p += 0.5 * h * force(q)
    return 0.5 * np.sum(p * p) + 0.5 * q[0] ** 2 + 0.5 * (q[1] - q[0] ** 2) ** 2


# Filters and sequence models.
@algorithm(lambda rng: (apart(rng, 9), 0.8, 0.3, 0.5))
def kalman(y, a, q, r):
    """The negative log-likelihood of a scalar state space model."""
    mean, var, loss = 0.0, 1.0, 0.0
    for value in y:
        mean, var = a * mean, a * a * var + q
        s = var + r
        innovation = value - mean
        gain = var / s
        mean += gain * innovation
        var *= 1.0 - gain
        loss += 0.5 * (math.log(2.0 * math.pi * s) + innovation * innovation / s)
    return loss


@algorithm(lambda rng: (apart(rng, 6), 0.4, 0.2))
def kalman_tracking(y, q, r):
    """Position and velocity, with matrices."""
    f = np.array([[1.0, 0.5], [0.0, 1.0]])
    x, p = np.zeros(2), np.eye(2)
    means = np.zeros((len(y), 2))
    loss = 0.0
    for t in range(len(y)):
        x = f @ x
        p = f @ p @ f.T + q * np.eye(2)
        s = p[0, 0] + r
        k = p[:, 0] / s
        e = y[t] - x[0]
        x = x + k * e
        p = p - np.outer(k, p[0])
        means[t] = x
        loss += math.log(s) + e * e / s
    return loss, means


@algorithm(
    lambda rng: (
        rng.uniform(0.1, 1, 3),
        rng.uniform(0.1, 1, (3, 3)),
        rng.uniform(0.1, 1, (3, 4)),
        np.array([0, 3, 1, 1, 2]),
    )
)
def hmm_forward(start, transition, emission, seen):
    n = len(start)
    alpha = np.empty(n)
    log_likelihood = 0.0
    for i in range(n):
        alpha[i] = start[i] * emission[i, seen[0]]
    for t in range(1, len(seen)):
        new = np.zeros(n)
        for j in range(n):
            for i in range(n):
                new[j] += alpha[i] * transition[i, j]
            new[j] *= emission[j, seen[t]]
        scale = new.sum()
        alpha = new / scale
        log_likelihood += math.log(scale)
    return log_likelihood


@algorithm(lambda rng: (apart(rng, 5, 3), apart(rng, 3, 3)))
def viterbi(score, transition):
    """The best path by dynamic programming, then its score again along the path found."""
    steps, n = score.shape
    best = score[0].copy()
    back = np.zeros((steps, n), dtype=np.int64)
    for t in range(1, steps):
        new = np.empty(n)
        for j in range(n):
            top, arg = -1e300, 0
            for i in range(n):
                value = best[i] + transition[i, j]
                if value > top:
                    top, arg = value, i
            new[j] = top + score[t, j]
            back[t, j] = arg
        best = new
    state = 0
    for j in range(1, n):
        if best[j] > best[state]:
            state = j
    total = best[state]
    along = 0.0
    for t in range(steps - 1, -1, -1):
        along += (t + 1.0) * score[t, state] ** 2
        state = back[t, state]
    return total, along


@algorithm(lambda rng: (apart(rng, 8), 0.2, 0.1, 0.5), step=3e-4)
def garch(returns, omega, alpha, beta):
    var = omega / (1.0 - alpha - beta)
    loss = 0.0
    for t in range(len(returns)):
        loss += 0.5 * (math.log(var) + returns[t] ** 2 / var)
        var = omega + alpha * returns[t] ** 2 + beta * var
    return loss


@algorithm(lambda rng: (rng.uniform(1, 2, 11), 0.3, 0.2, 0.4, 4))
def holt_winters(y, a, b, c, period):
    """Exponential smoothing with a trend and a season."""
    level, trend = y[0], 0.0
    season = np.zeros(period)
    loss = 0.0
    for t, value in enumerate(y):
        forecast = level + trend + season[t % period]
        loss += (value - forecast) ** 2
        before = level
        level = a * (value - season[t % period]) + (1.0 - a) * (level + trend)
        trend = b * (level - before) + (1.0 - b) * trend
        season[t % period] = c * (value - level) + (1.0 - c) * season[t % period]
    return loss


@algorithm(lambda rng: (apart(rng, 5, 3), apart(rng, 3, 3), apart(rng, 3, 3), np.zeros(3)))
def recurrent(xs, w, u, h0):
    """A gated recurrent network over the rows of an array; the states are collected in a list."""
    h = h0
    states = []
    for x in xs:
        z = 1.0 / (1.0 + np.exp(-(w @ x + h)))
        h = z * h + (1.0 - z) * np.tanh(u @ x + 0.5 * h)
        states.append(h)
    return np.sum(np.array(states) ** 2) + len(states)


@algorithm(lambda rng: (apart(rng, 6), 0.9))
def scan_list(x, decay):
    """A list of numbers that grows by two in each iteration and is read while it grows."""
    found = [0.1]
    for value in x:
        found.append(decay * found[-1] + value)
        found.append(found[-1] * found[-2])
    total = 0.0
    for k in range(len(found)):
        total += found[k] ** 2 * (k + 1)
    return total


# Dynamic programming.
@algorithm(
    lambda rng: (np.array([0, 1, 2, 2, 1]), np.array([1, 2, 0, 1]), 1.03, 0.77, 1.31),
    lambda rng: (np.array([], dtype=np.int64), np.array([1, 2]), 1.03, 0.77, 1.31),
)
def edit_distance(s, t, insert, delete, change):
    n, m = len(s), len(t)
    d = np.zeros((n + 1, m + 1))
    for i in range(1, n + 1):
        d[i, 0] = d[i - 1, 0] + delete
    for j in range(1, m + 1):
        d[0, j] = d[0, j - 1] + insert
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            if s[i - 1] == t[j - 1]:
                d[i, j] = d[i - 1, j - 1]
            else:
                d[i, j] = min(d[i - 1, j] + delete, d[i, j - 1] + insert, d[i - 1, j - 1] + change)
    return d[n, m]


@algorithm(lambda rng: (apart(rng, 5), apart(rng, 6)))
def dtw(x, y):
    n, m = x.shape[0], y.shape[0]
    d = np.full((n + 1, m + 1), 1e6)
    d[0, 0] = 0.0
    for i in range(n):
        for j in range(m):
            d[i + 1, j + 1] = (x[i] - y[j]) ** 2 + min(d[i, j + 1], d[i + 1, j], d[i, j])
    return d[n, m]


@algorithm(lambda rng: (apart(rng, 4), apart(rng, 5), 0.4))
def soft_dtw(x, y, gamma):
    """Two rows of the table that change places."""
    m = len(y)
    above = np.full(m + 1, 50.0)
    above[0] = 0.0
    row = np.empty(m + 1)
    for i in range(len(x)):
        row[0] = 50.0
        for j in range(1, m + 1):
            low = min(above[j], row[j - 1], above[j - 1])
            z = math.exp((low - above[j]) / gamma) + math.exp((low - row[j - 1]) / gamma)
            z += math.exp((low - above[j - 1]) / gamma)
            row[j] = (x[i] - y[j - 1]) ** 2 + low - gamma * math.log(z)
        above, row = row, above
    return above[m]


@algorithm(lambda rng: (apart(rng, 5, 5) + 1.1,))
def floyd_warshall(weights):
    d = weights.copy()
    n = d.shape[0]
    for k in range(n):
        for i in range(n):
            for j in range(n):
                through = d[i, k] + d[k, j]
                if through < d[i, j]:
                    d[i, j] = through
    return np.sum(d * d)


@algorithm(lambda rng: (apart(rng, 6, 6) + 1.2,))
def dijkstra(weights):
    """With the flags of the visited nodes in an array of booleans."""
    n = weights.shape[0]
    dist = np.full(n, 1e9)
    dist[0] = 0.0
    done = np.zeros(n, dtype=np.bool_)
    for _ in range(n):
        best, here = 1e18, -1
        for i in range(n):
            if not done[i] and dist[i] < best:
                best, here = dist[i], i
        done[here] = True
        for j in range(n):
            if not done[j] and best + weights[here, j] < dist[j]:
                dist[j] = best + weights[here, j]
    return dist


@algorithm(lambda rng: (apart(rng, 5) + 1.5, np.array([2, 3, 1, 4, 2]), 7))
def knapsack(values, sizes, capacity):
    best = np.zeros(capacity + 1)
    for i in range(len(values)):
        for c in range(capacity, sizes[i] - 1, -1):
            best[c] = max(best[c], best[c - sizes[i]] + values[i])
    return best[capacity]


@algorithm(lambda rng: (apart(rng, 6) * 0.7 + 1.5,))
def matrix_chain(sizes):
    """Gaps over the diagonals of a table, and a break out of none of them."""
    n = len(sizes) - 1
    cost = np.zeros((n, n))
    for gap in range(1, n):
        for i in range(n - gap):
            j = i + gap
            cost[i, j] = 1e9
            for k in range(i, j):
                c = cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                if c < cost[i, j]:
                    cost[i, j] = c
    return cost[0, n - 1]


@algorithm(lambda rng: (100.0, 97.0, 0.03, 0.3, 1.0, 12), step=1e-3, second=False)
def binomial_option(spot, strike, rate, sigma, years, steps):
    """An American put."""
    dt = years / steps
    up = math.exp(sigma * math.sqrt(dt))
    down = 1.0 / up
    p = (math.exp(rate * dt) - down) / (up - down)
    discount = math.exp(-rate * dt)
    value = np.empty(steps + 1)
    for i in range(steps + 1):
        value[i] = max(strike - spot * up**i * down ** (steps - i), 0.0)
    for n in range(steps - 1, -1, -1):
        for i in range(n + 1):
            held = discount * (p * value[i + 1] + (1.0 - p) * value[i])
            value[i] = max(held, strike - spot * up**i * down ** (n - i))
    return value[0]


# Linear algebra.
@algorithm(lambda rng: (spd(rng, 4),))
def cholesky(a):
    n = a.shape[0]
    c = np.zeros((n, n))
    log_det = 0.0
    for j in range(n):
        s = a[j, j]
        for k in range(j):
            s -= c[j, k] * c[j, k]
        c[j, j] = math.sqrt(s)
        log_det += 2.0 * math.log(c[j, j])
        for i in range(j + 1, n):
            s = a[i, j]
            for k in range(j):
                s -= c[i, k] * c[j, k]
            c[i, j] = s / c[j, j]
    return log_det, c


@algorithm(lambda rng: (spd(rng, 4),))
def cholesky_in_place(a):
    a = a.copy()
    n = a.shape[0]
    for j in range(n):
        a[j, j] = math.sqrt(a[j, j])
        for i in range(j + 1, n):
            a[i, j] /= a[j, j]
        for k in range(j + 1, n):
            for i in range(k, n):
                a[i, k] -= a[i, j] * a[k, j]
    return np.tril(a)


@algorithm(lambda rng: (apart(rng, 4, 4) + 4.0 * np.eye(4),))
def lu(a):
    m = a.copy()
    n = len(m)
    for k in range(n):
        for i in range(k + 1, n):
            m[i, k] /= m[k, k]
            for j in range(k + 1, n):
                m[i, j] -= m[i, k] * m[k, j]
    det = 1.0
    for k in range(n):
        det *= m[k, k]
    return det, m


@algorithm(lambda rng: (apart(rng, 4, 4), apart(rng, 4)))
def solve_with_pivots(a, b):
    """Gaussian elimination; rows are swapped element by element, and the sign of the permutation is kept."""
    m, x = a.copy(), b.copy()
    n = m.shape[0]
    det = 1.0
    for k in range(n):
        p = k
        for i in range(k + 1, n):
            if abs(m[i, k]) > abs(m[p, k]):
                p = i
        if p != k:
            for j in range(n):
                m[k, j], m[p, j] = m[p, j], m[k, j]
            x[k], x[p] = x[p], x[k]
            det = -det
        det *= m[k, k]
        for i in range(k + 1, n):
            f = m[i, k] / m[k, k]
            m[i, k:] -= f * m[k, k:]
            x[i] -= f * x[k]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= m[i, j] * x[j]
        x[i] /= m[i, i]
    return x, det


@algorithm(lambda rng: (apart(rng, 4, 4), apart(rng, 4)))
def lu_permuted(a, b):
    """The rows stay where they are; an integer array says in which order they are to be read."""
    n = len(b)
    m = a.copy()
    order = np.arange(n)
    for k in range(n):
        p = k
        for i in range(k + 1, n):
            if abs(m[order[i], k]) > abs(m[order[p], k]):
                p = i
        order[k], order[p] = order[p], order[k]
        for i in range(k + 1, n):
            m[order[i], k] /= m[order[k], k]
            for j in range(k + 1, n):
                m[order[i], j] -= m[order[i], k] * m[order[k], j]
    y = np.zeros(n)
    for i in range(n):
        s = b[order[i]]
        for j in range(i):
            s -= m[order[i], j] * y[j]
        y[i] = s
    return y


@algorithm(lambda rng: (apart(rng, 5, 3),))
def gram_schmidt(a):
    n, m = a.shape
    q = a.copy()
    r = np.zeros((m, m))
    for j in range(m):
        for k in range(j):
            for i in range(n):
                r[k, j] += q[i, k] * q[i, j]
            for i in range(n):
                q[i, j] -= r[k, j] * q[i, k]
        r[j, j] = np.sqrt(np.sum(q[:, j] ** 2))
        q[:, j] /= r[j, j]
    return q, r


@algorithm(lambda rng: (apart(rng, 4, 3), apart(rng, 4)))
def householder(a, b):
    """Least squares by reflections; columns as views."""
    r, y = a.copy(), b.copy()
    m = r.shape[1]
    for k in range(m):
        v = r[k:, k].copy()
        v[0] += math.copysign(math.sqrt(np.sum(v * v)), v[0])
        v /= math.sqrt(np.sum(v * v))
        for j in range(k, m):
            column = r[k:, j]
            column -= 2.0 * np.dot(v, column) * v
        y[k:] -= 2.0 * np.dot(v, y[k:]) * v
    x = np.zeros(m)
    for i in range(m - 1, -1, -1):
        x[i] = (y[i] - np.dot(r[i, i + 1 :], x[i + 1 :])) / r[i, i]
    return x


@algorithm(lambda rng: (apart(rng, 3, 3) + apart(rng, 3, 3).T, 1e-7), second=False)
def jacobi_eigenvalues(a, tolerance):
    """Rotations until the matrix is diagonal; a helper gives cosine and sine."""
    m = 0.5 * (a + a.T)
    n = m.shape[0]
    sweeps = 0
    while sweeps < 30:
        off = 0.0
        for i in range(n):
            for j in range(i):
                off += m[i, j] ** 2
        if off < tolerance:
            break
        for p in range(n):
            for q in range(p + 1, n):
                c, s = rotation(m[p, p], m[q, q], m[p, q])
                for k in range(n):
                    m[k, p], m[k, q] = c * m[k, p] - s * m[k, q], s * m[k, p] + c * m[k, q]
                for k in range(n):
                    m[p, k], m[q, k] = c * m[p, k] - s * m[q, k], s * m[p, k] + c * m[q, k]
        sweeps += 1
    total = 0.0
    for i in range(n):
        total += m[i, i] ** 3
    return total


def rotation(app, aqq, apq):
    if apq == 0.0:
        return 1.0, 0.0
    theta = 0.5 * (aqq - app) / apq
    t = 1.0 / (abs(theta) + math.sqrt(theta * theta + 1.0))
    if theta < 0.0:
        t = -t
    c = 1.0 / math.sqrt(t * t + 1.0)
    return c, t * c


@algorithm(lambda rng: (spd(rng, 4), apart(rng, 4), 1e-20))
def conjugate_gradient(a, b, tolerance):
    x = np.zeros_like(b)
    r = b.copy()
    p = r.copy()
    rr = np.dot(r, r)
    steps = 0
    while rr > tolerance and steps < 4:
        q = a @ p
        alpha = rr / np.dot(p, q)
        x += alpha * p
        r -= alpha * q
        new = np.dot(r, r)
        p = r + new / rr * p
        rr = new
        steps += 1
    return x


@algorithm(lambda rng: (spd(rng, 3), 15))
def power_iteration(a, steps):
    v = np.ones(a.shape[0])
    value = 0.0
    for _ in range(steps):
        w = np.dot(a, v)
        value = math.sqrt(np.sum(w * w))
        v = w / value
    return value, v


@algorithm(lambda rng: (apart(rng, 4, 4) + 3.0 * np.eye(4), apart(rng, 4)))
def triangular_solves(t, b):
    """Forward, then backward substitution, each in place."""
    n = len(b)
    x = b.copy()
    for i in range(n):
        for j in range(i):
            x[i] -= t[i, j] * x[j]
        x[i] /= t[i, i]
    for i in reversed(range(n)):
        for j in range(i + 1, n):
            x[i] -= t[j, i] * x[j]
        x[i] /= t[i, i]
    return x


@algorithm(lambda rng: (apart(rng, 6), apart(rng, 6) + 4.0, apart(rng, 6), apart(rng, 6)))
def tridiagonal(a, b, c, d):
    """The algorithm of Thomas."""
    n = len(d)
    u, v = np.empty(n), np.empty(n)
    u[0], v[0] = c[0] / b[0], d[0] / b[0]
    for i in range(1, n):
        m = 1.0 / (b[i] - a[i] * u[i - 1])
        u[i] = c[i] * m
        v[i] = (d[i] - a[i] * v[i - 1]) * m
    for i in range(n - 2, -1, -1):
        v[i] -= u[i] * v[i + 1]
    return v


@algorithm(lambda rng: (spd(rng, 4), apart(rng, 4), 6))
def gauss_seidel(a, b, sweeps):
    x = np.zeros(len(b))
    for _ in range(sweeps):
        for i in range(len(b)):
            s = b[i]
            for j in range(len(b)):
                if j != i:
                    s -= a[i, j] * x[j]
            x[i] = s / a[i, i]
    return x


@algorithm(
    lambda rng: (rng.uniform(0.2, 1, 7), np.array([0, 2, 3, 3, 7]), np.array([0, 2, 1, 3, 0, 1, 2]), apart(rng, 4), 3)
)
def sparse_powers(data, pointer, column, x, steps):
    """Products with a matrix in compressed rows, one of them empty."""
    for _ in range(steps):
        y = np.zeros(len(pointer) - 1)
        for i in range(len(y)):
            for k in range(pointer[i], pointer[i + 1]):
                y[i] += data[k] * x[column[k]]
        x = np.tanh(y)
    return x


@algorithm(lambda rng: (rng.uniform(0.2, 1, (4, 4)), 0.85, 1e-12))
def page_rank(links, damping, tolerance):
    n = links.shape[0]
    p = links / np.sum(links, axis=0)
    rank = np.full(n, 1.0 / n)
    change = 1.0
    while change > tolerance:
        new = (1.0 - damping) / n + damping * (p @ rank)
        change = 0.0
        for i in range(n):
            change += (new[i] - rank[i]) ** 2
        rank = new
    return rank


@algorithm(lambda rng: (apart(rng, 3, 4) + 1.0, 0.5, 8))
def sinkhorn(cost, epsilon, steps):
    n, m = cost.shape
    k = np.exp(-cost / epsilon)
    u, v = np.ones(n), np.ones(m)
    for _ in range(steps):
        u = 1.0 / (n * (k @ v))
        v = 1.0 / (m * (k.T @ u))
    total = 0.0
    for i in range(n):
        for j in range(m):
            total += u[i] * k[i, j] * v[j] * cost[i, j]
    return total


# Transforms, interpolation, quadrature.
@algorithm(lambda rng: (apart(rng, 8), apart(rng, 8)))
def fft(re, im):
    """Radix two, in place, on pairs of reals; the bits of the indices are reversed by integer arithmetic."""
    re, im = re.copy(), im.copy()
    n = len(re)
    j = 0
    for i in range(1, n):
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            re[i], re[j] = re[j], re[i]
            im[i], im[j] = im[j], im[i]
    size = 2
    while size <= n:
        angle = -2.0 * math.pi / size
        for start in range(0, n, size):
            for k in range(size // 2):
                c, s = math.cos(angle * k), math.sin(angle * k)
                a, b = start + k, start + k + size // 2
                x, y = re[b] * c - im[b] * s, re[b] * s + im[b] * c
                re[b], im[b] = re[a] - x, im[a] - y
                re[a], im[a] = re[a] + x, im[a] + y
        size <<= 1
    return re, im


@algorithm(lambda rng: (apart(rng, 8),))
def haar(x):
    """A wavelet transform in place, the length halved each time."""
    y = x.copy()
    scratch = np.empty_like(y)
    n = y.shape[0]
    while n > 1:
        half = n // 2
        for i in range(half):
            scratch[i] = (y[2 * i] + y[2 * i + 1]) / math.sqrt(2.0)
            scratch[half + i] = (y[2 * i] - y[2 * i + 1]) / math.sqrt(2.0)
        y[:n] = scratch[:n]
        n = half
    return np.sum(np.tanh(y) * y)


@algorithm(lambda rng: (apart(rng, 5), 0.7), lambda rng: (np.zeros(0), 0.7))
def horner(c, x):
    value, slope = 0.0, 0.0
    for k in range(len(c) - 1, -1, -1):
        slope = slope * x + value
        value = value * x + c[k]
    return value, slope


@algorithm(
    lambda rng: (np.array([0.0, 0.0, 0.0, 0.0, 0.4, 1.0, 1.0, 1.0, 1.0]), apart(rng, 5), np.array([0.17, 0.61, 0.93]))
)
def de_boor(knots, control, points):
    """A cubic spline; the interval of each point is found by a search that breaks off."""
    total = np.zeros(len(points))
    for m in range(len(points)):
        x = points[m]
        k = 3
        for j in range(4, len(control)):
            if x < knots[j]:
                break
            k = j
        d = np.empty(4)
        for j in range(4):
            d[j] = control[j + k - 3]
        for r in range(1, 4):
            for j in range(3, r - 1, -1):
                alpha = (x - knots[j + k - 3]) / (knots[j + 1 + k - r] - knots[j + k - 3])
                d[j] = (1.0 - alpha) * d[j - 1] + alpha * d[j]
        total[m] = d[3]
    return total


@algorithm(lambda rng: (apart(rng, 4, 5), np.array([[0.3, 1.2], [2.6, 3.3], [1.4, 0.8], [-1.3, 7.2]])))
def bilinear(image, points):
    """Samples of an image; what lies outside is clamped to its edge."""
    h, w = image.shape
    out = np.zeros(len(points))
    for k in range(points.shape[0]):
        y, x = min(max(points[k, 0], 0.0), h - 1.001), min(max(points[k, 1], 0.0), w - 1.001)
        i, j = int(np.floor(y)), int(np.floor(x))
        a, b = y - i, x - j
        top = (1.0 - b) * image[i, j] + b * image[i, j + 1]
        bottom = (1.0 - b) * image[i + 1, j] + b * image[i + 1, j + 1]
        out[k] = (1.0 - a) * top + a * bottom
    return out


@algorithm(lambda rng: (apart(rng, 5, 6), apart(rng, 3, 2)))
def convolution(image, kernel):
    h, w = image.shape
    p, q = kernel.shape
    out = np.zeros((h - p + 1, w - q + 1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            s = 0.0
            for a in range(p):
                for b in range(q):
                    s += kernel[a, b] * image[i + a, j + b]
            out[i, j] = s if s > 0.0 else 0.1 * s
    return out


@algorithm(lambda rng: (apart(rng, 5), apart(rng, 5), np.array([-0.35, 0.22, 0.9])))
def divided_differences(x, y, points):
    """Newton's interpolation, its table in one column that is overwritten from below."""
    c = y.copy()
    n = len(c)
    for k in range(1, n):
        for i in range(n - 1, k - 1, -1):
            c[i] = (c[i] - c[i - 1]) / (x[i] - x[i - k])
    total = 0.0
    for p in points:
        value = c[n - 1]
        for i in range(n - 2, -1, -1):
            value = value * (p - x[i]) + c[i]
        total += value * value
    return 0.01 * total


@algorithm(lambda rng: (np.sort(apart(rng, 7)), apart(rng, 7), np.array([-0.51, 0.13, 0.57])))
def binary_search(x, y, points):
    """Piecewise linear interpolation."""
    total = 0.0
    for p in points:
        low, high = 0, len(x) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if x[middle] <= p:
                low = middle
            else:
                high = middle
        t = (p - x[low]) / (x[low + 1] - x[low])
        total += (1.0 - t) * y[low] + t * y[low + 1] + t * t
    return total


@algorithm(lambda rng: (0.2, 1.3, 1.7, 5))
def romberg(a, b, c, levels):
    """One row of the table, overwritten; the integrand is a closure."""

    def f(x):
        return math.exp(-c * x * x) * x

    r = np.zeros(levels)
    h = b - a
    r[0] = 0.5 * h * (f(a) + f(b))
    points = 1
    for i in range(1, levels):
        h *= 0.5
        s = 0.0
        for k in range(points):
            s += f(a + (2 * k + 1) * h)
        points *= 2
        before = r[0]
        r[0] = 0.5 * r[0] + h * s
        factor = 1.0
        for j in range(1, i + 1):
            factor *= 4.0
            new = r[j - 1] + (r[j - 1] - before) / (factor - 1.0)
            before = r[j]
            r[j] = new
    return r[levels - 1]


@algorithm(lambda rng: (apart(rng, 6), apart(rng, 6) + 1.5))
def prefix_sums(x, w):
    s = np.zeros(len(x) + 1)
    for i in range(len(x)):
        s[i + 1] = s[i] + w[i] * x[i]
    total = 0.0
    for i in range(len(x)):
        for j in range(i, len(x)):
            total += math.sin(s[j + 1] - s[i])
    return total


@algorithm(lambda rng: (apart(rng, 9), 3), lambda rng: (apart(rng, 9), 9))
def moving_average(x, width):
    """A sum that takes up one element and drops another."""
    n = len(x)
    out = np.empty(n - width + 1)
    s = 0.0
    for i in range(n):
        s += x[i]
        if i >= width:
            s -= x[i - width]
        if i >= width - 1:
            out[i - width + 1] = s / width
    return np.sum(out**3)


@algorithm(lambda rng: (apart(rng, 10), 4))
def ring_buffer(x, size):
    ring = np.zeros(size)
    head = 0
    total = 0.0
    for value in x:
        total += value * ring[head]
        ring[head] = math.sin(value + ring[(head + 1) % size])
        head = (head + 1) % size
    return total, ring


# Sorting and selecting.
@algorithm(lambda rng: (apart(rng, 6), apart(rng, 6)), lambda rng: (apart(rng, 2), apart(rng, 2)))
def bubble_sort(x, w):
    a = x.copy()
    n = len(a)
    swapped = True
    while swapped:
        swapped = False
        for i in range(n - 1):
            if a[i] > a[i + 1]:
                a[i], a[i + 1] = a[i + 1], a[i]
                swapped = True
        n -= 1
    total = 0.0
    for i in range(len(a)):
        total += w[i] * a[i] * a[i]
    return total


@algorithm(lambda rng: (apart(rng, 7),))
def insertion_sort(x):
    a = x.copy()
    for i in range(1, len(a)):
        key = a[i]
        j = i - 1
        while j >= 0 and a[j] > key:
            a[j + 1] = a[j]
            j -= 1
        a[j + 1] = key
    return a


@algorithm(lambda rng: (apart(rng, 7), 3), lambda rng: (apart(rng, 7), 0))
def quickselect(x, k):
    """The k-th smallest, by partitions in place."""
    a = x.copy()
    low, high = 0, len(a) - 1
    while low < high:
        pivot = a[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return a[k] * a[k] + 0.1 * a[0]


@algorithm(lambda rng: (apart(rng, 7),))
def heap_sort(x):
    a = x.copy()
    n = len(a)
    for start in range(n // 2 - 1, -1, -1):
        sift(a, start, n)
    for end in range(n - 1, 0, -1):
        a[0], a[end] = a[end], a[0]
        sift(a, 0, end)
    total = 0.0
    for i in range(n):
        total += (i + 1.0) * a[i] ** 2
    return total


def sift(a, root, end):
    """A helper that writes to its argument, and returns from inside of a loop."""
    while True:
        child = 2 * root + 1
        if child >= end:
            return
        if child + 1 < end and a[child] < a[child + 1]:
            child += 1
        if a[root] >= a[child]:
            return
        a[root], a[child] = a[child], a[root]
        root = child


@algorithm(lambda rng: (apart(rng, 6, 2), np.array([[-0.5, -0.4], [0.6, 0.3]]), 3))
def k_means(points, start, steps):
    centres = start.copy()
    k = len(centres)
    spread = 0.0
    for _ in range(steps):
        sums = np.zeros((k, 2))
        counts = np.zeros(k, dtype=np.int64)
        spread = 0.0
        for p in points:
            best, where = 1e9, 0
            for c in range(k):
                d = np.sum((p - centres[c]) ** 2)
                if d < best:
                    best, where = d, c
            sums[where] += p
            counts[where] += 1
            spread += best
        for c in range(k):
            if counts[c] > 0:
                centres[c] = 0.5 * centres[c] + 0.5 * sums[c] / counts[c]
    return spread, centres


# Statistics and learning.
@algorithm(lambda rng: (apart(rng, 6), apart(rng, 6)))
def softmax(x, w):
    """In two passes, the largest element taken off."""
    top = x[0]
    for i in range(1, len(x)):
        if x[i] > top:
            top = x[i]
    e = np.empty(len(x))
    total = 0.0
    for i in range(len(x)):
        e[i] = math.exp(x[i] - top)
        total += e[i]
    result = 0.0
    for i in range(len(x)):
        result += w[i] * e[i] / total
    return result


@algorithm(lambda rng: (apart(rng, 6) * 3.0,))
def online_log_sum_exp(x):
    """In one pass, rescaled where a larger element turns up."""
    top, s = -1e30, 0.0
    for value in x:
        if value > top:
            s = s * math.exp(top - value) + 1.0
            top = value
        else:
            s += math.exp(value - top)
    return top + math.log(s)


@algorithm(lambda rng: (apart(rng, 6),))
def welford(x):
    mean, m2, count = 0.0, 0.0, 0
    for value in x:
        count += 1
        delta = value - mean
        mean += delta / count
        m2 += delta * (value - mean)
    return mean, m2 / (count - 1)


@algorithm(lambda rng: (apart(rng, 3), apart(rng, 5, 3), np.array([1.0, -1.0, 1.0, 1.0, -1.0])))
def logistic_loss(w, x, y):
    total = 0.0
    for i in range(x.shape[0]):
        z = 0.0
        for j in range(x.shape[1]):
            z += x[i, j] * w[j]
        total += np.log1p(np.exp(-y[i] * z))
    return total / x.shape[0]


@algorithm(lambda rng: (apart(rng, 3), apart(rng, 5, 3), apart(rng, 5), 0.3, 2))
def stochastic_descent(w0, x, y, rate, epochs):
    """The loss after some epochs, through all the updates."""
    w = w0.copy()
    for epoch in range(epochs):
        for i in range(len(x)):
            error = np.tanh(np.dot(w, x[i])) - y[i]
            w -= rate / (1.0 + epoch) * error * x[i]
    loss = 0.0
    for row, target in zip(x, y):  # noqa: B905 (Numba has no such option)
        loss += (np.dot(row, w) - target) ** 2
    return loss


@algorithm(lambda rng: (apart(rng, 5), np.array([[0, 1], [2, 3], [0, 3], [4, 0], [1, 2]]), 0.4))
def elo(start, games, k):
    """Ratings written at indices that are data; the winner comes first."""
    ratings = start.copy()
    loss = 0.0
    for g in range(games.shape[0]):
        a, b = games[g, 0], games[g, 1]
        p = 1.0 / (1.0 + math.exp(ratings[b] - ratings[a]))
        loss -= math.log(p)
        ratings[a] += k * (1.0 - p)
        ratings[b] -= k * (1.0 - p)
    return loss, ratings


@algorithm(lambda rng: (apart(rng, 8), apart(rng, 4), 4))
def histogram(x, w, bins):
    """Each number is shared out between two bins."""
    h = np.zeros(bins)
    for i in range(len(x)):
        place = (x[i] + 1.0) * 0.5 * (bins - 1)
        k = int(place)
        f = place - k
        h[k] += 1.0 - f
        h[k + 1] += f
    return np.sum(w * h * h)


@algorithm(lambda rng: (np.where(apart(rng, 5, 5) > 0, 1.0, -1.0) * (1.0 + 0.1 * apart(rng, 5, 5)), 0.7, 0.2))
def ising(spins, coupling, field):
    """Neighbours on a torus."""
    n, m = spins.shape
    energy = 0.0
    for i in range(n):
        for j in range(m):
            energy -= coupling * spins[i, j] * (spins[(i + 1) % n, j] + spins[i, (j + 1) % m])
            energy -= field * spins[i, j]
    return energy / (n * m)


@algorithm(lambda rng: (apart(rng, 5), 0.9, 2.0, 200, 12345))
def monte_carlo(w, a, b, samples, seed):
    """An integral by a congruential generator of its own: integer state beside floats."""
    state = seed
    total = 0.0
    for _ in range(samples // 10):
        state = (1103515245 * state + 12345) % 2147483648
        u = (state >> 8) / 8388608.0
        x = a + (b - a) * u
        term = w[0]
        power = 1.0
        for k in range(1, len(w)):
            power *= x
            term += w[k] * power
        total += term * (1.0 if state & 1024 else 0.5)
    return total * (b - a) / samples


# Escapes, marches, walks.
@algorithm(lambda rng: (0.4, 0.5, 60), lambda rng: (0.1, 0.2, 12))
def mandelbrot(cx, cy, limit):
    """The smooth count of the steps to the escape; the distance where there is none."""
    x, y = 0.0, 0.0
    for k in range(limit):
        x, y = x * x - y * y + cx, 2.0 * x * y + cy
        r = x * x + y * y
        if r > 100.0:
            return k + 1.0 - math.log(0.5 * math.log(r)) / math.log(2.0)
    return math.sqrt(x * x + y * y)


@algorithm(lambda rng: (1.3, 7), lambda rng: (1.3, 1))
def collatz(x, n):
    steps = 0
    while n != 1:
        if n % 2 == 0:
            n //= 2
            x = math.sin(1.3 * x) + 0.1
        else:
            n = 3 * n + 1
            x = 0.9 * x * x + 0.1
        steps += 1
    return x, steps


@algorithm(lambda rng: (np.array([0.1, 0.2, -3.0]), np.array([0.02, 0.05, 1.0]), np.array([0.0, 0.3, 0.5]), 0.8))
def sphere_tracing(origin, direction, centre, radius):
    """March to the surface; shaded where it is hit, the sky where the ray gets lost."""
    d = direction / np.sqrt(np.sum(direction**2))
    t = 0.0
    for _ in range(100):
        p = origin + t * d
        gap = np.sqrt(np.sum((p - centre) ** 2)) - radius
        if gap < 1e-9:
            normal = (p - centre) / radius
            return 0.1 - np.dot(normal, d)
        if gap > 50.0:
            return 0.5 * (1.0 + d[1])
        t += gap
    return t


@algorithm(lambda rng: (0.1, 0.35, 0.73, 40))
def billiard(x, y, angle, steps):
    """Reflections at the walls of a unit box, under conditions with `and` and `or`."""
    dx, dy = 0.09 * math.cos(angle), 0.09 * math.sin(angle)
    bounces = 0
    for _ in range(steps):
        nx, ny = x + dx, y + dy
        if nx < 0.0 or nx > 1.0:
            dx = -dx
            bounces += 1
        if not 0.0 <= ny <= 1.0:
            dy = -dy
            bounces += 1
        if (nx < 0.0 or nx > 1.0) and (ny < 0.0 or ny > 1.0):
            continue
        x = min(max(nx, -nx), 2.0 - nx)
        y = -ny if ny < 0.0 else 2.0 - ny if ny > 1.0 else ny
    return x, y, bounces


@algorithm(lambda rng: (9.0, 0.8, 4), lambda rng: (9.0, 0.8, 0))
def bouncing_ball(height, restitution, bounces):
    """Events in time: the steps between them are exact."""
    t, v, h = 0.0, 0.0, height
    for _ in range(bounces):
        fall = (v + math.sqrt(v * v + 2.0 * 9.81 * h)) / 9.81
        t += fall
        v = restitution * (9.81 * fall - v)
        h = 0.0
    return t + 0.1 * v


@algorithm(lambda rng: (apart(rng, 8), 0.55), lambda rng: (apart(rng, 8) * 0.1, 0.55))
def first_crossing(x, level):
    """An early return out of a loop; another one after it."""
    s = 0.0
    for i in range(len(x)):
        before = s
        s += abs(x[i])
        if s > level:
            return i + (level - before) / (s - before)
    return -s * s


@algorithm(lambda rng: (apart(rng, 4, 4), 0.6), lambda rng: (apart(rng, 4, 4), 2.0))
def search_rows(a, level):
    """Leaving two loops at once; `for ... else`."""
    found = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            if a[i, j] > level:
                found = a[i, j] * (i + 1)
                break
        else:
            found -= 0.1 * a[i, 0]
            continue
        break
    else:
        return np.sum(a[0]) + found
    return found * found


@algorithm(lambda rng: (apart(rng, 9),))
def skips(x):
    """`continue` at two places, and a `while` with an `else`."""
    total, k = 0.0, 0
    while k < len(x):
        value = x[k]
        k += 1
        if value < -0.5:
            continue
        if k % 3 == 0:
            total *= 0.5
            continue
        total += value * value
    else:
        total += 0.25 * x[0]
    return total


@algorithm(lambda rng: (apart(rng, 4), np.array([0, 1, 8, 2, 9, 3, 10, 9, 8]), 6))
def stack_machine(x, program, depth):
    """Codes below 8 push a number, others work on the stack."""
    stack = np.zeros(depth)
    top = 0
    for code in program:
        if code < 8:
            stack[top] = x[code]
            top += 1
        elif code == 10:
            stack[top - 1] = math.sin(stack[top - 1])
        else:
            top -= 1
            if code == 8:
                stack[top - 1] += stack[top]
            else:
                stack[top - 1] *= stack[top]
    return stack[0]


@algorithm(lambda rng: (apart(rng, 7) + 1.2, np.array([0, 0, 1, 2, 3, 1, 4]), np.array([1, 2, 2, 3, 4, 4, 0])))
def spanning_tree(weight, left, right):
    """Kruskal's algorithm, with sets that are joined in an array of integers."""
    order = np.arange(weight.size)
    for k in range(1, weight.size):
        j = k
        while j > 0 and weight[order[j]] < weight[order[j - 1]]:
            order[j - 1], order[j] = order[j], order[j - 1]
            j -= 1
    parent = np.arange(5)
    total = 0.0
    for k in order:
        a, b = left[k], right[k]
        while parent[a] != a:
            a = parent[a]
        while parent[b] != b:
            b = parent[b]
        if a != b:
            parent[a] = b
            total += weight[k] ** 2
    return total


@algorithm(lambda rng: (apart(rng, 6), 5))
def gray_code(x, bits):
    """Subsets in the order of Gray's code, one bit changed at a time."""
    s, total = 0.0, 0.0
    for k in range(1, 1 << bits):
        changed = 0
        low = k & -k
        while low > 1:
            low >>= 1
            changed += 1
        code = k ^ (k >> 1)
        s += x[changed] if (code >> changed) & 1 else -x[changed]
        total += math.cos(s)
    return total / (1 << bits)


# Mutation, views, containers.
@algorithm(lambda rng: (apart(rng, 4, 5), 0.6))
def write_through_views(a, c):
    """Rows, columns, transposes and reshapes of one array, written to in turn."""
    m = a.copy()
    flat = m.reshape(-1)
    for i in range(m.shape[0]):
        row = m[i]
        row *= c
        tail = row[2:]
        tail[0] = math.sin(tail[1])
        if i > 0:
            row[1] += m[i - 1, 1]
        m.T[0, i] = flat[i] * row[-1]
        flat[2 * i] += 0.3
    return m


@algorithm(lambda rng: (apart(rng, 6),))
def reversed_in_place(x):
    a = x.copy()
    i, j = 0, len(a) - 1
    while i < j:
        a[i], a[j] = a[j] * 1.1, a[i]
        i += 1
        j -= 1
    back = a[::-1]
    back[:2] = back[2:4] ** 2
    return a


@algorithm(lambda rng: (apart(rng, 5), 7), lambda rng: (apart(rng, 5), 0))
def writes_to_its_argument(x, n):
    """The derivative's caller finds his array as it was; plain Python's doesn't."""
    for k in range(n):
        x[k % 5] = math.sin(x[k % 5] + x[(k * k) % 5])
    x[0] *= 2.0
    return x


@dataclass
class Ball:
    position: np.ndarray
    velocity: np.ndarray
    bounces: int


@algorithm(lambda rng: (np.array([0.2, 1.0]), np.array([0.7, 0.1]), 0.05, 30))
def dataclass_carry(position, velocity, h, steps):
    ball = Ball(position, velocity, 0)
    gravity = np.array([0.0, -2.0])
    for _ in range(steps):
        ball.velocity = ball.velocity + h * gravity
        ball.position = ball.position + h * ball.velocity
        if ball.position[1] < 0.0:
            ball = Ball(np.abs(ball.position), 0.9 * np.abs(ball.velocity), ball.bounces + 1)
    return ball.position, ball.bounces


@algorithm(lambda rng: (apart(rng, 3), apart(rng, 4, 3), 0.1, 6))
def adam(w, x, rate, steps):
    """The state of an optimiser in a dictionary."""
    state = {"w": w, "m": np.zeros_like(w), "v": np.zeros_like(w), "t": 0}
    for _ in range(steps):
        g = np.sum(np.tanh(x @ state["w"])[:, None] * x, axis=0)
        state["t"] += 1
        state["m"] = 0.9 * state["m"] + 0.1 * g
        state["v"] = 0.99 * state["v"] + 0.01 * g * g
        m_hat = state["m"] / (1.0 - 0.9 ** state["t"])
        v_hat = state["v"] / (1.0 - 0.99 ** state["t"])
        state["w"] = state["w"] - rate * m_hat / np.sqrt(v_hat + 0.1)
    return state["w"]


class State(NamedTuple):
    x: float
    history: tuple
    flag: bool


def advance(s, a):
    older, newer = s.history
    return State(math.sin(a * s.x) + 0.2 * older, (newer, s.x), s.x > newer)


@algorithm(lambda rng: (0.4, 1.7, 9))
def tuple_carry(x, a, n):
    s = State(x, (0.1, 0.2), True)
    for _ in range(n):
        s = advance(s, a)
        if s.flag:
            s = s._replace(x=s.x * 0.9)
    return s.x + s.history[0] * s.history[1]


@algorithm(lambda rng: (apart(rng, 3), 6))
def closure_counter(x, n):
    """A helper that writes to what it closes over."""
    calls = 0
    trace = np.zeros(3)

    def visit(k, value):
        nonlocal calls
        calls += 1
        trace[k % 3] += value * calls
        return 0.5 * trace[(k + 1) % 3]

    total = 0.0
    for k in range(n):
        total += visit(k, math.sin(total + x[k % 3]))
    return total, trace, calls


@algorithm(lambda rng: (apart(rng, 4, 4), np.array([True, False, True, True])))
def masks_and_gathers(a, keep):
    m = a.copy()
    order = np.array([2, 0, 3, 1])
    for k in range(m.shape[0]):
        m[keep, k] *= 0.9
        m[k] = np.where(m[k] > 0.3, m[k] * m[k, 0], m[k][order])
        m[k, m[k] < -0.2] = 0.1 * k
    return m


@algorithm(lambda rng: (apart(rng, 5), 0.5, 4), lambda rng: (apart(rng, 5), 0.5, 0))
def last_value(x, a, n):
    """What a loop leaves behind: its variable, and a name that both branches define."""
    k, found = 0, a
    for k in range(n):
        scaled = x[k] * a if x[k] > 0.0 else x[k] - a
        found = found + scaled * k
    return found * (k + 1) + x[k]


@algorithm(
    lambda rng: (apart(rng, 6), 1, 6, 2), lambda rng: (apart(rng, 6), 5, 0, -2), lambda rng: (apart(rng, 6), 3, 3, 1)
)
def strided(x, start, stop, step):
    total = 1.0
    for k in range(start, stop, step):
        total = total * x[k] + k
    return total


# Derivatives inside of loops.
def potential(q, c):
    return (q * q - 1.0) ** 2 + c * math.sin(q)


def potential_slope(q, c):
    return 4.0 * q * (q * q - 1.0) + c * math.cos(q)


def by_hand(*args):
    """Newton's method on the slope of the potential, its derivatives written out."""

    def run(q, c, steps):
        for _ in range(steps):
            q = q - 0.5 * potential_slope(q, c) / (12.0 * q * q - 4.0 - c * math.sin(q))
        return q

    return run


@algorithm(lambda rng: (1.4, 0.3, 5), reference=by_hand)
def newton_by_nested_derivatives(q, c, steps):
    slope = grad(potential)
    for _ in range(steps):
        value, curvature = jvp(lambda q: slope(q, c), (q,), (1.0,))
        q = q - 0.5 * value / curvature
    return q


def descent_by_hand(*args):
    def run(q0, c, rate):
        q, steps = q0, 0
        while steps < 6 and potential(q, c) > -2.0:
            q = q - rate * potential_slope(q, c)
            steps += 1
        return potential(q, c)

    return run


@algorithm(lambda rng: (0.7, 0.3, 0.04), reference=descent_by_hand)
def descent_by_nested_gradients(q0, c, rate):
    """`value_and_grad` in a `while`, and its value decides when it ends."""
    q, steps = q0, 0
    while steps < 6:
        value, slope = value_and_grad(potential)(q, c)
        if value <= -2.0:
            break
        q = q - rate * slope
        steps += 1
    return potential(q, c)


def frozen_targets(r0, v0, discount0):
    """The targets of `temporal_difference` as numbers, in the order in which they are used."""
    targets, value = [], v0.copy()
    for t in range(len(r0)):
        targets.append(r0[t] + discount0 * value[(t + 1) % len(v0)])
        value[t % len(v0)] += 0.1 * (targets[-1] - value[t % len(v0)])

    def run(rewards, start, discount):
        value = start.copy()
        loss = 0.0
        for t in range(len(rewards)):
            k = t % len(value)
            loss += (targets[t] - value[k]) ** 2
            value[k] += 0.1 * (targets[t] - value[k])
        return loss

    return run


@algorithm(lambda rng: (apart(rng, 7), apart(rng, 3), 0.9), reference=frozen_targets, second=False)
def temporal_difference(rewards, start, discount):
    """Targets through which no derivative goes."""
    value = start.copy()
    loss = 0.0
    for t in range(len(rewards)):
        k = t % len(value)
        target = stop_gradient(rewards[t] + discount * value[(t + 1) % len(value)])
        loss += (target - value[k]) ** 2
        value[k] += 0.1 * (target - value[k])
    return loss


# Recursion.
@algorithm(lambda rng: (rng.uniform(-1, 1, 16), rng.uniform(0.5, 1.5, 16), 0.37, 0.5))
def tree_force(position, mass, point, opening):
    """The force on a point, of a cell as a whole where it is far, else of its halves."""
    return cell_force(position, mass, 0, len(position), point, opening, 2.0)


def cell_force(position, mass, start, stop, point, opening, size):
    total, centre = 0.0, 0.0
    for k in range(start, stop):
        total += mass[k]
        centre += mass[k] * position[k]
    centre /= total
    d = centre - point
    if stop - start == 1 or size < opening * abs(d):
        return total * d / (d * d + 0.1) ** 1.5
    middle = (start + stop) // 2
    left = cell_force(position, mass, start, middle, point, opening, 0.5 * size)
    return left + cell_force(position, mass, middle, stop, point, opening, 0.5 * size)


@algorithm(lambda rng: (2, 2, 0.7))
def ackermann(m, n, x):
    """An integer recursion beside a float."""
    if m == 0:
        return n + 1, math.sin(2.0 * x)
    if n == 0:
        return ackermann(m - 1, 1, x * 1.1)
    inner, x = ackermann(m, n - 1, x)
    return ackermann(m - 1, inner, x + 0.1)


@algorithm(lambda rng: (apart(rng, 4, 4),))
def determinant(a):
    """Along the first row."""
    n = a.shape[0]
    if n == 1:
        return a[0, 0]
    total = 0.0
    for j in range(n):
        minor = np.empty((n - 1, n - 1))
        for i in range(1, n):
            minor[i - 1, :j] = a[i, :j]
            minor[i - 1, j:] = a[i, j + 1 :]
        total += (1.0 - 2.0 * (j % 2)) * a[0, j] * determinant(minor)
    return total


@algorithm(lambda rng: (0.1, 1.9, 1.3, 1e-5))
def adaptive_simpson(a, b, c, tolerance):
    middle = 0.5 * (a + b)
    fa, fm, fb = math.exp(-c * a * a), math.exp(-c * middle * middle), math.exp(-c * b * b)
    return simpson(a, b, fa, fm, fb, c, tolerance, 0)


def simpson(a, b, fa, fm, fb, c, tolerance, depth):
    middle = 0.5 * (a + b)
    left, right = 0.5 * (a + middle), 0.5 * (middle + b)
    fl, fr = math.exp(-c * left * left), math.exp(-c * right * right)
    coarse = (b - a) / 6.0 * (fa + 4.0 * fm + fb)
    fine = (b - a) / 12.0 * (fa + 4.0 * fl + 2.0 * fm + 4.0 * fr + fb)
    if depth > 12 or abs(fine - coarse) < 15.0 * tolerance:
        return fine + (fine - coarse) / 15.0
    return simpson(a, middle, fa, fl, fm, c, 0.5 * tolerance, depth + 1) + simpson(
        middle, b, fm, fr, fb, c, 0.5 * tolerance, depth + 1
    )


@algorithm(lambda rng: (0.3, 7))
def mutual(x, n):
    return even(x, n)


def even(x, n):
    return x if n == 0 else odd(math.sin(x) + 0.5, n - 1)


def odd(x, n):
    return x * x if n == 0 else even(0.9 * x * x + 0.1, n - 1)


@algorithm(lambda rng: (apart(rng, 8),))
def merge_sort(x):
    a = x.copy()
    merge(a, 0, len(a))
    total = 0.0
    for i in range(len(a)):
        total += (i + 1.0) * a[i] ** 2
    return total


def merge(a, low, high):
    """It writes to its argument, and returns nothing."""
    if high - low < 2:
        return
    middle = (low + high) // 2
    merge(a, low, middle)
    merge(a, middle, high)
    left, right = a[low:middle].copy(), a[middle:high].copy()
    i, j = 0, 0
    for k in range(low, high):
        if j == len(right) or (i < len(left) and left[i] < right[j]):
            a[k] = left[i]
            i += 1
        else:
            a[k] = right[j]
            j += 1
