"""Another contrast phase: change how bright the kidneys' own tissue is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.masks import BoolPlane, bounding_slices
from renalmap.labels import TUMOUR
from renalmap.training.synthesis.fields import FloatPlane, gaussian_blur

CORTEX_MM = 4.5
TUMOUR_SHARE = 0.4
"""A tumour follows the kidney's phase by this much."""
MARGIN_PX = 12


@dataclass(frozen=True)
class Phase:
    """A change of contrast phase.

    Attributes:
        base_hu: soft tissue without contrast agent; only what exceeds it is changed.
        cortex_gain: factor for the enhancement near the kidney's border.
        medulla_gain: factor for that deep inside.
    """

    base_hu: float
    cortex_gain: float
    medulla_gain: float


def draw_phase(base_hu: float, generator: np.random.Generator) -> Phase:
    """Draw no contrast agent (a quarter), a weaker or stronger phase (half), or a corticomedullary one."""
    kind = generator.random()
    if kind < 0.25:
        gain = float(generator.uniform(0.0, 0.15))
        return Phase(base_hu, gain, gain)
    if kind < 0.75:
        gain = float(np.exp(generator.uniform(np.log(0.4), np.log(1.5))))
        return Phase(base_hu, gain, gain * float(generator.uniform(0.9, 1.1)))
    return Phase(base_hu, float(generator.uniform(1.1, 1.6)), float(generator.uniform(0.4, 0.85)))


def change_phase(
    hu: FloatPlane, labels: NDArray[np.uint8], phase: Phase, spacing_mm: tuple[float, float]
) -> FloatPlane:
    """Change the enhancement of the kidneys of a slice, and less that of its tumours.

    The local mean of the excess over `base_hu` is scaled, so that the scan's noise stays as it is. At the
    kidney's border, which it shares with fat, a pixel loses or gains only by its share of kidney.

    Args:
        hu: (rows, columns).
        labels: the same shape.
        phase: the change.
        spacing_mm: pixel spacing (row, column).

    Returns:
        New HU, equal to the old ones farther than `MARGIN_PX` from the bounding box of all labels, or
        everywhere where there are none.
    """
    changed = hu.copy()
    foreground = labels > 0
    if not foreground.any():
        return changed
    box = bounding_slices(foreground, MARGIN_PX)
    piece, classes = hu[box], labels[box]
    pixel_mm = float(np.sqrt(np.prod(spacing_mm)))
    depth = gaussian_blur(foreground[box], min(CORTEX_MM / pixel_mm, 8.0))
    # The blurred mask is a half at the border and near 1 a cortex's thickness inside.
    inner = np.clip((depth - 0.55) / 0.4, 0, 1)
    inner = inner * inner * (3 - 2 * inner)
    gain = phase.cortex_gain + (phase.medulla_gain - phase.cortex_gain) * inner
    strength = np.where(classes == TUMOUR, TUMOUR_SHARE, 1.0) * foreground[box]
    weight = gaussian_blur(strength, 0.8) / np.maximum(gaussian_blur(foreground[box], 0.8), 0.05)
    weight *= gaussian_blur(depth > 0.4, 0.6)  # a pixel or so beyond the border, for its partial volumes
    changed[box] = piece + weight * (gain - 1) * _kidneys_excess(piece - phase.base_hu, foreground[box])
    return changed


def _kidneys_excess(over_base_hu: FloatPlane, foreground: BoolPlane) -> FloatPlane:
    """How much of each pixel's HU is the kidney's enhancement, without the noise."""
    over_hu = np.maximum(over_base_hu, 0)
    mean_hu = gaussian_blur(over_hu * foreground, 1.5)
    mean_hu /= np.maximum(gaussian_blur(foreground, 1.5), 0.02)
    # Inside the kidney noise must not count as partial volume, hence the 1.2.
    share = 1.2 * gaussian_blur(over_hu, 0.5) / np.maximum(mean_hu, 1.0)
    excess_hu: FloatPlane = mean_hu * np.minimum(share, 1.0)
    return excess_hu
