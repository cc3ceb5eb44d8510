"""Whether a tumour may be two that were labelled as one."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from renalmap.anatomy import Voxels
from renalmap.imaging.connected import connected_parts

BoolArray = NDArray[np.bool_]

MOST_POINTS: Final = 40
"""Along the longest side of the box: enough to see a waist."""

LEAST_SHARE: Final = 0.3
"""Of the larger part's size, for the smaller one, when a waist is first cut through."""


def may_be_merged(tumour: Voxels, spacing_mm: tuple[float, float, float]) -> bool:
    """Whether peeling a tumour layer by layer leaves two parts of similar size before it is gone."""
    sides = np.array(tumour.inside.shape) * np.array(spacing_mm)
    pitch_mm = max(float(sides.max()) / MOST_POINTS, min(spacing_mm))
    counts = np.maximum(np.rint(sides / pitch_mm).astype(int), 1)
    index = [
        np.minimum((np.arange(count) + 0.5) * size / count, size - 1).astype(int)
        for count, size in zip(counts, tumour.inside.shape, strict=True)
    ]
    left = np.pad(tumour.inside[np.ix_(*index)], 1)
    while left.any():
        sizes = sorted((np.count_nonzero(part) for _, part in connected_parts(left)), reverse=True)
        if len(sizes) > 1 and sizes[1] >= LEAST_SHARE * sizes[0] and sizes[1] >= MOST_POINTS:
            return True
        left = _peeled(left)
    return False


def _peeled(mask: BoolArray) -> BoolArray:
    """Without the points that have a neighbour across a face outside the mask."""
    inner = mask.copy()
    for axis in range(3):
        for shift in (1, -1):
            inner &= np.roll(mask, shift, axis)
    return inner
