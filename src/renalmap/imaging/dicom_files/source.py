"""From which DICOM objects a volume was read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.dicom_files.files import DicomFile


@dataclass(frozen=True)
class SourceInstance:
    """One slice as it lies in a DICOM file.

    Attributes:
        file: where it can be read.
        frame: its number in a multi-frame file, from 1 as DICOM counts; None in a file of one slice.
        sop_class_uid: SOPClassUID, empty if it was stripped.
        sop_instance_uid: SOPInstanceUID, empty if it was stripped. Frames of one file share it.
        position_mm: ImagePositionPatient: centre of the first pixel, DICOM's LPS axes.
        instance_number: InstanceNumber, by which a PACS numbers its pictures; None if it is not given.
    """

    file: DicomFile
    frame: int | None
    sop_class_uid: str
    sop_instance_uid: str
    position_mm: tuple[float, float, float]
    instance_number: int | None = None


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
        acquired_on: AcquisitionDate; None if it is not given.
    """

    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    instances: tuple[SourceInstance, ...]
    rows_columns: tuple[int, int]
    spacing_mm: tuple[float, float]
    orientation: NDArray[np.float64]
    resampled: bool = False
    acquired_on: date | None = None
