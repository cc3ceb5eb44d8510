"""Whether two masks come near each other, in millimetres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.masks import find_box
from renalmap.inference.components import BoolArray

_ROUNDING_MM2 = 1e-3


def comes_within(
    one: BoolArray, other: BoolArray, spacing_mm: tuple[float, float, float], limit_mm: float
) -> bool:
    """Whether any voxel's centre of one lies within the limit of any of the other's.

    The squared distance to `other` is a minimum over steps along x, then y, then z, each as far as the
    limit reaches, in a box about `one` that is as much wider: exact up to the limit.

    Args:
        one: axes (z, y, x).
        other: of the same shape. With either empty: False.
        spacing_mm: voxel spacing (z, y, x).
        limit_mm: the distance.
    """
    box = find_box(one)
    if box is None:
        return False
    steps = [int(limit_mm / spacing + 1e-6) for spacing in spacing_mm]
    wider = tuple(
        slice(max(0, span.start - step), span.stop + step)
        for span, step in zip(box.slices, steps, strict=True)
    )
    near = other[wider]
    if not near.any():
        return False
    squared = np.where(near, np.float32(0.0), np.float32(np.inf))
    for axis, (spacing, step) in enumerate(zip(spacing_mm, steps, strict=True)):
        squared = _spread(squared, axis, spacing, step)
    return bool((squared[one[wider]] <= limit_mm**2 + _ROUNDING_MM2).any())


def continues_along_z(
    one: BoolArray, other: BoolArray, slice_distance_mm: float, limit_mm: float
) -> bool:
    """Whether a voxel of one lies straight above or below one of the other's, within the limit.

    So the parts of a kidney lie that the networks missed a slice or two of.

    Args:
        one: axes (z, y, x).
        other: of the same shape.
        slice_distance_mm: between slices' centres.
        limit_mm: between the voxels' centres.
    """
    box = find_box(one)
    if box is None:
        return False
    _, rows, columns = box.slices
    one, other = one[:, rows, columns], other[:, rows, columns]
    for step in range(1, min(len(one) - 1, int(limit_mm / slice_distance_mm + 1e-6)) + 1):
        if (one[step:] & other[:-step]).any() or (one[:-step] & other[step:]).any():
            return True
    return False


def _spread(
    squared: NDArray[np.float32], axis: int, spacing_mm: float, steps: int
) -> NDArray[np.float32]:
    before = np.moveaxis(squared, axis, 0)
    after = before.copy()
    for step in range(1, min(steps, len(before) - 1) + 1):
        further = np.float32((step * spacing_mm) ** 2)
        np.minimum(after[step:], before[:-step] + further, out=after[step:])
        np.minimum(after[:-step], before[step:] + further, out=after[:-step])
    spread: NDArray[np.float32] = np.moveaxis(after, 0, axis)
    return spread
