"""What a reader of a segmentation should know before trusting it: the quality report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from renalmap.bundle import CalibrationCurve, ConfidenceCalibration
from renalmap.imaging import LabelMap, Volume
from renalmap.inference.cascade import Segmentation
from renalmap.inference.confidence import expected_dice, tumour_score
from renalmap.inference.phase import ContrastReport, guess_phase
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.measure.anatomy import Border, Kidney, Part, Side, borders_of, find_kidneys, find_parts
from renalmap.measure.midline import BodyTrack

Flag = Literal[
    "no_contrast_phase_recognised",
    "no_kidney_found",
    "only_one_kidney_found",
    "crosses_midline",
    "kidney_incomplete",
]

NO_CONTRAST: Final = (
    "no contrast phase was recognised: {why}; the model was trained on contrast-enhanced CT; expect "
    "poor results"
)

LISTED_FROM_ML: Final = 0.1
"""Tumours from this volume are listed; smaller ones are counted."""


class SidesFound(BaseModel):
    """On which of the patient's sides a kidney was found."""

    model_config = ConfigDict(extra="forbid")

    left: bool = False
    right: bool = False


class KidneyReport(BaseModel):
    """What was found on one side of the patient. Volumes are lower bounds where it is incomplete."""

    model_config = ConfigDict(extra="forbid")

    side: Side
    kidney_ml: float
    """Kidney without tumour."""
    tumour_ml: float
    components: int
    crosses_midline: bool
    borders: list[Border]
    """Borders of the scan that it touches; parts below a twentieth of it are not asked."""
    incomplete: bool
    """Whether it touches any."""
    confidence: float | None
    """Calibrated: the Dice to be expected against a reference. Otherwise the raw score. None on an
    unenhanced scan."""
    raw_score: float
    """Soft Dice of the mask with the networks' probabilities."""


class TumourReport(BaseModel):
    """One connected tumour as it was called."""

    model_config = ConfigDict(extra="forbid")

    side: Side
    tumour_ml: float
    slice: int
    """Slice of its centre, counted from 0 at the feet."""
    borders: list[Border]
    confidence: float | None
    """Calibrated: the probability that it is a real one. Otherwise the raw score. None on an unenhanced
    scan."""
    raw_score: float
    """Its mean tumour probability, lowered for a small volume."""


class QualityReport(BaseModel):
    """Everything about a segmentation that is no volume. docs/quality.md explains each field."""

    model_config = ConfigDict(extra="forbid")

    flags: list[Flag]
    contrast: ContrastReport
    kidneys_found: SidesFound
    kidneys: list[KidneyReport]
    tumours: list[TumourReport]
    """Largest first, from 0.1 ml."""
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
    volume: Volume, found: Segmentation, calibration: ConfidenceCalibration | None
) -> QualityReport:
    """Look a segmentation over.

    Args:
        volume: the scan, axes (z, y, x), HU.
        found: its segmentation; may be empty.
        calibration: the bundle's, or None: confidences are raw scores then.
    """
    track = found.body
    kidneys = find_kidneys(found.label_map, track)
    tumours = find_parts(found.label_map, (TUMOUR,))
    voxel_ml = found.label_map.geometry.voxel_ml
    boxes = [part.box for kidney in kidneys for part in kidney.parts]
    contrast = guess_phase(volume, found.label_map, boxes, track)
    judge = _Judge(
        kidney=None if calibration is None else calibration.kidney,
        tumour=None if calibration is None else calibration.tumour,
        # Networks are as sure of what they take for a kidney there as of a real one elsewhere.
        applies=contrast.contrast != "unenhanced",
    )
    report = QualityReport(
        flags=[],
        contrast=contrast,
        kidneys_found=SidesFound(**{kidney.side: True for kidney in kidneys}),
        kidneys=[_kidney_report(kidney, found, judge) for kidney in kidneys],
        tumours=[
            _tumour_report(part, found, track, judge)
            for part in tumours
            if part.size * voxel_ml >= LISTED_FROM_ML
        ],
        tumour_specks=sum(part.size * voxel_ml < LISTED_FROM_ML for part in tumours),
        kidney_confidence_calibrated=judge.kidney is not None,
        tumour_confidence_calibrated=judge.tumour is not None,
        calibration_patients=None if calibration is None else calibration.patients,
        calibration_kidneys=None if judge.kidney is None else judge.kidney.n,
        calibration_tumours=None if judge.tumour is None else judge.tumour.n,
        notes=list(found.notes),
    )
    return report.model_copy(update={"flags": _flags(report)})


