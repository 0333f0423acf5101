"""ba: how far points seen by cameras land from where they were observed, and the Jacobian, a sparse matrix.

A camera has 11 numbers: its rotation (axis times angle), centre (3), focal length, principal point (2), and two
coefficients of distortion. Each of the 2 p errors depends on a camera, a point and a weight, and each of p further
ones, 1 - w**2, on a weight. The input names one camera, one point, one weight and one feature, which are repeated.
"""

import math

import numpy as np
from numba import njit

from benchmarks.problems import Programs, differences
from jitgrad import jit, vjp

SIZES = {
    "small": {"n": 3, "m": 7, "p": 20},
    "middle": {"n": 49, "m": 7776, "p": 31_843},
    "large": {"n": 257, "m": 65_132, "p": 225_911},
}
SHOWN = 30  # entries of each list of the sparse matrix that are reported, besides the last


@njit
def rotate(r, y):
    """The vector y turned around the axis r, by the angle that is the length of r."""
    square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    if square == 0.0:
        return (
            y[0] + r[1] * y[2] - r[2] * y[1],
            y[1] + r[2] * y[0] - r[0] * y[2],
            y[2] + r[0] * y[1] - r[1] * y[0],
        )
    angle = math.sqrt(square)
    cosine, sine = math.cos(angle), math.sin(angle)
    a0, a1, a2 = r[0] / angle, r[1] / angle, r[2] / angle
    along = (a0 * y[0] + a1 * y[1] + a2 * y[2]) * (1.0 - cosine)
    return (
        y[0] * cosine + (a1 * y[2] - a2 * y[1]) * sine + a0 * along,
        y[1] * cosine + (a2 * y[0] - a0 * y[2]) * sine + a1 * along,
        y[2] * cosine + (a0 * y[1] - a1 * y[0]) * sine + a2 * along,
    )


@njit
def reprojection(camera, point, weight, feature):
    """The weighted distance between where a camera sees a point, and where it was observed: two numbers."""
    y = (point[0] - camera[3], point[1] - camera[4], point[2] - camera[5])
    z0, z1, z2 = rotate(camera[0:3], y)
    e0, e1 = z0 / z2, z1 / z2
    square = e0 * e0 + e1 * e1
    scale = camera[6] * (1.0 + camera[9] * square + camera[10] * square * square)
    return weight * (scale * e0 + camera[7] - feature[0]), weight * (scale * e1 + camera[8] - feature[1])


@njit
def objective(cameras, points, weights, features, camera_of, point_of):
    p = weights.size
    errors = np.empty((p, 2))
    weight_errors = np.empty(p)
    for i in range(p):
        errors[i] = reprojection(cameras[camera_of[i]], points[point_of[i]], weights[i], features[i])
        weight_errors[i] = 1.0 - weights[i] * weights[i]
    return errors, weight_errors


@jit
def jacobian(cameras, points, weights, features, camera_of, point_of):
    """The Jacobian in compressed sparse rows: where the rows start, the columns, the values."""
    n, m, p = cameras.shape[0], points.shape[0], weights.size
    starts = np.empty(3 * p + 1, np.int32)
    columns = np.empty(31 * p, np.int32)
    values = np.empty(31 * p)
    for i in range(p):
        _, pullback = vjp(reprojection, cameras[camera_of[i]], points[point_of[i]], weights[i], features[i])
        for side in range(2):
            by_camera, by_point, by_weight, _ = pullback((1.0 - side, 1.0 * side))
            at = 30 * i + 15 * side
            starts[2 * i + side] = at
            for j in range(11):
                columns[at + j] = 11 * camera_of[i] + j
                values[at + j] = by_camera[j]
            for j in range(3):
                columns[at + 11 + j] = 11 * n + 3 * point_of[i] + j
                values[at + 11 + j] = by_point[j]
            columns[at + 14] = 11 * n + 3 * m + i
            values[at + 14] = by_weight
        starts[2 * p + i] = 30 * p + i
        columns[30 * p + i] = 11 * n + 3 * m + i
        values[30 * p + i] = -2.0 * weights[i]
    starts[3 * p] = 31 * p
    return starts, columns, values


PROGRAMS = Programs(plain=objective, ours=jit(objective), derivative=jacobian)


def arguments(input):
    n, m, p = input["n"], input["m"], input["p"]

    def repeated(name, times):
        return np.tile(np.asarray(input[name], dtype=np.float64), (times, 1))

    observation = np.arange(p)
    weights = np.full(p, float(input["w"]))
    return repeated("cam", n), repeated("x", m), weights, repeated("feat", p), observation % n, observation % m


def programs(input):
    return PROGRAMS


def primal(input):
    errors, weight_errors = objective(*arguments(input))
    p = input["p"]
    return {
        "reproj_error": {"elements": errors[0].tolist(), "repeated": p},
        "w_err": {"element": float(weight_errors[0]), "repeated": p},
    }


def shown(values):
    return [*values[:SHOWN].tolist(), values[-1].item()]


def derivative(input):
    starts, columns, values = jacobian(*arguments(input))
    return {"rows": shown(starts), "cols": shown(columns), "vals": shown(values)}


def generate(n, m, p, seed=0):
    rng = np.random.default_rng(seed)
    camera = [*rng.normal(size=3), *rng.normal(size=3), 500.0, *rng.normal(size=2), *rng.normal(size=2, scale=0.1)]
    point = rng.normal(size=3, loc=[0.0, 0.0, 5.0])
    return {"n": n, "m": m, "p": p, "cam": camera, "x": point, "w": rng.uniform(), "feat": rng.normal(size=2)}


def expected(input):
    """The places counted by hand, the values of the first observation by differences."""
    n, m, p = input["n"], input["m"], input["p"]
    cameras, points, weights, features, _, _ = arguments(input)

    def f(camera, point, weight):
        return np.array(reprojection(camera, point, weight[0], features[0]))

    first = [cameras[0], points[0], weights[:1]]
    blocks = np.concatenate([differences.gradient(f, first, k) for k in range(3)], axis=-1)

    def columns(i):
        places = [*range(11 * (i % n), 11 * (i % n) + 11)]
        places += [*range(11 * n + 3 * (i % m), 11 * n + 3 * (i % m) + 3)]
        return [*places, 11 * n + 3 * m + i]

    return {
        "rows": [*(15 * i for i in range(SHOWN)), 31 * p],
        "cols": [*columns(0), *columns(0), 11 * n + 3 * m + p - 1],
        "vals": [*blocks.ravel(), -2 * weights[-1]],
    }
