"""The official KiTS23 (and KiTS21) scoring of one case: three nested regions, Dice and surface Dice.

The rules are those of `kits23/evaluation/metrics.py` in github.com/neheller/kits23 (commit d7eb4c9), which
calls the regions hierarchical evaluation classes. Where a region is empty in both label maps, both scores
are 1; where it is empty in one, both are 0. So no score is undefined, and a mean is over all cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from renalmap.evaluation.cases import comparable
from renalmap.evaluation.metrics import dice, region_mask, volume_ml
from renalmap.evaluation.surface import KITS_TOLERANCE_MM, surface_distances
from renalmap.imaging.volume import LabelMap
from renalmap.labels import CYST

KITS23_REGIONS: Final = ("kidney_and_masses", "masses", "tumour")
"""Labels {1, 2, 3}, {2, 3} and {2}: KiTS's "kidney_and_mass", "mass" and "tumor"."""

BOTH_EMPTY: Final = 1.0


@dataclass(frozen=True)
class Kits23Score:
    """The scores of one case, each in 0..1; None means that it was not computed.

    Attributes:
        case: the case's name.
        kidney_and_masses_dice: Dice of kidney, tumour and cyst together.
        masses_dice: Dice of tumour and cyst together.
        tumour_dice: Dice of tumour.
        mean_dice: mean of the three.
        kidney_and_masses_surface_dice: surface Dice at 1.0331 mm.
        masses_surface_dice: at 1.1329 mm.
        tumour_surface_dice: at 1.1498 mm.
        mean_surface_dice: mean of the three.
        kidney_and_masses_predicted_ml: predicted volume.
        kidney_and_masses_reference_ml: volume in the reference.
        masses_predicted_ml: likewise.
        masses_reference_ml: likewise.
        tumour_predicted_ml: likewise.
        tumour_reference_ml: likewise.
    """

    case: str
    kidney_and_masses_dice: float
    masses_dice: float
    tumour_dice: float
    mean_dice: float
    kidney_and_masses_surface_dice: float | None
    masses_surface_dice: float | None
    tumour_surface_dice: float | None
    mean_surface_dice: float | None
    kidney_and_masses_predicted_ml: float
    kidney_and_masses_reference_ml: float
    masses_predicted_ml: float
    masses_reference_ml: float
    tumour_predicted_ml: float
    tumour_reference_ml: float


def score_kits23(
    prediction: LabelMap, reference: LabelMap, *, surface: bool = True, case: str | None = None
) -> Kits23Score:
    """Score a predicted label map by KiTS23's rules, in 3D.

    Args:
        prediction: labels 0..3.
        reference: labels 0..3 on the same grid. Where it is `UNKNOWN`, neither counts.
        surface: also measure surface Dice, which needs the extra `evaluation` and seconds.
        case: the case's name in the table; the reference's by default.

    Raises:
        GeometryMismatchError: the two are on different grids. KiTS's own script only requires equal shapes,
            and uses the prediction's spacing.
        LabelError: one of them holds a value above 3. KiTS's own script treats it as background.
        MissingDependencyError: `surface` was requested and `surface-distance` is not installed.
    """
    prediction, reference = comparable(prediction, reference, highest=CYST)
    spacing_mm = reference.geometry.spacing_mm
    scores: dict[str, Any] = {}
    for region in KITS23_REGIONS:
        ours, theirs = (region_mask(given.labels, region) for given in (prediction, reference))
        scores[f"{region}_dice"] = dice(ours, theirs, both_empty=BOTH_EMPTY)
        scores[f"{region}_surface_dice"] = None
        if surface:
            distances = surface_distances(ours, theirs, spacing_mm)
            within = distances.dice(KITS_TOLERANCE_MM[region], both_empty=BOTH_EMPTY)
            scores[f"{region}_surface_dice"] = within
        scores[f"{region}_predicted_ml"] = volume_ml(ours, spacing_mm)
        scores[f"{region}_reference_ml"] = volume_ml(theirs, spacing_mm)
    return Kits23Score(
        case=reference.name if case is None else case,
        mean_dice=_mean(scores, "dice"),
        mean_surface_dice=_mean(scores, "surface_dice") if surface else None,
        **scores,
    )


def _mean(scores: Mapping[str, Any], name: str) -> float:
    return sum(float(scores[f"{region}_{name}"]) for region in KITS23_REGIONS) / len(KITS23_REGIONS)
