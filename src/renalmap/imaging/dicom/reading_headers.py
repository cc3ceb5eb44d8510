"""Reading the headers of DICOM files: single-frame and enhanced multi-frame CT."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from renalmap.errors import TruncatedFileError
from renalmap.imaging.dicom.headers import (
    COPY,
    NOT_DICOM,
    FileHeader,
    Headers,
    SkippedImage,
    SliceHeader,
)
from renalmap.imaging.dicom.kinds import CT_CLASSES, why_no_ct_image, why_no_ct_slice
from renalmap.imaging.dicom_files.bounds import named_dicom_errors
from renalmap.imaging.dicom_files.files import DicomFile, begins_as_dicom, quiet_pydicom, read_tags
from renalmap.imaging.dicom_files.fileset import FileAside

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
    *("Modality", "ImageType", "AcquisitionNumber", "InstanceNumber", "ConvolutionKernel"),
    *("AcquisitionDate", "AcquisitionDateTime"),
    *("ContrastBolusAgent", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsStored"),
    *("PixelSpacing", "SliceThickness"),
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
_SQUARE: Final = 0.05
"""How far an orientation may be from unit vectors at a right angle: headers are rounded."""
_DIRECTORY_CLASS: Final = "1.2.840.10008.1.3.10"


def read_headers(files: Iterable[DicomFile]) -> Headers:
    """Read the headers of files of any kind.

    Raises:
        TruncatedFileError: a DICOM file is damaged so early that it says nothing about itself, or its header
            holds values that cannot be.
        UnsafeArchiveError: a deflated file unpacks to more than a scan can.
        TooLargeError: a header is larger than a scan's can be.
    """
    slices: list[SliceHeader] = []
    skipped: list[SkippedImage] = []
    others: list[FileAside] = []
    seen: set[tuple[Any, ...]] = set()
    odd: list[int] = []
    for file in files:
        try:
            with _named_errors(file, odd):
                contents = _read(file)
        except OSError as error:
            others.append(FileAside(file, error.strerror or "unreadable"))
            continue
        if isinstance(contents, FileAside):
            others.append(contents)
            continue
        for found in contents:
            if isinstance(found, SkippedImage):
                skipped.append(found)
            elif _is_new(found, seen):
                slices.append(found)
            else:
                skipped.append(SkippedImage(found.of, COPY))
    return Headers(tuple(slices), tuple(skipped), tuple(others), tuple(odd))


def read_owner(path: Path) -> tuple[str, str, str]:
    """Modality, StudyInstanceUID and patient of a DICOM file on disk, empty where it does not say.

    Raises:
        TruncatedFileError: its header is damaged.
        OSError: it cannot be opened.
    """
    file, names = DicomFile(path), ("Modality", "StudyInstanceUID", "PatientID", "PatientName")
    with _named_errors(file, []):
        dataset = file.read_header(names)
        modality, study, *patient = (str(dataset.get(name) or "") for name in names)
    return modality, study, "^".join(patient)


@contextmanager
def _named_errors(file: DicomFile, odd: list[int]) -> Iterator[None]:
    """The boundary of headers: whatever pydicom raises about a file becomes an error that names it.

    Values are converted within, as pydicom converts them only when asked. Its warnings, which may quote the
    patient, are counted, one number for each file.

    Raises:
        TruncatedFileError, OSError: see `named_dicom_errors`; the latter is the system's.
    """
    with quiet_pydicom() as told, named_dicom_errors(file):
        yield
    odd.append(len(told))


def _read(file: DicomFile) -> FileAside | list[SliceHeader | SkippedImage]:
    """What a file holds, slice by slice, in values of Python's own."""
    if file.member is None and not file.path.stat().st_size:
        return FileAside(file, "empty")
    dataset = _read_tags(file)
    if isinstance(dataset, FileAside):
        return dataset
    shared = _file_header(file, dataset)
    reason = why_no_ct_image(dataset)
    if reason is not None:
        return [SkippedImage(shared, reason, placed=bool(dataset.get("ImagePositionPatient")))]
    return list(_slices(shared, dataset))


def _is_new(header: SliceHeader, seen: set[tuple[Any, ...]]) -> bool:
    """Whether no file before was the same object; by its place too, as some anonymise all UIDs to one."""
    uid = header.of.sop_instance_uid
    key = (uid, header.frame, header.acquisition, *header.position_mm.tolist())
    if not uid or key not in seen:
        seen.add(key)
        return True
    return False


