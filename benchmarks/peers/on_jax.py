"""Problems of `benchmarks.problems` for JAX, to compare compile times: a function and its arguments."""

from __future__ import annotations

import numpy as np

from benchmarks.problems import ba, ht, lstm


def lstm_gradient(jax):
    jnp = jax.numpy
    sigmoid = jax.nn.sigmoid

    def cell(v, hidden_and_cell, weight, bias):
        hidden, cell = hidden_and_cell
        forget, out = sigmoid(v * weight[0] + bias[0]), sigmoid(v * weight[2] + bias[2])
        keep, change = sigmoid(hidden * weight[1] + bias[1]), jnp.tanh(hidden * weight[3] + bias[3])
        cell = cell * forget + keep * change
        return out * jnp.tanh(cell), cell

    def objective(main, extra, state, sequence):
        steps, bits = sequence.shape
        blocks = main.reshape(-1, 2, 4, bits)

        def step(states, rows):
            now, then = rows
            v, new = now * extra[0], []
            for layer, (weight, bias) in enumerate(blocks):
                new.append(cell(v, states[layer], weight, bias))
                v = new[-1][0]
            y = v * extra[1] + extra[2]
            return jnp.array(new), jnp.sum(then * (y - jnp.log(2 + jnp.sum(jnp.exp(y)))))

        _, totals = jax.lax.scan(step, state.reshape(-1, 2, bits), (sequence[:-1], sequence[1:]))
        return -jnp.sum(totals) / ((steps - 1) * bits)

    return jax.grad(objective, (0, 1)), lstm.arguments(lstm.generate(**lstm.SIZES["middle"]))


def ba_jacobian(jax):
    jnp = jax.numpy

    def reprojection(camera, point, weight, feature):
        r, y = camera[:3], point - camera[3:6]
        angle = jnp.sqrt(r @ r)
        a = r / angle
        z = y * jnp.cos(angle) + jnp.cross(a, y) * jnp.sin(angle) + a * (a @ y) * (1 - jnp.cos(angle))
        e = z[:2] / z[2]
        square = e @ e
        return weight * (camera[6] * (1 + camera[9] * square + camera[10] * square**2) * e + camera[7:9] - feature)

    def jacobian(cameras, points, weights, features, camera_of, point_of):
        blocks = jax.vmap(jax.jacrev(reprojection, (0, 1, 2)))
        return *blocks(cameras[camera_of], points[point_of], weights, features), -2 * weights

    return jacobian, ba.arguments(ba.generate(**ba.SIZES["middle"]))


def turn_of(jnp, r):
    """The matrix that turns around the axis r."""
    angle = jnp.sqrt(r @ r)
    x, y, z = r / angle
    cross = jnp.array([[0 * x, -z, y], [z, 0 * x, -x], [-y, x, 0 * x]])
    return jnp.eye(3) + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) * cross @ cross


def bone_turn(jnp, x, y, z):
    """Turns about the x axis, then y, then z, as a 4 by 4 matrix."""
    cx, sx, cy, sy, cz, sz = jnp.cos(x), jnp.sin(x), jnp.cos(y), jnp.sin(y), jnp.cos(z), jnp.sin(z)
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, 0.0],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, 0.0],
        [-sy, cy * sx, cy * cx, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
    return jnp.array(rows)


def ht_jacobian(jax):
    jnp = jax.numpy
    theta, _, *data = ht.arguments(ht.generate(**ht.SIZES["middle"]))
    correspondences, points, _, (parents, *arrays, _) = data

    def errors(theta, correspondences, points, relatives, inverses, positions, weights):
        angles = jnp.zeros((3, len(parents)))
        for finger in range(5):
            first, at = 6 + 4 * finger, 2 + 4 * finger
            places = (np.array([0, 1, 0, 0]), np.array([at, at, at + 1, at + 2]))
            angles = angles.at[places].set(theta[first : first + 4])
        absolutes = []
        for b, parent in enumerate(parents):
            relative = relatives[b] @ bone_turn(jnp, angles[0, b], angles[2, b], angles[1, b])
            absolutes.append(relative if parent < 0 else absolutes[parent] @ relative)
        transforms = jnp.stack(absolutes) @ inverses
        skin = jnp.einsum("vb,bij,vj->vi", weights, transforms[:, :3], positions)
        moved = skin @ turn_of(jnp, theta[:3]).T + theta[3:6]
        return (points - moved[correspondences]).ravel()

    return jax.jacfwd(errors), (theta, correspondences, points, *arrays)


def digits_gradient(jax, arguments):
    jnp = jax.numpy

    def loss(params, X, Y):
        z = jnp.tanh(X @ params["W1"] + params["b1"]) @ params["W2"] + params["b2"]
        return jnp.mean(jax.nn.logsumexp(z, 1) - jnp.sum(z * Y, 1))

    return jax.value_and_grad(loss), arguments


PROGRAMS = {"lstm diagonal": lstm_gradient, "ba": ba_jacobian, "ht": ht_jacobian}
