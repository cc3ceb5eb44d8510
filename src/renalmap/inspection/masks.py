"""Checks of a mask by itself: allowed labels, volumes, holes, islands, borders, separate ranges."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalmap.imaging import LabelMap
from renalmap.inspection.findings import CaseInspection
from renalmap.labels import BACKGROUND, CYST, KIDNEY, TUMOUR

Bools = NDArray[np.bool_]

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

_SIDES: Final = (("feet", "head"), ("front", "back"), ("right", "left"))
_ANGLES: Final = 36


@dataclass(frozen=True, eq=False)
class Labelled:
    """The box of a mask that holds all its labels, so that whole scans are not copied.

    Attributes:
        box: where it lies, (z, y, x).
        labels: a view of the mask's voxels in it.
        spacing_mm: voxel spacing (z, y, x).
        voxel_ml: volume of a voxel.
    """

    box: tuple[slice, slice, slice]
    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    voxel_ml: float

    @classmethod
    def of(cls, mask: LabelMap) -> Labelled | None:
        """The labelled box; None if nothing is labelled."""
        ranges = []
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            occupied = np.flatnonzero(mask.labels.any(axis=others))
            if occupied.size == 0:
                return None
            ranges.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
        box = (ranges[0], ranges[1], ranges[2])
        return cls(box, mask.labels[box], mask.geometry.spacing_mm, mask.geometry.voxel_ml)


def inspect_mask(mask: LabelMap, found: CaseInspection) -> Labelled | None:
    """Check a mask and note measures and findings.

    Args:
        mask: labels 0 to 3.
        found: the case's inspection, which is added to.

    Returns:
        Its labelled box; None for an empty mask.
    """
    _check_storage(mask, found)
    labelled = Labelled.of(mask)
    if labelled is None:
        found.kidney_ml = found.tumour_ml = found.cyst_ml = 0.0
        found.add("empty", "error", "the mask is empty")
        return None
    found.mask_sha256 = hash_voxels(mask.labels)
    found.labelled_slices = (labelled.box[0].start, labelled.box[0].stop - 1)
    _check_volumes(labelled, found)
    _check_components(labelled, found)
    _check_holes(labelled, found)
    _check_border(labelled, mask.geometry.shape, found)
    _check_stretches(labelled, found)
    return labelled


def hash_voxels(voxels: NDArray[Any]) -> str:
    """SHA-256 of an array's shape, type and values, slice by slice so that nothing is copied whole."""
    digest = hashlib.sha256(f"{voxels.shape} {voxels.dtype.str}".encode())
    for plane in voxels:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def largest_diameter_mm(mask: Bools, pixel_mm: tuple[float, float]) -> float:
    """Largest axial extent: over all slices and directions, how far a mask extends (as RECIST measures).

    Args:
        mask: axes (z, y, x), not empty.
        pixel_mm: pixel size (y, x).
    """
    angles = np.linspace(0.0, np.pi, _ANGLES, endpoint=False)
    directions = np.stack([np.sin(angles), np.cos(angles)])
    largest = 0.0
    for plane in mask:
        rows, columns = np.nonzero(plane)
        if rows.size == 0:
            continue
        along = np.stack([rows * pixel_mm[0], columns * pixel_mm[1]], axis=1) @ directions
        largest = max(largest, float(np.ptp(along, axis=0).max()))
    return largest + float(np.mean(pixel_mm))


def _check_storage(mask: LabelMap, found: CaseInspection) -> None:
    header = mask.geometry.source.header
    dtype = None if header is None else header.get_data_dtype()
    if dtype is not None and dtype != np.uint8:
        found.add("stored", "note", f"the mask is stored as {dtype.name}")


