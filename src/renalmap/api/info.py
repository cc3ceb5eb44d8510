"""What a path contains, and what `segment` would make of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from renalmap.errors import InputError, UnreadableImageError
from renalmap.imaging import DicomChoice, doubt_hounsfield, read_volume
from renalmap.imaging.dicom.catalogue import Acquisition, Catalogue, Series, read_catalogue
from renalmap.imaging.dicom.choice import Chosen, choose
from renalmap.imaging.dicom.headers import SliceHeader
from renalmap.imaging.dicom.missing import check_nothing_missing, describe_left_out, find_left_out
from renalmap.imaging.dicom.pixels import check_sizes, has_decoder
from renalmap.imaging.dicom.stack import build_stack, check_regular
from renalmap.imaging.dicom_files.fileset import check_complete
from renalmap.imaging.nifti_geometry import stored_axes
from renalmap.imaging.reading import is_dicom_path


class _Info(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AcquisitionInfo(_Info):
    """The slices of a series that share an AcquisitionNumber."""

    number: int | None
    slices: int
    spacing_mm: tuple[float | None, float, float]
    """Across slices (None for a single one), between rows, between columns."""
    phase: str | None
    """The contrast phase, if the descriptions name one."""
    trouble: str | None
    """Why `segment` refuses it: a tilt, missing slices, uneven spacing, slices that do not stack."""


class SeriesInfo(_Info):
    """One series. Descriptions have no patient's name."""

    series_uid: str
    number: int | None
    description: str
    modality: str
    original: bool
    """Whether its slices were computed from measured data, not from other slices."""
    multi_frame: bool
    slices: int
    """CT slices with a position in the patient."""
    rows_columns: tuple[int, int] | None
    spacing_mm: tuple[float | None, float, float] | None
    thickness_mm: float | None
    orientation: str | None
    kernel: str
    kernel_kind: str
    contrast_agent: bool
    """Whether the headers name a contrast agent."""
    transfer_syntaxes: list[str]
    acquisitions: list[AcquisitionInfo]
    skipped: dict[str, int]
    """Images left out, by reason."""
    why_not: str | None
    """Why `segment` does not take it by default; None if it may be taken."""
    taken: bool
    """Whether `segment` would take it with these options."""


class StudyInfo(_Info):
    """One study."""

    study_uid: str
    description: str
    series: list[SeriesInfo]


class DicomInfo(_Info):
    """What DICOM files hold."""

    kind: Literal["dicom"] = "dicom"
    path: str
    studies: list[StudyInfo]
    other_files: int
    """Files that are not DICOM."""
    unlisted_files: int
    """Files that a DICOMDIR does not list."""
    missing_files: list[str]
    """Images that a DICOMDIR lists and that are not there."""
    unreadable_folders: list[str]
    """Folders that cannot be listed, with the reason."""
    left_out: list[str]
    """What was left out of the series that is meant: a sentence each, the worst first."""
    series_uid: str | None
    """The series that `segment` would take with these options; None if it refuses."""
    acquisition: int | None
    """The requested acquisition; None for the whole series."""
    why: str | None
    """Why this series."""
    doubt: str | None
    """Another series that is about as good."""
    refusal: str | None
    """`segment`'s error with these options; None if it takes something."""


class NiftiInfo(_Info):
    """What a NIfTI file holds."""

    kind: Literal["nifti"] = "nifti"
    path: str
    shape_zyx: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    stored_orientation: str
    """Where the stored axes point, as RAS or LPI."""
    values: str
    """Their type in memory."""
    lowest_hu: float
    highest_hu: float
    doubt: str | None
    """Why the values cannot be HU, if they cannot."""
    grid_doubts: list[str] = []
    """What is doubtful about the grid: its orientation, its unit, where its voxels begin."""


