"""How much of a lesion protrudes from its kidney's outline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
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
    outline = np.concatenate([border_mm(part, spacing_mm) for part in kidney])
    highest, lowest = ((outline[index] * directions()).sum(axis=1) for index in outermost(outline))
    voxels = np.argwhere(lesion.inside)[:: -(-lesion.size // MOST_VOXELS)]
    heights = ((voxels + np.array(lesion.box.start)) * np.array(spacing_mm)) @ directions().T
    outside = ((heights > highest) | (heights < lowest)).any(axis=1)
    return float(outside.mean())
