"""From which DICOM objects a volume was read, and how its labels return to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.dicom.files import DicomFile
from renalmap.imaging.volume import LabelArray, LabelMap

_LPS_TO_RAS: Final = np.array([-1.0, -1.0, 1.0])
_SAME_INDEX: Final = 1e-3
"""An axis along which a whole slice moves by less than this does not matter to it."""


@dataclass(frozen=True)
class SourceInstance:
    """One slice as it lies in a DICOM file.

    Attributes:
        file: where it can be read.
        frame: its number in a multi-frame file, from 1 as DICOM counts; None in a file of one slice.
        sop_class_uid: SOPClassUID, empty if it was stripped.
        sop_instance_uid: SOPInstanceUID, empty if it was stripped. Frames of one file share it.
        position_mm: ImagePositionPatient: centre of the first pixel, DICOM's LPS axes.
    """

    file: DicomFile
    frame: int | None
    sop_class_uid: str
    sop_instance_uid: str
    position_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class DicomSource:
    """The series a volume was read from.

    `instances[z]` is canonical slice z (from the feet to the head) unless the volume was resampled:
    then the series has its own number of slices at its own places, which `labels_on_instances` serves
    in both cases.

    Attributes:
        study_instance_uid: empty if it was stripped.
        series_instance_uid: empty if it was stripped.
        frame_of_reference_uid: empty if it was stripped.
        instances: the series' slices from the feet to the head.
        rows_columns: pixels of each slice along (rows, columns).
        spacing_mm: distance between (rows, columns).
        orientation: (2, 3) unit vectors along a row and along a column, LPS.
        resampled: whether the volume's slices are others than the series'.
    """

    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    instances: tuple[SourceInstance, ...]
    rows_columns: tuple[int, int]
    spacing_mm: tuple[float, float]
    orientation: NDArray[np.float64]
    resampled: bool = False

    def labels_on_instances(self, label_map: LabelMap) -> LabelArray:
        """Labels on the pixels of the series' own slices: each pixel takes the voxel nearest in space.

        On a volume that was not resampled this is every voxel once, exactly.

        Args:
            label_map: labels on the volume's grid.

        Returns:
            uint8 (instances, rows, columns), rows and columns as the DICOM pixels have them; 0 for
            pixels outside the label map's grid.
        """
        rows, columns = self.rows_columns
        to_index = np.linalg.inv(label_map.geometry.affine)
        along_rows = to_index[:3, :3] @ (self.orientation[1] * _LPS_TO_RAS * self.spacing_mm[0])
        along_columns = to_index[:3, :3] @ (self.orientation[0] * _LPS_TO_RAS * self.spacing_mm[1])
        found = np.zeros((len(self.instances), rows, columns), np.uint8)
        for plane, instance in zip(found, self.instances, strict=True):
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
