"""A mask as a smooth field, whose levels run between the voxels: what surfaces and their areas are made from."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_SIGMA_VOXELS: Final = 0.7
"""Of a voxel's own edge, along each axis: less leaves steps, more rounds edges off."""

_SIGMA_OF_LARGEST: Final = 0.3
"""Of the voxel's longest edge, along the others: slopes across thick slices would show their steps."""

_MOST_SIGMA_STEPS: Final = 10.0
"""Of a voxel's own edge; reached where slices are 33 times as thick as pixels, which no scanner's are."""

_REACH_SIGMAS: Final = 3.0
_FINEST_PARTS: Final = 6


def nearly_cubic(spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Into how many parts a voxel is divided along each axis to be nearly a cube."""
    z, y, x = (min(_FINEST_PARTS, max(1, round(step / min(spacing_mm)))) for step in spacing_mm)
    return z, y, x


def smooth_field(
    inside: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    parts_zyx: tuple[int, int, int] | None = None,
) -> tuple[FloatArray, NDArray[np.float64]]:
    """The mask on a finer grid, smoothed; and the matrix from that grid to the mask's voxels.

    The grid is nearly cubic, or divides voxels into so many parts along each axis.

    The field is 0 on the fine grid's border, so that every level's surface is closed.
    """
    field: FloatArray = inside.astype(np.float32)
    matrix = np.eye(4)
    for axis, (step_mm, parts) in enumerate(
        zip(spacing_mm, parts_zyx or nearly_cubic(spacing_mm), strict=True)
    ):
        along_mm = min(_SIGMA_OF_LARGEST * max(spacing_mm), _MOST_SIGMA_STEPS * step_mm)
        sigma_mm = max(_SIGMA_VOXELS * step_mm, along_mm)
        weights = gaussian(sigma_mm * parts / step_mm)
        margin = len(weights) // 2 // parts + 2
        field = np.pad(field, [(margin, margin) if other == axis else (0, 0) for other in range(3)])
        field = convolve(_refine(field, axis, parts), axis, weights)
        matrix[axis, axis], matrix[axis, 3] = 1.0 / parts, -float(margin)
    return field, matrix


def level_of(field: FloatArray, points: int) -> float:
    """The level above which so many of the field's points lie: each stands for an equal volume."""
    inside = field[field > 0]
    return float(np.partition(inside, max(0, inside.size - points))[max(0, inside.size - points)])


def _refine(field: FloatArray, axis: int, parts: int) -> FloatArray:
    """Linear interpolation at `parts` times as many places along an axis."""
    if parts == 1:
        return field
    size = field.shape[axis]
    low = np.take(field, range(size - 1), axis)
    high = np.take(field, range(1, size), axis)
    steps = [
        low * np.float32(1 - part / parts) + high * np.float32(part / parts) for part in range(parts)
    ]
    stacked = np.stack(steps, axis=axis + 1)
    shape = list(field.shape)
    shape[axis] = (size - 1) * parts
    return stacked.reshape(shape)


def gaussian(sigma: float) -> FloatArray:
    """Weights of sum 1, an odd number of them."""
    reach = max(1, int(np.ceil(_REACH_SIGMAS * sigma)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    normal: FloatArray = (weights / weights.sum()).astype(np.float32)
    return normal


def convolve(field: FloatArray, axis: int, weights: FloatArray) -> FloatArray:
    """Convolution with symmetric weights along an axis; the field is 0 beyond its border."""
    moved: NDArray[Any] = np.moveaxis(field, axis, 0)
    result = np.zeros_like(moved)
    reach = len(weights) // 2
    for shift, weight in zip(range(-reach, reach + 1), weights, strict=True):
        to = slice(max(0, -shift), len(moved) - max(0, shift))
        of = slice(max(0, shift), len(moved) + min(0, shift))
        result[to] += weight * moved[of]
    return np.moveaxis(result, 0, axis)
