"""A convolutional network: filters of 5 by 5 over square images, tanh, means of 2 by 2, and a dense layer."""

import math

import numpy as np

from benchmarks.peers import Problem

WIDTH, FILTER, FILTERS, CLASSES = 16, 5, 8, 10
INSIDE = WIDTH - FILTER + 1
POOLED = INSIDE // 2


def loss(K, b, W, c, images, labels):
    filters, side, _ = K.shape
    batch, width, _ = images.shape
    half = (width - side + 1) // 2
    pooled = np.empty((filters, half, half))
    scores = np.empty(c.size)
    total = 0.0
    for n in range(batch):
        for f in range(filters):
            for i in range(half):
                for j in range(half):
                    mean = 0.0
                    for p in range(2):
                        for q in range(2):
                            s = b[f]
                            for u in range(side):
                                for v in range(side):
                                    s += K[f, u, v] * images[n, 2 * i + p + u, 2 * j + q + v]
                            mean += math.tanh(s)
                    pooled[f, i, j] = mean / 4.0
        normaliser = 0.0
        for k in range(c.size):
            s = c[k]
            for f in range(filters):
                for i in range(half):
                    for j in range(half):
                        s += pooled[f, i, j] * W[f, i, j, k]
            scores[k] = s
            normaliser += math.exp(s)
        total += math.log(normaliser) - scores[labels[n]]
    return total / batch


def with_jax(jax):
    jnp = jax.numpy

    def loss(K, b, W, c, images, labels):
        h = jax.lax.conv(images[:, None], K[:, None], (1, 1), "VALID")
        h = jnp.tanh(h + b[:, None, None])
        h = h.reshape(len(images), FILTERS, POOLED, 2, POOLED, 2).mean((3, 5))
        z = h.reshape(len(images), -1) @ W.reshape(-1, CLASSES) + c
        return jnp.mean(jax.nn.logsumexp(z, 1) - z[jnp.arange(len(images)), labels])

    return loss


def with_torch(torch):
    F = torch.nn.functional

    def loss(K, b, W, c, images, labels):
        h = F.avg_pool2d(torch.tanh(F.conv2d(images[:, None], K[:, None], b)), 2)
        return F.cross_entropy(h.flatten(1) @ W.reshape(-1, CLASSES) + c, labels)

    return loss


def with_autograd(np):
    def loss(K, b, W, c, images, labels):
        h = b[:, None, None]
        for u in range(FILTER):
            for v in range(FILTER):
                window = images[:, None, u : u + INSIDE, v : v + INSIDE]
                h = h + K[:, u, v][:, None, None] * window
        h = np.mean(np.reshape(np.tanh(h), (len(images), FILTERS, POOLED, 2, POOLED, 2)), axis=(3, 5))
        z = np.reshape(h, (len(images), -1)) @ np.reshape(W, (-1, CLASSES)) + c
        return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(len(images)), labels])

    return loss


def data(batch):
    rng = np.random.default_rng(0)
    K, b = 0.2 * rng.normal(size=(FILTERS, FILTER, FILTER)), 0.1 * rng.normal(size=FILTERS)
    W, c = 0.1 * rng.normal(size=(FILTERS, POOLED, POOLED, CLASSES)), 0.1 * rng.normal(size=CLASSES)
    return K, b, W, c, rng.normal(size=(batch, WIDTH, WIDTH)), rng.integers(CLASSES, size=batch)


PROBLEM = Problem(
    loss,
    data,
    (1, 8, 64),
    {"jax": with_jax, "torch": with_torch, "autograd": with_autograd},
    argnums=(0, 1, 2, 3),
    quick=(1,),
    limits={"torch.compile": 2},
)
