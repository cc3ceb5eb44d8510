"""Fat at the border of a mask. Networks that see nothing below 0 HU take the rim of fat for kidney."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.masks import BoolPlane, bounding_slices, contour
from renalmap.labels import BACKGROUND

FAT_HU = -100.0
WINDOW_MM = 12.0
"""Edge of the square whose labelled tissue decides what the rim belongs to."""


def peel_fat(
    labels: NDArray[np.uint8],
    hu_of: Callable[[int], NDArray[np.floating]],
    pixel_mm: Sequence[float],
    depth_mm: float,
) -> None:
    """Take fat off the border of kidney and tumour, slice by slice, in place.

    A pixel at the border that is nearer to fat than to the tissue around it holds more fat than tissue
    (partial volume). So it becomes background if it is below both 0 HU and the mean of -100 HU and the labelled
    tissue around it. Slices clipped at 0 HU are therefore left as they are, and so are the rims of cysts. Fat
    deeper than `depth_mm` stays, such as that within an angiomyolipoma.

    Args:
        labels: axes (z, y, x); what lies beyond the array counts as background.
        hu_of: HU (y, x) of a slice of `labels`.
        pixel_mm: pixel spacing (y, x).
        depth_mm: how deep the border may be peeled.
    """
    steps = max(1, round(depth_mm / float(np.mean(pixel_mm))))
    for z in np.flatnonzero(labels.any(axis=(1, 2))):
        called = labels[z] > BACKGROUND
        about = bounding_slices(called)
        called, hu = called[about], hu_of(int(z))[about]
        fat = hu < _threshold_hu(hu, called & (hu >= 0), pixel_mm)
        for _ in range(steps):
            peeled = contour(called) & fat
            if not peeled.any():
                break
            called &= ~peeled
        labels[z][about][~called] = BACKGROUND


def _threshold_hu(
    hu: NDArray[np.floating], tissue: BoolPlane, pixel_mm: Sequence[float]
) -> NDArray[np.floating]:
    """Midway between fat and the mean of the tissue around each pixel, at most 0; -50 HU where there is none."""
    window = [2 * round(WINDOW_MM / each / 2) + 1 for each in pixel_mm]
    pixels = _box_sum(tissue.astype(np.float64), window)
    mean_hu = _box_sum(np.where(tissue, hu, 0.0), window) / np.maximum(pixels, 1.0)
    return np.minimum((mean_hu + FAT_HU) / 2.0, 0.0)


def _box_sum(values: NDArray[np.float64], window: Sequence[int]) -> NDArray[np.float64]:
    """Sums over a window of odd edges about each pixel; beyond the array there are zeros."""
    for axis, size in enumerate(window):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (size // 2 + 1, size // 2)
        total = np.moveaxis(np.pad(values, pad).cumsum(axis=axis), axis, 0)
        values = np.moveaxis(total[size:] - total[:-size], 0, axis)
    return values