def describe_flags(report: QualityReport) -> list[str]:
    """A sentence for every flag but `no_kidney_found`, which the case's status says, and for every note."""
    texts = []
    no_contrast = describe_contrast(report.contrast)
    if no_contrast is not None:
        texts.append(no_contrast)
    if "only_one_kidney_found" in report.flags:
        (kidney,) = report.kidneys
        other = "right" if kidney.side == "left" else "left"
        texts.append(f"only the {kidney.side} kidney was found, none on the {other}")
    if "crosses_midline" in report.flags:
        texts.append(
            "what was found reaches across the body's midline: a horseshoe kidney, a large tumour, or a "
            "mistake; its volume is shared out between left and right by the midline"
        )
    texts += [
        f"the {kidney.side} kidney is cut off ({_where(kidney.borders)}): its volumes are lower bounds"
        for kidney in report.kidneys
        if kidney.incomplete
    ]
    return [*texts, *report.notes]


def describe_contrast(contrast: ContrastReport) -> str | None:
    """A sentence where no contrast phase was recognised; None where one was."""
    return (
        None if contrast.contrast == "enhanced" else NO_CONTRAST.format(why=_why_no_contrast(contrast))
    )


@dataclass(frozen=True)
class _Judge:
    """What turns raw scores into confidences.

    Attributes:
        kidney, tumour: the calibration's curves, None where there is none.
        applies: whether the scan is of a kind that confidences were ever measured on.
    """

    kidney: CalibrationCurve | None
    tumour: CalibrationCurve | None
    applies: bool

    def confidence(self, score: float, curve: CalibrationCurve | None) -> float | None:
        if not self.applies:
            return None
        return round(score if curve is None else curve(score), 3)


def _kidney_report(kidney: Kidney, found: Segmentation, judge: _Judge) -> KidneyReport:
    label_map = found.label_map
    voxel_ml, shape = label_map.geometry.voxel_ml, label_map.geometry.shape
    score = expected_dice(found.probabilities["kidney"], kidney.parts, label_map)
    borders = borders_of(kidney.parts, shape)
    return KidneyReport(
        side=kidney.side,
        kidney_ml=_ml(kidney, label_map, KIDNEY, voxel_ml),
        tumour_ml=_ml(kidney, label_map, TUMOUR, voxel_ml),
        components=len(kidney.parts),
        crosses_midline=kidney.crosses_midline,
        borders=borders,
        incomplete=bool(borders),
        confidence=judge.confidence(score, judge.kidney),
        raw_score=round(score, 3),
    )


def _tumour_report(part: Part, found: Segmentation, track: BodyTrack, judge: _Judge) -> TumourReport:
    geometry = found.label_map.geometry
    score = tumour_score(found.probabilities["tumour"], part, geometry.voxel_ml)
    return TumourReport(
        side=part.side(track),
        tumour_ml=round(part.size * geometry.voxel_ml, 2),
        slice=round(part.centre_z),
        borders=borders_of([part], geometry.shape),
        confidence=judge.confidence(score, judge.tumour),
        raw_score=round(score, 3),
    )


def _flags(report: QualityReport) -> list[Flag]:
    raised: dict[Flag, bool] = {
        "no_contrast_phase_recognised": report.contrast.contrast != "enhanced",
        "no_kidney_found": not report.kidneys,
        "only_one_kidney_found": len(report.kidneys) == 1,
        "crosses_midline": any(kidney.crosses_midline for kidney in report.kidneys),
        "kidney_incomplete": any(kidney.incomplete for kidney in report.kidneys),
    }
    return [flag for flag, up in raised.items() if up]


def _why_no_contrast(contrast: ContrastReport) -> str:
    if contrast.contrast == "unenhanced":
        vessel = "" if contrast.vessel_hu is None else f" (blood about {contrast.vessel_hu:.0f} HU)"
        return f"the scan looks unenhanced{vessel}"
    return "it cannot be told from what the scan shows"


def _where(borders: list[Border]) -> str:
    names = {"feet": "first slice", "head": "last slice"}
    return ", ".join(names.get(border, f"{border} edge") for border in borders)


def _ml(kidney: Kidney, label_map: LabelMap, label: int, voxel_ml: float) -> float:
    return round(sum(part.voxels(label_map, label) for part in kidney.parts) * voxel_ml, 2)
