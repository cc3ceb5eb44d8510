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

from math import nan

import numpy as np
from numpy.typing import NDArray

from renalmap.labels import REGIONS

BoolMask = NDArray[np.bool_]


def region_mask(labels: NDArray[np.uint8], region: str) -> BoolMask:
    """The voxels of a region of `renalmap.labels.REGIONS`, by its name; labels of any shape."""
    return np.isin(labels, sorted(REGIONS[region]))


def dice(prediction: BoolMask, reference: BoolMask, *, both_empty: float = nan) -> float:
    """Dice coefficient 2 |A ∩ B| / (|A| + |B|) (Dice 1945).

    Args:
        prediction: boolean mask, any shape.
        reference: boolean mask of the same shape.
        both_empty: the value of 0/0. The default is NaN, "undefined", as in the function of this name in KiTS21
            and KiTS23: such a case is left out of a mean and counted. 1.0 calls it agreement, as KiTS23's scoring
            does, which raises the mean of a data set in which many cases have no tumour; 0.0 is KiTS19's.

    Returns:
        0..1; 0.0 if exactly one mask is empty; `both_empty` if both are.

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(prediction, reference)
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    if total == 0:
        return both_empty
    return 2.0 * int(np.count_nonzero(prediction & reference)) / total


def kits19_score(prediction: NDArray[np.uint8], reference: NDArray[np.uint8]) -> tuple[float, float]:
    """KiTS19's official scores of one case, in 3D: Dice of kidney + tumour and of tumour, never undefined.

    The challenge ranked a case by their mean. The labels have any shape, but the same.

    The rule is that of `starter_code/evaluation.py` in github.com/neheller/kits19 (commit bcdd8fe):
    kidney is every label above 0, tumour every label above 1, and a division by zero gives 0.0. That
    script divides NumPy integers, which never raise ZeroDivisionError, so as it stands it returns NaN
    for two empty masks; we use the 0.0 it intends. All of KiTS19's own cases have a kidney and a tumour, so
    its published scores do not depend on this.

    Raises:
        ValueError: the shapes differ.
    """
    kidney = dice(prediction > 0, reference > 0, both_empty=0.0)
    return kidney, dice(prediction > 1, reference > 1, both_empty=0.0)


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


def check_same_shape(prediction: BoolMask, reference: BoolMask) -> None:
    """Refuse masks that broadcasting would silently score, such as (1, y, x) against (z, y, x)."""
    if prediction.shape != reference.shape:
        raise ValueError(f"masks differ in shape: {prediction.shape} and {reference.shape}")
