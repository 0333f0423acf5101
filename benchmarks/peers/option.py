"""An American put option by a binomial tree, and what its price depends on: the stock, the strike, rate, volatility."""

import math

import numpy as np

from benchmarks.peers import Problem


def price(stock, strike, rate, volatility, steps):
    dt = 1.0 / steps
    up = math.exp(volatility * math.sqrt(dt))
    discount = math.exp(-rate * dt)
    p = (math.exp(rate * dt) - 1.0 / up) / (up - 1.0 / up)
    value = np.empty(steps + 1)
    for j in range(steps + 1):
        value[j] = max(strike - stock * up ** (2 * j - steps), 0.0)
    for i in range(steps - 1, -1, -1):
        for j in range(i + 1):
            held = discount * (p * value[j + 1] + (1.0 - p) * value[j])
            value[j] = max(held, strike - stock * up ** (2 * j - i))
    return value[0]


def factors(xp, rate, volatility, steps):
    dt = 1.0 / steps
    up = xp.exp(volatility * math.sqrt(dt))
    return up, xp.exp(-rate * dt), (xp.exp(rate * dt) - 1 / up) / (up - 1 / up)


def with_jax(jax):
    jnp = jax.numpy

    def price(stock, strike, rate, volatility, steps):
        up, discount, p = factors(jnp, rate, volatility, steps)
        places = jnp.arange(steps + 1.0)

        def back(value, i):
            held = discount * (p * jnp.roll(value, -1) + (1 - p) * value)
            return jnp.maximum(held, strike - stock * up ** (2 * places - i)), None

        value = jnp.maximum(strike - stock * up ** (2 * places - steps), 0.0)
        value, _ = jax.lax.scan(back, value, jnp.arange(steps - 1.0, -1.0, -1.0))
        return value[0]

    return price


def of_arrays(xp, numbers):
    def price(stock, strike, rate, volatility, steps):
        up, discount, p = factors(xp, rate, volatility, steps)
        value = xp.maximum(strike - stock * up ** (2 * numbers(steps + 1) - steps), numbers(1) * 0)
        for i in range(steps - 1, -1, -1):
            held = discount * (p * value[1:] + (1 - p) * value[:-1])
            value = xp.maximum(held, strike - stock * up ** (2 * numbers(i + 1) - i))
        return value[0]

    return price


def with_torch(torch):
    return of_arrays(torch, lambda n: torch.arange(n, dtype=torch.float64))


def with_autograd(np):
    return of_arrays(np, lambda n: np.arange(float(n)))


def with_casadi(casadi):
    class names:
        exp, maximum = casadi.exp, casadi.fmax

    return of_arrays(names, lambda n: casadi.DM(range(n)))


PROBLEM = Problem(
    price,
    lambda steps: (100.0, 105.0, 0.05, 0.2, steps),
    (10, 100, 1_000),
    {"jax": with_jax, "torch": with_torch, "autograd": with_autograd, "casadi": with_casadi},
    argnums=(0, 1, 2, 3),
    quick=(0, 2),
    limits={"torch.compile": 1, "torch": 2, "autograd": 2, "casadi": 2},
)
