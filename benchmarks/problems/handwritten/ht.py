"""The Jacobian of ht: forward mode of the bones, in such directions only as can matter, with the vertices innermost.

A direction is one angle of a finger; a bone moves in those of its own and those of the bones that it hangs on, which
are found on the way. For the sum over the bones, each coordinate of the vertices stands in a row, and so do the weights
for a bone. After it the derivatives of a vertex are put together, if points ask for three vertices each. Rotation and
translation of the hand come last, for the places that belong to points.
"""

import math

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import SUMS

HAND = 6  # numbers that pose the hand as a whole, in front of those of the fingers
FINGERS, ANGLES = 5, 4
DIRECTIONS = FINGERS * ANGLES


@njit(**SUMS)
def turn_and_derivatives(r):
    """The matrix that turns around r, and its derivatives by the three components of r."""
    turn, by_r = np.eye(3), np.zeros((3, 3, 3))
    angle = math.sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2])
    if angle < 1e-4:
        return turn, by_r
    cosine, sine = math.cos(angle), math.sin(angle)
    a, by_axis = (r[0] / angle, r[1] / angle, r[2] / angle), np.empty(3)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        turn[i, i] = cosine + (1.0 - cosine) * a[i] * a[i]
        turn[i, j] = (1.0 - cosine) * a[i] * a[j] - sine * a[k]
        turn[j, i] = (1.0 - cosine) * a[i] * a[j] + sine * a[k]
        for m in range(3):
            for axis in (i, j, k):
                by_axis[axis] = ((1.0 if axis == m else 0.0) - a[axis] * a[m]) / angle
            by_r[m, i, i] = sine * a[m] * (a[i] * a[i] - 1.0) + 2.0 * (1.0 - cosine) * a[i] * by_axis[i]
            even = sine * a[m] * a[i] * a[j] + (1.0 - cosine) * (a[i] * by_axis[j] + a[j] * by_axis[i])
            odd = cosine * a[m] * a[k] + sine * by_axis[k]
            by_r[m, i, j], by_r[m, j, i] = even - odd, even + odd
    return turn, by_r


@njit(**SUMS)
def bone_rotation(x, z, out, by_x, by_z):
    """A turn about the x axis, then z, and its derivatives; the last row and column stay as they are."""
    cx, sx, cz, sz = math.cos(x), math.sin(x), math.cos(z), math.sin(z)
    out[0, 0], out[0, 1], out[0, 2] = cz, -sz * cx, sz * sx
    out[1, 0], out[1, 1], out[1, 2] = sz, cz * cx, -cz * sx
    out[2, 1], out[2, 2] = sx, cx
    by_x[0, 1], by_x[0, 2], by_x[1, 1], by_x[1, 2], by_x[2, 1], by_x[2, 2] = (
        sz * sx,
        sz * cx,
        -cz * sx,
        -cz * cx,
        cx,
        -sx,
    )
    by_z[0, 0], by_z[0, 1], by_z[0, 2], by_z[1, 0], by_z[1, 1], by_z[1, 2] = (
        -sz,
        -cz * cx,
        cz * sx,
        cz,
        -sz * cx,
        sz * sx,
    )


@njit(**SUMS)
def multiply(a, b, out):
    """The product of two 4 by 4 matrices."""
    for i in range(4):
        for j in range(4):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j] + a[i, 3] * b[3, j]


@njit(**SUMS)
def add(a, out):
    for i in range(4):
        for j in range(4):
            out[i, j] += a[i, j]


@njit(**SUMS)
def pose(theta, parents, base_relatives, inverse_base_absolutes):
    """The transforms of all bones, their derivatives, and the directions [first, last) of which a bone has any."""
    bones = parents.size
    absolutes, by_absolutes = np.zeros((bones, 4, 4)), np.zeros((bones, DIRECTIONS, 4, 4))
    transforms, by_transforms = np.empty((bones, 4, 4)), np.empty((bones, DIRECTIONS, 4, 4))
    first, last = np.full(bones, DIRECTIONS), np.zeros(bones, np.int64)
    rotation, by_x, by_z = np.eye(4), np.zeros((4, 4)), np.zeros((4, 4))
    before, relative, product = np.empty((4, 4)), np.empty((4, 4)), np.empty((4, 4))
    for b in range(bones):
        finger, joint = (b - 2) // 4, (b - 2) % 4
        moves = 0 <= finger < FINGERS and joint < 3
        own = ANGLES * finger + (joint + 1 if joint else 0)
        x = theta[HAND + own] if moves else 0.0
        z = theta[HAND + own + 1] if moves and joint == 0 else 0.0
        bone_rotation(x, z, rotation, by_x, by_z)
        multiply(base_relatives[b], rotation, relative)
        if parents[b] < 0:
            add(relative, absolutes[b])
        else:
            multiply(absolutes[parents[b]], relative, absolutes[b])
            first[b], last[b] = first[parents[b]], last[parents[b]]
            for d in range(first[b], last[b]):
                multiply(by_absolutes[parents[b], d], relative, by_absolutes[b, d])
        if moves:
            chain = base_relatives[b]
            if parents[b] >= 0:
                multiply(absolutes[parents[b]], base_relatives[b], before)
                chain = before
            multiply(chain, by_x, product)
            add(product, by_absolutes[b, own])
            if joint == 0:
                multiply(chain, by_z, product)
                add(product, by_absolutes[b, own + 1])
            first[b], last[b] = min(first[b], own), max(last[b], own + 2 if joint == 0 else own + 1)
        multiply(absolutes[b], inverse_base_absolutes[b], transforms[b])
        for d in range(first[b], last[b]):
            multiply(by_absolutes[b, d], inverse_base_absolutes[b], by_transforms[b, d])
    return transforms, by_transforms, first, last


