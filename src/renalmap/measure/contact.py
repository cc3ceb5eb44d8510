"""How much of a tumour's surface lies against its kidney."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.anatomy.voxels import mask_in, widened
from renalmap.imaging.field import level_of, nearly_cubic, smooth_field
from renalmap.measure.lines import Spacing

FloatArray = NDArray[np.float64]

_FAINT, _FULL = 0.15, 0.85
"""Shares of the field between which a point is near enough to the surface to say what lies beyond it."""

_LOOK: Final = tuple(np.arange(0.1, 2.01, 0.1).tolist())
"""Voxels outwards at which it is asked what lies there; the first that is not the lesion itself answers."""

_LESION, _KIDNEY = 2, 1

_MOST_POINTS: Final = 1_500_000
"""In a lesion; with more, its voxels are fine enough as they are."""


@dataclass(frozen=True, eq=False)
class SmoothLesion:
    """A lesion with a surface that runs between the voxels, at a level of its smoothed mask.

    Attributes:
        voxels: at least one.
        spacing_mm: along (z, y, x).
        field: float32, on a finer and nearly cubic grid.
        parts: points of that grid for each voxel, along (z, y, x).
        first: the voxel of the scan's grid in which the field's first point lies, at its centre.
        level: of the field; it encloses as much as the voxels do.
    """

    voxels: Voxels
    spacing_mm: Spacing
    field: NDArray[np.float32] = field(repr=False)
    parts: NDArray[np.intp]
    first: NDArray[np.intp]
    level: float

    @classmethod
    def of(cls, lesion: Voxels, spacing_mm: Spacing) -> SmoothLesion:
        """Smooth a lesion."""
        cubic = nearly_cubic(spacing_mm)
        parts = np.array(cubic if lesion.size * prod(cubic) <= _MOST_POINTS else (1, 1, 1))
        smooth, to_voxel = smooth_field(lesion.inside, spacing_mm, tuple(parts.tolist()))
        first = np.array(lesion.box.start) + to_voxel[:3, 3].astype(np.intp)
        level = level_of(smooth, lesion.size * int(parts.prod()))
        return cls(lesion, spacing_mm, smooth, parts, first, level)


def contact_area_mm2(lesion: SmoothLesion, kidney: Sequence[Voxels]) -> float:
    """The area of a lesion's surface beyond which lies its kidney's own tissue.

    The surface is that of the smoothed mask, never the faces of voxels: its area is the integral of the field's
    slope (coarea formula; Federer 1959), which averages over all levels. Each point near the surface is moved onto
    it, and the first voxel beyond that is not the lesion's says what it touches.

    Args:
        lesion: the lesion.
        kidney: the pieces of its kidney's own tissue.

    Returns:
        mm²; 0 where the two do not touch. A cyst, the sinus and fat are not kidney tissue.
    """
    smooth, spacing_mm = lesion.field, np.array(lesion.spacing_mm)
    step_mm = spacing_mm / lesion.parts
    slopes = np.array(np.gradient(smooth, *step_mm))
    steepness = np.sqrt((slopes * slopes).sum(axis=0))
    area_mm2 = float(steepness.sum(dtype=np.float64) * step_mm.prod())
    top = float(smooth.max())
    edge = (smooth > _FAINT * top) & (smooth < _FULL * top) & (steepness > 0.0)
    weights = steepness[edge].astype(np.float64)
    outward = -slopes[:, edge].T / weights[:, None]
    inwards_mm = (lesion.level - smooth[edge]) / weights
    places_mm = np.argwhere(edge) * step_mm - inwards_mm[:, None] * outward
    voxels = places_mm / spacing_mm + lesion.first
    touching = _beyond(voxels, outward / spacing_mm, lesion.voxels, kidney) == _KIDNEY
    return area_mm2 * float(weights[touching].sum() / weights.sum())


def _beyond(
    voxels: FloatArray, outward: FloatArray, lesion: Voxels, kidney: Sequence[Voxels]
) -> NDArray[np.uint8]:
    """(n,) what lies beyond each place: the lesion again, kidney, or 0 for anything else.

    Args:
        voxels: (n, 3) places on the surface, in voxels of the grid.
        outward: (n, 3) the way out in voxels, of any length.
        lesion: of which it is the surface.
        kidney: its own tissue.
    """
    box = widened(lesion.box, (4, 4, 4))
    labels = np.where(mask_in([lesion], box), _LESION, mask_in(kidney, box)).astype(np.uint8)
    unit = outward / np.linalg.norm(outward, axis=1)[:, None]
    last = np.array(labels.shape) - 1
    found = np.full(len(voxels), _LESION, np.uint8)
    for far in _LOOK:
        still = np.flatnonzero(found == _LESION)
        if not still.size:
            break
        index = np.rint(voxels[still] + far * unit[still]).astype(np.intp) - np.array(box.start)
        found[still] = labels[tuple(np.clip(index, 0, last).T)]
    return found