def _read_tags(file: DicomFile) -> Dataset | FileAside:
    """A file's tags, unless it is not a DICOM file."""
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415  (slow import)

    with file.open() as stream:
        try:
            dataset = read_tags(stream, stop_before_pixels=True, specific_tags=list(_TAGS))
        except (InvalidDicomError, EOFError):
            if not begins_as_dicom(stream):
                logger.debug("%s: skipped, no DICOM file", file)
                stream.seek(0)
                return FileAside(file, NOT_DICOM if stream.read(1) else "empty")
            raise _cut_short(file) from None
    sop_class = str(dataset.get("SOPClassUID") or "")
    says_nothing = not sop_class and not dataset.get("Modality") and not _is_directory(dataset)
    meant = {sop_class, str(dataset.file_meta.get("MediaStorageSOPClassUID") or "")}
    if not dataset.get("Rows") and (meant & CT_CLASSES or says_nothing):
        if dataset.preamble is None:  # it only began like DICOM
            return FileAside(file, NOT_DICOM)
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
    said = int(dataset.get("NumberOfFrames") or len(frames))
    if said != len(frames):
        raise ValueError(f"NumberOfFrames is {said}, and {len(frames)} frames are described")
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
    lenient = {"AcquisitionNumber": _lenient(dataset, "AcquisitionNumber")}
    return {name: dataset.get(name) for name in _PLAIN if name not in lenient} | lenient


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
    row_mm, column_mm = _finite(tags, "PixelSpacing")
    orientation = np.array(_finite(tags, "ImageOrientationPatient")).reshape(2, 3)
    if min(row_mm, column_mm) <= 0.0:
        raise ValueError(f"PixelSpacing is {row_mm:g}, {column_mm:g}")
    if not np.allclose(orientation @ orientation.T, np.eye(2), atol=_SQUARE):
        raise ValueError("ImageOrientationPatient is not two unit vectors at a right angle")
    slope, intercept = tags["RescaleSlope"], tags["RescaleIntercept"]
    return SliceHeader(
        of=shared,
        frame=frame,
        acquisition=_whole(tags["AcquisitionNumber"]),
        image_type=image_type,
        kernel="\\".join(str(value) for value in _values(tags["ConvolutionKernel"])),
        spacing_mm=(row_mm, column_mm),
        thickness_mm=float(tags["SliceThickness"]) if tags["SliceThickness"] else None,
        position_mm=np.array(_finite(tags, "ImagePositionPatient")),
        orientation=orientation,
        rescale=None
        if slope is None and intercept is None
        else (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)),
        rescale_type=str(tags["RescaleType"] or ""),
    )


def _finite(tags: dict[str, Any], name: str) -> list[float]:
    values = [float(value) for value in tags[name]]
    if not np.isfinite(values).all():
        raise ValueError(f"{name} is not finite")
    return values


def _file_header(file: DicomFile, dataset: Any) -> FileHeader:
    def text(name: str) -> str:
        return str(_lenient(dataset, name) or "")

    names = _names(dataset)
    return FileHeader(
        file=file,
        sop_class_uid=text("SOPClassUID"),
        sop_instance_uid=text("SOPInstanceUID"),
        study_uid=text("StudyInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        frame_of_reference_uid=text("FrameOfReferenceUID"),
        series_number=_whole(_lenient(dataset, "SeriesNumber")),
        study_description=_without(names, text("StudyDescription")),
        description=_without(names, text("SeriesDescription")),
        protocol=_without(names, text("ProtocolName")),
        modality=text("Modality").upper(),
        contrast_agent=bool(text("ContrastBolusAgent").strip()),
        transfer_syntax_uid=str(dataset.file_meta.get("TransferSyntaxUID") or ""),
        rows_columns=(int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)),
        samples_per_pixel=int(dataset.get("SamplesPerPixel") or 1),
        bits_stored=int(dataset.get("BitsStored") or 0),
        instance_number=_whole(_lenient(dataset, "InstanceNumber")),
        acquired_on=_day(text("AcquisitionDate") or text("AcquisitionDateTime")),
        patient="^".join((text("PatientID"), text("PatientName"))),
    )


def _day(text: str) -> date | None:
    """The day that a DICOM date, or date and time, begins with."""
    try:
        return datetime.strptime(text[:8], "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _names(dataset: Any) -> tuple[str, ...]:
    """The patient's names and number, as they may have been typed into descriptions."""
    typed = "^".join(str(_lenient(dataset, name) or "") for name in ("PatientName", "PatientID"))
    return tuple(part for part in re.split(r"[\^=\s,]+", typed) if len(part) >= _SHORTEST_NAME)


def _without(names: tuple[str, ...], text: str) -> str:
    for name in names:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "***", text, flags=re.IGNORECASE)
    return text


def _lenient(dataset: Any, name: str) -> Any:
    """A value that only describes; None if it cannot be read."""
    try:
        return dataset.get(name)
    except Exception:  # noqa: BLE001  (pydicom raises many kinds)
        return None


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (ValueError, TypeError):
        return None


def _values(value: Any) -> tuple[Any, ...]:
    """A tag's values, however many it has."""
    if value is None or value == "":
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
