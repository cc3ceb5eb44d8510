"""Where a mask's border runs, finer than its voxels."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

BORDER_VOXELS: Final = 0.25
"""How far beyond the outermost voxel centres the border is taken to lie in a slice.

Centres (0) are all inside a convex body, so lines between them are too short. Half-way to the next centre
(0.5) is where the border passes on average, but a longest line picks the places where that is too far.
On ellipsoids of known size the middle of the two is the least biased (docs/measurements.md)."""

BORDER_IN_SPACE_VOXELS: Final = 0.125
"""The same in space, where a longest line has far more places to pick from."""


def border_points(mask: BoolArray, border_voxels: float) -> FloatArray:
    """Places on the border where lines of voxels enter a mask for the first time and leave it at last.

    They hold every corner of the mask's convex outline. Beyond the array is outside.

    Args:
        mask: any number of dimensions.
        border_voxels: how far beyond the outermost centres.

    Returns:
        (n, dimensions) places in voxels of the mask, those of the first axis' lines first; (0, dimensions)
        for an empty mask.
    """
    points = []
    for axis in range(mask.ndim):
        hit = mask.any(axis=axis)
        lines = np.argwhere(hit).astype(np.float64)
        voxels = np.moveaxis(mask, axis, -1)[hit]
        first = voxels.argmax(axis=-1) - border_voxels
        last = mask.shape[axis] - 1 - voxels[:, ::-1].argmax(axis=-1) + border_voxels
        points += [np.insert(lines, axis, ends, axis=1) for ends in (first, last)]
    return np.concatenate(points)
