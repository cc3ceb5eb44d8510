"""Blurs, random fields and resampling of small planes, in NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatPlane = NDArray[np.float32]

_KNOTS = 3
"""Knots to either side that a smooth field's pixel is made of."""


def gaussian_blur(plane: NDArray[Any], sigma_px: float) -> FloatPlane:
    """Blur (rows, columns) by a Gaussian cut off at three sigma; the border's pixels go on outside."""
    blurred = plane.astype(np.float32)
    reach = int(np.ceil(3 * sigma_px))
    if reach == 0:
        return blurred
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2).astype(np.float32)
    weights /= weights.sum()
    for axis in (0, 1):
        padding = [(reach, reach) if number == axis else (0, 0) for number in (0, 1)]
        padded = np.pad(blurred, padding, mode="edge")
        length = blurred.shape[axis]
        blurred = np.zeros_like(blurred)
        for shift, weight in enumerate(weights):
            blurred += weight * (
                padded[shift : shift + length] if axis == 0 else padded[:, shift : shift + length]
            )
    return blurred


def smooth_field(shape: tuple[int, int], scale_px: float, generator: np.random.Generator) -> FloatPlane:
    """A Gaussian random field of mean 0 and standard deviation 1.

    Args:
        shape: (rows, columns).
        scale_px: standard deviation of the kernel that white noise was smoothed with.
        generator: draws the white noise.
    """
    if scale_px < 1.5:  # too fine for the coarse grid below
        white = generator.standard_normal(shape, dtype=np.float32)
        if scale_px < 0.3:  # a pixel and its neighbours are as good as independent
            return white
        return gaussian_blur(white, scale_px) * np.float32(1 / _blurred_deviation(scale_px))
    counts = [int(np.ceil(length / scale_px)) + 2 * _KNOTS for length in shape]
    field = generator.standard_normal(counts, dtype=np.float32)
    for axis, length in enumerate(shape):
        field = _smooth_knots(field, axis, length, scale_px)
    return field


def _blurred_deviation(sigma_px: float) -> float:
    """Standard deviation of white noise after the blur: the kernel's sum of squares in each direction."""
    reach = int(np.ceil(3 * sigma_px))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    return float(np.sum((weights / weights.sum()) ** 2))


def _smooth_knots(field: FloatPlane, axis: int, length: int, scale_px: float) -> FloatPlane:
    """Sum a Gaussian about each knot, one scale apart, normed so that unit white noise stays unit.

    No matrix product: BLAS would start its threads, which costs more than these few additions.
    """
    places = np.arange(length) / scale_px + _KNOTS - 0.5
    first = np.floor(places).astype(np.intp) - _KNOTS + 1
    distances = places[:, None] - first[:, None] - np.arange(2 * _KNOTS)
    weights = np.exp(-0.5 * distances**2)
    weights = (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)
    smooth = np.zeros(
        [length if number == axis else size for number, size in enumerate(field.shape)], np.float32
    )
    for tap in range(2 * _KNOTS):
        weight = weights[:, tap, None] if axis == 0 else weights[:, tap]
        smooth += weight * field.take(first + tap, axis=axis)
    return smooth


def sample_linear(
    plane: NDArray[Any], rows: NDArray[np.floating], columns: NDArray[np.floating]
) -> FloatPlane:
    """Bilinear samples of a plane at fractional places; 0 outside."""
    padded = np.pad(plane.astype(np.float32), 1)
    height, width = padded.shape
    y = np.clip(rows + 1, 0, height - 1.001).astype(np.float32)
    x = np.clip(columns + 1, 0, width - 1.001).astype(np.float32)
    low_y, low_x = y.astype(np.intp), x.astype(np.intp)
    y, x = y - low_y, x - low_x
    flat, corner = padded.ravel(), low_y * width + low_x
    top = flat[corner] * (1 - x) + flat[corner + 1] * x
    bottom = flat[corner + width] * (1 - x) + flat[corner + width + 1] * x
    sampled: FloatPlane = top * (1 - y) + bottom * y
    return sampled


def upsample_blocks(
    blocks: NDArray[Any], edge_px: int, shape: tuple[int, ...], first: int = 0
) -> FloatPlane:
    """Linear interpolation between the middles of square blocks.

    Args:
        blocks: (block rows, block columns).
        edge_px: a block's edge.
        shape: (rows, columns) wanted.
        first: the block, both ways, that the first pixel lies in.
    """
    plane = blocks.astype(np.float32)
    for axis, length in enumerate(shape):
        count = plane.shape[axis]
        places = np.clip(first + (np.arange(length) - (edge_px - 1) / 2) / edge_px, 0, count - 1)
        low = np.minimum(places.astype(np.intp), max(count - 2, 0))
        part = (places - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, count - 1)
        plane = plane.take(low, axis=axis) * (1 - part) + plane.take(high, axis=axis) * part
    return plane
