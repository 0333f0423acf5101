"""A damped pendulum by the fourth-order Runge-Kutta method, step by step; its angle at the end."""

import math

from benchmarks.peers import Problem

STEP = 0.01


def moved(angle, speed, length, damping, sin):
    """Angle and speed after one step."""

    def force(angle, speed):
        return -9.81 / length * sin(angle) - damping * speed

    a1, s1 = speed, force(angle, speed)
    a2, s2 = speed + 0.5 * STEP * s1, force(angle + 0.5 * STEP * a1, speed + 0.5 * STEP * s1)
    a3, s3 = speed + 0.5 * STEP * s2, force(angle + 0.5 * STEP * a2, speed + 0.5 * STEP * s2)
    a4, s4 = speed + STEP * s3, force(angle + STEP * a3, speed + STEP * s3)
    return angle + STEP / 6 * (a1 + 2 * a2 + 2 * a3 + a4), speed + STEP / 6 * (s1 + 2 * s2 + 2 * s3 + s4)


def of_python(sin):
    def last(angle, speed, length, damping, steps):
        for _ in range(steps):
            angle, speed = moved(angle, speed, length, damping, sin)
        return angle

    return last


def with_jax(jax):
    def last(angle, speed, length, damping, steps):
        def step(_, state):
            return moved(*state, length, damping, jax.numpy.sin)

        return jax.lax.fori_loop(0, steps, step, (angle, speed))[0]

    return last


def with_others(package):
    return of_python(package.sin)


PROBLEM = Problem(
    of_python(math.sin),
    lambda steps: (1.0, 0.0, 0.7, 0.1, steps),
    (10, 1_000, 10_000, 100_000),
    {"jax": with_jax, "torch": with_others, "autograd": with_others, "casadi": with_others},
    argnums=(0, 1, 2, 3),
    quick=(0, 2),
    limits={"torch.compile": 1, "torch": 1, "autograd": 1, "casadi": 2},
    steps=lambda steps: steps,
)
