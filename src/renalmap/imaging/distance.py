"""How far the voxels of a grid are from a mask, up to a limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PART_VALUES = 1 << 16
"""How many values are worked on at a time: so few stay in the processor's cache from step to step."""


def squared_distance_mm2(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], limit_mm: float
) -> NDArray[np.float32]:
    """Squared distances between centres, a minimum over steps along z, then y, then x: exact up to the limit.

    Args:
        mask: axes (z, y, x).
        spacing_mm: along them.
        limit_mm: what is farther away may get any greater number, or infinity.
    """
    squared = np.where(mask, np.float32(0.0), np.float32(np.inf))
    for axis, spacing in enumerate(spacing_mm):
        squared = _spread(squared, axis, spacing, int(limit_mm / spacing + 1e-6))
    return squared


def _spread(
    squared: NDArray[np.float32], axis: int, spacing_mm: float, steps: int
) -> NDArray[np.float32]:
    spread = np.empty_like(squared)
    across = 1 if axis == 0 else 0
    width = max(1, _PART_VALUES * squared.shape[across] // max(1, squared.size))
    for start in range(0, squared.shape[across], width):
        part = tuple(slice(start, start + width) if each == across else slice(None) for each in range(3))
        before = np.moveaxis(squared[part], axis, 0)
        after = before.copy()
        for step in range(1, min(steps, len(before) - 1) + 1):
            further = np.float32((step * spacing_mm) ** 2)
            np.minimum(after[step:], before[:-step] + further, out=after[step:])
            np.minimum(after[:-step], before[step:] + further, out=after[:-step])
        spread[part] = np.moveaxis(after, 0, axis)
    return spread
