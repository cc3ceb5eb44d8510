"""What confidences are worth: fitted on held-out patients, judged on held-out patients that were not fitted on.

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
from experiments.crossval import JUDGED_ARM, WORK, bundle_folder, load_recipe
from experiments.options import open_fold
from experiments.scoring import UNENHANCED, HeldOut, held_out
from renalmap.anatomy import Anatomy, Voxels
from renalmap.bundle import CalibrationCurve, ConfidenceCalibration
from renalmap.evaluation.reliability import (
    brier_score,
    expected_calibration_error,
    fit_calibration,
    reliability_table,
)
from renalmap.imaging import LabelMap
from renalmap.imaging.files import write_text_atomically
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.inference.quality import assess_quality
from renalmap.labels import TUMOUR

OUT = HERE / "calibration.json"

What = Literal["kidney", "tumour"]
FIVE_BINS = 5
GROUPS = 5
"""Of patients: each is judged by a fit of the others."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One kidney or tumour that was called on a patient held out.

    Attributes:
        what: which.
        patient: whose.
        raw: the raw score of its confidence.
        observed: a kidney's Dice on its side; whether a tumour overlaps a labelled one.
    """

    what: What
    patient: str
    raw: float
    observed: float


def outcomes(material: Material, arm: str) -> Iterator[Outcome]:
    """All kidneys and tumours that the folds' models called on their held-out patients, of folds that were scored."""
    recipe = load_recipe(arm, material.shapes())
    for fold in range(material.cohort.folds):
        if not bundle_folder(material, recipe, material.part(fold)).is_dir():
            continue
        bundle, store = open_fold(material, arm, fold)
        cascade = Cascade(bundle)
        for one in held_out(material, store, fold):
            if one.case_id not in UNENHANCED:
                yield from _called(cascade, one)


def _called(cascade: Cascade, one: HeldOut) -> Iterator[Outcome]:
    volume, reference = one.volume, one.reference
    found = cascade.segment(volume, SegmentOptions(threads=1))
    called = Anatomy.of(found.label_map, volume, body=found.body)
    report = assess_quality(called, found, None)
    label_map = LabelMap(reference, volume.geometry, one.case_id)
    truth = Anatomy.of(label_map, volume, body=found.body)
    true = {kidney.side: truth.with_lesions(kidney) for kidney in reversed(truth.kidneys)}
    for kidney, judged in zip(called.kidneys, report.kidneys, strict=True):
        dice = _dice(called.with_lesions(kidney), true.get(kidney.side), reference.shape)
        yield Outcome("kidney", one.patient, judged.raw_score, dice)
    for lesion, tumour in zip(called.tumours, report.tumours, strict=True):
        box, inside = lesion.voxels.box, lesion.voxels.inside
        real = (reference[box.slices] == TUMOUR)[inside].any()
        yield Outcome("tumour", one.patient, tumour.raw_score, float(real))


def _dice(called: list[Voxels], true: list[Voxels] | None, shape: tuple[int, ...]) -> float:
    if true is None:
        return 0.0
    ours, theirs = _mask(called, shape), _mask(true, shape)
    return float(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))


def _mask(parts: list[Voxels], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    for part in parts:
        mask[part.box.slices] |= part.inside
    return mask


def cross_fitted(found: list[Outcome]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each outcome's confidence by the calibration of other patients, and what was observed."""
    claimed = np.empty(len(found))
    observed = np.array([one.observed for one in found])
    raw = np.array([one.raw for one in found])
    _, patients = np.unique([one.patient for one in found], return_inverse=True)
    for group in range(GROUPS):
        own = patients % GROUPS == group
        if not own.any():
            continue
        curve = fit_calibration(raw[~own], observed[~own])
        claimed[own] = [curve(score) for score in raw[own]]
    return claimed, observed


def _fit(what: What, found: list[Outcome], console: Console) -> CalibrationCurve | None:
    """Show what confidences are worth, and fit them on all.

    Returns:
        None where fits of other patients do not beat the raw scores by both measures.
    """
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
    errors = {}
    for name, scores in (("raw", raw), ("calibrated, other patients", claimed)):
        errors[name] = (
            expected_calibration_error(scores, observed, bins=FIVE_BINS),
            brier_score(scores, observed),
        )
        console.print("{}: calibration error {:.3f}, Brier {:.3f}".format(name, *errors[name]))
    fitted, unfitted = errors["calibrated, other patients"], errors["raw"]
    helps = all(ours < theirs for ours, theirs in zip(fitted, unfitted, strict=True))
    return fit_calibration(raw, observed) if helps else None


def main(
    arm: Annotated[str, typer.Option(help="Whose networks.")] = JUDGED_ARM,
    work: Annotated[Path, typer.Option(help="Where `crossval run` was.")] = WORK,
    data: Annotated[Path, typer.Option(help="The data's folder.")] = DATA,
) -> None:
    """Fit on all held-out patients, and show what fits of other patients are worth."""
    material = load_material(work, data)
    found = list(outcomes(material, arm))
    curves = {
        what: _fit(what, [one for one in found if one.what == what], Console())
        for what in get_args(What)
    }
    calibration = ConfidenceCalibration(
        kidney=curves["kidney"],
        tumour=curves["tumour"],
        patients=len({one.patient for one in found}),
        source="held-out patients (docs/results.md): whole scans, slabs and single slices",
    )
    write_text_atomically(OUT, calibration.model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
