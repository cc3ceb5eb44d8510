"""How sure the networks are of a kidney and of a tumour: a raw score in [0, 1] from their probabilities.

A raw score is not a probability of anything. The bundle's calibration, fitted on patients that the
networks did not train on, turns it into one (`renalmap.evaluation.reliability`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from renalmap.anatomy import Voxels
from renalmap.imaging.volume import Box, Geometry, LabelMap, part_of_grid
from renalmap.inference.probability import RegionProbability
from renalmap.labels import BACKGROUND

MARGIN_MM: Final = 10.0
"""Up to this far around a component, doubt about what was left out counts as well."""

HALF_SIZE_ML: Final = 1.0
"""A tumour of this volume has half the score that its probabilities alone would give."""


def expected_dice(probability: RegionProbability, parts: Sequence[Voxels], label_map: LabelMap) -> float:
    """Soft Dice of a mask with the probabilities it was made from, 2 sum(p m) / (sum(p) + sum(m)).

    If the probabilities were right, it would be about the Dice to be expected against the truth. The
    sum of p runs over the mask and, around each part, 10 mm of what no other kidney has.

    Args:
        probability: of the region.
        parts: the mask.
        label_map: on the scan's grid. What is foreground in it and not of the mask is left out.

    Returns:
        0 to 1; 0.0 for an empty mask.
    """
    overlap = summed = size = 0.0
    for part in parts:
        wide = _widened(part.box, label_map.geometry)
        values = probability.at(wide)
        mask = part_of_grid(part.inside, part.box.start, wide)
        counted = mask | (label_map.labels[wide.slices] == BACKGROUND)
        overlap += float(values[mask].sum(dtype=np.int64)) / 255.0
        summed += float(values[counted].sum(dtype=np.int64)) / 255.0
        size += part.size
    return 2.0 * overlap / (summed + size) if size else 0.0


def tumour_score(probability: RegionProbability, part: Voxels, voxel_ml: float) -> float:
    """How much suggests that a component is a real tumour: its mean probability, lowered for a small one.

    mean(p) V / (V + 1 ml), because small components are mistakes more often than large ones; 0.0 for an empty
    one.
    """
    if part.size == 0:
        return 0.0
    mean = float(probability.at(part.box)[part.inside].mean(dtype=np.float64)) / 255.0
    volume_ml = part.size * voxel_ml
    return mean * volume_ml / (volume_ml + HALF_SIZE_ML)


def _widened(box: Box, geometry: Geometry) -> Box:
    margins = [round(MARGIN_MM / mm) for mm in geometry.spacing_mm]
    return Box(
        tuple(max(0, low - margin) for low, margin in zip(box.start, margins, strict=True)),
        tuple(
            min(size, high + margin)
            for high, margin, size in zip(box.stop, margins, geometry.shape, strict=True)
        ),
    )
