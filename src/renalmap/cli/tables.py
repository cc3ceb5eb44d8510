"""Results as tables that are read in a terminal 80 columns wide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from renalmap.api.data import PrepareReport
    from renalmap.api.fetch import FetchReport
    from renalmap.api.segment import CaseReport
    from renalmap.evaluation import CaseScore, MetricSummary, Score, Summary

AnyScore = TypeVar("AnyScore", bound="Score")

_REGION_TITLES: Final = {
    "kidney": "kidney + tumour",
    "tumour": "tumour",
    "kidney_only": "kidney only",
    "composite": "composite",
}
_PHASES: Final = {"portal_or_nephrographic": "portal"}
_TUMOURS_SHOWN: Final = 2
_CASES_SHOWN: Final = 5
_WORDS: Final = {"dice": "Dice", "hd95": "HD95", "kits19": "KiTS19"}


def table(title: str | None, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    first, *others = columns
    made.add_column(first, overflow="fold")
    for column in others:
        made.add_column(column, justify="right", no_wrap=True)
    return made


def number(value: float | None, digits: int) -> str:
    """A number for a table: empty where it was not computed, n/a where it is undefined."""
    if value is None:
        return ""
    return "n/a" if math.isnan(value) else f"{value:.{digits}f}"


def segment_tables(cases: Sequence[CaseReport]) -> Iterator[Table]:
    """What was found in each scan, how far to trust it, and how long each part of the work took."""
    from renalmap.api.outputs import short_name

    found = table(None, "scan", "status", "kidney ml", "tumour ml", "slices")
    for case in cases:
        found.add_row(
            short_name(Path(case.scan)),
            case.status.replace("_", " "),
            number(case.kidney_ml, 1),
            number(case.tumour_ml, 1),
            "" if case.slices is None else str(case.slices),
        )
    yield found
    yield from _quality_table(cases)
    timed = [case for case in cases if case.seconds]
    parts = sorted(
        {part for case in timed for part in case.seconds},
        key=("read", "stage1", "stage2", "postprocess", "quality", "write", "measure", "report").index,
    )
    seconds = table("Seconds", "scan", *[part.replace("stage", "stage ") for part in parts], "total")
    for case in timed:
        values = [case.seconds.get(part) for part in parts]
        total = sum(case.seconds.values())
        seconds.add_row(short_name(Path(case.scan)), *[number(value, 2) for value in (*values, total)])
    if timed:
        yield seconds


def _quality_table(cases: Sequence[CaseReport]) -> Iterator[Table]:
    """The contrast phase, each kidney's volume and confidence, and the tumours' confidences."""
    from renalmap.api.outputs import short_name

    reports = [(case, case.quality) for case in cases if case.quality is not None]
    if not reports:
        return
    calibrated = all(report.kidney_confidence_calibrated for _, report in reports)
    title = "Quality" if calibrated else "Quality (confidences are not calibrated)"
    made = table(title, "scan", "phase", "left", "right", "tumours")
    for case, report in reports:
        sides: dict[str, list[str]] = {"left": [], "right": []}
        for kidney in report.kidneys:
            volume = (
                f"{kidney.kidney_ml + kidney.tumour_ml:.0f} ml{', cut' if kidney.incomplete else ''}"
            )
            unknown = "" if kidney.side else "side unknown: "
            text = f"{unknown}{volume}, {_confidence(kidney.confidence)}"
            sides[kidney.side or "left"].append(text)
        shown = [_confidence(tumour.confidence) for tumour in report.tumours[:_TUMOURS_SHOWN]]
        more = len(report.tumours) - len(shown)
        made.add_row(
            short_name(Path(case.scan)),
            _PHASES.get(report.contrast.phase, report.contrast.phase),
            *["; ".join(texts) or "none" for texts in sides.values()],
            " ".join(shown) + (f" +{more}" if more else "") or "none",
        )
    yield made


def _confidence(value: float | None) -> str:
    return "?" if value is None else number(value, 2)


def fetch_table(report: FetchReport) -> Table:
    """How many files of each kind are there, and the cases that are not complete."""
    statuses = ("kept", "fetched", "refetched", "failed", "not tried")
    made = table(report.folder, "file", *statuses)
    names = [Path(file.path).name for file in report.files]
    for name in dict.fromkeys(names):
        found: list[str] = [
            file.status for file, own in zip(report.files, names, strict=True) if own == name
        ]
        made.add_row(name, *[str(found.count(status)) for status in statuses])
    missing = sorted({file.case for file in report.files if file.status in {"failed", "not tried"}})
    if missing:
        more = f" and {len(missing) - _CASES_SHOWN} more" if len(missing) > _CASES_SHOWN else ""
        made.caption = f"Not complete: {', '.join(missing[:_CASES_SHOWN])}{more}"
        made.caption_justify = "left"
    return made


def store_table(report: PrepareReport) -> Table:
    """What each part of a store holds."""
    made = table(report.store, "part", "patients", "cases", "slices", "with kidney", "with tumour")
    for name, part in report.parts.items():
        counts = (
            part.patients,
            part.cases,
            part.slices,
            part.slices_with_kidney,
            part.slices_with_tumour,
        )
        made.add_row(name, *map(str, counts))
    return made


def score_tables(scores: Sequence[CaseScore]) -> Iterator[Table]:
    """One case by region; or several, with their summary and tumour Dice by tumour volume."""
    return tables_of_cases(scores, _region_table, _case_table)


def tables_of_cases(
    scores: Sequence[AnyScore],
    region_table: Callable[[AnyScore], Table],
    case_table: Callable[[Sequence[AnyScore]], Table],
) -> Iterator[Table]:
    """One case's table; or that of several, with their summary and tumour Dice by tumour volume."""
    from renalmap.evaluation import summarise

    if len(scores) == 1:
        yield region_table(scores[0])
        return
    yield case_table(scores)
    yield _summary_table(summarise(scores))
    if any(score.tumour_reference_ml > 0 for score in scores):
        yield _volume_table(scores)


