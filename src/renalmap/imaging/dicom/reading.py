"""From a path that holds DICOM to one volume in Hounsfield units."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from renalmap.imaging.dicom.catalogue import read_catalogue
from renalmap.imaging.dicom.choice import Chosen, DicomChoice, choose
from renalmap.imaging.dicom.missing import (
    LeftOut,
    check_nothing_missing,
    describe_left_out,
    find_left_out,
)
from renalmap.imaging.dicom.pixels import check_sizes, decode_slices
from renalmap.imaging.dicom.resampling import read_resampled, resampled_geometry
from renalmap.imaging.dicom.stack import Stack, build_stack, check_regular
from renalmap.imaging.dicom_files.fileset import check_complete
from renalmap.imaging.dicom_files.source import DicomSource, SourceInstance
from renalmap.imaging.filling import HuGrid
from renalmap.imaging.nifti import scan_name
from renalmap.imaging.orientation import LPS_TO_RAS, build_geometry
from renalmap.imaging.volume import Geometry, HuArray, Volume

logger = logging.getLogger(__name__)

_HU_TYPES: Final = {"", "HU", "HU_MOD"}


@dataclass(frozen=True, eq=False)
class _Plan:
    """What will be read: which slices, onto which grid."""

    chosen: Chosen
    stack: Stack
    geometry: Geometry
    left_out: tuple[LeftOut, ...]
    resampled: bool = False


def read_dicom_geometry(path: Path, choice: DicomChoice) -> Geometry:
    """Read where a DICOM series' voxels lie, from its headers alone; as `read_dicom_volume`."""
    return _plan(path, choice).geometry


def read_dicom_volume(path: Path, choice: DicomChoice) -> Volume:
    """Read a CT series from DICOM: a folder with all below it, a `.zip`, a DICOMDIR, an enhanced CT.

    Slices are placed by ImagePositionPatient and ImageOrientationPatient; file names and instance
    numbers do not matter. Values are rescaled to HU slice by slice. Padding outside the scanner's
    circle keeps its value (often -2000 or -3024). The stored grid, to which label maps return, has
    axes (column, row, slice) and slices from the feet to the head, as converters to NIfTI make it.

    Args:
        path: the folder or file.
        choice: which series and acquisition, and whether to resample.

    Returns:
        int16 if every voxel is a whole number that int16 holds, else float32; axes (z, y, x). Its
        `source` leads back to the DICOM objects.

    Raises:
        NoImagesError: there is no DICOM slice, or no series that can be segmented.
        AmbiguousSeriesError, AmbiguousAcquisitionError: several could be meant; see `choose`.
        MixedSeriesError: slices of several sizes or places.
        NonAxialSeriesError: the slices are sagittal, coronal or oblique.
        GantryTiltError, MissingSliceError, UnevenSlicesError: see `check_regular`.
        MissingSliceError: files were left out that look like slices of the series.
        DimensionError: there is one slice only.
        ColourImageError: pixels in colour.
        PathMissingError: a DICOMDIR lists images that are not there, or a folder cannot be read.
        UnsafeArchiveError: an archive or a DICOMDIR leads elsewhere.
        TruncatedFileError, UnreadableImageError: a slice's pixels cannot be decoded.
    """
    plan = _plan(path, choice)
    hu = read_resampled(plan.stack, plan.geometry) if plan.resampled else _read(plan)
    logger.info("%s: read %d slices", path, len(plan.stack.slices))
    return Volume(hu, plan.geometry, scan_name(path), _source(plan), _notes(plan, path))


