"""What confidences are worth: fitted on held-out patients, judged on patients of other folds.

python -m experiments.calibration       # writes experiments/calibration.json and prints reliability tables
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from experiments.cohort import DATA, HERE, Material, load_material
from experiments.crossval import WORK, bundle_folder, load_recipe, store_of
from experiments.options import Option
from experiments.scoring import UNENHANCED, slice_volume
from renalmap.bundle import Bundle, CalibrationCurve, ConfidenceCalibration
from renalmap.evaluation.reliability import (
    brier_score,
    expected_calibration_error,
    fit_calibration,
    reliability_table,
)
from renalmap.imaging import LabelMap, Volume, read_label_map, read_volume
from renalmap.imaging.files import write_text_atomically
from renalmap.inference.anatomy import Kidney, Part, find_kidneys, find_parts
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.inference.midline import track_body
from renalmap.inference.quality import LISTED_FROM_ML, assess_quality
from renalmap.labels import TUMOUR

OUT = HERE / "calibration.json"

What = Literal["kidney", "tumour"]
FIVE_BINS = 5


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One kidney or tumour that was called on a patient held out.

    Attributes:
        what: which.
        patient: whose.
        fold: of the patient.
        raw: the raw score of its confidence.
        observed: a kidney's Dice on its side; whether a tumour overlaps a labelled one.
    """

    what: What
    patient: str
    fold: int
    raw: float
    observed: float


def outcomes(material: Material, arm: str, rules: Option) -> Iterator[Outcome]:
    """All kidneys and tumours that the folds' models called on their held-out patients."""
    recipe = load_recipe(arm, material.shapes())
    for fold in range(material.cohort.folds):
        part = material.part(fold)
        cascade = Cascade(rules.bundle(Bundle.open(bundle_folder(material, recipe, part))))
        for patient, volume, reference in _held_out(material, fold):
            yield from _called(cascade, patient, fold, volume, reference)


def _held_out(material: Material, fold: int) -> Iterator[tuple[str, Volume, NDArray[np.uint8]]]:
    for scan in material.cohort.scans:
        if scan.fold == fold and scan.scored and scan.case_id not in UNENHANCED:
            volume = read_volume(material.data / scan.image, acquisition=scan.acquisition)
            yield scan.patient, volume, read_label_map(material.mask(scan)).labels
    whole = {scan.case_id for scan in material.cohort.scans}
    store = store_of(material, load_recipe("base", material.shapes()).plan, material.part(fold))
    for entry in store.part("validation"):
        if entry.case_id not in whole:
            for index in range(len(entry.z_indices)):
                hu, labels = store.slices.read(entry.case_id, index)
                yield entry.patient, slice_volume(hu, entry.case_id), labels[None]


def _called(
    cascade: Cascade, patient: str, fold: int, volume: Volume, reference: NDArray[np.uint8]
) -> Iterator[Outcome]:
    found = cascade.segment(volume, SegmentOptions(threads=1))
    report = assess_quality(volume, found, None)
    track = track_body(volume)
    truth = LabelMap(reference, volume.geometry, patient)
    true_sides = {kidney.side: kidney for kidney in find_kidneys(truth, track)}
    called_sides = {kidney.side: kidney for kidney in find_kidneys(found.label_map, track)}
    for kidney in report.kidneys:
        dice = _dice(called_sides[kidney.side], true_sides.get(kidney.side), reference.shape)
        yield Outcome("kidney", patient, fold, kidney.raw_score, dice)
    voxel_ml = volume.geometry.voxel_ml
    parts = [
        part for part in find_parts(found.label_map, (TUMOUR,)) if part.size * voxel_ml >= LISTED_FROM_ML
    ]
    for part, tumour in zip(parts, report.tumours, strict=True):
        real = (reference[part.box.slices] == TUMOUR)[part.inside].any()
        yield Outcome("tumour", patient, fold, tumour.raw_score, float(real))


def _dice(called: Kidney, true: Kidney | None, shape: tuple[int, ...]) -> float:
    if true is None:
        return 0.0
    ours, theirs = _mask(called.parts, shape), _mask(true.parts, shape)
    return float(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))


def _mask(parts: tuple[Part, ...], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    for part in parts:
        mask[part.box.slices] |= part.inside
    return mask


def cross_fitted(found: list[Outcome]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each outcome's confidence by the calibration of the other folds, and what was observed."""
    claimed = np.empty(len(found))
    observed = np.array([one.observed for one in found])
    raw = np.array([one.raw for one in found])
    folds = np.array([one.fold for one in found])
    for fold in np.unique(folds):
        own = folds == fold
        curve = fit_calibration(raw[~own], observed[~own])
        claimed[own] = [curve(score) for score in raw[own]]
    return claimed, observed


def _show(what: What, found: list[Outcome], console: Console) -> None:
    claimed, observed = cross_fitted(found)
    raw = np.array([one.raw for one in found])
    table = Table(
        "confidence", "n", "claimed", "observed",
        title=f"{what}: {len(found)} of {len({one.patient for one in found})} patients",
    )  # fmt: skip
    for row in reliability_table(claimed, observed, bins=FIVE_BINS):
        limits = f"{row.from_confidence:.1f}-{row.to_confidence:.1f}"
        table.add_row(limits, str(row.n), f"{row.mean_confidence:.3f}", f"{row.observed:.3f}")
    console.print(table)
    for name, scores in (("raw", raw), ("calibrated, other folds", claimed)):
        error = expected_calibration_error(scores, observed, bins=FIVE_BINS)
        console.print(
            f"{name}: calibration error {error:.3f}, Brier {brier_score(scores, observed):.3f}"
        )


def _curve_that_helps(found: list[Outcome]) -> CalibrationCurve | None:
    """The curve fitted on all; None where fits of the other folds are farther off than the raw scores."""
    claimed, observed = cross_fitted(found)
    raw = np.array([one.raw for one in found])
    errors = [expected_calibration_error(each, observed, bins=FIVE_BINS) for each in (raw, claimed)]
    return fit_calibration(raw, observed) if errors[1] < errors[0] else None


def main(
    arm: Annotated[str, typer.Option(help="Whose networks.")] = "final",
    work: Annotated[Path, typer.Option(help="Where `crossval run` was.")] = WORK,
    data: Annotated[Path, typer.Option(help="The data's folder.")] = DATA,
) -> None:
    """Fit on all held-out patients, and show what fits of the other folds are worth."""
    material = load_material(work, data)
    found = list(outcomes(material, arm, Option(title="the bundle's rules", rules=True)))
    curves = {}
    for what in get_args(What):
        members = [one for one in found if one.what == what]
        _show(what, members, Console())
        curves[what] = _curve_that_helps(members)
    calibration = ConfidenceCalibration(
        kidney=curves["kidney"],
        tumour=curves["tumour"],
        patients=len({one.patient for one in found}),
        source="held-out patients of a cross-validation (docs/results.md): single slices and whole scans",
    )
    write_text_atomically(OUT, calibration.model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
