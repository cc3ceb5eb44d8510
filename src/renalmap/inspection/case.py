"""One case inspected: files, grid, table, mask, scan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from renalmap.dataset.cases import read_mask, read_scan
from renalmap.dataset.layouts import Case, Edition
from renalmap.errors import LabelError, RenalMapError, as_case_error
from renalmap.imaging import Geometry, LabelMap, Volume
from renalmap.inspection.findings import CaseInspection
from renalmap.inspection.known import known_issues
from renalmap.inspection.masks import inspect_mask
from renalmap.inspection.scans import inspect_scan

SPACING_TOLERANCE: Final = 0.01
"""Relative difference between a header's spacing and the table's that is an error."""

SIZE_FACTOR: Final = 2.0
"""A mask's tumour and the radiologist's may differ by this factor."""

_LFS_POINTER: Final = b"version https://git-lfs"


def inspect_case(
    case: Case, record: Mapping[str, Any] | None = None, edition: Edition | None = None
) -> tuple[CaseInspection, Volume | None, LabelMap | None]:
    """Inspect a case. Whatever is wrong with it becomes a finding and does not raise.

    Args:
        case: its files; image or mask may be missing.
        record: what the data set's table says about it, as KiTS's `kits.json`.
        edition: which KiTS it is from, for the published issues of single cases.

    Returns:
        The findings, and the scan and mask if they could be read, for a picture of them.
    """
    found = CaseInspection.of(case)
    volume, mask = _read_scan(case, found), _read_case_mask(case, found)
    _check_grid(volume, mask, found)
    anatomy = None if mask is None else inspect_mask(mask, found)
    if volume is not None:
        fits = mask is not None and mask.geometry.shape == volume.geometry.shape
        inspect_scan(volume, anatomy if fits else None, found)
    if record is not None:
        _check_record(record, found)
    found.findings.extend(known_issues(case.case_id, edition))
    return found, volume, mask


def _read_scan(case: Case, found: CaseInspection) -> Volume | None:
    if case.image is None:
        return None
    try:
        return read_scan(case)
    except (RenalMapError, OSError) as error:
        found.add("unreadable", "error", f"the image cannot be read: {_why(case.image, error)}")
    return None


def _read_case_mask(case: Case, found: CaseInspection) -> LabelMap | None:
    if case.mask is None:
        return None
    try:
        return read_mask(case)
    except LabelError as error:
        found.add("labels", "error", f"{error.what}: {error.got}; expected {error.expected}")
    except (RenalMapError, OSError) as error:
        found.add("unreadable", "error", f"the mask cannot be read: {_why(case.mask, error)}")
    return None


def _why(path: Path, error: Exception) -> str:
    """What is wrong with a file, without its path; two that downloads leave behind are named."""
    if path.is_file():
        with path.open("rb") as handle:
            start = handle.read(64).lstrip().lower()
        if start.startswith(_LFS_POINTER):
            return "a Git LFS pointer is in its place; fetch the file itself"
        if start.startswith((b"<!doctype", b"<html", b"<?xml")):
            return "a web page was saved in its place; fetch the file again"
    told = as_case_error(path, error)
    return told.what + (f" (got {told.got})" if told.got else "")


def _check_grid(volume: Volume | None, mask: LabelMap | None, found: CaseInspection) -> None:
    given = volume if volume is not None else mask
    if given is None:
        return
    geometry = given.geometry
    found.shape_zyx, found.spacing_mm = geometry.shape, geometry.spacing_mm
    for doubt in geometry.source.doubts:
        found.add("grid", "warning", doubt)
    _, rows, columns = geometry.shape
    if rows != columns:
        found.add("stored", "note", f"slices are not square: {rows} by {columns} pixels")
    if volume is None or mask is None:
        return
    if not volume.geometry.matches(mask.geometry):
        found.add(
            "grid",
            "error",
            "image and mask are on different grids: "
            + "; ".join(_differences(volume.geometry, mask.geometry)),
        )


def _differences(image: Geometry, mask: Geometry) -> list[str]:
    told = []
    if image.shape != mask.shape:
        told.append(f"shape {image.shape} and {mask.shape}")
    pairs = (image.spacing_mm, mask.spacing_mm)
    if max(abs(ours - theirs) for ours, theirs in zip(*pairs, strict=True)) > 1e-3:
        told.append(" and ".join(f"spacing {_spacing(spacing)}" for spacing in pairs))
    return told or ["origin or direction differ"]


def _spacing(spacing_mm: tuple[float, ...]) -> str:
    return " x ".join(f"{step:.4g}" for step in spacing_mm) + " mm"


def _check_record(record: Mapping[str, Any], found: CaseInspection) -> None:
    spacing = record.get("voxel_spacing")
    if isinstance(spacing, Mapping) and found.spacing_mm is not None:
        told = tuple(float(spacing.get(f"{axis}_spacing") or 0.0) for axis in "zyx")
        pairs = zip(found.spacing_mm, told, strict=True)
        if any(abs(ours - theirs) > SPACING_TOLERANCE * theirs for ours, theirs in pairs):
            found.add(
                "spacing",
                "error",
                f"the header's spacing is {_spacing(found.spacing_mm)}, the table's {_spacing(told)} (z, y, x)",
            )
    size_cm = record.get("radiographic_size")
    if isinstance(size_cm, int | float) and size_cm > 0 and found.tumour_diameter_mm is not None:
        factor = found.tumour_diameter_mm / (size_cm * 10.0)
        if not 1.0 / SIZE_FACTOR <= factor <= SIZE_FACTOR:
            found.add(
                "size",
                "warning",
                f"the largest tumour measures {found.tumour_diameter_mm:.0f} mm in the mask, "
                f"{size_cm * 10:.0f} mm in the radiologist's report",
            )
