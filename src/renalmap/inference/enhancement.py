"""How bright blood, soft tissue and the renal sinus are: the evidence for a contrast phase."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy.body import BodyTrack
from renalmap.imaging import Volume
from renalmap.imaging.volume import Box
from renalmap.labels import BACKGROUND

FloatArray = NDArray[np.float64]

_BOX_MM: Final = 11.0
"""Edge of the square that must fit into the vessel: an aorta is 15 to 25 mm wide."""
_FRONT_MM, _BESIDE_MM = 85.0, 40.0
_WINDOW_MM, _SHORTEST_WINDOW_MM = 60.0, 30.0
"""A vessel runs on for this long; a vertebra's marrow is cut by end plates and discs every 35 mm."""
_NOISIEST_HU: Final = 40.0
_STRIDE_MM: Final = 2.0
_DARKEST_BLOOD_HU: Final = 25.0
"""Fat, water and bowel are even as well, but darker than anaemic blood."""
_BRIGHTEST_BLOOD_HU: Final = 700.0
"""Metal and cement in the spine are brighter."""

_BLOCK_MM: Final = 6.0
_MOST_SLABS: Final = 24
_TISSUE_FROM_HU, _TISSUE_TO_HU, _TISSUE_NOISE_HU = 15.0, 250.0, 25.0
BRIGHT_TISSUE_HU: Final = 85.0
"""Unenhanced liver, spleen and muscle read below this."""


