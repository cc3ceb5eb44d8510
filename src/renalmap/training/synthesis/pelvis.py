"""A full renal pelvis: fluid or contrast agent where there was fat in the kidney's hollow. It stays background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalmap.imaging.masks import BoolPlane, bounding_slices
from renalmap.inference import enhancement
from renalmap.labels import BACKGROUND, KIDNEY
from renalmap.training.synthesis.fields import FloatPlane, gaussian_blur, smooth_field
from renalmap.training.synthesis.surroundings import estimate_noise, find_kidneys

EXCRETED_SHARE = 0.25
"""How often the pelvis holds contrast agent instead of urine."""
EXCRETED_HU = (150.0, 900.0)
URINE_HU = (-2.0, 22.0)
EDGE_PX = 0.8


@dataclass(frozen=True)
class Pelvis:
    """What fills the hollow.

    Attributes:
        hu: of the fluid.
        grain: seeds its noise.
    """

    hu: float
    grain: int


def draw_pelvis(generator: np.random.Generator) -> Pelvis:
    """Draw urine or, a quarter of the time, contrast agent that the kidney has excreted."""
    limits = EXCRETED_HU if generator.random() < EXCRETED_SHARE else URINE_HU
    return Pelvis(float(generator.uniform(*limits)), int(generator.integers(2**31)))


def hollow_of(labels: NDArray[np.uint8]) -> BoolPlane:
    """Background that a kidney closes around on three sides: fat, pelvis and vessels of the sinus."""
    hollow = np.zeros(labels.shape, np.bool_)
    for kidney in find_kidneys(labels):
        box = bounding_slices(kidney)
        hollow[box] |= enhancement.hollow_of(kidney[box])
    background: BoolPlane = hollow & (labels == BACKGROUND)
    return background


def fill_pelvis(hu: FloatPlane, labels: NDArray[np.uint8], pelvis: Pelvis) -> FloatPlane:
    """Fill the kidneys' hollow, with the slice's noise.

    Args:
        hu: (rows, columns).
        labels: the same shape; no label changes.
        pelvis: the fluid.

    Returns:
        New HU; equal to the old ones where there is no hollow.
    """
    changed = hu.copy()
    kidney = labels == KIDNEY
    if not kidney.any():
        return changed
    box = bounding_slices(kidney)
    piece, classes = hu[box], labels[box]
    hollow = hollow_of(classes)
    if not hollow.any():
        return changed
    noise = estimate_noise(piece)
    grains = smooth_field(piece.shape, noise.grain_px, np.random.default_rng(pelvis.grain))
    weight = gaussian_blur(hollow, EDGE_PX) * (classes == BACKGROUND)
    changed[box] = piece + weight * (pelvis.hu + noise.deviation_hu * grains - piece)
    return changed
