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

from renalmap.evaluation.metrics import BoolMask
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
        from_reference_mm: distance of each element of the reference's surface, ascending.
        from_prediction_mm: distance of each element of the prediction's surface, ascending.
        reference_areas_mm2: areas of the reference's elements, in the order of their distances.
        prediction_areas_mm2: areas of the prediction's elements, likewise.

    An empty mask has no elements.
    """

    from_reference_mm: NDArray[np.float64]
    from_prediction_mm: NDArray[np.float64]
    reference_areas_mm2: NDArray[np.float64]
    prediction_areas_mm2: NDArray[np.float64]

    def hd_mm(self, percent: float = 95.0) -> float:
        """Robust Hausdorff distance: the larger of the two directions' area-weighted percentiles.

        Returns:
            mm; NaN if both masks are empty, infinite if one is.
        """
        undefined = self._undefined(one_empty=inf)
        if undefined is not None:
            return undefined
        return float(_package().compute_robust_hausdorff(self._as_package_wants(), percent))

    def dice(self, tolerance_mm: float) -> float:
        """Surface Dice: the share of both surfaces within a tolerance of the other (Nikolov 2021).

        Returns:
            0..1; NaN if both masks are empty, 0.0 if one is.
        """
        undefined = self._undefined(one_empty=0.0)
        if undefined is not None:
            return undefined
        package = _package()
        return float(package.compute_surface_dice_at_tolerance(self._as_package_wants(), tolerance_mm))

    def _undefined(self, *, one_empty: float) -> float | None:
        empty = (self.from_reference_mm.size == 0, self.from_prediction_mm.size == 0)
        if all(empty):
            return nan
        return one_empty if any(empty) else None

    def _as_package_wants(self) -> dict[str, NDArray[np.float64]]:
        return {
            "distances_gt_to_pred": self.from_reference_mm,
            "distances_pred_to_gt": self.from_prediction_mm,
            "surfel_areas_gt": self.reference_areas_mm2,
            "surfel_areas_pred": self.prediction_areas_mm2,
        }


def surface_distances(
    prediction: BoolMask, reference: BoolMask, spacing_mm: tuple[float, float, float]
) -> SurfaceDistances:
    """Measure the distances between two masks' surfaces, once for all surface metrics.

    Args:
        prediction: boolean mask, axes (z, y, x).
        reference: boolean mask of the same shape.
        spacing_mm: distance between voxel centres along (z, y, x).

    Returns:
        The distances. An empty mask has no surface; the other one's is then given as a single
        element, infinitely far away.

    Raises:
        ValueError: the shapes differ.
        MissingDependencyError: `surface-distance` is not installed.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"masks differ in shape: {prediction.shape} and {reference.shape}")
    package = _package()
    found = bool(prediction.any()), bool(reference.any())
    if not all(found):
        nothing, infinite = np.empty(0), np.array([inf])
        ours, theirs = (infinite if exists else nothing for exists in found)
        return SurfaceDistances(theirs, ours, np.ones(theirs.size), np.ones(ours.size))
    with warnings.catch_warnings():
        # Version 0.1 reaches SciPy's filters through `scipy.ndimage.filters`, deprecated until SciPy 2.
        warnings.filterwarnings(
            "ignore", r"Please import `\w+` from the `scipy.ndimage`", DeprecationWarning
        )
        measured = package.compute_surface_distances(reference, prediction, spacing_mm)
    return SurfaceDistances(
        from_reference_mm=measured["distances_gt_to_pred"],
        from_prediction_mm=measured["distances_pred_to_gt"],
        reference_areas_mm2=measured["surfel_areas_gt"],
        prediction_areas_mm2=measured["surfel_areas_pred"],
    )


def hd95_mm(prediction: BoolMask, reference: BoolMask, spacing_mm: tuple[float, float, float]) -> float:
    """95th percentile of the distance between two masks' surfaces, the worse of both directions.

    Arguments and errors are those of `surface_distances`.

    Returns:
        mm; NaN if both masks are empty, infinite if one is.
    """
    return surface_distances(prediction, reference, spacing_mm).hd_mm(95.0)


def surface_dice(
    prediction: BoolMask,
    reference: BoolMask,
    spacing_mm: tuple[float, float, float],
    *,
    tolerance_mm: float,
) -> float:
    """Share of both surfaces that lies within a tolerance of the other.

    Arguments and errors are those of `surface_distances`; KiTS's tolerances are `KITS_TOLERANCE_MM`.

    Returns:
        0..1; NaN if both masks are empty, 0.0 if one is.
    """
    return surface_distances(prediction, reference, spacing_mm).dice(tolerance_mm)


def check_surfaces_available() -> None:
    """Check before the work whether surface distances can be computed.

    Raises:
        MissingDependencyError: `surface-distance` is not installed.
    """
    _package()


def _package() -> Any:
    return import_extra("surface_distance", "a surface distance")  # which pulls in SciPy
