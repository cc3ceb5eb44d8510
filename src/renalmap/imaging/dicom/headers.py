"""What DICOM files say about their slices, apart from pixels: single-frame and enhanced multi-frame CT."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import TruncatedFileError
from renalmap.imaging.dicom.kinds import CT_CLASSES, why_no_ct_image, why_no_ct_slice
from renalmap.imaging.dicom_files.bounds import named_dicom_errors
from renalmap.imaging.dicom_files.files import DicomFile, begins_as_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger(__name__)

_TAGS: Final = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *(
        "PatientName",
        "PatientID",
        "StudyDescription",
        "SeriesDescription",
        "SeriesNumber",
        "ProtocolName",
    ),
    *("Modality", "ImageType", "AcquisitionNumber", "ConvolutionKernel", "ContrastBolusAgent"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PixelSpacing", "SliceThickness"),
    *(
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
    ),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_SHORTEST_NAME: Final = 3
_DIRECTORY_CLASS: Final = "1.2.840.10008.1.3.10"


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
    """

    of: FileHeader
    reason: str


@dataclass(frozen=True)
class Headers:
    """What a set of files contains.

    Attributes:
        slices: CT slices with a place in the patient, in the order of the files.
        skipped: DICOM objects that are none.
        others: files that are not DICOM.
    """

    slices: tuple[SliceHeader, ...]
    skipped: tuple[SkippedImage, ...]
    others: tuple[DicomFile, ...]


def read_headers(files: Iterable[DicomFile]) -> Headers:
    """Read the headers of files of any kind.

    Raises:
        TruncatedFileError: a DICOM file is damaged so early that it says nothing about itself.
        UnsafeArchiveError: a deflated file unpacks to more than a scan can.
    """
    slices: list[SliceHeader] = []
    skipped: list[SkippedImage] = []
    others: list[DicomFile] = []
    seen: set[tuple[Any, ...]] = set()
    for file in files:
        with named_dicom_errors(
            file
        ):  # values are converted within: pydicom does that when they are read
            dataset = _read_tags(file)
            found_in_file = None if dataset is None else _images(file, dataset)
        if found_in_file is None:
            others.append(file)
            continue
        shared, images = found_in_file
        for found in images:
            if isinstance(found, SkippedImage):
                skipped.append(found)
            elif _is_new(found, seen):
                slices.append(found)
            else:
                skipped.append(SkippedImage(shared, "copy of another file"))
    return Headers(tuple(slices), tuple(skipped), tuple(others))


def _images(file: DicomFile, dataset: Dataset) -> tuple[FileHeader, list[SliceHeader | SkippedImage]]:
    """What a DICOM object holds, slice by slice."""
    shared = _file_header(file, dataset)
    reason = why_no_ct_image(dataset)
    if reason is not None:
        return shared, [SkippedImage(shared, reason)]
    return shared, list(_slices(shared, dataset))


def _is_new(header: SliceHeader, seen: set[tuple[Any, ...]]) -> bool:
    """Whether no file before was the same object; by its place too, as some anonymise all UIDs to one."""
    uid = header.of.sop_instance_uid
    key = (uid, header.frame, header.acquisition, *header.position_mm.tolist())
    if not uid or key not in seen:
        seen.add(key)
        return True
    return False


def _read_tags(file: DicomFile) -> Dataset | None:
    """A file's tags, or None if it is not a DICOM file."""
    from pydicom import dcmread  # noqa: PLC0415  (slow import)
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415

    with file.open() as stream, warnings.catch_warnings():
        # The user need not know what pydicom finds odd about a usable header.
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(stream, stop_before_pixels=True, specific_tags=list(_TAGS))
        except (InvalidDicomError, EOFError):
            if not begins_as_dicom(stream):
                logger.debug("%s: skipped, no DICOM file", file)
                return None
            raise _cut_short(file) from None
    sop_class = str(dataset.get("SOPClassUID") or "")
    says_nothing = not sop_class and not dataset.get("Modality") and not _is_directory(dataset)
    if not dataset.get("Rows") and (sop_class in CT_CLASSES or says_nothing):
        raise _cut_short(file)
    return dataset


def _is_directory(dataset: Dataset) -> bool:
    """Whether this is a DICOMDIR, under whatever name."""
    return str(dataset.file_meta.get("MediaStorageSOPClassUID") or "") == _DIRECTORY_CLASS


def _cut_short(file: DicomFile) -> TruncatedFileError:
    return TruncatedFileError(
        "the file ends within its DICOM header", where=str(file), hint="Copy or export it again"
    )


