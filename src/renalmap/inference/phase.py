"""Whether contrast agent was given, and when: a guess from the brightness of kidneys, blood and organs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from renalmap.anatomy.body import BodyTrack
from renalmap.imaging import LabelMap, Volume
from renalmap.imaging.volume import Box
from renalmap.inference.enhancement import bright_tissue_share, hollow_ml_above, vessel_hu
from renalmap.labels import KIDNEY

Phase = Literal["unenhanced", "arterial", "portal_or_nephrographic", "excretory", "unknown"]
Contrast = Literal["enhanced", "unenhanced", "unknown"]

# Where the thresholds come from, and on how few scans they rest: docs/quality.md.
VESSEL_ENHANCED_HU: Final = 95.0
VESSEL_UNENHANCED_HU: Final = 75.0
VESSEL_ARTERIAL_HU: Final = 210.0
KIDNEY_ENHANCED_HU: Final = 90.0
KIDNEY_UNENHANCED_HU: Final = 60.0
TISSUE_ENHANCED_SHARE: Final = 0.25
TISSUE_UNENHANCED_SHARE: Final = 0.1
URINE_HU: Final = 300.0
URINE_ML: Final = 3.0
"""Less may be seen before the excretory phase: after a test bolus, or where bright vessels lie in the hilum."""

_FEWEST_KIDNEY_VOXELS: Final = 500
_BONE_P90_HU: Final = 300.0
_HIGHEST_CLIPPED_HU: Final = 1000.0
_CLIPPED_P90_HU: Final = 250.0
"""An 8-bit picture ends at 255: a tenth of a kidney does not reach that, bone does."""


class KidneyHu(BaseModel):
    """HU of the voxels labelled kidney, tumour left out; percentiles."""

    model_config = ConfigDict(extra="forbid")

    mean: float
    p10: float
    p50: float
    p75: float
    p90: float
    believable: bool
    """False if there are too few voxels, or a tenth is as bright as bone; the kidney is then not considered."""


class ContrastReport(BaseModel):
    """The contrast phase as far as it can be determined, and the evidence for it."""

    model_config = ConfigDict(extra="forbid")

    phase: Phase = "unknown"
    contrast: Contrast = "unknown"
    kidney_hu: KidneyHu | None = None
    vessel_hu: float | None = None
    """Brightest long even structure in front of the spine; None where none was found."""
    bright_tissue_share: float | None = None
    """Share of even soft tissue above 85 HU."""
    bright_urine_ml: float | None = None
    """Volume above 300 HU in the kidneys' hollow; None where no kidney was found, or HU are clipped."""


def guess_phase(
    volume: Volume, label_map: LabelMap, kidney_boxes: Sequence[Box], track: BodyTrack
) -> ContrastReport:
    """Guess the contrast phase: from the scan's own tissue first, from the kidney that was found second.

    What the networks call kidney on an unenhanced scan may be anything. So a kidney counts only if no vessel
    could be measured, and suggests an unenhanced scan only if the organs do so too.

    Args:
        volume: axes (z, y, x), HU.
        label_map: on the same grid; may be empty.
        kidney_boxes: one for each component of kidney and tumour.
        track: the body's midline and spine.

    Returns:
        The guess; `unknown` if the evidence is thin or contradictory, or the values cannot be HU.
    """
    lowest_hu = min(float(volume.hu[z].min()) for z in track.z)
    highest_hu = max(float(volume.hu[z].max()) for z in track.z)
    if (lowest_hu >= 0.0 and highest_hu > _HIGHEST_CLIPPED_HU) or highest_hu <= 1.0:
        return ContrastReport()  # raw or normalised values: no HU, so no phase
    clipped = highest_hu <= URINE_HU
    urine_ml = [hollow_ml_above(volume, label_map.labels, box, URINE_HU) for box in kidney_boxes]
    evidence = ContrastReport(
        kidney_hu=_kidney_hu(volume, label_map, _CLIPPED_P90_HU if clipped else _BONE_P90_HU),
        vessel_hu=_rounded(vessel_hu(volume, track), 0),
        bright_tissue_share=_rounded(bright_tissue_share(volume), 3),
        bright_urine_ml=round(sum(urine_ml), 2) if urine_ml and not clipped else None,
    )
    contrast = tell_contrast(evidence)
    return evidence.model_copy(update={"contrast": contrast, "phase": tell_phase(evidence, contrast)})


def tell_contrast(evidence: ContrastReport) -> Contrast:
    """Whether contrast agent was given, by the vessel, the soft tissue and the kidney, in this order."""
    vessel, share, kidney = evidence.vessel_hu, evidence.bright_tissue_share, evidence.kidney_hu
    kidney_hu = kidney.p75 if kidney is not None and kidney.believable else None
    kidney_enhanced = kidney_hu is not None and kidney_hu >= KIDNEY_ENHANCED_HU
    tissue_enhanced = share is not None and share >= TISSUE_ENHANCED_SHARE
    tissue_dark = share is not None and share <= TISSUE_UNENHANCED_SHARE
    if vessel is not None and vessel >= VESSEL_ENHANCED_HU:
        return "enhanced"
    if tissue_enhanced:
        return "enhanced"
    if vessel is not None and vessel <= VESSEL_UNENHANCED_HU and tissue_dark:
        # A believable bright kidney beside dark blood: one of the two was not what it was taken for.
        return "unknown" if kidney_enhanced else "unenhanced"
    if kidney_enhanced:
        return "enhanced"
    if kidney_hu is not None and kidney_hu <= KIDNEY_UNENHANCED_HU and tissue_dark:
        return "unenhanced"
    return "unknown"


def tell_phase(evidence: ContrastReport, contrast: Contrast) -> Phase:
    """The phase, once it is known whether the scan is enhanced."""
    if contrast != "enhanced":
        return contrast
    vessel, share = evidence.vessel_hu, evidence.bright_tissue_share
    if vessel is not None and vessel >= VESSEL_ARTERIAL_HU:
        return "arterial"
    if evidence.bright_urine_ml is not None and evidence.bright_urine_ml >= URINE_ML:
        return "excretory"
    # A bright kidney among dark organs, and no vessel to ask: arterial, or a slice below the liver.
    if vessel is None and (share is None or share < TISSUE_ENHANCED_SHARE):
        return "unknown"
    return "portal_or_nephrographic"


def _kidney_hu(volume: Volume, label_map: LabelMap, bone_p90_hu: float) -> KidneyHu | None:
    """Percentiles of the kidney's HU, gathered slice by slice; None where there is no kidney."""
    found = [
        hu[labels == KIDNEY]
        for hu, labels in zip(volume.hu, label_map.labels, strict=True)
        if labels.any()
    ]
    values = np.concatenate(found) if found else np.zeros(0, np.int16)
    if values.size == 0:
        return None
    p10, p50, p75, p90 = (round(float(value), 1) for value in np.percentile(values, (10, 50, 75, 90)))
    return KidneyHu(
        mean=round(float(values.mean(dtype=np.float64)), 1),
        p10=p10,
        p50=p50,
        p75=p75,
        p90=p90,
        believable=values.size >= _FEWEST_KIDNEY_VOXELS and p90 < bone_p90_hu,
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
