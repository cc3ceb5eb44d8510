"""How labels return to the DICOM slices that their volume was read from."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.dicom_files.source import DicomSource
from renalmap.imaging.orientation import LPS_TO_RAS
from renalmap.imaging.volume import LabelArray, LabelMap

_LPS_TO_RAS: Final = np.diag(LPS_TO_RAS)[:3]
_SAME_INDEX: Final = 1e-3
"""A slice that moves by less than this along an axis counts as not moving."""


def labels_on_instances(label_map: LabelMap, source: DicomSource) -> LabelArray:
    """Labels on the pixels of the series' own slices: each pixel takes the voxel nearest in space.

    On a volume that was not resampled this is every voxel once, exactly.

    Args:
        label_map: labels on the grid of the volume that was read from the series.
        source: the series.

    Returns:
        uint8 (instances, rows, columns), rows and columns as the DICOM pixels have them; 0 for
        pixels outside the label map's grid.
    """
    rows, columns = source.rows_columns
    to_index = np.linalg.inv(label_map.geometry.affine)
    along_rows = to_index[:3, :3] @ (source.orientation[1] * _LPS_TO_RAS * source.spacing_mm[0])
    along_columns = to_index[:3, :3] @ (source.orientation[0] * _LPS_TO_RAS * source.spacing_mm[1])
    found = np.zeros((len(source.instances), rows, columns), np.uint8)
    for plane, instance in zip(found, source.instances, strict=True):
        first = to_index[:3, :3] @ (np.array(instance.position_mm) * _LPS_TO_RAS) + to_index[:3, 3]
        inside: NDArray[np.bool_] = np.ones((1, 1), bool)
        index = []
        for axis, size in enumerate(label_map.labels.shape):
            nearest = _nearest(
                first[axis] + _steps(along_rows[axis], rows)[:, np.newaxis],
                _steps(along_columns[axis], columns)[np.newaxis, :],
            )
            inside = inside & (nearest >= 0) & (nearest < size)
            index.append(np.clip(nearest, 0, size - 1))
        plane[...] = np.where(inside, label_map.labels[tuple(index)], 0)
    return found


def _steps(per_pixel: float, pixels: int) -> NDArray[np.float64]:
    """How far along a label axis each pixel lies; one value where it is the same for all."""
    if abs(per_pixel) * pixels < _SAME_INDEX:
        return np.zeros(1)
    return per_pixel * np.arange(pixels, dtype=np.float64)


def _nearest(down: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.rint(down + across).astype(np.intp)
