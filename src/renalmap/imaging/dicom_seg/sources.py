"""What a DICOM SEG takes over from its scan: identifiers, patient data, positions. No pixels."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from renalmap.errors import DicomReferenceError, RenalMapError
from renalmap.imaging.dicom_files.bounds import named_dicom_errors, without_values
from renalmap.imaging.dicom_files.files import quiet_pydicom

if TYPE_CHECKING:
    from pydicom import Dataset

    from renalmap.imaging.dicom_files.source import DicomSource

_PATIENT_AND_STUDY: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
"""What the Patient and General Study modules require (types 1 and 2 in PS3.3)."""

_TAKEN_OVER: Final = (
    *_PATIENT_AND_STUDY,
    # Without it an archive that serves several hospitals may file the SEG under another patient.
    "IssuerOfPatientID",
    # That a scan was de-identified stays true of what is made from it.
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    "LongitudinalTemporalInformationModified",
    *("SpecificCharacterSet", "Modality", "SeriesNumber"),
)

CONVERSION_ERRORS: Final = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, NotImplementedError, OSError),
)
"""What pydicom raises where it converts a value, which is when it is first asked for."""
_SEXES: Final = ("M", "F", "O")
_LARGEST_SERIES_NUMBER: Final = 2**31 - 1 - 1001
"""So that the higher ones of the SEG and of its structured report are numbers of DICOM's too."""
_SEVERAL_VALUES: Final = {"SpecificCharacterSet", "DeidentificationMethod"}

_CHARACTER_SETS_KEPT: Final = re.compile(r"ISO_IR (13|100|101|109|110|126|127|138|144|148|166|192|203)")
_UTF_8: Final = "ISO_IR 192"


def check_source(source: DicomSource, where: Path | str) -> None:
    """Refuse a series that a DICOM SEG cannot refer to. New identifiers would refer to nothing.

    Args:
        source: the series.
        where: for messages.

    Raises:
        DicomReferenceError: an identifier is missing, stands twice, or the slices are frames of several
            files.
    """
    instances = source.instances
    identifiers = {
        "StudyInstanceUID": source.study_instance_uid,
        "SeriesInstanceUID": source.series_instance_uid,
        "FrameOfReferenceUID": source.frame_of_reference_uid,
        "SOPClassUID": all(each.sop_class_uid for each in instances),
        "SOPInstanceUID": all(each.sop_instance_uid for each in instances),
    }
    missing = [name for name, value in identifiers.items() if not value]
    if missing:
        raise _unreferable(where, f"no {', '.join(missing)}")
    uids = {each.sop_instance_uid for each in instances}
    if any(each.frame is not None for each in instances):
        if len(uids) > 1:
            raise _unreferable(where, f"frames of {len(uids)} multi-frame files")
    elif len(uids) < len(instances):
        raise _unreferable(where, f"{len(instances)} slices that share {len(uids)} SOPInstanceUIDs")


@contextmanager
def named_writing_errors(
    where: Path | str,
    what: str = "a DICOM SEG",
    hint: str = "Write NIfTI instead",
) -> Iterator[None]:
    """Turn whatever highdicom and pydicom raise on a scan's header into an error that names the scan.

    What they would only warn of is copied as it is, a name that is not a valid PN or a number that is too long:
    what is written must match its scan.
    """
    from pydicom.config import disable_value_validation  # noqa: PLC0415  (slow import)

    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore", UserWarning)
            yield
    except (RenalMapError, OSError, MemoryError):
        raise
    except Exception as error:
        raise DicomReferenceError(
            f"{what} of this scan cannot be written",
            where=where,
            got=without_values(f"{type(error).__name__}: {error}"),
            hint=hint,
        ) from error


def unusable_attributes(source: DicomSource) -> tuple[str, ...]:
    """The attributes that a series' DICOM SEG leaves empty or out, because DICOM does not allow their values."""
    own = {"SeriesNumber"}  # the SEG has a number of its own
    return tuple(name for name in _read_header(source)[1] if name not in own)


def source_datasets(source: DicomSource) -> list[Dataset]:
    """The headers that a DICOM SEG is made with: one per slice in the source's order, or that of a multi-frame file.

    They hold what the SEG needs and nothing else, so that nothing else can reach it: no age, weight,
    comment, institution or private tag. Attributes of type 2 that the scan lacks, and those of
    `unusable_attributes`, are there, empty.

    Args:
        source: a series that `check_source` took.
    """
    header, _ = _read_header(source)
    if source.instances[0].frame is not None:
        return [_multi_frame_dataset(header, source)]
    return [_slice_dataset(header, source, index) for index in range(len(source.instances))]