def _slices(shared: FileHeader, dataset: Any) -> Iterator[SliceHeader | SkippedImage]:
    """The file's slices: one, or as many as it has frames."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        yield _slice(shared, None, _plain_tags(dataset))
        return
    common = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    top = _plain_tags(dataset)
    for index, frame in enumerate(frames):
        yield _slice(shared, index + 1, {**top, **_group_tags(common), **_group_tags(frame)})


_PLAIN: Final = (
    *("AcquisitionNumber", "ImageType", "ConvolutionKernel", "PixelSpacing", "SliceThickness"),
    *("ImagePositionPatient", "ImageOrientationPatient"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType"),
)
_GROUPS: Final = {
    "FrameContentSequence": {"FrameAcquisitionNumber": "AcquisitionNumber"},
    "CTImageFrameTypeSequence": {"FrameType": "ImageType"},
    "CTReconstructionSequence": {"ConvolutionKernel": "ConvolutionKernel"},
    "PixelMeasuresSequence": {"PixelSpacing": "PixelSpacing", "SliceThickness": "SliceThickness"},
    "PlanePositionSequence": {"ImagePositionPatient": "ImagePositionPatient"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": "ImageOrientationPatient"},
    "PixelValueTransformationSequence": {
        each: each for each in ("RescaleSlope", "RescaleIntercept", "RescaleType")
    },
}
"""DICOM PS3.3 C.7.6.16.2 and C.8.15.3: where an enhanced CT keeps what a plain one has at the top."""


def _plain_tags(dataset: Any) -> dict[str, Any]:
    return {name: dataset.get(name) for name in _PLAIN}


def _group_tags(group: Any) -> dict[str, Any]:
    """A functional group's values under the names that they have in a plain CT."""
    found: dict[str, Any] = {}
    for sequence, names in _GROUPS.items():
        items = None if group is None else group.get(sequence)
        if items:
            values = {plain: items[0].get(name) for name, plain in names.items()}
            found |= {name: value for name, value in values.items() if value is not None}
    return found


def _slice(shared: FileHeader, frame: int | None, tags: dict[str, Any]) -> SliceHeader | SkippedImage:
    image_type = tuple(str(value).upper() for value in _values(tags["ImageType"]))
    reason = why_no_ct_slice(tags, image_type)
    if reason is not None:
        return SkippedImage(shared, reason)
    thickness = tags["SliceThickness"]
    row_mm, column_mm = (float(value) for value in tags["PixelSpacing"])
    slope, intercept = tags["RescaleSlope"], tags["RescaleIntercept"]
    return SliceHeader(
        of=shared,
        frame=frame,
        acquisition=_whole(tags["AcquisitionNumber"]),
        image_type=image_type,
        kernel="\\".join(str(value) for value in _values(tags["ConvolutionKernel"])),
        spacing_mm=(row_mm, column_mm),
        thickness_mm=float(thickness) if thickness else None,
        position_mm=np.array([float(value) for value in tags["ImagePositionPatient"]]),
        orientation=np.array([float(value) for value in tags["ImageOrientationPatient"]]).reshape(2, 3),
        rescale=None
        if slope is None and intercept is None
        else (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)),
        rescale_type=str(tags["RescaleType"] or ""),
    )


def _file_header(file: DicomFile, dataset: Any) -> FileHeader:
    def text(name: str) -> str:
        return str(dataset.get(name) or "")

    names = _names(dataset)
    return FileHeader(
        file=file,
        sop_class_uid=text("SOPClassUID"),
        sop_instance_uid=text("SOPInstanceUID"),
        study_uid=text("StudyInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        frame_of_reference_uid=text("FrameOfReferenceUID"),
        series_number=_whole(dataset.get("SeriesNumber")),
        study_description=_without(names, text("StudyDescription")),
        description=_without(names, text("SeriesDescription")),
        protocol=_without(names, text("ProtocolName")),
        modality=text("Modality").upper(),
        contrast_agent=bool(text("ContrastBolusAgent").strip()),
        transfer_syntax_uid=str(dataset.file_meta.get("TransferSyntaxUID") or ""),
        rows_columns=(int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)),
        samples_per_pixel=int(dataset.get("SamplesPerPixel") or 1),
    )


def _names(dataset: Any) -> tuple[str, ...]:
    """The patient's names and number, as they may have been typed into descriptions."""
    typed = f"{dataset.get('PatientName') or ''}^{dataset.get('PatientID') or ''}"
    return tuple(part for part in re.split(r"[\^=\s,]+", typed) if len(part) >= _SHORTEST_NAME)


def _without(names: tuple[str, ...], text: str) -> str:
    for name in names:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "***", text, flags=re.IGNORECASE)
    return text


def _whole(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def _values(value: Any) -> tuple[Any, ...]:
    """A tag's values, however many it has."""
    if value is None or value == "":
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
