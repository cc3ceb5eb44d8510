"""One case scored: a predicted label map against its reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from renalmap.errors import LabelError
from renalmap.evaluation.metrics import dice, kits19_score, region_mask, volume_ml
from renalmap.evaluation.surface import KITS_TOLERANCE_MM, surface_distances
from renalmap.imaging import check_same_grid
from renalmap.imaging.volume import LabelMap
from renalmap.labels import BACKGROUND, LABEL_NAMES, TUMOUR, UNKNOWN, is_known


@dataclass(frozen=True)
class CaseScore:
    """The scores of one case; the fields are the columns of every table written from it.

    NaN means undefined: the region is in neither label map. None means that it was not computed.
    "kidney" is KiTS's region, kidney + tumour; "kidney_only" is label 1 by itself.

    Attributes:
        case: the case's name.
        kidney_dice: Dice of kidney + tumour, 0..1.
        tumour_dice: Dice of tumour.
        composite_dice: mean of these two; NaN if either is.
        kidney_only_dice: Dice of label 1.
        kits19_kidney_dice: the same by KiTS19's script, where undefined is 0.
        kits19_tumour_dice: likewise.
        kits19_composite_dice: likewise.
        kidney_hd95_mm: 95th percentile of the surface distance; infinite if one side has no kidney.
        tumour_hd95_mm: likewise.
        kidney_surface_dice: surface Dice at KiTS's 1.0331 mm.
        tumour_surface_dice: surface Dice at KiTS's 1.1498 mm.
        kidney_predicted_ml: predicted volume of kidney + tumour.
        kidney_reference_ml: its volume in the reference.
        tumour_predicted_ml: predicted tumour volume.
        tumour_reference_ml: tumour volume in the reference.
        kidney_only_predicted_ml: predicted volume of label 1.
        kidney_only_reference_ml: its volume in the reference.
    """

    case: str
    kidney_dice: float
    tumour_dice: float
    composite_dice: float
    kidney_only_dice: float
    kits19_kidney_dice: float
    kits19_tumour_dice: float
    kits19_composite_dice: float
    kidney_hd95_mm: float | None
    tumour_hd95_mm: float | None
    kidney_surface_dice: float | None
    tumour_surface_dice: float | None
    kidney_predicted_ml: float
    kidney_reference_ml: float
    tumour_predicted_ml: float
    tumour_reference_ml: float
    kidney_only_predicted_ml: float
    kidney_only_reference_ml: float


def evaluate_case(
    prediction: LabelMap, reference: LabelMap, *, surface: bool = True, case: str | None = None
) -> CaseScore:
    """Score a predicted label map against its reference, in 3D.

    Args:
        prediction: labels 0..2.
        reference: labels 0..2 on the same grid. Where it is `UNKNOWN`, neither counts.
        surface: also measure surface distances, which needs the extra `evaluation` and seconds.
        case: the case's name in the table; the reference's by default.

    Returns:
        The scores. Two label maps without any tumour give a tumour Dice of NaN, not of 1.

    Raises:
        GeometryMismatchError: the two are on different grids.
        LabelError: one of them holds a value above 2, such as KiTS21's cyst: see `score_kits23`.
        MissingDependencyError: `surface` was requested and `surface-distance` is not installed.
    """
    prediction, reference = comparable(prediction, reference, highest=TUMOUR)
    spacing_mm = reference.geometry.spacing_mm
    scores: dict[str, Any] = {}
    for region in ("kidney", "tumour", "kidney_only"):
        ours, theirs = (region_mask(given.labels, region) for given in (prediction, reference))
        scores[f"{region}_dice"] = dice(ours, theirs)
        scores[f"{region}_predicted_ml"] = volume_ml(ours, spacing_mm)
        scores[f"{region}_reference_ml"] = volume_ml(theirs, spacing_mm)
        if region in KITS_TOLERANCE_MM:
            scores[f"{region}_hd95_mm"] = scores[f"{region}_surface_dice"] = None
            if surface:
                distances = surface_distances(ours, theirs, spacing_mm)
                scores[f"{region}_hd95_mm"] = distances.hd_mm(95.0)
                scores[f"{region}_surface_dice"] = distances.dice(KITS_TOLERANCE_MM[region])
    kidney, tumour = kits19_score(prediction.labels, reference.labels)
    return CaseScore(
        case=reference.name if case is None else case,
        composite_dice=(scores["kidney_dice"] + scores["tumour_dice"]) / 2.0,
        kits19_kidney_dice=kidney,
        kits19_tumour_dice=tumour,
        kits19_composite_dice=(kidney + tumour) / 2.0,
        **scores,
    )


def comparable(prediction: LabelMap, reference: LabelMap, *, highest: int) -> tuple[LabelMap, LabelMap]:
    """Two label maps as they are to be compared: background wherever the reference is unknown.

    A surface cut by the unknown region is cut in both, so that the cut counts as agreement.

    Args:
        prediction: a label map.
        reference: another.
        highest: the highest label that is scored.

    Raises:
        GeometryMismatchError: they are on different grids.
        LabelError: one holds a higher label, or nothing of the reference is known.
    """
    names = (f"the reference {reference.name!r}", f"the prediction {prediction.name!r}")
    check_same_grid(reference, prediction, where=prediction.name, names=names)
    known = is_known(reference.labels)
    if not known.any():
        raise LabelError(
            "every voxel of the reference is unknown, so nothing can be scored",
            where=reference.name,
            got=f"{UNKNOWN} (unknown) everywhere",
            expected="a region in which background, kidney and tumour are marked",
        )
    if not known.all():
        reference = replace(reference, labels=np.where(known, reference.labels, BACKGROUND))
    for role, label_map in (("prediction", prediction), ("reference", reference)):
        found = int(label_map.labels.max(initial=0))
        if found > highest:
            scored = {value: name for value, name in LABEL_NAMES.items() if value <= highest}
            raise LabelError(
                f"the {role} holds a label that is not scored",
                where=label_map.name,
                got=str(found),
                expected=", ".join(f"{value} {name}" for value, name in scored.items()),
                hint="KiTS21 and KiTS23 mark cysts as 3, KiTS19 as kidney: score with --protocol kits23, "
                "or write 1 in place of 3",
            )
    if not known.all():
        prediction = replace(prediction, labels=np.where(known, prediction.labels, BACKGROUND))
    return prediction, reference
