"""Distances between the surfaces of two masks, by DeepMind's `surface-distance`.

Empty masks: with both empty every metric is NaN (undefined); with one empty HD95 is infinite (there
is nothing to measure to) and the surface Dice 0. They are handled here, before the package is
called: version 0.1 still uses `np.Inf`, which NumPy 2 removed, on exactly those masks.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.evaluation.metrics import BoolMask, check_same_shape
from renalmap.extras import import_extra

KITS_TOLERANCE_MM: Final[Mapping[str, float]] = MappingProxyType(
    {
        "kidney": 1.0330772532390826,
        "kidney_and_masses": 1.0330772532390826,
        "masses": 1.1328796488598762,
        "tumour": 1.1498198361434828,
    }
)
"""Surface Dice tolerances of KiTS21 and KiTS23, measured there between annotators.

Source: `HEC_SD_TOLERANCES_MM` in `kits21/evaluation` and `kits23/configuration/labels.py` of
github.com/neheller ("kidney_and_mass", "mass" and "tumor"). Without cysts, kidney and masses are the kidney of KiTS19.
"""


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances between two surfaces, each surface element weighted by its area.

    Attributes:
        empty: how many of the two masks are empty; then nothing was measured.
        measured: distances in mm and areas in mm2 of all elements, as the package gives them.
    """

    empty: int
    measured: Mapping[str, NDArray[np.float64]]

    def hd_mm(self, percent: float = 95.0) -> float:
        """Robust Hausdorff distance: the larger of the two directions' area-weighted percentiles.

        Returns:
            mm; NaN if both masks are empty, infinite if one is.
        """
        if self.empty:
            return nan if self.empty == 2 else inf
        return float(_package().compute_robust_hausdorff(self.measured, percent))

    def dice(self, tolerance_mm: float, *, both_empty: float = nan) -> float:
        """Surface Dice: the share of both surfaces within a tolerance of the other (Nikolov 2021).

        Returns:
            0..1; `both_empty` if both masks are empty, 0.0 if one is.
        """
        if self.empty:
            return both_empty if self.empty == 2 else 0.0
        return float(_package().compute_surface_dice_at_tolerance(self.measured, tolerance_mm))


def surface_distances(
    prediction: BoolMask, reference: BoolMask, spacing_mm: tuple[float, float, float]
) -> SurfaceDistances:
    """Measure the distances between two masks' surfaces, once for all surface metrics.

    Args:
        prediction: boolean mask, axes (z, y, x).
        reference: boolean mask of the same shape.
        spacing_mm: distance between voxel centres along (z, y, x).

    Raises:
        ValueError: the shapes differ.
        MissingDependencyError: `surface-distance` is not installed.
    """
    check_same_shape(prediction, reference)
    package = _package()
    empty = 2 - int(prediction.any()) - int(reference.any())
    if empty:
        return SurfaceDistances(empty, {})
    with warnings.catch_warnings():
        # Version 0.1 reaches SciPy's filters through `scipy.ndimage.filters`, deprecated until SciPy 2.
        warnings.filterwarnings(
            "ignore", r"Please import `\w+` from the `scipy.ndimage`", DeprecationWarning
        )
        return SurfaceDistances(0, package.compute_surface_distances(reference, prediction, spacing_mm))


def check_surfaces_available() -> None:
    """Check before the work whether surface distances can be computed.

    Raises:
        MissingDependencyError: `surface-distance` is not installed.
    """
    _package()


def _package() -> Any:
    return import_extra("surface_distance", "a surface distance")  # which pulls in SciPy
