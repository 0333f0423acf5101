"""ht: how far the vertices of a posed hand are from measured points, and the Jacobian by forward mode.

26 numbers pose the hand: rotation, translation, and four angles of each finger. A chain of 4 by 4 matrices leads from
the wrist to the tips. Each point belongs to a vertex or, in the complicated form, to a place on a triangle, of which
(u, v) are unknown as well: they are the first two columns of the compressed Jacobian.
"""

import math

import numpy as np
from numba import njit

from benchmarks.problems import Programs, differences
from jitgrad import jit, jvp

SIZES = {
    "small": {"vertices": 30, "points": 8, "complicated": True},
    "middle": {"vertices": 544, "points": 100, "complicated": False},
    "large": {"vertices": 10_000, "points": 10_000, "complicated": True},
}
BONES = 22


@njit
def multiply(a, b, out):
    """The product of two 4 by 4 matrices."""
    for i in range(4):
        for j in range(4):
            total = 0.0
            for k in range(4):
                total += a[i, k] * b[k, j]
            out[i, j] = total


@njit
def bone_angles(theta, bones):
    """Three angles of each bone, one column a bone."""
    angles = np.zeros((3, bones))
    for finger in range(5):
        first, at = 6 + 4 * finger, 2 + 4 * finger
        angles[0, at] = theta[first]
        angles[1, at] = theta[first + 1]
        angles[0, at + 1] = theta[first + 2]
        angles[0, at + 2] = theta[first + 3]
    return angles


@njit
def bone_rotation(x, y, z, out):
    """Turns about the x axis, then y, then z; the last row and column of `out` stay as they are."""
    cx, sx, cy, sy, cz, sz = math.cos(x), math.sin(x), math.cos(y), math.sin(y), math.cos(z), math.sin(z)
    out[0, 0], out[0, 1], out[0, 2] = cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx
    out[1, 0], out[1, 1], out[1, 2] = sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx
    out[2, 0], out[2, 1], out[2, 2] = -sy, cy * sx, cy * cx


@njit
def axis_angle(r):
    """The matrix that turns around the axis r by the angle that is the length of r."""
    out = np.eye(3)
    angle = math.sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2])
    if angle < 1e-4:
        return out
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y, z = r[0] / angle, r[1] / angle, r[2] / angle
    out[0, 0], out[1, 1], out[2, 2] = (
        cosine + (1 - cosine) * x * x,
        cosine + (1 - cosine) * y * y,
        cosine + (1 - cosine) * z * z,
    )
    out[0, 1], out[1, 0] = (1 - cosine) * x * y - sine * z, (1 - cosine) * x * y + sine * z
    out[2, 0], out[0, 2] = (1 - cosine) * x * z - sine * y, (1 - cosine) * x * z + sine * y
    out[1, 2], out[2, 1] = (1 - cosine) * y * z - sine * x, (1 - cosine) * y * z + sine * x
    return out


@njit
def vertices(theta, parents, base_relatives, inverse_base_absolutes, base_positions, weights, is_mirrored):
    """Where the vertices of the posed hand are."""
    bones = parents.size
    angles = bone_angles(theta, bones)
    rotation, relative, transform = np.eye(4), np.empty((4, 4)), np.empty((4, 4))
    absolutes = np.empty((bones, 4, 4))
    skin = np.zeros((base_positions.shape[0], 3))
    for b in range(bones):
        bone_rotation(angles[0, b], angles[2, b], angles[1, b], rotation)
        multiply(base_relatives[b], rotation, relative)
        if parents[b] < 0:
            absolutes[b] = relative
        else:
            multiply(absolutes[parents[b]], relative, absolutes[b])
        multiply(absolutes[b], inverse_base_absolutes[b], transform)
        for v in range(skin.shape[0]):
            for i in range(3):
                moved = 0.0
                for j in range(4):
                    moved += transform[i, j] * base_positions[v, j]
                skin[v, i] += weights[v, b] * moved

    turn = axis_angle(theta[0:3])
    positions = np.empty_like(skin)
    for v in range(skin.shape[0]):
        x, y, z = skin[v, 0], skin[v, 1], skin[v, 2]
        if is_mirrored:
            x = -x
        for i in range(3):
            positions[v, i] = turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] * z + theta[3 + i]
    return positions


@njit
def simple(theta, us, correspondences, points, triangles, hand):
    """Each point less the vertex that belongs to it."""
    positions = vertices(theta, *hand)
    errors = np.empty(3 * points.shape[0])
    for i in range(points.shape[0]):
        for j in range(3):
            errors[3 * i + j] = points[i, j] - positions[correspondences[i], j]
    return errors


