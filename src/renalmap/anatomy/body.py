"""Where the middle of the body is in each slice, and its spine: the patient need not lie in the centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging import Volume

FloatArray = NDArray[np.float64]

SLICE_PITCH_MM: Final = 5.0
"""The body is examined in slices about this far apart; between them it changes little."""

MOST_SLICES: Final = 100

BODY_FROM_HU: Final = -300.0
BODY_FROM_CLIPPED_HU: Final = 10.0
"""In a scan clipped at 0 HU fat and air are both 0: the body's muscles and organs remain."""

BONE_FROM_HU: Final = 250.0

_TALL_COLUMN_SHARE: Final = 0.3
"""A column belongs to the trunk if it has this share of the tallest column's body: a table does not."""
_SPINE_HALF_WIDTH_MM: Final = 40.0
_SPINE_LEAST_MM2: Final = 150.0
_SMOOTHING_SLICES: Final = 6


@dataclass(frozen=True, eq=False)
class BodyTrack:
    """The trunk's middle and the spine, in slices some millimetres apart.

    Attributes:
        z: indices of the slices examined, ascending.
        middle_x: the body's midline in voxels; that of the spine if there is one. NaN if there is neither.
        spine_y: the spine's median row in voxels; NaN if no bone was found.
        columns: the scan's width in voxels.
    """

    z: NDArray[np.intp]
    middle_x: FloatArray
    spine_y: FloatArray
    columns: int

    def at(self, z: NDArray[Any]) -> FloatArray:
        """The midline in voxels at any slices; the middle of the scan if no body was seen at all."""
        known = np.isfinite(self.middle_x)
        if not known.any():
            return np.full(np.shape(z), (self.columns - 1) / 2.0)
        middle: FloatArray = np.interp(z, self.z[known], self.middle_x[known])
        return middle


def track_body(volume: Volume) -> BodyTrack:
    """Find the body's midline from its outline, and the spine from the bone around that midline.

    Args:
        volume: axes (z, y, x), HU. Values clipped at 0 HU are allowed.

    Returns:
        The track; NaN throughout if the scan does not show the body. It takes a tenth of a second or more: find it
        once and pass it on.
    """
    spacing_mm = volume.geometry.spacing_mm
    pitch = max(1, int(SLICE_PITCH_MM // spacing_mm[0]), -(-volume.hu.shape[0] // MOST_SLICES))
    chosen = np.arange(0, volume.hu.shape[0], pitch)
    lowest_hu = min(float(volume.hu[z].min()) for z in chosen)
    body_from_hu = BODY_FROM_CLIPPED_HU if lowest_hu >= 0.0 else BODY_FROM_HU
    outline = np.full(chosen.size, np.nan)
    spine = np.full((chosen.size, 2), np.nan)
    for index, z in enumerate(chosen):
        hu = volume.hu[z]
        box = _trunk_box(hu > body_from_hu)
        if box is not None:
            rows, columns = box
            outline[index] = (columns.start + columns.stop - 1) / 2.0
            spine[index] = _spine(hu, rows, outline[index], spacing_mm)
    spine = _running_median(spine)
    middle_x = np.where(np.isfinite(spine[:, 1]), spine[:, 1], outline)
    return BodyTrack(chosen, middle_x, spine[:, 0], volume.hu.shape[2])


def _trunk_box(body: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Rows and columns of the trunk in a slice; the table below it and stray pixels left out."""
    heights = np.count_nonzero(body, axis=0)
    if heights.max(initial=0) == 0:
        return None
    columns = np.flatnonzero(heights >= _TALL_COLUMN_SHARE * heights.max())
    widths = np.count_nonzero(body[:, columns[0] : columns[-1] + 1], axis=1)
    rows = np.flatnonzero(widths >= _TALL_COLUMN_SHARE * widths.max())
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _spine(
    hu: NDArray[Any], rows: slice, middle_x: float, spacing_mm: tuple[float, float, float]
) -> tuple[float, float]:
    """Median row and column of the bone around the midline in the back half of the body; NaN if too little."""
    _, y_mm, x_mm = spacing_mm
    half = _SPINE_HALF_WIDTH_MM / x_mm
    top, left = (rows.start + rows.stop) // 2, max(0, int(middle_x - half))
    bone = hu[top : rows.stop, left : int(middle_x + half) + 1] >= BONE_FROM_HU
    y, x = np.nonzero(bone)
    if y.size * y_mm * x_mm < _SPINE_LEAST_MM2:
        return np.nan, np.nan
    return float(np.median(y)) + top, float(np.median(x)) + left


def _running_median(track: FloatArray) -> FloatArray:
    """Median over the neighbouring slices, so that ribs or stray bone in one slice have no effect."""
    smooth = np.full_like(track, np.nan)
    for index in range(track.shape[0]):
        near = track[max(0, index - _SMOOTHING_SLICES) : index + _SMOOTHING_SLICES + 1]
        known = near[np.isfinite(near[:, 0])]
        if known.size:
            smooth[index] = np.median(known, axis=0)
    return smooth
