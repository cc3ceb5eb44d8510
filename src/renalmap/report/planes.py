"""Which planes of a scan to show, and how much of each. Nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.volume import LabelMap, Volume
from renalmap.labels import BACKGROUND, TUMOUR

_BODY_HU = -300
_MARGIN_MM = 12.0
_KIDNEY_MARGIN_MM = 45.0

Window = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Half-open voxel ranges along (z, y, x)."""


@dataclass(frozen=True)
class Planes:
    """Three orthogonal planes: their indices along z, y and x."""

    axial: int
    coronal: int
    sagittal: int

    @property
    def indices_zyx(self) -> tuple[int, int, int]:
        """The three indices in the order of the axes they lie on."""
        return self.axial, self.coronal, self.sagittal


def choose_planes(labels: LabelMap) -> Planes:
    """Pick the planes that show most of what was found.

    Axial and sagittal go through the largest cross-section of tumour, or of kidney where there is no
    tumour. Coronal goes where both kidneys are cut best: each side's cross-section counts as a
    fraction of its own largest one, so that a huge tumour on one side does not hide the other kidney.

    Args:
        labels: any label map; without labels the middle planes are taken.
    """
    foreground = labels.labels != BACKGROUND
    if not foreground.any():
        depth, height, width = labels.labels.shape
        return Planes(depth // 2, height // 2, width // 2)
    tumour = labels.labels == TUMOUR
    target = tumour if tumour.any() else foreground
    return Planes(
        axial=_largest_section(target, foreground, axes=(1, 2)),
        coronal=_through_both_sides(foreground),
        sagittal=_largest_section(target, foreground, axes=(0, 1)),
    )


def visible_window(scan: Volume, labels: LabelMap, planes: Planes) -> Window:
    """The part of the scan worth showing: the body in the plane, and along z the range of the kidneys.

    Args:
        scan: the scan.
        labels: labels on the same grid.
        planes: the planes that will be shown; the body is looked for on them, not in all voxels.

    Returns:
        Voxel ranges that hold the planes and, where there is no body (air only), everything.
    """
    axial, coronal, sagittal = (
        body_in_plane(np.take(scan.hu, index, axis)) for axis, index in enumerate(planes.indices_zyx)
    )
    spacing_mm = scan.geometry.spacing_mm
    along_y = _occupied(np.concatenate([axial, sagittal.T], axis=1), _MARGIN_MM / spacing_mm[1])
    along_x = _occupied(np.concatenate([axial, coronal], axis=0).T, _MARGIN_MM / spacing_mm[2])
    body_depth_mm = (along_y[1] - along_y[0]) * spacing_mm[1]
    along_z = _kidney_stretch(labels, minimum_mm=body_depth_mm)
    return along_z, _including(along_y, planes.coronal), _including(along_x, planes.sagittal)


def body_in_plane(plane_hu: NDArray[Any]) -> NDArray[np.bool_]:
    """The largest connected piece of a plane that is not air: the patient without the table."""
    solid = np.ascontiguousarray(plane_hu > _BODY_HU)
    return np.asarray(cc3d.largest_k(solid, k=1, connectivity=4), dtype=bool)


def _largest_section(
    target: NDArray[np.bool_], foreground: NDArray[np.bool_], *, axes: tuple[int, int]
) -> int:
    """Index of the plane with most of the target; in a tie, the one with most foreground."""
    areas = np.count_nonzero(target, axis=axes), np.count_nonzero(foreground, axis=axes)
    return int(np.lexsort(areas[::-1])[-1])


def _through_both_sides(foreground: NDArray[np.bool_]) -> int:
    columns = np.flatnonzero(foreground.any(axis=(0, 1)))
    middle = (int(columns[0]) + int(columns[-1]) + 1) // 2
    per_side = (
        np.count_nonzero(side, axis=(0, 2))
        for side in (foreground[..., :middle], foreground[..., middle:])
    )
    return int(np.argmax(sum(area / max(1, int(area.max())) for area in per_side)))


def _occupied(rows: NDArray[np.bool_], margin_voxels: float) -> tuple[int, int]:
    """Range of rows with more than a few body voxels in them, and a margin."""
    occupied = np.flatnonzero(np.count_nonzero(rows, axis=1) > 0.04 * rows.shape[1])
    if occupied.size == 0:
        return 0, rows.shape[0]
    return _clip(occupied[0] - margin_voxels, occupied[-1] + 1 + margin_voxels, rows.shape[0])


def _kidney_stretch(labels: LabelMap, *, minimum_mm: float) -> tuple[int, int]:
    """Range along z around what is labelled, with a minimum length if the scan allows it."""
    size, spacing_mm = labels.geometry.shape[0], labels.geometry.spacing_mm[0]
    slices = np.flatnonzero((labels.labels != BACKGROUND).any(axis=(1, 2)))
    first, last = (0, size - 1) if slices.size == 0 else (int(slices[0]), int(slices[-1]))
    wanted = max((last - first + 1) + 2 * _KIDNEY_MARGIN_MM / spacing_mm, minimum_mm / spacing_mm)
    start = (first + last + 1 - wanted) / 2
    # A window that sticks out at one end is moved back in before it is cut.
    start = min(max(start, 0.0), max(size - wanted, 0.0))
    return _clip(start, start + wanted, size)


def _clip(start: float, stop: float, size: int) -> tuple[int, int]:
    return max(0, int(np.floor(start))), min(size, int(np.ceil(stop)))


def _including(window: tuple[int, int], index: int) -> tuple[int, int]:
    return min(window[0], index), max(window[1], index + 1)
