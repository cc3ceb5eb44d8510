"""The diameters of one part: longest in an axial slice, across it, and longest in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.imaging.connected import connected_blobs
from renalmap.imaging.masks import bounding_slices
from renalmap.measure.diameters import (
    Chord,
    convex_hull,
    longest_chord,
    longest_chord_in_space,
    widest_across,
)
from renalmap.measure.outline import BORDER_IN_SPACE_VOXELS, BORDER_VOXELS, border_points

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Spacing = tuple[float, float, float]

_SAME_MM: Final = 1e-9


@dataclass(frozen=True, eq=False)
class AxialLines:
    """The longest line of a part in any axial slice, and the longest perpendicular to it.

    Attributes:
        slice: the slice's index in the scan.
        longest, short: in its plane (y, x), mm from the scan's voxel (0, 0, 0).
    """

    slice: int
    longest: Chord
    short: Chord


def axial_lines(part: Voxels, spacing_mm: Spacing, border_voxels: float = BORDER_VOXELS) -> AxialLines:
    """Measure a part in every slice and take the longest.

    A line joins two points of one connected section (8 neighbours): no diameter is measured across a gap
    between two sections of one part. Of slices with equal diameters the lowest is taken.
    """
    plane_mm = np.array(spacing_mm[1:])
    origin_mm = np.array(part.box.start[1:]) * plane_mm
    sections = [
        (_most_mm(section, plane_mm, border_voxels), index, section)
        for index, plane in enumerate(part.inside)
        for section in _sections(plane)
    ]
    best: tuple[float, int, FloatArray] = (-1.0, 0, np.empty((0, 2)))
    for most_mm, index, section in sorted(sections, key=lambda each: (-each[0], each[1])):
        if most_mm < best[0]:
            break
        hull = convex_hull(border_points(section, border_voxels) * plane_mm + origin_mm)
        length_mm = longest_chord(hull).length_mm
        longer_mm = length_mm - best[0]
        if longer_mm > _SAME_MM or (longer_mm > -_SAME_MM and index < best[1]):
            best = (length_mm, index, hull)
    _, index, hull = best
    longest = longest_chord(hull)
    return AxialLines(part.box.start[0] + index, longest, widest_across(hull, longest))


def _most_mm(section: BoolArray, plane_mm: FloatArray, border_voxels: float) -> float:
    """The diagonal of the rectangle about a section: no line in it is longer."""
    rows, columns = bounding_slices(section)
    sides = np.array([rows.stop - rows.start, columns.stop - columns.start]) - 1 + 2.0 * border_voxels
    return float(np.linalg.norm(sides * plane_mm))


def _sections(plane: BoolArray) -> list[BoolArray]:
    if not plane.any():
        return []
    numbers, count = connected_blobs(plane)
    return [plane] if count == 1 else [numbers == number for number in range(1, count + 1)]


def border_mm(
    part: Voxels, spacing_mm: Spacing, border_voxels: float = BORDER_IN_SPACE_VOXELS
) -> FloatArray:
    """(n, 3) corners of a part's convex outline and some more, mm from the scan's voxel (0, 0, 0)."""
    points: FloatArray = border_points(part.inside, border_voxels) + np.array(part.box.start)
    points *= np.array(spacing_mm)
    return points


def longest_line(
    parts: Sequence[Voxels], spacing_mm: Spacing, border_voxels: float = BORDER_IN_SPACE_VOXELS
) -> Chord:
    """The longest line between any two points of some parts."""
    points = np.concatenate([border_mm(part, spacing_mm, border_voxels) for part in parts])
    return longest_chord_in_space(points)


def centroid_mm(parts: Sequence[Voxels], spacing_mm: Spacing) -> FloatArray:
    """The centroid of some parts together, mm from the scan's voxel (0, 0, 0)."""
    sizes = np.array([part.size for part in parts])
    centres = np.array([part.centre_zyx for part in parts])
    centre: FloatArray = sizes @ centres / sizes.sum() * np.array(spacing_mm)
    return centre
