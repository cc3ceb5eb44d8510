"""How much of a lesion protrudes from its kidney's outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.anatomy.voxels import mask_in, widened
from renalmap.measure.diameters import directions, outermost
from renalmap.measure.lines import Spacing, border_mm

FloatArray = NDArray[np.float64]

MOST_VOXELS: Final = 5000
"""This many voxels of a lesion, evenly picked, give the share to one per cent."""


def exophytic_share(lesion: Voxels, kidney: Sequence[Voxels], spacing_mm: Spacing) -> float:
    """The share of a lesion's voxels outside the convex closing of its kidney's own tissue.

    Args:
        lesion: the lesion.
        kidney: the pieces of its kidney's own tissue, without any lesion; at least one.
        spacing_mm: along (z, y, x).

    Returns:
        From 0 (inside the outline) to 1. A plane, not the bulge that was there, closes the crater that a lesion
        leaves in the kidney's surface, so a lesion sunk half-way comes out at somewhat more than a half.
    """
    return float((beyond_outline_mm(lesion, kidney, spacing_mm) > 0.0).mean())


def beyond_outline_mm(lesion: Voxels, parts: Sequence[Voxels], spacing_mm: Spacing) -> FloatArray:
    """How far beyond the convex closing of some parts a lesion's voxels lie; negative inside it.

    Args:
        lesion: the lesion, of which at most `MOST_VOXELS`, evenly picked, are looked at.
        parts: at least one.
        spacing_mm: along (z, y, x).
    """
    voxels = np.argwhere(lesion.inside)[:: -(-lesion.size // MOST_VOXELS)]
    return _beyond_mm((voxels + np.array(lesion.box.start)) * np.array(spacing_mm), parts, spacing_mm)


def exophytic_part(lesion: Voxels, kidney: Sequence[Voxels], spacing_mm: Spacing) -> Voxels:
    """The voxels that `exophytic_share` counts, all of them; there may be none."""
    voxels = np.argwhere(lesion.inside)
    outside = np.zeros_like(lesion.inside)
    for some in np.array_split(voxels, -(-len(voxels) // MOST_VOXELS)):
        places_mm = (some + np.array(lesion.box.start)) * np.array(spacing_mm)
        outside[tuple(some.T)] = _beyond_mm(places_mm, kidney, spacing_mm) > 0.0
    return replace(lesion, inside=outside)


def bare_share(lesion: Voxels, covering: Sequence[Voxels], spacing_mm: Spacing) -> float:
    """The share of a lesion's border, by the area of its voxels' faces, beyond which nothing that covers it lies.

    Args:
        lesion: the lesion.
        covering: such as its kidney's tissue, its sinus and other lesions.
        spacing_mm: along (z, y, x).
    """
    box = widened(lesion.box, (1, 1, 1))
    inside, covered = mask_in([lesion], box), mask_in(covering, box)
    border_mm2 = bare_mm2 = 0.0
    for axis in range(3):
        face_mm2 = float(np.prod(spacing_mm)) / spacing_mm[axis]
        own, beyond = np.moveaxis(inside, axis, 0), np.moveaxis(covered, axis, 0)
        for near, far in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
            faces = own[near] & ~own[far]
            border_mm2 += face_mm2 * np.count_nonzero(faces)
            bare_mm2 += face_mm2 * np.count_nonzero(faces & ~beyond[far])
    return bare_mm2 / border_mm2


def _beyond_mm(places_mm: FloatArray, parts: Sequence[Voxels], spacing_mm: Spacing) -> FloatArray:
    outline = np.concatenate([border_mm(part, spacing_mm) for part in parts])
    highest, lowest = ((outline[index] * directions()).sum(axis=1) for index in outermost(outline))
    heights = places_mm @ directions().T
    beyond: FloatArray = np.maximum((heights - highest).max(axis=1), (lowest - heights).max(axis=1))
    return beyond
