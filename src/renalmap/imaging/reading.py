"""The one way in: a path, whatever it is, to a canonical volume or label map."""

from __future__ import annotations

import logging
from pathlib import Path

from renalmap.errors import PathMissingError, UnreadableImageError
from renalmap.imaging.dicom import read_dicom_geometry, read_dicom_volume
from renalmap.imaging.dicom_seg.reading import DICOM_SUFFIX, read_dicom_seg
from renalmap.imaging.nifti import (
    is_nifti_name,
    read_nifti_geometry,
    read_nifti_label_map,
    read_nifti_volume,
)
from renalmap.imaging.volume import Geometry, LabelMap, Volume

logger = logging.getLogger(__name__)


def read_volume(path: Path, *, acquisition: int | None = None) -> Volume:
    """Read a CT scan and canonicalise it.

    Args:
        path: a NIfTI file (`.nii`, `.nii.gz`) or a folder of DICOM slices.
        acquisition: which AcquisitionNumber to take of a DICOM series that holds several.

    Returns:
        The scan, axes (z, y, x); int16 if every voxel is a whole number that int16 holds, else float32.
        Whether its values can be HU at all is for `describe_hounsfield_doubt` to say.

    Raises:
        InputError: its child that names the trouble; see `read_nifti_volume` and `read_dicom_volume`.
    """
    if _is_dicom_folder(path):
        return read_dicom_volume(path, acquisition=acquisition)
    _note_unused(acquisition, path)
    return read_nifti_volume(path)


def read_geometry(path: Path, *, acquisition: int | None = None) -> Geometry:
    """Read where a scan's or label map's voxels lie, without the voxels; otherwise as `read_volume`."""
    if _is_dicom_file(path):
        return read_dicom_seg(path).geometry
    if _is_dicom_folder(path):
        return read_dicom_geometry(path, acquisition=acquisition)
    _note_unused(acquisition, path)
    return read_nifti_geometry(path)


def read_label_map(path: Path) -> LabelMap:
    """Read a label map from a NIfTI file or a DICOM SEG and canonicalise it.

    Args:
        path: a `.nii` or `.nii.gz` file, or a `.dcm` file.

    Returns:
        uint8 labels, axes (z, y, x). A map without any label is all 0.

    Raises:
        LabelError: a value is no whole number from 0 to 255.
        InputError: another of its children that names the trouble; see `read_nifti_volume` and
            `read_dicom_seg`.
    """
    if _is_dicom_file(path):
        return read_dicom_seg(path)
    if _is_dicom_folder(path):
        raise UnreadableImageError(
            "a label map must be a file",
            where=path,
            got="a folder",
            expected="a .nii.gz file, or a DICOM SEG (.dcm)",
        )
    return read_nifti_label_map(path)


def _is_dicom_file(path: Path) -> bool:
    return path.name.lower().endswith(DICOM_SUFFIX) and path.is_file()


def _is_dicom_folder(path: Path) -> bool:
    """Whether `path` is a folder; refuse what is neither that nor a file with a NIfTI name."""
    if not path.exists():
        raise PathMissingError("the path does not exist", where=path)
    if path.is_dir():
        return True
    if not is_nifti_name(path):
        raise UnreadableImageError(
            "the file's name is not a NIfTI file's",
            where=path,
            got=path.suffix or "no suffix",
            expected="a .nii or .nii.gz file, or a folder of DICOM slices",
            hint="For DICOM give the folder, not one of its files",
        )
    return False


def _note_unused(acquisition: int | None, path: Path) -> None:
    if acquisition is not None:
        logger.warning("%s: a NIfTI file has no acquisitions; --acquisition is not used", path)
