"""Train a two-layer network on 1,797 images of handwritten digits.

    pip install -e ".[examples]" && python examples/train_digits.py

The data come with scikit-learn. The loop is plain Python: minibatch gradient descent with momentum, on
gradients that `value_and_grad` compiles at the first step. The last batch of an epoch is smaller than the
others; it runs on the same machine code. A picture of the learning curves is saved; the program fails if
fewer than 96 in 100 of the digits that were held out are recognised.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display needed

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from jitgrad import jit, value_and_grad

HIDDEN, RATE, MOMENTUM = 64, 0.1, 0.9
GOAL = 0.96


def logits(params, X):
    """The network: for each image a number for each digit."""
    hidden = np.tanh(X @ params["W1"] + params["b1"])
    return hidden @ params["W2"] + params["b2"]


@value_and_grad
def loss(params, X, Y):
    """Cross-entropy of the softmax with the labels, which are rows of zeros with a one."""
    z = logits(params, X)
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(z * Y, axis=1))


@jit
def accuracy(params, X, labels):
    """The share of images that are recognised."""
    return np.mean(np.argmax(logits(params, X), axis=1) == labels)


def initial(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights, scaled by the number of inputs."""
    return {
        "W1": rng.normal(size=(64, HIDDEN)) / 8,
        "b1": np.zeros(HIDDEN),
        "W2": rng.normal(size=(HIDDEN, 10)) / HIDDEN**0.5,
        "b2": np.zeros(10),
    }


def train(data: tuple, epochs: int, batch: int, seed: int) -> tuple[dict, list[tuple[float, float]], float]:
    """Train the network.

    Returns:
        The parameters; mean loss and held-out accuracy after each epoch; seconds a step.
    """
    X, X_test, labels, labels_test = data
    Y = np.eye(10)[labels]
    rng = np.random.default_rng(seed)
    params = initial(rng)
    velocity = {name: np.zeros_like(p) for name, p in params.items()}
    curves = []
    loss(params, X[:batch], Y[:batch])  # compiles, so that the time per step below is that of the steps
    seconds = steps = 0
    progress = tqdm(range(epochs), unit="epoch")
    for _ in progress:
        order = rng.permutation(len(X))
        losses = []
        start = time.perf_counter()
        for first in range(0, len(X), batch):
            chosen = order[first : first + batch]
            value, gradient = loss(params, X[chosen], Y[chosen])
            for name in params:
                velocity[name] = MOMENTUM * velocity[name] - RATE * gradient[name]
                params[name] += velocity[name]
            losses.append(value)
        seconds, steps = seconds + time.perf_counter() - start, steps + len(losses)
        curves.append((float(np.mean(losses)), float(accuracy(params, X_test, labels_test))))
        progress.set_postfix(loss=f"{curves[-1][0]:.4f}", accuracy=f"{curves[-1][1]:.3f}")
    return params, curves, seconds / steps


def draw(curves: list[tuple[float, float]], path: Path) -> None:
    """Save the learning curves as a picture."""
    losses, accuracies = zip(*curves, strict=True)
    epochs = range(1, len(curves) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    left.semilogy(epochs, losses, color="tab:blue")
    left.set(title="mean loss, training images", xlabel="epoch", ylabel="cross-entropy")
    right.plot(epochs, accuracies, color="tab:green")
    right.axhline(GOAL, color="gray", linestyle=":", label=f"goal, {GOAL}")
    right.set(title="accuracy, held-out images", xlabel="epoch", ylim=(None, 1))
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> int:
    """Train, report, and say by the exit code whether the goal was reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("train_digits.png"))
    parser.add_argument("--goal", type=float, default=GOAL, help="least accuracy that counts as success")
    options = parser.parse_args()
    images, labels = load_digits(return_X_y=True)
    data = train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    _, curves, seconds = train(data, options.epochs, options.batch, options.seed)
    draw(curves, options.out)
    reached = curves[-1][1]
    stats = loss.stats()
    print(f"accuracy on {len(data[3])} held-out images: {reached:.4f}")
    print(f"time per step of {options.batch} images: {1e6 * seconds:.0f} us")
    print(f"{stats} (a batch of {len(data[0]) % options.batch} ends each epoch)")
    print(f"learning curves: {options.out}")
    return 0 if reached >= options.goal else 1


if __name__ == "__main__":
    sys.exit(main())
