"""Overlap and volume of masks: pure functions on boolean arrays.

Published Dice scores disagree silently on one thing, the empty mask, so every function says how it
treats one:

==================  =============  ===============================================================
function            both empty     one empty
==================  =============  ===============================================================
`dice`              `both_empty`   0
`kits19_score`      0              0
`score_kits23`      1              0
==================  =============  ===============================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from renalmap.labels import REGIONS

BoolMask = NDArray[np.bool_]


@dataclass(frozen=True)
class Kits19Score:
    """One case's score by KiTS19's official rules, each in 0..1 and never undefined.

    Attributes:
        kidney: Dice of kidney + tumour against background.
        tumour: Dice of tumour against the rest.
    """

    kidney: float
    tumour: float

    @property
    def composite(self) -> float:
        """Mean of the two, by which the challenge ranked a case."""
        return (self.kidney + self.tumour) / 2.0


def region_mask(labels: NDArray[np.uint8], region: str) -> BoolMask:
    """The voxels of a region of `renalmap.labels.REGIONS`.

    Args:
        labels: uint8 labels, any shape.
        region: its name.
    """
    return np.isin(labels, sorted(REGIONS[region]))


def dice(prediction: BoolMask, reference: BoolMask, *, both_empty: float = nan) -> float:
    """Dice coefficient 2 |A ∩ B| / (|A| + |B|) (Dice 1945).

    Args:
        prediction: boolean mask, any shape.
        reference: boolean mask of the same shape.
        both_empty: the value of 0/0. NaN, "undefined", is the default, also of the
            function of this name in KiTS21 and KiTS23: such a case is left out of a mean and counted. 1.0 calls it agreement, which
            raises the mean of a data set in which many cases have no tumour, and is what KiTS23 does before it reaches this function; 0.0 is KiTS19's.

    Returns:
        0..1; 0.0 if exactly one mask is empty; `both_empty` if both are.

    Raises:
        ValueError: the shapes differ.
    """
    _check_same_shape(prediction, reference)
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    if total == 0:
        return both_empty
    return 2.0 * int(np.count_nonzero(prediction & reference)) / total


def kits19_score(prediction: NDArray[np.uint8], reference: NDArray[np.uint8]) -> Kits19Score:
    """The official KiTS19 scoring of one case, in 3D.

    The rule is that of `starter_code/evaluation.py` in github.com/neheller/kits19 (commit bcdd8fe):
    kidney is every label above 0, tumour every label above 1, and a division by zero gives 0.0. That
    script divides NumPy integers, which never raise ZeroDivisionError, so as it stands it returns NaN
    for two empty masks; the 0.0 it intends is what we use here. All of KiTS19's own
    cases have a kidney and a tumour, so its published scores do not depend on this.

    Args:
        prediction: uint8 labels, any shape.
        reference: uint8 labels of the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    kidney = dice(prediction > 0, reference > 0, both_empty=0.0)
    tumour = dice(prediction > 1, reference > 1, both_empty=0.0)
    return Kits19Score(kidney=kidney, tumour=tumour)


def volume_ml(mask: BoolMask, spacing_mm: tuple[float, ...]) -> float:
    """Volume of a mask in millilitres, 0.0 if it is empty.

    Args:
        mask: boolean mask.
        spacing_mm: distance between voxel centres along each of its axes.

    Raises:
        ValueError: mask and spacing differ in their number of axes.
    """
    if mask.ndim != len(spacing_mm):
        raise ValueError(f"a mask of {mask.ndim} axes needs as many spacings, got {spacing_mm}")
    return float(np.count_nonzero(mask)) * float(np.prod(spacing_mm)) / 1000.0


def _check_same_shape(prediction: BoolMask, reference: BoolMask) -> None:
    # Broadcasting would otherwise silently score (1, y, x) against (z, y, x).
    if prediction.shape != reference.shape:
        raise ValueError(f"masks differ in shape: {prediction.shape} and {reference.shape}")
