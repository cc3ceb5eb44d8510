"""How much of a lesion stands out of its kidney's outline."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.measure.anatomy import Part
from renalmap.measure.diameters import directions, hull_by_plane
from renalmap.measure.lines import Spacing, border_mm

FloatArray = NDArray[np.float64]

MOST_VOXELS: Final = 20_000
"""So many voxels of a lesion, evenly picked, tell the share to half a per cent."""

_CHUNK: Final = 4096


def exophytic_share(lesion: Part, kidney: list[Part], spacing_mm: Spacing) -> float:
    """The share of a lesion's voxels outside the convex closing of its kidney's own tissue.

    Args:
        lesion: the lesion.
        kidney: the pieces of its kidney's own tissue, without any lesion; at least one.
        spacing_mm: along (z, y, x).

    Returns:
        From 0 (inside the outline) to 1. A flat crater that a lesion leaves in the kidney's surface is
        closed by a plane, not by the bulge that was there, so that a lesion sunk half-way reads
        somewhat more than a half.
    """
    units = directions().T
    outline = hull_by_plane(np.concatenate([border_mm(part, spacing_mm) for part in kidney]))
    highest, lowest = np.full(units.shape[1], -np.inf), np.full(units.shape[1], np.inf)
    for start in range(0, len(outline), _CHUNK):
        heights = outline[start : start + _CHUNK] @ units
        highest = np.maximum(highest, heights.max(axis=0))
        lowest = np.minimum(lowest, heights.min(axis=0))
    voxels = np.argwhere(lesion.inside)
    voxels = voxels[:: -(-len(voxels) // MOST_VOXELS)]
    places_mm = (voxels + np.array(lesion.box.start)) * np.array(spacing_mm)
    outside = 0
    for start in range(0, len(places_mm), _CHUNK):
        heights = places_mm[start : start + _CHUNK] @ units
        outside += int(np.count_nonzero(((heights > highest) | (heights < lowest)).any(axis=1)))
    return outside / len(places_mm)
