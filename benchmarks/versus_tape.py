"""Gradient calls and training steps: `@grad` against the tape, autograd, PyTorch and JAX.

    python -m benchmarks.versus_tape [--quick] [--sizes 10 1000] [--batches 1 512] [--threads 2]
                                     [--cpu-time] [--json FILE]

One table: the median time of a call of jitgrad's, and for each of the others how many times as long it
takes. The contestants take turns in one process, so that a busy machine slows all of them. All compute in
float64, and all get their data in the form that suits them (NumPy arrays, tape arrays, tensors) before the
clock starts; their gradients are compared before anything is timed. PyTorch and JAX take part where they
are installed.

On a machine that others use, too, --cpu-time counts the processor's time instead of that on the clock; with
one thread that is what the clock would show on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from benchmarks.timing import about, installed, readable, row, samples, settle

SIZES = [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000]
BATCHES = [1, 8, 64, 512]
QUICK_SIZES, QUICK_BATCHES = [10, 1_000, 100_000], [1, 64]
RATE = 1e-6  # of learning: small, so that the weights stay what they are


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes, few rounds")
    parser.add_argument("--sizes", type=int, nargs="*", help="numbers of elements of the data")
    parser.add_argument("--batches", type=int, nargs="*", help="batch sizes of the network")
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--without", nargs="*", default=[], help="contestants to leave out")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS and the frameworks")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time")
    parser.add_argument("--json", type=Path, help="write the measurements to this file, too")
    return parser.parse_args()


# The problems. Each is written once, over the array module `xp`, and gives a function and the data that it is
# called with; the gradient is taken by the first argument.
def sum_of_squares(xp, rng, n):
    def f(x):
        return xp.sum(x * x)

    return f, (rng.normal(size=n),)


def chain(xp, rng, n):
    def f(x):
        return xp.sum(xp.exp(-x * x) * xp.tanh(x))

    return f, (rng.normal(size=n),)


def logistic_regression(xp, rng, n):
    def f(w, X, y):
        z = X @ w
        return xp.mean(xp.log1p(xp.exp(-y * z)))

    columns = 10 if n >= 100 else 2
    X = rng.normal(size=(n // columns, columns))
    return f, (rng.normal(size=columns), X, rng.choice([-1.0, 1.0], size=len(X)))


def network(xp, rng, batch):
    def f(parameters, X, Y):
        W1, b1, W2, b2 = parameters
        h = xp.tanh(X @ W1 + b1)
        z = h @ W2 + b2
        return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)) - xp.sum(z * Y, axis=1))

    W1, W2 = 0.1 * rng.normal(size=(64, 128)), 0.1 * rng.normal(size=(128, 10))
    parameters = (W1, 0.1 * rng.normal(size=128), W2, 0.1 * rng.normal(size=10))
    X, Y = rng.normal(size=(batch, 64)), one_hot(rng, batch)
    return f, (parameters, X, Y)


def one_hot(rng, batch):
    """`batch` rows of ten numbers, one of them 1."""
    return (rng.integers(10, size=batch)[:, None] == range(10)).astype(float)


PROBLEMS = {
    "sum of squares": sum_of_squares,
    "exp-tanh chain": chain,
    "logistic regression": logistic_regression,
    "network": network,
}
COPIES = 7  # the seed of the data, the same for every contestant


# The contestants: each makes of a problem two functions without arguments, one that gives the gradient as
# NumPy arrays (to compare), and one to time. For the network that is a whole step of training.
def jitgrad_runner(problem, size):
    import numpy as np

    from jitgrad import grad, value_and_grad

    f, data = problem(np, np.random.default_rng(COPIES), size)
    derivative = grad(f)
    if problem is not network:
        return lambda: derivative(*data), lambda: derivative(*data)
    both, (parameters, X, Y) = value_and_grad(f), data

    def step():
        loss, gradient = both(parameters, X, Y)
        for p, g in zip(parameters, gradient, strict=True):
            p -= RATE * g
        return loss

    return lambda: derivative(*data), step


def tape_runner(problem, size):
    import numpy as np

    from jitgrad import tape

    f, data = problem(np, np.random.default_rng(COPIES), size)
    first, *rest = data
    variables = tuple(map(tape.array, first)) if isinstance(first, tuple) else (tape.array(first),)
    for v in variables:
        v.attach_grad()
    first, rest = variables if isinstance(first, tuple) else variables[0], [tape.array(a) for a in rest]

    def run():
        with tape.record():
            loss = f(first, *rest)
        loss.backward()
        return variables[0].grad

    def step():
        run()
        for v in variables:
            v -= RATE * v.grad

    def gradient():
        run()
        found = tuple(v.grad.asnumpy() for v in variables)
        return found if isinstance(first, tuple) else found[0]

    return gradient, step if problem is network else run


def autograd_runner(problem, size):
    import autograd
    import autograd.numpy
    import numpy as np

    f, data = problem(autograd.numpy, np.random.default_rng(COPIES), size)
    derivative = autograd.grad(f)
    if problem is not network:
        return lambda: derivative(*data), lambda: derivative(*data)
    both, (parameters, X, Y) = autograd.value_and_grad(f), data

    def step():
        loss, gradient = both(parameters, X, Y)
        for p, g in zip(parameters, gradient, strict=True):
            p -= RATE * g
        return loss

    return lambda: derivative(*data), step


def torch_runner(problem, size):
    import numpy as np
    import torch

    f, data = problem(torch, np.random.default_rng(COPIES), size)
    first, *rest = data
    leaves = first if isinstance(first, tuple) else (first,)
    variables = [torch.from_numpy(a).requires_grad_() for a in leaves]
    rest = [torch.from_numpy(a) for a in rest]
    argument = variables if isinstance(first, tuple) else variables[0]

    def run():
        return torch.autograd.grad(f(argument, *rest), variables)

    def step():
        gradients = run()
        with torch.no_grad():
            for v, g in zip(variables, gradients, strict=True):
                v -= RATE * g

    def gradient():
        found = tuple(g.numpy() for g in run())
        return found if isinstance(first, tuple) else found[0]

    return gradient, step if problem is network else run


def jax_runner(problem, size):
    import jax
    import numpy as np

    f, data = problem(jax.numpy, np.random.default_rng(COPIES), size)
    first, *rest = jax.tree.map(jax.numpy.asarray, data)
    derivative = jax.jit(jax.grad(f))

    def gradient():
        return jax.tree.map(np.asarray, derivative(first, *rest))

    if problem is not network:
        return gradient, lambda: derivative(first, *rest).block_until_ready()

    @jax.jit
    def update(parameters, X, Y):
        loss, gradient = jax.value_and_grad(f)(parameters, X, Y)
        return loss, jax.tree.map(lambda p, g: p - RATE * g, parameters, gradient)

    state = [first]

    def step():
        loss, state[0] = update(state[0], *rest)
        jax.block_until_ready(state[0])
        return loss

    return gradient, step


CONTESTANTS = {
    "jitgrad": jitgrad_runner,
    "tape": tape_runner,
    "autograd": autograd_runner,
    "torch": torch_runner,
    "jax": jax_runner,
}


def compare(gradients: dict[str, object]) -> None:
    """Make sure that all found the same gradient.

    Raises:
        AssertionError: some contestant found another one than jitgrad.
    """
    import numpy as np

    ours = gradients["jitgrad"]
    for name, theirs in gradients.items():
        pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
        for a, b in pairs:
            np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-10, err_msg=name)


def main() -> int:
    """Print the table."""
    options = arguments()
    settle(options.threads)
    sizes = options.sizes if options.sizes is not None else QUICK_SIZES if options.quick else SIZES
    batches = options.batches if options.batches is not None else QUICK_BATCHES if options.quick else BATCHES
    packages = {"jitgrad": "numba", "tape": "numpy", "autograd": "autograd", "torch": "torch", "jax": "jax"}
    names = [n for n, package in packages.items() if installed(package) and n not in options.without]
    clock_name = "processor time" if options.cpu_time else "wall"
    here = about(packages[n] for n in names) | {"threads": options.threads, "clock": clock_name}
    print(", ".join(f"{k} {v}" for k, v in here.items()))
    print("jitgrad: time of a call; the others: how many times as long\n")
    print(row("problem", "size", *names))
    print("|---|---:|" + "---:|" * len(names), flush=True)
    rows = []
    now = time.process_time if options.cpu_time else time.perf_counter
    for title in options.problems:
        for size in batches if title == "network" else sizes:
            made = {name: CONTESTANTS[name](PROBLEMS[title], size) for name in names}
            compare({name: gradient() for name, (gradient, _) in made.items()})
            seconds, rounds = (2e-3, 7) if options.quick else (1e-2, 15)
            runs = {name: run for name, (_, run) in made.items()}
            times = {name: statistics.median(s) for name, s in samples(runs, seconds, rounds, now).items()}
            ours = times["jitgrad"]
            ratios = [f"{times[n] / ours:.3g}" for n in names if n != "jitgrad"]
            label = "network, training step" if title == "network" else title
            print(row(label, f"{size:,}", readable(ours), *ratios), flush=True)
            rows.append({"problem": label, "size": size, "seconds": times})
            del made
    if options.json:
        options.json.write_text(json.dumps({"about": here, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
