"""The figures of the model card: what the bundle's rules reach on held-out patients, case by case.

python -m experiments.summary       # reads experiments/results/options.json
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from experiments.options import read_results, rules_title
from experiments.scoring import FALSE_ALARM_PIXELS, FoldScores, SliceScore


def scans_table(folds: Sequence[FoldScores]) -> str:
    """A row for every whole scan."""
    lines = [
        "| scan | kidney + tumour Dice | called ml | reference ml | volume error | components | tumour called ml |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {scan.case} | {scan.kidney_dice:.3f} | {scan.called_kidney_ml:.0f} | {scan.kidney_ml:.0f} "
        f"| {scan.volume_error:+.1%} | {scan.components} | {scan.called_tumour_ml:.1f} |"
        for fold in folds
        for scan in fold.scans
    ]
    return "\n".join(lines)


def slices_table(folds: Sequence[FoldScores]) -> str:
    """Mean, deviation and median over slices, and over patients' means; then what was called in vain."""
    slices = [one for fold in folds for one in fold.slices]
    groups: dict[str, tuple[Callable[[SliceScore], bool], Callable[[SliceScore], float]]] = {
        "kidney + tumour, all": (lambda one: one.kidney_pixels > 0, lambda one: one.kidney_dice),
        "kidney + tumour, KiTS19": (
            lambda one: one.kidney_pixels > 0 and _is_kits(one),
            lambda one: one.kidney_dice,
        ),
        "kidney + tumour, slices with tumour": (
            lambda one: one.tumour_pixels > 0,
            lambda one: one.kidney_dice,
        ),
        "tumour": (lambda one: one.tumour_pixels > 0, lambda one: one.tumour_dice),
    }
    lines = [
        "| region | slices | patients | mean slice Dice | sd | median | mean of patients' means | sd |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (chosen, measure) in groups.items():
        members = [one for one in slices if chosen(one)]
        values = np.array([measure(one) for one in members])
        patients = np.array([one.patient for one in members])
        means = np.array([values[patients == patient].mean() for patient in np.unique(patients)])
        lines.append(
            f"| {name} | {values.size} | {means.size} | {values.mean():.3f} | {values.std(ddof=1):.3f} "
            f"| {np.median(values):.3f} | {means.mean():.3f} | {means.std(ddof=1):.3f} |"
        )
    return "\n".join(lines)


def calls_text(folds: Sequence[FoldScores]) -> str:
    """Detected tumours and false calls, as counts."""
    slices = [one for fold in folds for one in fold.slices]
    wide = sum(one.wide_tumours for one in slices)
    found = sum(one.wide_tumours_detected for one in slices)
    healthy = [one for one in slices if one.kidney_pixels and not one.tumour_pixels]
    empty = [one for one in slices if not one.kidney_pixels]
    alarms = sum(one.called_tumour_pixels >= FALSE_ALARM_PIXELS for one in healthy)
    invented = sum(one.called_kidney_pixels > 0 for one in empty)
    return (
        f"Tumours wider than 2 cm found: {found} of {wide}. Tumour called on {alarms} of {len(healthy)} "
        f"slices with kidney and without tumour. Kidney called on {invented} of {len(empty)} slices without."
    )


def _is_kits(one: SliceScore) -> bool:
    return one.patient.startswith("case_")


def main() -> None:
    """Print all three."""
    folds = read_results()[rules_title()]
    for text in (scans_table(folds), slices_table(folds), calls_text(folds)):
        print(text, end="\n\n")  # noqa: T201 -- this is its purpose


if __name__ == "__main__":
    main()
