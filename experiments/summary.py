"""The figures of docs/results.md and the model card: what a row reaches on held-out patients, case by case.

python -m experiments.summary [--arm base] [--option TITLE]     # reads experiments/results
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import typer

from experiments.options import read_results, rules_title
from experiments.scoring import VOLUME_BINS_ML, CaseScore, slabs_by_volume

BIN_NAMES = ("< 8 ml", "8 to 30 ml", "30 to 100 ml", "> 100 ml")


def scans_table(cases: Sequence[CaseScore]) -> str:
    """A row for every whole scan."""
    lines = [
        "| scan | kidney + tumour | volume called / reference, ml | error | components | tumour called / there, ml |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {scan.case} | {scan.kidney_dice:.3f} | {scan.called_kidney_ml:.0f} / {scan.kidney_ml:.0f} "
        f"| {scan.volume_error:+.1%} | {scan.components} "
        f"| {scan.called_tumour_ml:.1f} / {scan.tumour_ml:.1f} |"
        for scan in cases
        if scan.kind == "scan"
    ]
    return "\n".join(lines)


def slabs_table(cases: Sequence[CaseScore]) -> str:
    """Slabs by the volume of tumour they hold: 3D Dice, how many tumours were touched."""
    groups = [("all", [case for case in cases if case.kind == "slab"])]
    groups += [
        (name, slabs_by_volume(cases, number))
        for number, name in zip(range(len(VOLUME_BINS_ML) + 1), BIN_NAMES, strict=True)
    ]
    lines = [
        "| tumour in the slab | patients | kidney + tumour | tumour | median | touched |",
        "|---|---|---|---|---|---|",
    ]
    for name, slabs in groups:
        if slabs:
            kidney, tumour = (_values(slabs, measure) for measure in (_kidney, _tumour))
            touched = sum(case.touched for case in slabs)
            lines.append(
                f"| {name} | {len(slabs)} | {_mean_sd(kidney)} | {_mean_sd(tumour)} "
                f"| {np.median(tumour):.3f} | {touched} of {len(slabs)} |"
            )
    return "\n".join(lines)


def slices_table(cases: Sequence[CaseScore]) -> str:
    """Single slices: mean, deviation and median over slices, and over patients' means."""
    slices = [case for case in cases if case.kind == "slice"]
    groups: dict[str, tuple[Callable[[CaseScore], bool], Callable[[CaseScore], float]]] = {
        "kidney + tumour, all": (lambda one: one.kidney_ml > 0, _kidney),
        "kidney + tumour, slices with tumour": (lambda one: one.tumour_ml > 0, _kidney),
        "tumour": (lambda one: one.tumour_ml > 0, _tumour),
    }
    lines = [
        "| region | slices | patients | mean slice Dice | median | mean of patients' means |",
        "|---|---|---|---|---|---|",
    ]
    for name, (chosen, measure) in groups.items():
        members = [one for one in slices if chosen(one)]
        values = _values(members, measure)
        patients = np.array([one.patient for one in members])
        means = np.array([values[patients == patient].mean() for patient in np.unique(patients)])
        lines.append(
            f"| {name} | {values.size} | {means.size} | {_mean_sd(values)} | {np.median(values):.3f} "
            f"| {_mean_sd(means)} |"
        )
    return "\n".join(lines)


def calls_text(cases: Sequence[CaseScore]) -> str:
    """What was called where nothing is, as counts."""
    slices = [case for case in cases if case.kind == "slice"]
    healthy = [one for one in slices if one.kidney_ml > 0 and one.tumour_ml == 0]
    empty = [one for one in slices if one.kidney_ml == 0]
    wide = sum(one.wide_tumours for one in slices)
    return (
        f"Tumours wider than 2 cm touched: {sum(one.wide_tumours_touched for one in slices)} of {wide}. "
        f"Tumour called on {sum(one.called_tumour_ml > 0 for one in healthy)} of {len(healthy)} slices with "
        f"kidney and without tumour. Kidney called on {sum(one.called_kidney_ml > 0 for one in empty)} of "
        f"{len(empty)} slices without."
    )


def _kidney(case: CaseScore) -> float:
    return case.kidney_dice


def _tumour(case: CaseScore) -> float:
    return case.tumour_dice


def _values(
    cases: Sequence[CaseScore], measure: Callable[[CaseScore], float]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([measure(case) for case in cases], np.float64)


def _mean_sd(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    spread = f" ± {values.std(ddof=1):.3f}" if values.size > 1 else ""
    return f"{values.mean():.3f}{spread}"


def main(
    option: Annotated[
        str, typer.Option(help="Title of a row of options.toml; the bundle's rules by default.")
    ] = "",
) -> None:
    """Print all four."""
    cases = [case for fold in read_results()[option or rules_title()] for case in fold.cases]
    for text in (scans_table(cases), slabs_table(cases), slices_table(cases), calls_text(cases)):
        typer.echo(text + "\n")


if __name__ == "__main__":
    typer.run(main)