def _check_volumes(labelled: Labelled, found: CaseInspection) -> None:
    voxels = np.bincount(labelled.labels.ravel(), minlength=CYST + 1)
    kidney, tumour, cyst = (float(voxels[label]) * labelled.voxel_ml for label in (KIDNEY, TUMOUR, CYST))
    found.kidney_ml, found.tumour_ml, found.cyst_ml = round(kidney, 2), round(tumour, 2), round(cyst, 2)
    if kidney == 0.0:
        found.add("region_missing", "warning", "no kidney is labelled")
    if tumour == 0.0:
        found.add("region_missing", "note", "no tumour is labelled")
    else:
        _, numbers, largest = _largest_component(labelled.labels == TUMOUR)
        inside = numbers == largest
        found.tumour_diameter_mm = round(largest_diameter_mm(inside, labelled.spacing_mm[1:]), 1)
    if cyst > 0.0:
        found.add("labels", "note", f"label 3, cyst: {cyst:.1f} ml; training treats it as kidney")


def _largest_component(mask: Bools) -> tuple[NDArray[np.int64], NDArray[Any], int]:
    numbers = cc3d.connected_components(mask, connectivity=26)
    counts = np.bincount(numbers.ravel())
    counts[0] = 0
    return counts, numbers, int(counts.argmax())


def _check_components(labelled: Labelled, found: CaseInspection) -> None:
    counts, _, _ = _largest_component(labelled.labels != BACKGROUND)
    sizes_ml = counts[1:] * labelled.voxel_ml
    found.components = int(sizes_ml.size)
    islands = sizes_ml[sizes_ml < ISLAND_ML]
    if islands.size:
        found.add(
            "islands",
            "note",
            f"{_count(islands.size, 'island')} below {ISLAND_ML:g} ml, {islands.sum():.2f} ml in all",
        )
    kidneys = int((sizes_ml >= KIDNEY_ML).sum())
    if kidneys != 2:
        what = f"{_count(kidneys, 'component')} of at least {KIDNEY_ML:g} ml"
        found.add("kidneys", "note" if kidneys == 1 else "warning", what)


def _check_holes(labelled: Labelled, found: CaseInspection) -> None:
    """Background that no path through faces connects to the outside."""
    background = np.pad(labelled.labels == BACKGROUND, 1, constant_values=True)
    numbers = cc3d.connected_components(background, connectivity=6)
    counts = np.bincount(numbers.ravel())
    counts[0] = counts[numbers[0, 0, 0]] = 0
    sizes_ml = counts[counts > 0] * labelled.voxel_ml
    found.holes_ml = round(float(sizes_ml.sum()), 3)
    if sizes_ml.size:
        found.add(
            "holes",
            "warning" if sizes_ml.max() >= HOLE_ML else "note",
            f"{_count(sizes_ml.size, 'hole')} of {sizes_ml.sum():.3f} ml in all, the largest {sizes_ml.max():.3f} ml",
        )


def _check_border(labelled: Labelled, shape: tuple[int, ...], found: CaseInspection) -> None:
    touched = []
    for axis, (low, high) in enumerate(_SIDES):
        for side, index, is_cut in (
            (low, 0, labelled.box[axis].start == 0),
            (high, -1, labelled.box[axis].stop == shape[axis]),
        ):
            if is_cut:
                area = int(np.count_nonzero(np.take(labelled.labels, index, axis)))
                touched.append(f"{side} ({area} voxels)")
    if touched:
        found.add("border", "warning", f"labels reach the border of the scan: {', '.join(touched)}")


def _check_stretches(labelled: Labelled, found: CaseInspection) -> None:
    """Labels in two ranges along z with nothing between: a second phase, or a kidney that lies apart."""
    parts = [
        f"{first + labelled.box[0].start} to {last + labelled.box[0].start} ({ml:.0f} ml)"
        for first, last, ml in _stretches(labelled)
        if ml >= PART_ML
    ]
    if len(parts) > 1:
        found.add("apart", "warning", f"labels in separate ranges of slices: {', '.join(parts)}")


def _stretches(labelled: Labelled) -> Iterator[tuple[int, int, float]]:
    """First slice, last slice and volume of each range between gaps of `APART_MM`."""
    areas = np.count_nonzero(labelled.labels, axis=(1, 2))
    slices = np.flatnonzero(areas)
    gaps = np.flatnonzero((np.diff(slices) - 1) * labelled.spacing_mm[0] >= APART_MM)
    for part in np.split(slices, gaps + 1):
        yield int(part[0]), int(part[-1]), float(areas[part].sum()) * labelled.voxel_ml


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
