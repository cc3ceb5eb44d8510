"""What a reader of a segmentation should know before trusting it: the quality report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from renalmap.anatomy import Anatomy, Border, Flag, FlagCode, Kidney, Lesion, raise_flags
from renalmap.bundle import CalibrationCurve, ConfidenceCalibration
from renalmap.imaging.volume import SliceNames
from renalmap.inference.cascade import Segmentation
from renalmap.inference.components import DroppedComponent, Place
from renalmap.inference.confidence import expected_dice, tumour_score
from renalmap.inference.phase import ContrastReport, guess_phase
from renalmap.labels import Side


class SidesFound(BaseModel):
    """On which of the patient's sides a kidney was found."""

    model_config = ConfigDict(extra="forbid")

    left: bool = False
    right: bool = False


CANDIDATE_FROM_ML: Final = 1.0
"""What was left out from this volume on, a reader has to look at: a ball of 12 mm."""

DOUBTFUL_BELOW: Final = 0.5
"""A tumour of a lower confidence is more likely a mistake than a tumour; of a raw score, one that is small or faint."""

_CANDIDATES_NAMED: Final = 4
_UNUSUAL_BY: Final = 0.05
"""By how much less Dice than usual a kidney's outline is worth a word."""

Agreement = Literal["usual", "lower than usual"]


class DroppedEntry(BaseModel):
    """A component of the networks' foreground that was judged a mistake and left out."""

    model_config = ConfigDict(extra="forbid")

    volume_ml: float
    slice: int
    """Of its centre, counted from 0 at the feet."""
    reason: str
    slice_names: SliceNames | None = None
    side: Side | None = None
    box_zyx: tuple[Place, Place] | None = None
    """Its lowest and highest voxel along each axis of the canonical grid."""

    @classmethod
    def of(cls, component: DroppedComponent, anatomy: Anatomy) -> DroppedEntry:
        """What is reported about a component of a scan."""
        z = min(max(round(component.centre_zyx[0]), 0), anatomy.label_map.geometry.shape[0] - 1)
        middle_x = float(anatomy.midline.track.at(np.array([z]))[0])
        known = anatomy.midline.basis != "field_of_view"
        return cls(
            volume_ml=round(component.volume_ml, 2),
            slice=z,
            reason=component.reason,
            slice_names=SliceNames.of(z, anatomy.scan),
            side=None if not known else "left" if component.centre_zyx[2] > middle_x else "right",
            box_zyx=component.ends_zyx,
        )


class KidneyReport(BaseModel):
    """One kidney. Volumes are lower bounds where it is incomplete."""

    model_config = ConfigDict(extra="forbid")

    id: int
    """As in the measurements."""
    side: Side | None
    """The patient's; None if it cannot be determined."""
    kidney_ml: float
    """Kidney without tumour."""
    tumour_ml: float
    """Of its whole tumours, including what reaches across the midline; specks are left out."""
    components: int
    crosses_midline: bool
    """Whether its own tissue continues across the midline, at which it was divided."""
    borders: list[Border]
    """Borders of the scan that it or its tumours touch; parts below a twentieth of it are ignored."""
    incomplete: bool
    """Whether it touches any."""
    confidence: float | None
    """Calibrated: the Dice to be expected against a reference. Otherwise the raw score. None on an
    unenhanced scan."""
    raw_score: float
    """Soft Dice of the mask with the networks' probabilities."""
    agreement: Agreement | None = None
    """How its outline may be expected to agree with a reference, beside this model's others; None if that is not
    calibrated, or on an unenhanced scan."""


class TumourReport(BaseModel):
    """One connected tumour as it was called."""

    model_config = ConfigDict(extra="forbid")

    id: int
    """As in the measurements."""
    kidney: int | None
    """`id` of the kidney it belongs to; None where no kidney is near it."""
    side: Side | None
    crosses_midline: bool
    tumour_ml: float
    slice: int
    """Slice of its centre, counted from 0 at the feet."""
    borders: list[Border]
    confidence: float | None
    """Calibrated: the probability that it is a real one. Otherwise the raw score. None on an unenhanced
    scan."""
    raw_score: float
    """Its mean tumour probability, lowered for a small volume."""
    doubtful: bool = False
    """Whether its confidence is below `DOUBTFUL_BELOW`."""
    slice_names: SliceNames | None = None
    """Of `slice`."""


