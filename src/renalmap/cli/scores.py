"""Scores as tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.table import Table

from renalmap.cli.tables import number, table

if TYPE_CHECKING:
    from renalmap.evaluation import MetricSummary, Score, Summary

_WORDS: Final = {"dice": "Dice", "hd95": "HD95", "kits19": "KiTS19"}


@dataclass(frozen=True)
class _Protocol:
    """Which scores of a protocol are shown, as far as they were computed.

    Attributes:
        regions: titles, by the region's part of a field's name.
        by_region: of one case: columns, their fields and digits.
        by_case: of several cases: likewise.
    """

    regions: Mapping[str, str]
    by_region: Mapping[str, tuple[str, int]]
    by_case: Mapping[str, tuple[str, int]]


_VOLUMES: Final = {"predicted\nml": ("{}_predicted_ml", 1), "reference\nml": ("{}_reference_ml", 1)}
_KITS19: Final = _Protocol(
    {
        "kidney": "kidney + tumour",
        "tumour": "tumour",
        "kidney_only": "kidney only",
        "composite": "composite",
    },
    {
        "Dice": ("{}_dice", 3),
        "KiTS19\nDice": ("kits19_{}_dice", 3),
        "HD95\nmm": ("{}_hd95_mm", 1),
        "surface\nDice": ("{}_surface_dice", 3),
        **_VOLUMES,
    },
    {
        "kidney\nDice": ("kidney_dice", 3),
        "tumour\nDice": ("tumour_dice", 3),
        "composite\nDice": ("composite_dice", 3),
        "kidney\nHD95 mm": ("kidney_hd95_mm", 1),
        "tumour\nHD95 mm": ("tumour_hd95_mm", 1),
        "tumour\nml": ("tumour_predicted_ml", 1),
        "reference\nml": ("tumour_reference_ml", 1),
    },
)
_KITS23: Final = _Protocol(
    {
        "kidney_and_masses": "kidney, tumour, cyst",
        "masses": "tumour, cyst",
        "tumour": "tumour",
        "mean": "mean",
    },
    {"Dice": ("{}_dice", 3), "surface\nDice": ("{}_surface_dice", 3), **_VOLUMES},
    {
        "kidney+\nDice": ("kidney_and_masses_dice", 3),
        "kidney+\nsurf.": ("kidney_and_masses_surface_dice", 3),
        "masses\nDice": ("masses_dice", 3),
        "masses\nsurf.": ("masses_surface_dice", 3),
        "tumour\nDice": ("tumour_dice", 3),
        "tumour\nsurf.": ("tumour_surface_dice", 3),
        "tumour\nml": ("tumour_reference_ml", 1),
    },
)


def score_tables(scores: Sequence[Score]) -> Iterator[Table]:
    """One case by region; or several, with their summary and tumour Dice by tumour volume."""
    from renalmap.evaluation import summarise

    first = scores[0]
    protocol = _KITS23 if hasattr(first, "masses_dice") else _KITS19
    if len(scores) == 1:
        rows = [(title, first, region) for region, title in protocol.regions.items()]
        yield _table(first.case, "region", rows, protocol.by_region)
        return
    yield _table(None, "case", [(score.case, score, "") for score in scores], protocol.by_case)
    yield _summary_table(summarise(scores))
    if any(score.tumour_reference_ml > 0 for score in scores):
        yield _volume_table(scores)


def _table(
    title: str | None,
    head: str,
    rows: Sequence[tuple[str, Score, str]],
    columns: Mapping[str, tuple[str, int]],
) -> Table:
    """Rows of a name, a score and a region; columns without any value are left out."""
    values = [
        {column: getattr(score, field.format(region), None) for column, (field, _) in columns.items()}
        for _, score, region in rows
    ]
    shown = [column for column in columns if any(row[column] is not None for row in values)]
    made = table(title, head, *shown)
    for (name, _, _), row in zip(rows, values, strict=True):
        made.add_row(name, *[number(row[column], columns[column][1]) for column in shown])
    return made


def _summary_table(summary: Summary) -> Table:
    """Every metric except the volumes, over all cases."""
    made = table(f"{summary.n_cases} cases", "metric", "n", "mean", "sd", "median", "min", "max")
    for name, metric in summary.metrics.items():
        if name.endswith("_ml"):  # a mean volume says nothing about accuracy; JSON has it
            continue
        digits = 1 if name.endswith("_mm") else 3
        values = (metric.mean, metric.sd, metric.median, metric.min, metric.max)
        title = " ".join(_WORDS.get(word, word) for word in name.split("_"))
        made.add_row(title, _count(metric), *[number(value, digits) for value in values])
    return made


def _count(metric: MetricSummary) -> str:
    """Number of cases behind a mean, and why others are missing."""
    left_out = [(metric.n_undefined, "n/a"), (metric.n_infinite, "inf")]
    reasons = [f"{count} {reason}" for count, reason in left_out if count]
    return f"{metric.n} (+ {', '.join(reasons)})" if reasons else str(metric.n)


def _volume_table(scores: Sequence[Score]) -> Table:
    """Tumour Dice in bins of the reference's tumour volume."""
    from renalmap.evaluation import dice_by_tumour_volume

    made = table("Tumour Dice by tumour volume", "reference", "n", "missed", "mean", "sd")
    for row in dice_by_tumour_volume(scores):
        limits = (
            f"{row.from_ml:g} to {row.to_ml:g} ml"
            if math.isfinite(row.to_ml)
            else f"over {row.from_ml:g} ml"
        )
        made.add_row(limits, str(row.n), str(row.n_missed), number(row.mean, 3), number(row.sd, 3))
    return made
