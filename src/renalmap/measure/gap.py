"""The shortest line between two parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.measure.diameters import Chord
from renalmap.measure.lines import Spacing

FloatArray = NDArray[np.float64]

CELL_MM: Final = 8.0
"""Points are compared cell by cell, the nearest cells first: of a hundred million pairs a few thousand are."""


def shortest_line(one: Voxels, other: Voxels, spacing_mm: Spacing) -> Chord:
    """From the border of one part to that of another; 0 mm long where they touch.

    The border is taken to run through the middle of each face between a voxel of the part and one outside, so two
    parts that share a face share a point.

    Args:
        one: where it starts, with at least one voxel.
        other: where it ends, with at least one voxel and none of the first.
        spacing_mm: along (z, y, x).
    """
    starts, ends = (_cells(_faces_mm(part, spacing_mm)) for part in (one, other))
    (low, high), (other_low, other_high) = _bounds(starts), _bounds(ends)
    apart = np.maximum(other_low - high[:, None], low[:, None] - other_high).clip(min=0.0)
    least = (apart**2).sum(axis=2)
    best, line = np.inf, np.empty((2, 3))
    for pair in np.argsort(least, axis=None):
        first, second = np.unravel_index(pair, least.shape)
        if least[first, second] >= best:
            break
        squared = ((starts[first][:, None] - ends[second][None]) ** 2).sum(axis=2)
        nearest = np.unravel_index(int(squared.argmin()), squared.shape)
        if squared[nearest] < best:
            best = float(squared[nearest])
            line = np.stack([starts[first][nearest[0]], ends[second][nearest[1]]])
    return Chord(line)


def _faces_mm(part: Voxels, spacing_mm: Spacing) -> FloatArray:
    """(n, 3) the middles of a part's outer faces, mm from the scan's voxel (0, 0, 0)."""
    padded = np.pad(part.inside, 1)
    faces = []
    for axis in range(3):
        found = np.argwhere(np.diff(padded, axis=axis)).astype(np.float64)
        found[:, axis] += 0.5
        faces.append(found)
    places: FloatArray = (np.concatenate(faces) + np.array(part.box.start) - 1.0) * np.array(spacing_mm)
    return places


def _cells(points: FloatArray) -> list[FloatArray]:
    """Points in cubes of `CELL_MM`, cube by cube."""
    cubes = np.floor(points / CELL_MM).astype(np.int64)
    order = np.lexsort(cubes.T)
    changes = np.flatnonzero(np.diff(cubes[order], axis=0).any(axis=1)) + 1
    return np.split(points[order], changes)


def _bounds(cells: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """(n, 3) the least and the greatest coordinates of each cell."""
    least = np.array([cell.min(axis=0) for cell in cells])
    return least, np.array([cell.max(axis=0) for cell in cells])
