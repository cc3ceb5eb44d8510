"""Where a mask's border runs, finer than its voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


def border_points(mask: BoolArray) -> FloatArray:
    """Places where lines of voxels enter a mask for the first time and leave it for the last.

    The border is taken half-way between the last centre inside and the first centre outside, along every
    axis: the expected place of a border that is only known to pass between the two. Beyond the array is
    outside. The points hold every corner of their convex hull; borders of inner holes are left out.

    Args:
        mask: any number of dimensions.

    Returns:
        (n, dimensions) places in voxels of the mask, without repetition; (0, dimensions) for an empty mask.
    """
    points = []
    for axis in range(mask.ndim):
        lines = np.argwhere(mask.any(axis=axis)).astype(np.float64)
        line_mask = np.moveaxis(mask, axis, -1)[mask.any(axis=axis)]
        first = line_mask.argmax(axis=-1) - 0.5
        last = mask.shape[axis] - line_mask[:, ::-1].argmax(axis=-1) - 0.5
        points += [np.insert(lines, axis, ends, axis=1) for ends in (first, last)]
    return np.concatenate(points)
