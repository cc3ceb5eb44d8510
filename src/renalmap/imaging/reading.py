"""The single entry point: from a path of any kind to a canonical volume or label map."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from renalmap.errors import ConfigError, PathMissingError, UnreadableImageError, named_errors
from renalmap.imaging.budget import check_regular_file
from renalmap.imaging.dicom.choice import DicomChoice
from renalmap.imaging.dicom.reading import read_dicom_geometry, read_dicom_volume
from renalmap.imaging.dicom_files.fileset import is_archive_name, is_dicom_file, is_directory_name
from renalmap.imaging.dicom_seg.reading import is_dicom_seg, read_dicom_seg
from renalmap.imaging.nifti import (
    is_nifti_name,
    read_nifti_geometry,
    read_nifti_label_map,
    read_nifti_volume,
)
from renalmap.imaging.nifti_geometry import Orientation
from renalmap.imaging.volume import Geometry, LabelMap, Volume

logger = logging.getLogger(__name__)


def read_volume(  # noqa: PLR0913 -- the fields of DicomChoice, for those who read one scan
    path: Path,
    dicom: DicomChoice | None = None,
    *,
    series: str | None = None,
    acquisition: int | None = None,
    resample: bool = False,
    allow_missing_slices: bool = False,
    orientation: Orientation | None = None,
) -> Volume:
    """Read a CT scan and canonicalise it.

    Args:
        path: a NIfTI file (`.nii`, `.nii.gz`); for DICOM a folder with all below it, a `.zip`, a
            DICOMDIR, or an enhanced multi-frame file.
        dicom: what to take of DICOM; in its place its fields may be given:
        series: which DICOM series to take, by SeriesInstanceUID or SeriesNumber; None: see `choose`.
        acquisition: which AcquisitionNumber to take of a DICOM series that holds several.
        resample: correct a tilted gantry or a varying slice distance instead of refusing it.
        allow_missing_slices: read a DICOM series although files were left out that look like slices of it.
        orientation: which of a NIfTI file's sform and qform counts where they contradict each other.

    Returns:
        The scan, axes (z, y, x); int16 if every voxel is a whole number that int16 holds, else float32.
        Whether its values can be HU at all is for `doubt_hounsfield` to say.

    Raises:
        InputError: its child that names the trouble; see `read_nifti_volume` and `read_dicom_volume`.
    """
    choice = DicomChoice(series, acquisition, resample, allow_missing_slices, orientation)
    if dicom is not None:
        if choice != DicomChoice():
            raise ConfigError("dicom= and its fields say the same thing twice", got=f"{dicom}, {choice}")
        choice = dicom
    with _named_errors(path):
        if is_dicom_path(path):
            return read_dicom_volume(path, choice)
        _note_unused(choice, path)
        return read_nifti_volume(path, choice.orientation)


def read_geometry(
    path: Path,
    *,
    series: str | None = None,
    acquisition: int | None = None,
    resample: bool = False,
    allow_missing_slices: bool = False,
    orientation: Orientation | None = None,
) -> Geometry:
    """Read where a scan's or label map's voxels lie, without the voxels; otherwise as `read_volume`."""
    choice = DicomChoice(series, acquisition, resample, allow_missing_slices, orientation)
    with _named_errors(path):
        if is_dicom_path(path):
            if path.is_file() and is_dicom_file(path) and is_dicom_seg(path):
                return read_dicom_seg(path).geometry
            return read_dicom_geometry(path, choice)
        _note_unused(choice, path)
        return read_nifti_geometry(path, orientation)


def read_label_map(path: Path, orientation: Orientation | None = None) -> LabelMap:
    """Read a label map from a NIfTI file or a DICOM SEG and canonicalise it.

    Args:
        path: a `.nii` or `.nii.gz` file, or a DICOM SEG of whatever name.
        orientation: which of a NIfTI file's sform and qform counts where they contradict each other.

    Returns:
        uint8 labels, axes (z, y, x). A map without any label is all 0.

    Raises:
        LabelError: a value is not a whole number from 0 to 255; a SEG shows neither kidneys nor tumours.
        InputError: another of its children that names the trouble; see `read_nifti_volume` and
            `read_dicom_seg`.
    """
    with _named_errors(path):
        if not is_dicom_path(path):
            return read_nifti_label_map(path, orientation)
        if path.is_file() and is_dicom_file(path):
            return read_dicom_seg(path)
    raise UnreadableImageError(
        "a label map must be one file",
        where=path,
        got="a folder" if path.is_dir() else "an archive",
        expected="a .nii.gz file, or a DICOM SEG",
    )


def is_dicom_path(path: Path) -> bool:
    """Whether a path is read as DICOM, and not as NIfTI.

    Raises:
        PathMissingError: it does not exist.
        UnreadableImageError: it is neither, or no file at all.
    """
    if not path.exists():
        raise PathMissingError("the path does not exist", where=path)
    if path.is_dir():
        return True
    check_regular_file(path)
    if is_archive_name(path) or is_directory_name(path.name):
        return True
    if is_nifti_name(path):
        return False
    if is_dicom_file(path):
        return True
    raise UnreadableImageError(
        "the file's name is not a NIfTI file's",
        where=path,
        got=path.suffix or "no suffix",
        expected="a .nii or .nii.gz file; or DICOM: a folder, a .zip, a DICOMDIR, an enhanced CT",
        hint="For DICOM of one file per slice give the folder",
    )


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """The last boundary: a scan or label map that no reader expected."""
    with named_errors(
        lambda got: UnreadableImageError(
            "the file cannot be read", where=path, got=got, hint="Copy or export it again"
        )
    ):
        yield


def _note_unused(choice: DicomChoice, path: Path) -> None:
    for given, what in ((choice.series, "series"), (choice.acquisition, "acquisition")):
        if given is not None:
            logger.warning("%s: a NIfTI file has no %s; %s is not used", path, what, given)
