"""`stop_gradient`."""

from __future__ import annotations

import numpy as np

from jitgrad.api.structure import flatten, unflatten
from jitgrad.ops import elementwise


def stop_gradient(x: object) -> object:
    """The value of `x` without its derivative, in both modes.

    Args:
        x: an array or number, or a nested container of them.

    Returns:
        The same values, in the same structure; they count as constants.

    Example:
        >>> import numpy as np
        >>> from jitgrad import grad, stop_gradient
        >>> grad(lambda x: x * stop_gradient(x))(3.0)
        np.float64(3.0)
    """

    def is_data(leaf: object, name: str) -> bool:
        return hasattr(leaf, "__jitgrad_bind__") or isinstance(leaf, float | int | np.generic | np.ndarray)

    leaves, _, structure = flatten(x, "x", is_data)
    return unflatten(structure, iter([elementwise.stop_gradient(leaf) for leaf in leaves]))