def vessel_hu(volume: Volume, track: BodyTrack) -> float | None:
    """Brightness of the brightest long, even structure in front of the spine: aorta or vena cava.

    In windows of 60 mm along the body, each following the spine, it looks for an 11 mm square that is even in
    itself and from slice to slice, which rules out bone, and bowel that crosses. Without contrast agent the
    same search ends in muscle, or in blood that is as dark.

    Args:
        volume: axes (z, y, x), HU.
        track: where its spine is.

    Returns:
        The upper tercile over all windows, in HU; None if less than 30 mm of spine were seen, or nothing
        was even.
    """
    known = np.isfinite(track.spine_y)
    if np.count_nonzero(known) < 3:
        return None
    z = track.z[known]
    pitch_mm = float(z[1] - z[0]) * volume.geometry.spacing_mm[0]
    length = min(round(_WINDOW_MM / pitch_mm), z.size)
    if length < 3 or length * pitch_mm < _SHORTEST_WINDOW_MM:
        return None
    corners = zip(z, track.spine_y[known], track.middle_x[known], strict=True)
    means, deviations = zip(*(_boxes(volume, *corner) for corner in corners), strict=True)
    mean, deviation = np.stack(means), np.stack(deviations)
    found = []
    for start in range(0, z.size - length + 1, max(1, length // 3)):
        brightest = _brightest_even(mean[start : start + length], deviation[start : start + length])
        if brightest is not None:
            found.append(brightest)
    return float(np.quantile(found, 2.0 / 3.0)) if found else None


def _boxes(volume: Volume, z: int, spine_y: float, spine_x: float) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of every square in front of the spine, in steps of about 2 mm."""
    _, y_mm, x_mm = volume.geometry.spacing_mm
    rows, columns = round(_FRONT_MM / y_mm), round(_BESIDE_MM / x_mm)
    top, left = round(spine_y) - rows, round(spine_x) - columns
    window = np.full((rows, 2 * columns), -1024.0)
    hu = volume.hu[z, max(top, 0) : top + rows, max(left, 0) : left + 2 * columns]
    y, x = max(top, 0) - top, max(left, 0) - left
    window[y : y + hu.shape[0], x : x + hu.shape[1]] = hu
    height, width = max(2, round(_BOX_MM / y_mm)), max(2, round(_BOX_MM / x_mm))
    mean = _box_means(window, height, width)
    variance = _box_means(window**2, height, width) - mean**2
    step = (
        slice(None, None, max(1, round(_STRIDE_MM / y_mm))),
        slice(None, None, max(1, round(_STRIDE_MM / x_mm))),
    )
    return mean[step], np.sqrt(np.maximum(variance[step], 0.0))


def _box_means(values: FloatArray, height: int, width: int) -> FloatArray:
    """Mean over every box that lies wholly inside, by a summed-area table."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(np.cumsum(values, axis=0), axis=1, out=table[1:, 1:])
    sums = table[height:, width:] - table[:-height, width:] - table[height:, :-width]
    means: FloatArray = (sums + table[:-height, :-width]) / (height * width)
    return means


def _brightest_even(mean: FloatArray, deviation: FloatArray) -> float | None:
    """Of the places that are even along a window, the brightest one's median."""
    noise = np.quantile(deviation, 0.8, axis=0)
    low, middle, high = np.quantile(mean, (0.1, 0.5, 0.9), axis=0)
    even = (noise < _NOISIEST_HU) & (high - low < 0.25 * np.maximum(middle, 60.0) + 10.0)
    even &= (middle > _DARKEST_BLOOD_HU) & (middle < _BRIGHTEST_BLOOD_HU)
    return float(middle[even].max()) if even.any() else None


def bright_tissue_share(volume: Volume) -> float | None:
    """Share, 0 to 1, of even soft tissue that is brighter than 85 HU; bone and whatever is uneven are left out.

    Blocks of about 6 mm are averaged in up to 24 slabs spread over the scan, with one slab in memory at a time.
    None if fewer than 50 blocks of the scan are even soft tissue.
    """
    sizes = [
        min(max(1, round(_BLOCK_MM / mm)), size)
        for mm, size in zip(volume.geometry.spacing_mm, volume.hu.shape, strict=True)
    ]
    slabs = volume.hu.shape[0] // sizes[0]
    chosen = np.unique(np.linspace(0, slabs - 1, min(slabs, _MOST_SLABS)).round().astype(np.intp))
    bright = even = 0
    for index in chosen:
        mean = _even_blocks(volume.hu[index * sizes[0] : (index + 1) * sizes[0]], sizes[1], sizes[2])
        even += mean.size
        bright += int(np.count_nonzero(mean > BRIGHT_TISSUE_HU))
    return bright / even if even >= 50 else None


def _even_blocks(slab: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Means of a slab's blocks that are even soft tissue."""
    rows, columns = slab.shape[1] // height, slab.shape[2] // width
    cut = slab[:, : rows * height, : columns * width].astype(np.float32)
    blocks = cut.reshape(slab.shape[0], rows, height, columns, width)
    mean: NDArray[np.float32] = blocks.mean(axis=(0, 2, 4))
    inside = mean > _TISSUE_FROM_HU
    # Only blocks that may be tissue: half of a scan is air.
    y, x = np.nonzero(inside)
    chosen = blocks[:, y, :, x, :].reshape(y.size, slab.shape[0] * height * width)
    tissue = (chosen.max(axis=1, initial=-np.inf) < _TISSUE_TO_HU) & (
        chosen.std(axis=1) < _TISSUE_NOISE_HU
    )
    means: NDArray[np.float32] = mean[y, x][tissue]
    return means


def hollow_ml_above(volume: Volume, labels: NDArray[np.uint8], box: Box, from_hu: float) -> float:
    """Volume in ml of the part of a kidney's hollow from this HU on: contrast agent in its pelvis.

    The box is the kidney's, on the grid of scan and labels; 0.0 if it has no hollow.
    """
    count = 0
    for hu, slice_labels in zip(volume.hu[box.slices], labels[box.slices], strict=True):
        hollow = hollow_of(slice_labels != BACKGROUND)
        count += int(np.count_nonzero(hollow & (hu >= from_hu)))
    return count * volume.geometry.voxel_ml


def hollow_of(kidney: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels (rows, columns) outside a kidney that have it on at least three of four sides; the fourth is the hilum."""
    sides = np.zeros(kidney.shape, np.uint8)
    for axis in (0, 1):
        sides += np.logical_or.accumulate(kidney, axis=axis)
        sides += np.flip(np.logical_or.accumulate(np.flip(kidney, axis), axis=axis), axis)
    hollow: NDArray[np.bool_] = (sides >= 3) & ~kidney
    return hollow
