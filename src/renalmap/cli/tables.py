"""Results as tables for a terminal 80 columns wide."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from renalmap.api.cohort.scan import CaseOutcome
    from renalmap.api.fetch import FetchOutcome
    from renalmap.api.prepare import PrepareOutcome

_PHASES: Final = {"portal_or_nephrographic": "portal"}
_TUMOURS_SHOWN: Final = 2
_CASES_SHOWN: Final = 5


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


def segment_tables(cases: Sequence[CaseOutcome]) -> Iterator[Table]:
    """What was found in each scan, how far to trust it, and how long each step took."""
    from renalmap.dataset.cohort import short_name

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
        key=(
            "read",
            "stage1",
            "stage2",
            "postprocess",
            "quality",
            "write",
            "measure",
            "nephrometry",
            "report",
        ).index,
    )
    seconds = table("Seconds", "scan", *[part.replace("stage", "stage ") for part in parts], "total")
    for case in timed:
        values = [case.seconds.get(part) for part in parts]
        total = sum(case.seconds.values())
        seconds.add_row(short_name(Path(case.scan)), *[number(value, 2) for value in (*values, total)])
    if timed:
        yield seconds


def _quality_table(cases: Sequence[CaseOutcome]) -> Iterator[Table]:
    """The contrast phase, each kidney's volume and confidence, and the tumours' confidences."""
    from renalmap.dataset.cohort import short_name

    assessed = [(case, case.quality) for case in cases if case.quality is not None]
    if not assessed:
        return
    calibrated = all(quality.kidney_confidence_calibrated for _, quality in assessed)
    title = "Quality" if calibrated else "Quality (confidences are not calibrated)"
    made = table(title, "scan", "phase", "left", "right", "tumours")
    for case, quality in assessed:
        sides: dict[str, list[str]] = {"left": [], "right": []}
        for kidney in quality.kidneys:
            volume = (
                f"{kidney.kidney_ml + kidney.tumour_ml:.0f} ml{', cut' if kidney.incomplete else ''}"
            )
            unknown = "" if kidney.side else "side unknown: "
            text = f"{unknown}{volume}, {_confidence(kidney.confidence)}"
            sides[kidney.side or "left"].append(text)
        shown = [_confidence(tumour.confidence) for tumour in quality.tumours[:_TUMOURS_SHOWN]]
        more = len(quality.tumours) - len(shown)
        made.add_row(
            short_name(Path(case.scan)),
            _PHASES.get(quality.contrast.phase, quality.contrast.phase),
            *["; ".join(texts) or "none" for texts in sides.values()],
            " ".join(shown) + (f" +{more}" if more else "") or "none",
        )
    yield made


def _confidence(value: float | None) -> str:
    return "?" if value is None else number(value, 2)


def fetch_table(outcome: FetchOutcome) -> Table:
    """How many files of each kind exist, and which cases are incomplete."""
    statuses = ("kept", "fetched", "refetched", "failed", "not tried")
    made = table(outcome.folder, "file", *statuses)
    names = [Path(file.path).name for file in outcome.files]
    for name in dict.fromkeys(names):
        found: list[str] = [
            file.status for file, own in zip(outcome.files, names, strict=True) if own == name
        ]
        made.add_row(name, *[str(found.count(status)) for status in statuses])
    missing = sorted({file.case for file in outcome.files if file.status in {"failed", "not tried"}})
    if missing:
        more = f" and {len(missing) - _CASES_SHOWN} more" if len(missing) > _CASES_SHOWN else ""
        made.caption = f"Not complete: {', '.join(missing[:_CASES_SHOWN])}{more}"
        made.caption_justify = "left"
    return made


def store_table(outcome: PrepareOutcome) -> Table:
    """What each part of a store holds."""
    made = table(outcome.store, "part", "patients", "cases", "slices", "with kidney", "with tumour")
    for name, part in outcome.parts.items():
        counts = (
            part.patients,
            part.cases,
            part.slices,
            part.slices_with_kidney,
            part.slices_with_tumour,
        )
        made.add_row(name, *map(str, counts))
    return made