def _read_header(source: DicomSource) -> tuple[Any, tuple[str, ...]]:
    """What is taken over of a series' header, and the names of what is not, for its values."""
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415  (slow import)

    file = source.instances[0].file
    header: Any = file.read_header(_TAKEN_OVER)
    unusable = []
    with quiet_pydicom(), named_dicom_errors(file):
        for name in _TAKEN_OVER:
            try:
                _check_usable(name, header.get(name))
            except CONVERSION_ERRORS:
                unusable.append(name)
                del header[tag_for_keyword(name)]
        _settle_character_set(header)
    for name in _PATIENT_AND_STUDY:
        if name not in header:
            setattr(header, name, "")
    return header, tuple(unusable)


def _check_usable(name: str, value: Any) -> None:
    """Raise ValueError for a value with which highdicom makes no SEG."""
    from pydicom.multival import MultiValue  # noqa: PLC0415  (slow import)
    from pydicom.valuerep import DA, TM  # noqa: PLC0415

    if not value:
        return
    if name in {"PatientBirthDate", "StudyDate"}:
        DA(value)
    elif name == "StudyTime":
        TM(value)
    allowed = {
        "PatientSex": value in _SEXES,
        "SeriesNumber": name != "SeriesNumber" or 0 < int(value) <= _LARGEST_SERIES_NUMBER,
    }
    if not allowed.get(name, name in _SEVERAL_VALUES or not isinstance(value, MultiValue)):
        raise ValueError(value)


def _settle_character_set(header: Any) -> None:
    """Keep a single character set; several, with switches between them, and unknown ones become UTF-8."""
    character_set = header.get("SpecificCharacterSet")
    if not character_set:
        header.pop("SpecificCharacterSet", None)
    elif not (isinstance(character_set, str) and _CHARACTER_SETS_KEPT.fullmatch(character_set)):
        header.decode()
        for name in _PATIENT_AND_STUDY:
            if header.get(name):
                setattr(header, name, str(header[name].value))
        header.SpecificCharacterSet = _UTF_8


def gap_mm(source: DicomSource) -> float:
    """The distance of neighbouring slices along their normal; their median."""
    normal = np.cross(source.orientation[0], source.orientation[1])
    heights_mm = np.sort([np.array(each.position_mm) @ normal for each in source.instances])
    return float(np.median(np.diff(heights_mm)))


def _slice_dataset(header: Any, source: DicomSource, index: int) -> Dataset:
    from pydicom import Dataset  # noqa: PLC0415  (slow import)

    dataset = Dataset()
    # The elements are shared: whoever reads them copies what it keeps.
    dataset.update(header)
    _set_identifiers(dataset, source, index)
    dataset.ImagePositionPatient = _decimals(source.instances[index].position_mm)
    dataset.ImageOrientationPatient = _decimals(source.orientation.ravel())
    _set_measures(dataset, source)
    return dataset


def _multi_frame_dataset(header: Any, source: DicomSource) -> Dataset:
    """A multi-frame header with the frames of the volume alone: a file may hold several phases."""
    from pydicom import Dataset  # noqa: PLC0415  (slow import)

    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = _decimals(source.orientation.ravel())
    _set_measures(measures, source)
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelMeasuresSequence = [measures]
    header.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for instance in source.instances:
        own, position = Dataset(), Dataset()
        position.ImagePositionPatient = _decimals(instance.position_mm)
        own.PlanePositionSequence = [position]
        frames.append(own)
    header.PerFrameFunctionalGroupsSequence = frames
    header.NumberOfFrames = len(frames)
    _set_identifiers(header, source, 0)
    return header  # type: ignore[no-any-return]


def _set_identifiers(dataset: Any, source: DicomSource, index: int) -> None:
    dataset.StudyInstanceUID = source.study_instance_uid
    dataset.SeriesInstanceUID = source.series_instance_uid
    dataset.FrameOfReferenceUID = source.frame_of_reference_uid
    dataset.SOPClassUID = source.instances[index].sop_class_uid
    dataset.SOPInstanceUID = source.instances[index].sop_instance_uid
    dataset.Rows, dataset.Columns = source.rows_columns


def _set_measures(dataset: Any, source: DicomSource) -> None:
    """Spacings. A voxel fills the distance to the next slice, so that is its thickness here."""
    between = _decimals([gap_mm(source)])[0]
    dataset.PixelSpacing = _decimals(source.spacing_mm)
    dataset.SliceThickness = between
    if not source.resampled:
        dataset.SpacingBetweenSlices = between


def _decimals(values: Any) -> list[Any]:
    """Numbers as DICOM's decimal strings, of 16 characters at most."""
    from pydicom.valuerep import DSfloat  # noqa: PLC0415  (slow import)

    return [DSfloat(float(value), auto_format=True) for value in values]


def _unreferable(where: Path | str, got: str) -> DicomReferenceError:
    return DicomReferenceError(
        "a DICOM SEG must refer to its scan, and the scan's identifiers do not allow it",
        where=where,
        got=got,
        expected="a study, a series, a frame of reference and instances, each with its UID",
        hint="Write NIfTI instead, or export the scan again: de-identification may "
        "replace UIDs but must not empty them",
    )