@njit
def complicated(theta, us, correspondences, points, triangles, hand):
    """Each point less the place on the triangle that belongs to it."""
    positions = vertices(theta, *hand)
    errors = np.empty(3 * points.shape[0])
    for i in range(points.shape[0]):
        corner = triangles[correspondences[i]]
        u, v = us[i, 0], us[i, 1]
        for j in range(3):
            place = u * positions[corner[0], j] + v * positions[corner[1], j]
            place += (1.0 - u - v) * positions[corner[2], j]
            errors[3 * i + j] = points[i, j] - place
    return errors


@jit
def simple_jacobian(theta, us, *data):
    jacobian = np.empty((3 * data[0].size, theta.size))
    for k in range(theta.size):
        direction = np.zeros_like(theta)
        direction[k] = 1.0
        _, jacobian[:, k] = jvp(lambda t: simple(t, us, *data), (theta,), (direction,))
    return jacobian


@jit
def complicated_jacobian(theta, us, *data):
    """All u at once make the first column, all v the second, each for the row's own; then the pose."""
    jacobian = np.empty((3 * data[0].size, 2 + theta.size))
    for k in range(2 + theta.size):
        direction, direction_of_us = np.zeros_like(theta), np.zeros_like(us)
        if k < 2:
            direction_of_us[:, k] = 1.0
        else:
            direction[k - 2] = 1.0
        _, jacobian[:, k] = jvp(lambda t, u: complicated(t, u, *data), (theta, us), (direction, direction_of_us))
    return jacobian


SIMPLE = Programs(plain=simple, ours=jit(simple), derivative=simple_jacobian)
COMPLICATED = Programs(plain=complicated, ours=jit(complicated), derivative=complicated_jacobian)


def arguments(input):
    data, model = input["data"], input["data"]["model"]
    names = ("base_relatives", "inverse_base_absolutes", "base_positions", "weights")
    hand = (
        np.asarray(model["parents"]),
        *(np.asarray(model[name], dtype=np.float64) for name in names),
        bool(model["is_mirrored"]),
    )
    return (
        np.asarray(input["theta"], dtype=np.float64),
        np.asarray(input["us"], dtype=np.float64).reshape(-1, 2),
        np.asarray(data["correspondences"]),
        np.asarray(data["points"], dtype=np.float64),
        np.asarray(model["triangles"]),
        hand,
    )


def is_complicated(input):
    return len(input["us"]) > 0


def programs(input):
    return COMPLICATED if is_complicated(input) else SIMPLE


def primal(input):
    return programs(input).plain(*arguments(input)).tolist()


def derivative(input):
    return programs(input).derivative(*arguments(input)).tolist()


def generate(vertices, points, complicated, seed=0):
    """A hand with five fingers of three bones and a tip, with random sizes and weights."""
    rng = np.random.default_rng(seed)
    parents = [-1, 0, *(b - 1 if b % 4 != 2 else 0 for b in range(2, BONES))]
    relatives, inverses, absolutes = [], [], []
    for parent in parents:
        relative = np.eye(4)
        relative[:3, :3] = axis_angle(rng.normal(size=3, scale=0.2))
        relative[:3, 3] = rng.normal(size=3, scale=0.1)
        relatives.append(relative)
        absolutes.append(relative if parent < 0 else absolutes[parent] @ relative)
        inverses.append(np.linalg.inv(absolutes[-1]))
    weights = rng.uniform(size=(vertices, BONES)) ** 8
    model = {
        "bone_count": BONES,
        "bone_names": [f"bone{b}" for b in range(BONES)],
        "parents": parents,
        "base_relatives": np.stack(relatives),
        "inverse_base_absolutes": np.stack(inverses),
        "base_positions": np.hstack([rng.normal(size=(vertices, 3), scale=0.1), np.ones((vertices, 1))]),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "triangles": rng.integers(vertices, size=(2 * vertices, 3)),
        "is_mirrored": False,
    }
    data = {
        "model": model,
        "correspondences": rng.integers(2 * vertices if complicated else vertices, size=points),
        "points": rng.normal(size=(points, 3), scale=0.1),
    }
    us = rng.uniform(0.0, 0.5, size=(points, 2)) if complicated else []
    return {"theta": rng.normal(size=26, scale=0.3), "us": us, "data": data}


def expected(input):
    """The Jacobian by differences."""
    values = arguments(input)
    if not is_complicated(input):
        return differences.gradient(simple, values)
    by_u = differences.gradient(complicated, values, 1)
    rows = np.arange(by_u.shape[0])
    return np.hstack([by_u[rows, rows // 3], differences.gradient(complicated, values)])
