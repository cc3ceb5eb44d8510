"""Nephrometry as a table: one row per tumour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from renalmap.imaging.files import csv_text
from renalmap.measure import KidneyRelation
from renalmap.nephrometry.results import LesionNephrometry, Nephrometry, Score
from renalmap.nephrometry.scoring import PADUA, RENAL

SCORES: Final = {"renal": RENAL, "padua": PADUA}

_OF_SCORE: Final = ("text", "total", "least", "most", "risk")
_OF_COMPONENT: Final = ("value", "points", "confidence")

RELATION: Final = tuple(name for name in KidneyRelation.model_fields if name != "exophytic_share")
"""E has that share."""

COLUMNS: Final = (
    *("case", "lesion", "kidney", "side"),
    *(f"{score}_{name}" for score in SCORES for name in _OF_SCORE),
    *(
        f"{score}_{item.code}_{name}"
        for score, items in SCORES.items()
        for item in items
        for name in _OF_COMPONENT
    ),
    *RELATION,
    *("sinus_basis", "polar_basis", "caveats", "error"),
)
"""`least` and `most` are `Score.total_range`; a letter stands among the points. Empty means not assessable."""


def nephrometry_to_csv(cases: Iterable[tuple[str, Nephrometry | None, str | None]]) -> str:
    """A CSV text of all cases.

    Args:
        cases: each case's name; its nephrometry, or None and the error that there is none. A case that failed,
            and one without a tumour, has one row without a lesion.
    """
    return csv_text(
        COLUMNS,
        (
            {"case": case, "error": error or "", **row}
            for case, found, error in cases
            for row in (() if found is None else tuple(_rows(found))) or ({},)
        ),
    )


def _rows(found: Nephrometry) -> Iterator[dict[str, Any]]:
    for lesion in found.lesions:
        kidney = next((each for each in found.kidneys if each.kidney == lesion.kidney), None)
        row = {name: getattr(lesion, name) for name in ("lesion", "kidney", "side")}
        row |= score_cells(lesion) | {name: getattr(lesion.relation, name) for name in RELATION}
        told = [*lesion.caveats, *(kidney.caveats if kidney else ()), *found.caveats]
        row |= {name: getattr(kidney, name, None) for name in ("sinus_basis", "polar_basis")}
        yield {name: "" if value is None else value for name, value in row.items()} | {
            "caveats": "; ".join(told)
        }


def score_cells(lesion: LesionNephrometry) -> dict[str, Any]:
    """Both scores of a tumour, under the names of their columns."""
    scores: dict[str, Score] = {"renal": lesion.renal, "padua": lesion.padua}
    cells: dict[str, Any] = {}
    for prefix, score in scores.items():
        least, most = score.total_range
        own = {
            "text": score.text,
            "total": score.total,
            "least": least,
            "most": most,
            "risk": score.risk,
        }
        cells |= {f"{prefix}_{name}": value for name, value in own.items()}
        for one in score.components:
            values = {
                "value": one.value,
                "points": one.letter or one.points,
                "confidence": one.confidence,
            }
            cells |= {f"{prefix}_{one.code}_{name}": value for name, value in values.items()}
    return cells
