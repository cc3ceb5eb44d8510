"""Stack the slices of a DICOM folder into a volume, by their place in the patient."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import (
    DimensionError,
    MissingSliceError,
    MixedSeriesError,
    NonAxialSeriesError,
    TruncatedFileError,
    UnreadableImageError,
)
from renalmap.imaging.dicom_series import SliceHeader, choose_acquisition, read_slice_headers
from renalmap.imaging.filling import HuGrid
from renalmap.imaging.orientation import LPS_TO_RAS, MAX_OBLIQUE_DEGREES, build_geometry
from renalmap.imaging.volume import Geometry, Volume

logger = logging.getLogger(__name__)

_GAP_TOLERANCE: Final = 0.2
"""Gaps may differ from their median by this fraction: rounded headers do, a missing slice is off by 1."""
_SAME_PLACE_MM: Final = 1e-3
_SAME_ANGLE: Final = 1e-3
_OFF_LINE_MM: Final = 0.5


def read_dicom_geometry(folder: Path, *, acquisition: int | None = None) -> Geometry:
    """Read where a DICOM series' voxels lie, from its headers alone; as `read_dicom_volume`."""
    return _stack(folder, acquisition)[1]


def read_dicom_volume(folder: Path, *, acquisition: int | None = None) -> Volume:
    """Read a CT series from the DICOM files that lie directly in a folder.

    Slices are placed by ImagePositionPatient and ImageOrientationPatient; file names and instance
    numbers do not matter. Values are rescaled to HU slice by slice. Padding outside the scanner's
    circle keeps its value (often -2000 or -3024). The stored grid, to which label maps return, has
    axes (column, row, slice) and slices from the feet to the head, as converters to NIfTI make it.

    Args:
        folder: the folder.
        acquisition: the AcquisitionNumber to take if the series holds several.

    Returns:
        int16 if every voxel is a whole number that int16 holds, else float32; axes (z, y, x).

    Raises:
        NoImagesError: the folder holds no DICOM slice.
        MixedSeriesError: slices of several series, sizes or places.
        AmbiguousAcquisitionError: several acquisitions overlap and none was chosen.
        NonAxialSeriesError: the slices are sagittal, coronal or oblique.
        MissingSliceError: the gaps between slices are unequal.
        DimensionError: there is one slice only.
        AffineError: the gantry was tilted.
        ColourImageError: pixels in colour.
        TruncatedFileError, UnreadableImageError: a slice's pixels cannot be decoded.
    """
    slices, geometry = _stack(folder, acquisition)
    grid = HuGrid(geometry, folder)
    for index, each in enumerate(slices):
        # Decoders hold the interpreter's lock: a pool of threads was measured to gain nothing.
        pixels, slope, intercept = _decode(each.path)
        if pixels.shape != each.rows_columns:
            raise DimensionError(
                "a slice is not two-dimensional",
                where=each.path,
                got=f"pixels of shape {pixels.shape}",
                expected=f"{each.rows_columns}",
            )
        grid.put(index, pixels.T[..., np.newaxis], slope, intercept)
    logger.info("%s: read %d slices", folder, len(slices))
    return Volume(grid.hu, geometry, folder.resolve().name)


def _stack(folder: Path, acquisition: int | None) -> tuple[list[SliceHeader], Geometry]:
    """The slices of one volume from the feet to the head, and their grid."""
    chosen = choose_acquisition(read_slice_headers(folder), acquisition, folder)
    _check_one_kind(chosen, folder)
    _check_axial(chosen[0], folder)
    slices = sorted(chosen, key=lambda each: float(each.position_mm @ chosen[0].normal))
    if chosen[0].normal[2] < 0.0:
        slices.reverse()
    _check_stack(slices, folder)
    return slices, _geometry(slices, folder)


def _check_one_kind(slices: Sequence[SliceHeader], folder: Path) -> None:
    first = slices[0]
    for each in slices[1:]:
        for name, ours, theirs in (
            ("size", first.rows_columns, each.rows_columns),
            ("frame of reference", first.frame_of_reference_uid, each.frame_of_reference_uid),
        ):
            if ours != theirs:
                raise _mixed(folder, f"{name} {ours} in {first.path.name}, {theirs} in {each.path.name}")
        if not np.allclose(first.orientation, each.orientation, rtol=0.0, atol=_SAME_ANGLE):
            raise _mixed(folder, f"{first.path.name} and {each.path.name} lie at an angle")
        if not np.allclose(first.spacing_mm, each.spacing_mm, rtol=_SAME_ANGLE, atol=0.0):
            raise _mixed(
                folder,
                f"pixel spacing {first.spacing_mm} in {first.path.name}, "
                f"{each.spacing_mm} in {each.path.name}",
            )