class QualityReport(BaseModel):
    """Everything about a segmentation that is not a measurement. docs/quality.md explains each field."""

    model_config = ConfigDict(extra="forbid")

    flags: list[FlagCode]
    """Those that are worth a warning."""
    contrast: ContrastReport
    kidneys_found: SidesFound
    kidneys: list[KidneyReport]
    tumours: list[TumourReport]
    """Largest first, from 0.1 ml."""
    candidates: list[DroppedEntry] = []
    """What the networks found and the rules left out, from 1 ml, largest first."""
    tumour_specks: int
    """Tumours below 0.1 ml, not listed."""
    kidney_confidence_calibrated: bool
    tumour_confidence_calibrated: bool
    calibration_patients: int | None = None
    """Patients that the calibration rests on."""
    calibration_kidneys: int | None = None
    calibration_tumours: int | None = None
    notes: list[str] = []


def assess_quality(
    anatomy: Anatomy, found: Segmentation, calibration: ConfidenceCalibration | None
) -> QualityReport:
    """Assess a segmentation, which may be empty. Without a calibration, confidences are raw scores."""
    contrast = find_contrast(anatomy)
    judge = _Judge(
        found=found,
        kidney=None if calibration is None else calibration.kidney,
        tumour=None if calibration is None else calibration.tumour,
        # There, networks are as sure of what they mistake for a kidney as of a real one elsewhere.
        applies=contrast.contrast != "unenhanced",
    )
    sides = {kidney.side for kidney in anatomy.kidneys}
    left_out = sorted(found.dropped, key=lambda component: -component.volume_ml)
    report = QualityReport(
        flags=[],
        contrast=contrast,
        kidneys_found=SidesFound(left="left" in sides, right="right" in sides),
        kidneys=[_kidney_report(kidney, anatomy, judge) for kidney in anatomy.kidneys],
        tumours=[_tumour_report(tumour, anatomy, judge) for tumour in anatomy.tumours],
        candidates=[
            DroppedEntry.of(each, anatomy) for each in left_out if each.volume_ml >= CANDIDATE_FROM_ML
        ],
        tumour_specks=sum(speck.kind == "tumour" for speck in anatomy.specks),
        kidney_confidence_calibrated=judge.kidney is not None,
        tumour_confidence_calibrated=judge.tumour is not None,
        calibration_patients=None if calibration is None else calibration.patients,
        calibration_kidneys=None if judge.kidney is None else judge.kidney.n,
        calibration_tumours=None if judge.tumour is None else judge.tumour.n,
        notes=list(found.notes),
    )
    codes = [flag.code for flag in (*judged_flags(report), *raise_flags(anatomy)) if not flag.is_note]
    return report.model_copy(update={"flags": list(dict.fromkeys(codes))})


def judged_flags(report: QualityReport) -> list[Flag]:
    """The flags that an anatomy alone cannot raise: the contrast phase, doubtful tumours, what was left out."""
    no_contrast = describe_contrast(report.contrast)
    raised: list[tuple[FlagCode, str]] = []
    if no_contrast is not None:
        raised.append(("no_contrast_phase_recognised", no_contrast))
    doubtful = [tumour for tumour in report.tumours if tumour.doubtful]
    raised += [("lesion_doubtful", _describe_doubt(tumour, report)) for tumour in doubtful]
    if report.candidates:
        raised.append(("candidate_left_out", _describe_left_out(report.candidates)))
    return [Flag(code=code, text=text) for code, text in raised]


def _describe_left_out(candidates: Sequence[DroppedEntry]) -> str:
    told = []
    for candidate in candidates[:_CANDIDATES_NAMED]:
        side = "" if candidate.side is None else f"{candidate.side}, "
        told.append(
            f"{candidate.volume_ml:.1f} ml ({side}slice {candidate.slice + 1}: {candidate.reason})"
        )
    others = len(candidates) - len(told)
    more = f" and {others} smaller" if others else ""
    return f"left out as mistakes, look whether they are: {'; '.join(told)}{more}"


def _describe_doubt(tumour: TumourReport, report: QualityReport) -> str:
    confidence = tumour.raw_score if tumour.confidence is None else tumour.confidence
    how_sure = f"the probability that it is real is {100 * confidence:.0f} %"
    if not report.tumour_confidence_calibrated:
        how_sure = f"the model's score for it is {confidence:.2f} of 1"
    place = f"{tumour.tumour_ml:.1f} ml, slice {tumour.slice + 1}"
    return f"tumour {tumour.id} ({place}) is doubtful: {how_sure}; it may be a cyst or no lesion"