def _region_table(score: CaseScore) -> Table:
    columns = {"Dice": ("dice", 3), "KiTS19\nDice": ("kits19_dice", 3)}
    if score.kidney_hd95_mm is not None:
        columns |= {"HD95\nmm": ("hd95_mm", 1), "surface\nDice": ("surface_dice", 3)}
    columns |= {"predicted\nml": ("predicted_ml", 1), "reference\nml": ("reference_ml", 1)}
    made = table(score.case, "region", *columns)
    for region, title in _REGION_TITLES.items():
        made.add_row(
            title, *[number(_metric(score, region, name), digits) for name, digits in columns.values()]
        )
    return made


def _metric(score: CaseScore, region: str, name: str) -> float | None:
    field = f"kits19_{region}_dice" if name == "kits19_dice" else f"{region}_{name}"
    value: float | None = getattr(score, field, None)
    return value


def _case_table(scores: Sequence[CaseScore]) -> Table:
    surface = any(score.kidney_hd95_mm is not None for score in scores)
    distances = ("kidney\nHD95 mm", "tumour\nHD95 mm") if surface else ()
    made = table(
        None,
        *("case", "kidney\nDice", "tumour\nDice", "composite\nDice"),
        *distances,
        *("tumour\nml", "reference\nml"),
    )
    for score in scores:
        distances_mm = (score.kidney_hd95_mm, score.tumour_hd95_mm) if surface else ()
        made.add_row(
            score.case,
            *[number(v, 3) for v in (score.kidney_dice, score.tumour_dice, score.composite_dice)],
            *[number(v, 1) for v in distances_mm],
            *[number(v, 1) for v in (score.tumour_predicted_ml, score.tumour_reference_ml)],
        )
    return made


def _summary_table(summary: Summary) -> Table:
    """Every metric but the volumes, over all cases."""
    made = table(f"{summary.n_cases} cases", "metric", "n", "mean", "sd", "median", "min", "max")
    for name, metric in summary.metrics.items():
        if name.endswith("_ml"):  # a mean volume says nothing of accuracy; JSON has it
            continue
        digits = 1 if name.endswith("_mm") else 3
        values = (metric.mean, metric.sd, metric.median, metric.min, metric.max)
        title = " ".join(_WORDS.get(word, word) for word in name.split("_"))
        made.add_row(title, _count(metric), *[number(value, digits) for value in values])
    return made


def _count(metric: MetricSummary) -> str:
    """Cases behind a mean, and why the others are not."""
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