def info(path: Path, dicom: DicomChoice = DicomChoice()) -> DicomInfo | NiftiInfo:
    """Report what a path contains.

    Args:
        path: as `read_volume` takes it.
        dicom: as for `segment`; says which series it would take.

    Raises:
        InputError: the path is missing, unreadable or unsafe, or holds no image. That `segment` would
            refuse it is not an error but `refusal`.
    """
    if not is_dicom_path(path):
        volume = read_volume(path, orientation=dicom.orientation)
        geometry, doubt = volume.geometry, doubt_hounsfield(volume)
        return NiftiInfo(
            path=str(path),
            shape_zyx=geometry.shape,
            spacing_mm=geometry.spacing_mm,
            stored_orientation=stored_axes(geometry),
            values=str(volume.hu.dtype),
            lowest_hu=float(volume.hu.min()),
            highest_hu=float(volume.hu.max()),
            doubt=None if doubt is None else doubt.warning(volume.name),
            grid_doubts=[f"{volume.name}: {text}" for text in geometry.source.doubts],
        )
    catalogue = read_catalogue(path)
    chosen, left_out, refusal = _try(catalogue, dicom)
    taken = chosen if refusal is None else None
    return DicomInfo(
        path=str(path),
        studies=_studies(catalogue, None if taken is None else taken.series),
        other_files=len(catalogue.others),
        unlisted_files=catalogue.files.unlisted,
        missing_files=list(catalogue.files.missing),
        unreadable_folders=list(catalogue.files.unreadable),
        left_out=left_out,
        series_uid=None if taken is None else taken.series.of.series_uid,
        acquisition=None if taken is None else taken.acquisition,
        why=None if chosen is None else chosen.why,
        doubt=None if chosen is None else chosen.doubt,
        refusal=refusal,
    )


def _try(catalogue: Catalogue, choice: DicomChoice) -> tuple[Chosen | None, list[str], str | None]:
    """What would be taken, what was left out of it, and what speaks against it."""
    chosen, told = None, list[str]()
    try:
        if not choice.allow_missing_slices:
            check_complete(catalogue.files)
        chosen = choose(catalogue, choice)
        left_out = find_left_out(catalogue, chosen, choice)
        told = describe_left_out(left_out)
        check_nothing_missing(left_out, choice, catalogue.where)
        check_sizes(chosen.slices)
        stack = build_stack(chosen.slices, catalogue.where)
        if not choice.resample:
            check_regular(stack)
        for syntax in {each.of.transfer_syntax_uid for each in chosen.slices}:
            if not has_decoder(syntax):
                raise UnreadableImageError(
                    "no decoder for this kind of compressed DICOM is installed",
                    where=catalogue.where,
                    got=_syntax_name(syntax),
                )
    except InputError as error:
        return chosen, told, str(error)
    return chosen, told, None


def _studies(catalogue: Catalogue, taken: Series | None) -> list[StudyInfo]:
    studies: dict[str, StudyInfo] = {}
    for each in catalogue.series:
        study = studies.setdefault(
            each.of.study_uid,
            StudyInfo(study_uid=each.of.study_uid, description=each.of.study_description, series=[]),
        )
        study.series.append(_series(each, catalogue.where, taken=each is taken))
    return list(studies.values())


def _series(series: Series, where: Path, *, taken: bool) -> SeriesInfo:
    first = series.slices[0] if series.slices else None
    acquisitions = [_acquisition(each, where, series) for each in series.acquisitions]
    syntaxes = sorted({each.of.transfer_syntax_uid for each in series.slices})
    return SeriesInfo(
        series_uid=series.of.series_uid,
        number=series.of.series_number,
        description=series.of.description,
        modality=series.of.modality,
        original=series.is_original,
        multi_frame=first is not None and first.frame is not None,
        slices=len(series.slices),
        rows_columns=None if first is None else first.of.rows_columns,
        spacing_mm=acquisitions[0].spacing_mm if acquisitions else None,
        thickness_mm=None if first is None else first.thickness_mm,
        orientation=series.orientation,
        kernel=series.kernel,
        kernel_kind=series.kernel_kind,
        contrast_agent=series.of.contrast_agent,
        transfer_syntaxes=[_syntax_name(uid) for uid in syntaxes],
        acquisitions=acquisitions,
        skipped=series.skipped,
        why_not=series.why_not,
        taken=taken,
    )


def _acquisition(acquisition: Acquisition, where: Path, series: Series) -> AcquisitionInfo:
    across, rows, columns = acquisition.spacing_mm
    single = len(acquisition.slices) == 1
    one_volume = series.is_one_volume
    return AcquisitionInfo(
        number=acquisition.number,
        slices=len(acquisition.slices),
        spacing_mm=(None if single else across, rows, columns),
        phase=acquisition.phase,
        trouble=_trouble(series.slices if one_volume else acquisition.slices, where)
        if series.why_not is None
        else None,
    )


def _trouble(slices: Sequence[SliceHeader], where: Path) -> str | None:
    try:
        stack = build_stack(slices, where)
    except InputError as error:
        return error.what if error.got is None else f"{error.what}: {error.got}"
    return stack.describe_irregularity() or None


def _syntax_name(uid: str) -> str:
    """A transfer syntax's name in DICOM PS3.6, or the UID where it has none."""
    from pydicom.uid import UID  # noqa: PLC0415  (slow import)

    return UID(uid).name or "not said"
