"""What DICOM files say about their slices, apart from pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.dicom_files.files import DicomFile
from renalmap.imaging.dicom_files.fileset import FileAside

COPY: Final = "copy of another file"
NOT_DICOM: Final = "not a DICOM file"


@dataclass(frozen=True)
class FileHeader:
    """What all slices of one file share.

    Attributes:
        file: where it lies.
        sop_class_uid: SOPClassUID, or empty; so are the other UIDs where they were stripped.
        sop_instance_uid: SOPInstanceUID.
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        frame_of_reference_uid: what positions refer to.
        series_number: SeriesNumber, or None.
        study_description: StudyDescription without the patient's name, or empty.
        description: SeriesDescription without the patient's name, or empty.
        protocol: ProtocolName without the patient's name, or empty.
        modality: Modality, or empty.
        contrast_agent: whether ContrastBolusAgent is given.
        transfer_syntax_uid: how the pixels are stored.
        rows_columns: pixels along (rows, columns).
        samples_per_pixel: 1, or 3 for colour.
        bits_stored: how many of a stored pixel's bits are its value; 0 if that is not said.
        instance_number: InstanceNumber, or None.
        acquired_on: AcquisitionDate, or None.
        patient: PatientID and PatientName, to tell patients apart and never to be shown.
    """

    file: DicomFile
    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    series_number: int | None
    study_description: str
    description: str
    protocol: str
    modality: str
    contrast_agent: bool
    transfer_syntax_uid: str
    rows_columns: tuple[int, int]
    samples_per_pixel: int
    bits_stored: int
    instance_number: int | None
    acquired_on: date | None
    patient: str = field(repr=False)


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """One slice, without its pixels.

    Attributes:
        of: its file's part.
        frame: its number in a multi-frame file, from 1; None in a file of one slice.
        acquisition: AcquisitionNumber, or None.
        image_type: ImageType's or FrameType's values, upper case.
        kernel: ConvolutionKernel, several values joined by a backslash; or empty.
        spacing_mm: between (rows, columns).
        thickness_mm: SliceThickness, or None.
        position_mm: (3,), centre of the first pixel, DICOM's LPS axes.
        orientation: (2, 3), unit vectors along a row and along a column, LPS.
        rescale: slope and intercept to HU; None if the file says neither.
        rescale_type: RescaleType; empty if it is not said, which means HU.
    """

    of: FileHeader
    frame: int | None
    acquisition: int | None
    image_type: tuple[str, ...]
    kernel: str
    spacing_mm: tuple[float, float]
    thickness_mm: float | None
    position_mm: NDArray[np.float64]
    orientation: NDArray[np.float64]
    rescale: tuple[float, float] | None
    rescale_type: str

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector across the slice, LPS."""
        return np.cross(self.orientation[0], self.orientation[1])

    @property
    def height_mm(self) -> float:
        """How far along its normal the slice lies."""
        return float(self.position_mm @ self.normal)

    @property
    def name(self) -> str:
        """The file's name, and the frame where there are several."""
        return self.of.file.name if self.frame is None else f"{self.of.file.name} frame {self.frame}"


@dataclass(frozen=True)
class SkippedImage:
    """A DICOM object, or frame of one, that is not a slice to segment.

    Attributes:
        of: its file's part.
        reason: why, for the user.
        placed: whether it has a position in the patient nevertheless.
    """

    of: FileHeader
    reason: str
    placed: bool = False


@dataclass(frozen=True)
class Headers:
    """What a set of files contains.

    Attributes:
        slices: CT slices with a place in the patient, in the order of the files.
        skipped: DICOM objects that are not CT slices.
        others: files that are not DICOM, or cannot be opened.
        odd: how many values of each DICOM file break the standard.
    """

    slices: tuple[SliceHeader, ...]
    skipped: tuple[SkippedImage, ...]
    others: tuple[FileAside, ...]
    odd: tuple[int, ...]
