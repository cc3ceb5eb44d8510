"""Checks of a mask by itself: allowed labels, volumes, holes, islands, borders, separate ranges."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Anatomy, Voxels
from renalmap.anatomy.voxels import in_order, joined
from renalmap.imaging import Geometry, LabelMap
from renalmap.inspection.findings import CaseInspection
from renalmap.labels import CYST, KIDNEY, TUMOUR, UNKNOWN
from renalmap.measure.lines import axial_lines

ISLAND_ML: Final = 1.0
"""A component below this is an island: not a kidney, and hardly a separate tumour."""

KIDNEY_ML: Final = 20.0
"""A component of at least this may be a kidney."""

HOLE_ML: Final = 1.0
"""A hole of at least this is a warning; below, it is mostly sinus fat enclosed by the label."""

APART_MM: Final = 10.0
"""Unlabelled slices between labelled ones that split a mask in two."""

PART_ML: Final = 5.0
"""What a part must contain to count as one."""


def inspect_mask(mask: LabelMap, found: CaseInspection) -> Anatomy | None:
    """Check a mask of labels 0 to 3, or unknown, and add measures and findings to the case's inspection.

    Returns:
        What it shows; None for an empty mask.
    """
    _check_storage(mask, found)
    _check_unknown(mask, found)
    anatomy = Anatomy.of(mask)
    if not anatomy.components:
        found.kidney_ml = found.tumour_ml = found.cyst_ml = 0.0
        found.add("empty", "error", "the mask is empty")
        return None
    found.mask_sha256 = hash_voxels(mask.labels)
    shown = joined(anatomy.components)
    found.labelled_slices = shown.span(0)
    _check_volumes(anatomy, found)
    _check_components(anatomy, found)
    _check_holes(shown, mask.geometry, found)
    _check_border(anatomy, found)
    _check_stretches(shown, mask.geometry, found)
    return anatomy


def hash_voxels(voxels: NDArray[Any]) -> str:
    """SHA-256 of an array's shape, type and values, slice by slice so that nothing is copied whole."""
    digest = hashlib.sha256(f"{voxels.shape} {voxels.dtype.str}".encode())
    for plane in voxels:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def _check_storage(mask: LabelMap, found: CaseInspection) -> None:
    header = mask.geometry.source.header
    dtype = None if header is None else header.get_data_dtype()
    if dtype is not None and dtype != np.uint8:
        found.add("stored", "note", f"the mask is stored as {dtype.name}")


def _check_unknown(mask: LabelMap, found: CaseInspection) -> None:
    share = np.count_nonzero(mask.labels == UNKNOWN) / mask.labels.size
    if share > 0.0:
        text = f"label {UNKNOWN}, unknown: {share:.1%} of the voxels; training and scores leave them out"
        found.add("labels", "note", text)


def _check_volumes(anatomy: Anatomy, found: CaseInspection) -> None:
    mask = anatomy.label_map
    kidney, tumour, cyst = (mask.volume_ml(label) for label in (KIDNEY, TUMOUR, CYST))
    found.kidney_ml, found.tumour_ml, found.cyst_ml = round(kidney, 2), round(tumour, 2), round(cyst, 2)
    if kidney == 0.0:
        found.add("region_missing", "warning", "no kidney is labelled")
    if tumour == 0.0:
        found.add("region_missing", "note", "no tumour is labelled")
    if anatomy.tumours:
        lines = axial_lines(anatomy.tumours[0].voxels, mask.geometry.spacing_mm)
        found.tumour_diameter_mm = round(lines.longest.length_mm, 1)
    if cyst > 0.0:
        found.add("labels", "note", f"label 3, cyst: {cyst:.1f} ml; training treats it as kidney")


def _check_components(anatomy: Anatomy, found: CaseInspection) -> None:
    sizes_ml = [anatomy.ml([component]) for component in anatomy.components]
    found.components = len(sizes_ml)
    islands_ml = [ml for ml in sizes_ml if ml < ISLAND_ML]
    if islands_ml:
        found.add(
            "islands",
            "note",
            f"{_count(len(islands_ml), 'island')} below {ISLAND_ML:g} ml, {sum(islands_ml):.2f} ml in all",
        )
    kidneys = sum(ml >= KIDNEY_ML for ml in sizes_ml)
    if kidneys != 2:
        what = f"{_count(kidneys, 'component')} of at least {KIDNEY_ML:g} ml"
        found.add("kidneys", "note" if kidneys == 1 else "warning", what)


def _check_holes(shown: Voxels, geometry: Geometry, found: CaseInspection) -> None:
    """Background that no path through faces joins to the outside."""
    unlabelled = np.pad(~shown.inside, 1, constant_values=True)
    numbers = cc3d.connected_components(unlabelled, connectivity=6)
    counts = np.bincount(numbers.ravel())
    counts[0] = counts[numbers[0, 0, 0]] = 0
    sizes_ml = counts[counts > 0] * geometry.voxel_ml
    found.holes_ml = round(float(sizes_ml.sum()), 3)
    if sizes_ml.size:
        found.add(
            "holes",
            "warning" if sizes_ml.max() >= HOLE_ML else "note",
            f"{_count(sizes_ml.size, 'hole')} of {sizes_ml.sum():.3f} ml in all, the largest {sizes_ml.max():.3f} ml",
        )


def _check_border(anatomy: Anatomy, found: CaseInspection) -> None:
    shape = anatomy.label_map.geometry.shape
    touched = in_order(border for part in anatomy.components for border in part.touches(shape))
    if touched:
        found.add("border", "warning", f"labels reach the border of the scan: {', '.join(touched)}")


def _check_stretches(shown: Voxels, geometry: Geometry, found: CaseInspection) -> None:
    """Labels in two stretches along z, nothing between: a second phase, or a kidney that lies apart."""
    parts = [
        f"{first} to {last} ({ml:.0f} ml)"
        for first, last, ml in _stretches(shown, geometry)
        if ml >= PART_ML
    ]
    if len(parts) > 1:
        found.add("apart", "warning", f"labels in separate ranges of slices: {', '.join(parts)}")


def _stretches(shown: Voxels, geometry: Geometry) -> Iterator[tuple[int, int, float]]:
    """First slice, last slice and volume of each stretch between gaps of `APART_MM`."""
    areas, first = np.count_nonzero(shown.inside, axis=(1, 2)), shown.box.start[0]
    slices = np.flatnonzero(areas)
    gaps = np.flatnonzero((np.diff(slices) - 1) * geometry.spacing_mm[0] >= APART_MM)
    for part in np.split(slices, gaps + 1):
        ml = float(areas[part].sum()) * geometry.voxel_ml
        yield int(part[0]) + first, int(part[-1]) + first, ml


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