def find_contrast(anatomy: Anatomy) -> ContrastReport:
    """The contrast phase of an anatomy's scan; it must have one."""
    if anatomy.scan is None or anatomy.body is None:
        raise ValueError("the anatomy was read without a scan, which alone shows contrast agent")
    boxes = [component.box for component in anatomy.components]
    return guess_phase(anatomy.scan, anatomy.label_map, boxes, anatomy.body)


def describe_quality(report: QualityReport, anatomy: Anatomy) -> list[str]:
    """A sentence for every flag that is worth a warning, and for every note of the cascade.

    If nothing is labelled there is a sentence about the grid alone: the case's status says the rest.
    """
    texts = [flag.text for flag in judged_flags(report)]
    raised = [flag for flag in raise_flags(anatomy) if not flag.is_note]
    texts += [flag.text for flag in raised if anatomy.components or flag.code == "grid_doubtful"]
    return [*texts, *report.notes]


def describe_contrast(contrast: ContrastReport) -> str | None:
    """A sentence if no contrast phase was recognised; None if one was."""
    if contrast.contrast == "enhanced":
        return None
    why = "it cannot be determined from the scan"
    if contrast.contrast == "unenhanced":
        vessel = "" if contrast.vessel_hu is None else f" (blood about {contrast.vessel_hu:.0f} HU)"
        why = f"the scan looks unenhanced{vessel}"
    return (
        f"no contrast phase was recognised: {why}; the model was trained on contrast-enhanced CT; "
        "expect poor results"
    )


@dataclass(frozen=True)
class _Judge:
    """What turns raw scores into confidences.

    Attributes:
        found: has the networks' probabilities.
        kidney, tumour: the calibration's curves, None where there is none.
        applies: whether the scan is of a kind that confidences were ever measured on.
    """

    found: Segmentation
    kidney: CalibrationCurve | None
    tumour: CalibrationCurve | None
    applies: bool

    def confidence(self, score: float, curve: CalibrationCurve | None) -> float | None:
        if not self.applies:
            return None
        return round(score if curve is None else curve(score), 3)


def _kidney_report(kidney: Kidney, anatomy: Anatomy, judge: _Judge) -> KidneyReport:
    score = expected_dice(
        judge.found.probabilities["kidney"], anatomy.with_lesions(kidney), anatomy.label_map
    )
    borders, confidence = anatomy.borders_of(kidney), judge.confidence(score, judge.kidney)
    return KidneyReport(
        id=kidney.number,
        side=kidney.side,
        kidney_ml=round(anatomy.ml(kidney.own), 2),
        tumour_ml=round(anatomy.lesions_ml(kidney, "tumour"), 2),
        components=len(kidney.pieces),
        crosses_midline=kidney.crosses_midline,
        borders=borders,
        incomplete=bool(borders),
        confidence=confidence,
        raw_score=round(score, 3),
        agreement=_agreement(confidence, judge.kidney),
    )


def _agreement(dice: float | None, curve: CalibrationCurve | None) -> Agreement | None:
    """Beside the middle of the curve's steps, each of which stands for kidneys of other patients."""
    if dice is None or curve is None:
        return None
    return "usual" if dice >= median(curve.confidence) - _UNUSUAL_BY else "lower than usual"


def _tumour_report(tumour: Lesion, anatomy: Anatomy, judge: _Judge) -> TumourReport:
    probability, kidney = judge.found.probabilities["tumour"], anatomy.kidney_of(tumour)
    score = tumour_score(probability, tumour.voxels, anatomy.label_map.geometry.voxel_ml)
    confidence, z = judge.confidence(score, judge.tumour), round(tumour.voxels.centre_zyx[0])
    return TumourReport(
        id=tumour.number,
        kidney=None if kidney is None else kidney.number,
        side=tumour.side,
        crosses_midline=tumour.crosses_midline,
        tumour_ml=round(anatomy.ml([tumour.voxels]), 2),
        slice=z,
        borders=tumour.borders,
        confidence=confidence,
        raw_score=round(score, 3),
        doubtful=confidence is not None and confidence < DOUBTFUL_BELOW,
        slice_names=SliceNames.of(z, anatomy.scan),
    )