def _mixed(folder: Path, got: str) -> MixedSeriesError:
    return MixedSeriesError(
        "the slices do not belong to one volume",
        where=folder,
        got=got,
        expected="slices of one size, spacing and orientation, each at a place of its own",
        hint="Put each series into a folder of its own",
    )


def _check_axial(header: SliceHeader, folder: Path) -> None:
    along_body = float(np.abs(header.normal[2]))
    angle_degrees = float(np.degrees(np.arccos(min(1.0, along_body))))
    if angle_degrees > MAX_OBLIQUE_DEGREES:
        across = ("sagittal", "coronal", "oblique")[int(np.abs(header.normal).argmax())]
        raise NonAxialSeriesError(
            "the slices are not axial",
            where=folder,
            got=f"{across} slices, {angle_degrees:.0f} degrees off axial",
            expected=f"at most {MAX_OBLIQUE_DEGREES:.0f} degrees off axial",
            hint="Give the axial reconstruction of the same scan",
        )


def _check_stack(slices: Sequence[SliceHeader], folder: Path) -> None:
    """Refuse doubled places, unequal gaps and slices beside the stack."""
    if len(slices) < 2:
        raise DimensionError(
            "one slice is no volume", where=folder, got="1 DICOM slice", expected="at least two"
        )
    positions_mm = np.array([each.position_mm for each in slices])
    gaps_mm = np.abs(np.diff(positions_mm @ slices[0].normal))
    if gaps_mm.min() < _SAME_PLACE_MM:
        twin = int(gaps_mm.argmin())
        raise _mixed(
            folder, f"{slices[twin].path.name} and {slices[twin + 1].path.name} at the same place"
        )
    median_mm = float(np.median(gaps_mm))
    worst = int(np.abs(gaps_mm - median_mm).argmax())
    if abs(gaps_mm[worst] - median_mm) > _GAP_TOLERANCE * median_mm:
        raise MissingSliceError(
            "a slice is missing, or the gaps between slices are unequal",
            where=folder,
            got=f"{gaps_mm[worst]:.2f} mm between {slices[worst].path.name} "
            f"and {slices[worst + 1].path.name}",
            expected=f"{median_mm:.2f} mm, as between most slices",
            hint="Export the whole series again",
        )
    on_line_mm = np.linspace(positions_mm[0], positions_mm[-1], len(slices))
    off_line_mm = positions_mm - on_line_mm
    off_line_mm -= np.outer(off_line_mm @ slices[0].normal, slices[0].normal)
    if np.abs(off_line_mm).max() > _OFF_LINE_MM:
        aside = int(np.abs(off_line_mm).max(axis=1).argmax())
        raise _mixed(folder, f"{slices[aside].path.name} lies beside the stack")


def _geometry(slices: Sequence[SliceHeader], folder: Path) -> Geometry:
    """DICOM PS3.3 C.7.6.2.1.1, with the mean step between slices as the third axis."""
    first, last = slices[0], slices[-1]
    rows, columns = first.rows_columns
    row_mm, column_mm = first.spacing_mm
    lps = np.eye(4)
    lps[:3, 0] = first.orientation[0] * column_mm
    lps[:3, 1] = first.orientation[1] * row_mm
    lps[:3, 2] = (last.position_mm - first.position_mm) / (len(slices) - 1)
    lps[:3, 3] = first.position_mm
    return build_geometry((columns, rows, len(slices)), LPS_TO_RAS @ lps, where=folder)


def _decode(path: Path) -> tuple[NDArray[Any], float, float]:
    """A slice's raw pixels (rows, columns), its rescale slope and intercept."""
    from pydicom import dcmread  # noqa: PLC0415  (slow import)
    from pydicom.pixels.utils import pixel_array  # noqa: PLC0415

    dataset = dcmread(path)
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    try:
        pixels = pixel_array(dataset)
    except (ValueError, RuntimeError, EOFError, AttributeError, NotImplementedError) as error:
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if _lacks_decoder(syntax):
            raise UnreadableImageError(
                "no decoder for this kind of compressed DICOM is installed",
                where=path,
                got=getattr(syntax, "name", str(syntax)),
                hint="Decompress it (dcmdjpeg, gdcmconv --raw), or pip install python-gdcm",
            ) from error
        raise TruncatedFileError(
            "the pixels cannot be decoded; the file is cut short or damaged",
            where=path,
            got=str(error).splitlines()[0],
            hint="Copy or export it again",
        ) from error
    return (
        pixels,
        1.0 if slope is None else float(slope),
        0.0 if intercept is None else float(intercept),
    )


def _lacks_decoder(syntax: Any) -> bool:
    from pydicom.pixels.decoders.base import get_decoder  # noqa: PLC0415  (slow import)

    try:
        return not get_decoder(syntax).is_available
    except NotImplementedError:
        return True