def _plan(path: Path, choice: DicomChoice) -> _Plan:
    catalogue = read_catalogue(path)
    if not choice.allow_missing_slices:
        check_complete(catalogue.files)
    chosen = choose(catalogue, choice)
    logger.info("%s: taking %s: %s", path, chosen.series, chosen.why)
    skipped = len(catalogue.files.files) - len({each.of.file for each in chosen.slices})
    if skipped:
        logger.info("%s: skipped %d files that are not slices of it", path, skipped)
    check_sizes(chosen.slices)
    stack = build_stack(chosen.slices, path)
    left_out = find_left_out(catalogue, chosen, choice)
    check_nothing_missing(left_out, choice, path)
    if choice.resample and not stack.is_regular:
        return _Plan(chosen, stack, resampled_geometry(stack), left_out, resampled=True)
    check_regular(stack)
    return _Plan(chosen, stack, _geometry(stack), left_out)


def _read(plan: _Plan) -> HuArray:
    slices, grid = plan.stack.slices, HuGrid(plan.geometry, plan.stack.where)
    for index, pixels in decode_slices(slices):
        grid.put(index, pixels.T[..., np.newaxis], *(slices[index].rescale or (1.0, 0.0)))
    return grid.hu


def _geometry(stack: Stack) -> Geometry:
    """DICOM PS3.3 C.7.6.2.1.1, with the mean step between slices as the third axis."""
    first = stack.slices[0]
    rows, columns = first.of.rows_columns
    row_mm, column_mm = first.spacing_mm
    lps = np.eye(4)
    lps[:3, 0] = first.orientation[0] * column_mm
    lps[:3, 1] = first.orientation[1] * row_mm
    lps[:3, 2] = (stack.positions_mm[-1] - stack.positions_mm[0]) / (len(stack.slices) - 1)
    lps[:3, 3] = first.position_mm
    return build_geometry((columns, rows, len(stack.slices)), LPS_TO_RAS @ lps, where=stack.where)


def _notes(plan: _Plan, path: Path) -> tuple[str, ...]:
    """What had to be assumed."""
    notes = []
    slices = plan.stack.slices
    unscaled = sum(each.rescale is None for each in slices)
    if unscaled:
        notes.append(
            f"{path}: {unscaled} of {len(slices)} slices have no RescaleSlope and RescaleIntercept; "
            "their stored values were taken as Hounsfield units"
        )
    foreign = sorted({each.rescale_type for each in slices} - _HU_TYPES)
    if foreign:
        notes.append(
            f"{path}: according to the header the values are {', '.join(foreign)}, not Hounsfield units"
        )
    for what, named in (
        ("patients", {each.of.patient for each in slices}),
        ("kernels", {each.kernel for each in slices}),
    ):
        if len(named) > 1:
            notes.append(f"{path}: the slices of the series name {len(named)} {what}")
    if plan.resampled:
        notes.append(
            f"{path}: resampled from {len(slices)} slices to {plan.geometry.shape[0]} "
            f"({plan.stack.describe_irregularity()}); the labels are on the resampled grid"
        )
    if plan.stack.has_frame_for_each:
        notes.append(
            f"{path}: each slice has a frame of reference of its own; by their positions they form one stack"
        )
    if plan.chosen.doubt is not None:
        notes.append(f"{path}: {plan.chosen.doubt}")
    return (*notes, *(f"{path}: {each}" for each in describe_left_out(plan.left_out)))


def _source(plan: _Plan) -> DicomSource:
    stack = plan.stack
    first = stack.slices[0]
    return DicomSource(
        study_instance_uid=first.of.study_uid,
        series_instance_uid=first.of.series_uid,
        frame_of_reference_uid=first.of.frame_of_reference_uid,
        instances=tuple(
            SourceInstance(
                file=each.of.file,
                frame=each.frame,
                sop_class_uid=each.of.sop_class_uid,
                sop_instance_uid=each.of.sop_instance_uid,
                position_mm=(
                    float(each.position_mm[0]),
                    float(each.position_mm[1]),
                    float(each.position_mm[2]),
                ),
                instance_number=each.of.instance_number,
            )
            for each in stack.slices
        ),
        rows_columns=first.of.rows_columns,
        spacing_mm=first.spacing_mm,
        orientation=first.orientation,
        resampled=plan.resampled,
        acquired_on=first.of.acquired_on,
    )
