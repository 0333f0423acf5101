"""Newton's step of kmeans: a pass over the points, with all centroids at once in the innermost loop.

Only the nearest centroid has a share in the gradient and in the diagonal of the Hessian.
"""

import numpy as np
from numba import njit

from benchmarks.problems.handwritten import FLAGS


@njit(**FLAGS)
def nearest(point, transposed, squares):
    """The first of the nearest centroids, or -1; `squares` is scratch."""
    for j in range(squares.size):
        difference = point[0] - transposed[0, j]
        squares[j] = difference * difference
    for t in range(1, point.size):
        for j in range(squares.size):
            difference = point[t] - transposed[t, j]
            squares[j] += difference * difference
    least, which = np.inf, -1
    for j in range(squares.size):
        if squares[j] < least:
            least, which = squares[j], j
    return which


@njit(**FLAGS)
def derivative(centroids, points):
    k, d = centroids.shape
    transposed = np.ascontiguousarray(centroids.T)
    squares = np.empty(k)
    gradient, hessian = np.zeros((k, d)), np.zeros((k, d))
    for i in range(points.shape[0]):
        j = nearest(points[i], transposed, squares)
        if j >= 0:
            for t in range(d):
                gradient[j, t] -= 2.0 * (points[i, t] - centroids[j, t])
                hessian[j, t] += 2.0
    return gradient / hessian
