"""The Jacobian of ba: the derivatives of an observation's errors, written out, go straight into the sparse matrix.

The sine, the cosine and all else that both rows need is computed once. `fill` reuses the arrays of another Jacobian.
"""

import math

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import SUMS


@njit(**SUMS)
def cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@njit(**SUMS)
def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(**SUMS)
def combined(p, a, q, b, r, c):
    """p a + q b + r c, of vectors."""
    return p * a[0] + q * b[0] + r * c[0], p * a[1] + q * b[1] + r * c[1], p * a[2] + q * b[2] + r * c[2]


@njit(**SUMS)
def turn_of(r):
    """The axis of a rotation, sine and cosine, 1 / angle. Without an angle, what makes `rotated` y + r x y, and 0."""
    square = dot(r, r)
    if square == 0.0:
        return r, 1.0, 1.0, 0.0
    angle = math.sqrt(square)
    inverse = 1.0 / angle
    return (r[0] * inverse, r[1] * inverse, r[2] * inverse), math.sin(angle), math.cos(angle), inverse


@njit(**SUMS)
def rotated(axis, sine, cosine, y):
    return combined(cosine, y, sine, cross(axis, y), (1.0 - cosine) * dot(axis, y), axis)


@njit(**SUMS)
def by_rotation(turn, y, z_bar):
    """The derivative of the rotated y, times z_bar, by the three numbers of the rotation."""
    axis, sine, cosine, inverse = turn
    moment = cross(y, z_bar)
    if inverse == 0.0:
        return moment
    along_y, along_z, versine = dot(axis, y), dot(axis, z_bar), 1.0 - cosine
    turned = dot(axis, moment)
    by_angle = (along_y * along_z - dot(y, z_bar)) * sine + turned * cosine
    radial = by_angle - (sine * turned + 2.0 * versine * along_y * along_z) * inverse
    by_axis = combined(sine, moment, versine * along_y, z_bar, versine * along_z, y)
    return (
        by_axis[0] * inverse + axis[0] * radial,
        by_axis[1] * inverse + axis[1] * radial,
        by_axis[2] * inverse + axis[2] * radial,
    )


@njit(**SUMS)
def fill(cameras, points, weights, features, camera_of, point_of, starts, columns, values):
    """Writes the Jacobian into the three arrays of compressed sparse rows."""
    n, m, p = cameras.shape[0], points.shape[0], weights.size
    for i in range(p):
        c, x, w = camera_of[i], point_of[i], weights[i]
        focal, kappa0, kappa1 = cameras[c, 6], cameras[c, 9], cameras[c, 10]
        turn = turn_of((cameras[c, 0], cameras[c, 1], cameras[c, 2]))
        axis, sine, cosine, _ = turn
        y = points[x, 0] - cameras[c, 3], points[x, 1] - cameras[c, 4], points[x, 2] - cameras[c, 5]
        z = rotated(axis, sine, cosine, y)
        inverse = 1.0 / z[2]
        e0, e1 = z[0] * inverse, z[1] * inverse
        square = e0 * e0 + e1 * e1
        distortion = 1.0 + kappa0 * square + kappa1 * square * square
        scale, slope = focal * distortion, 2.0 * focal * (kappa0 + 2.0 * kappa1 * square)
        for side in range(2):
            e = e1 if side else e0
            by_e0, by_e1 = w * slope * e * e0, w * slope * e * e1
            if side:
                by_e1 += w * scale
            else:
                by_e0 += w * scale
            z_bar = by_e0 * inverse, by_e1 * inverse, -(by_e0 * e0 + by_e1 * e1) * inverse
            by_r = by_rotation(turn, y, z_bar)
            by_x = rotated(axis, -sine, cosine, z_bar)
            at = 30 * i + 15 * side
            starts[2 * i + side] = at
            values[at], values[at + 1], values[at + 2] = by_r
            values[at + 3], values[at + 4], values[at + 5] = -by_x[0], -by_x[1], -by_x[2]
            values[at + 6] = w * distortion * e
            values[at + 7], values[at + 8] = 0.0 if side else w, w if side else 0.0
            values[at + 9] = w * focal * square * e
            values[at + 10] = w * focal * square * square * e
            values[at + 11], values[at + 12], values[at + 13] = by_x
            values[at + 14] = scale * e + cameras[c, 7 + side] - features[i, side]
            for j in range(11):
                columns[at + j] = 11 * c + j
            for j in range(3):
                columns[at + 11 + j] = 11 * n + 3 * x + j
            columns[at + 14] = 11 * n + 3 * m + i
        starts[2 * p + i] = 30 * p + i
        columns[30 * p + i] = 11 * n + 3 * m + i
        values[30 * p + i] = -2.0 * w
    starts[3 * p] = 31 * p


@njit(**SUMS)
def derivative(cameras, points, weights, features, camera_of, point_of):
    p = weights.size
    starts, columns, values = np.empty(3 * p + 1, np.int32), np.empty(31 * p, np.int32), np.empty(31 * p)
    fill(cameras, points, weights, features, camera_of, point_of, starts, columns, values)
    return starts, columns, values
