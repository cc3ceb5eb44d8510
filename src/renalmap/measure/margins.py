"""How much kidney tissue lies near a tumour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from renalmap.anatomy import Voxels
from renalmap.anatomy.voxels import joined, mask_in, widened
from renalmap.imaging.distance import squared_distance_mm2
from renalmap.imaging.volume import Box, part_of_grid
from renalmap.measure.contact import SmoothLesion

_BORDER_PARTS: Final = 0.2
"""How far beyond the outermost points of a rounded body its surface lies, as a share of their distance: the nearest of
many points counts, so that it is less than a half."""

_FINEST_MM: Final = 0.4
"""Points closer together than this are thinned out: the time grows with their number and with how far they reach."""


def tissue_near_ml(
    lesion: SmoothLesion, kidney: Sequence[Voxels], margins_mm: Sequence[float]
) -> list[float]:
    """The volume of a kidney's own tissue within margins about a lesion.

    Args:
        lesion: the lesion.
        kidney: the pieces of its kidney's own tissue, at least one.
        margins_mm: distances from the lesion's surface.

    Returns:
        A volume for each margin, ml.
    """
    step_mm = np.array(lesion.spacing_mm) / lesion.parts
    every = np.maximum(1, (_FINEST_MM / step_mm).astype(np.intp))
    step_mm = step_mm * every
    border_mm = _BORDER_PARTS * float(step_mm.mean())
    limit_mm = max(margins_mm) + border_mm
    reach = [int(limit_mm / step) + 1 for step in lesion.spacing_mm]
    box = _shared(widened(lesion.voxels.box, reach), widened(joined(kidney).box, reach))
    if box is None:
        return [0.0 for _ in margins_mm]
    fine = Box(*(tuple((np.array(ends) * lesion.parts).tolist()) for ends in (box.start, box.stop)))
    inside = part_of_grid(lesion.field > lesion.level, (lesion.first * lesion.parts).tolist(), fine)
    tissue = mask_in(kidney, widened(box, (1, 1, 1)))
    for axis, parts in enumerate(lesion.parts):
        # A voxel begins half a voxel before its centre, where the fine grid's first point lies.
        points = np.rint(np.arange(fine.shape[axis]) / parts + 1e-6).astype(np.intp) + 1
        tissue = tissue.take(points, axis)
    some = tuple(slice(None, None, step) for step in every.tolist())
    z_mm, y_mm, x_mm = step_mm.tolist()
    squared = squared_distance_mm2(inside[some], (z_mm, y_mm, x_mm), limit_mm)[tissue[some]]
    point_ml = float(step_mm.prod()) / 1000.0
    return [float((squared <= (margin + border_mm) ** 2).sum()) * point_ml for margin in margins_mm]


def _shared(one: Box, other: Box) -> Box | None:
    """What two boxes have in common."""
    start = tuple(max(ends) for ends in zip(one.start, other.start, strict=True))
    stop = tuple(min(ends) for ends in zip(one.stop, other.stop, strict=True))
    return Box(start, stop) if all(low < high for low, high in zip(start, stop, strict=True)) else None