@njit(**SUMS)
def add_moved(weights, x, transform, out):
    """Adds the vertices x, moved by a transform, with their weights for it."""
    for i in range(3):
        t0, t1, t2, t3 = transform[i, 0], transform[i, 1], transform[i, 2], transform[i, 3]
        for v in range(weights.size):
            out[i, v] += weights[v] * (t0 * x[0, v] + t1 * x[1, v] + t2 * x[2, v] + t3 * x[3, v])


@njit(**SUMS)
def transposed(x):
    out = np.empty((x.shape[1], x.shape[0]))
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[j, i] = x[i, j]
    return out


@njit(**SUMS)
def vertices_first(by_angles, out):
    for v in range(by_angles.shape[2]):
        for i in range(3):
            for d in range(DIRECTIONS):
                out[v, i, d] = by_angles[d, i, v]
    return out
    return out


@njit(**SUMS)
def skin(theta, hand, by_angles):
    """The vertices, before the hand is turned as a whole; adds their derivatives by the angles of the fingers."""
    parents, base_relatives, inverse_base_absolutes, base_positions, weights, is_mirrored = hand
    transforms, by_transforms, first, last = pose(theta, parents, base_relatives, inverse_base_absolutes)
    x, weights_of_bones = transposed(base_positions), transposed(weights)
    vertices = np.zeros((3, x.shape[1]))
    for b in range(parents.size):
        add_moved(weights_of_bones[b], x, transforms[b], vertices)
        for d in range(first[b], last[b]):
            add_moved(weights_of_bones[b], x, by_transforms[b, d], by_angles[d])
    if is_mirrored:
        for v in range(x.shape[1]):
            vertices[0, v] *= -1.0
            for d in range(DIRECTIONS):
                by_angles[d, 0, v] *= -1.0
    return transposed(vertices)


@njit(**SUMS)
def by_pose(turn, by_r, place, by_angles, out):
    """The rows of a point: how its error depends on the pose of the hand, from what its place does."""
    for i in range(3):
        for m in range(3):
            out[i, m] = -(by_r[m, i, 0] * place[0] + by_r[m, i, 1] * place[1] + by_r[m, i, 2] * place[2])
            out[i, 3 + m] = -1.0 if i == m else 0.0
        for d in range(DIRECTIONS):
            moved = turn[i, 0] * by_angles[0, d] + turn[i, 1] * by_angles[1, d] + turn[i, 2] * by_angles[2, d]
            out[i, HAND + d] = -moved


@njit(**SUMS)
def simple(vertices, by_angles, turn, by_r, correspondences, jacobian):
    by_vertex = np.empty((3, DIRECTIONS))
    for p in range(correspondences.size):
        vertex = correspondences[p]
        for i in range(3):
            for d in range(DIRECTIONS):
                by_vertex[i, d] = by_angles[d, i, vertex]
        by_pose(turn, by_r, vertices[vertex], by_vertex, jacobian[p])


@njit(**SUMS)
def complicated(vertices, by_angles, turn, by_r, us, corners, jacobian):
    place, by_place = np.empty(3), np.empty((3, DIRECTIONS))
    for p in range(corners.shape[0]):
        a, b, c = corners[p]
        u, v = us[p]
        w = 1.0 - u - v
        for i in range(3):
            place[i] = u * vertices[a, i] + v * vertices[b, i] + w * vertices[c, i]
            for d in range(DIRECTIONS):
                by_place[i, d] = u * by_angles[a, i, d] + v * by_angles[b, i, d] + w * by_angles[c, i, d]
            jacobian[p, i, 0] = jacobian[p, i, 1] = 0.0
            for j in range(3):
                jacobian[p, i, 0] += turn[i, j] * (vertices[c, j] - vertices[a, j])
                jacobian[p, i, 1] += turn[i, j] * (vertices[c, j] - vertices[b, j])
        by_pose(turn, by_r, place, by_place, jacobian[p, :, 2:])


@njit(**SUMS)
def derivative(theta, us, correspondences, points, triangles, hand):
    turn, by_r = turn_and_derivatives(theta[0:3])
    unknown = 2 if us.size > 0 else 0
    scratch = np.zeros((1 + unknown // 2, DIRECTIONS * 3 * hand[3].shape[0]))  # in one: a large one costs much
    by_angles = scratch[0].reshape((DIRECTIONS, 3, -1))
    vertices = skin(theta, hand, by_angles)
    jacobian = np.empty((correspondences.size, 3, unknown + theta.size))
    if unknown:
        by_angles = vertices_first(by_angles, scratch[1].reshape((-1, 3, DIRECTIONS)))
        complicated(vertices, by_angles, turn, by_r, us, triangles[correspondences], jacobian)
    else:
        simple(vertices, by_angles, turn, by_r, correspondences, jacobian)
    return jacobian.reshape(3 * correspondences.size, unknown + theta.size)
