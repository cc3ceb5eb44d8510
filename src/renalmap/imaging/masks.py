"""The border of a mask in a plane, and the box about it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoolPlane = NDArray[np.bool_]


def contour(mask: BoolPlane) -> BoolPlane:
    """The pixels of a mask that have a 4-neighbour outside it; beyond the plane is outside."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: BoolPlane = mask & ~inner
    return edge


def bounding_slices(mask: BoolPlane, margin_px: int = 0) -> tuple[slice, slice]:
    """The slices of the smallest box about a mask that is not empty, widened within the plane."""
    spans = []
    for axis, length in zip((1, 0), mask.shape, strict=True):
        found = np.flatnonzero(mask.any(axis=axis))
        spans.append(
            slice(max(int(found[0]) - margin_px, 0), min(int(found[-1]) + 1 + margin_px, length))
        )
    return spans[0], spans[1]
