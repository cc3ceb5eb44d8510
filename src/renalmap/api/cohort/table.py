"""The table of a cohort: one row per scan, as CSV or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from renalmap.api.cohort.scan import CaseOutcome
from renalmap.errors import InputError
from renalmap.extras import import_extra
from renalmap.imaging.files import check_writable, csv_text, replace_atomically, write_text_atomically
from renalmap.inference.quality import QualityReport
from renalmap.labels import SIDES, Side
from renalmap.nephrometry.table import score_cells
from renalmap.text import printable

_TEXT: Final = "string"
_NUMBER: Final = "double"
_COUNT: Final = "int64"

_SCORED: Final = {"text": _TEXT, "total": _COUNT, "least": _COUNT, "most": _COUNT, "risk": _TEXT}

COLUMNS: Final = {
    "name": _TEXT,
    "scan": _TEXT,
    "status": _TEXT,
    "skipped": "bool",
    "kidney_ml": _NUMBER,
    "tumour_ml": _NUMBER,
    "left_kidney_ml": _NUMBER,
    "left_tumour_ml": _NUMBER,
    "left_confidence": _NUMBER,
    "right_kidney_ml": _NUMBER,
    "right_tumour_ml": _NUMBER,
    "right_confidence": _NUMBER,
    "tumours": _COUNT,
    **{f"{score}_{name}": kind for score in ("renal", "padua") for name, kind in _SCORED.items()},
    "contrast": _TEXT,
    "phase": _TEXT,
    "flags": _TEXT,
    "slices": _COUNT,
    "seconds": _NUMBER,
    "load_s": _NUMBER,
    "attempts": _COUNT,
    "worker": _TEXT,
    "output": _TEXT,
    "error": _TEXT,
}
"""Columns and their Parquet types. `seconds` is of the scan, without loading the bundle; `flags` are joined by
`;`; scores are the largest tumour's, if they were requested; empty (null) stands for what does not exist, or was not computed because the scan failed."""

_SEPARATOR: Final = ";"


def check_table(path: Path, *, overwrite: bool) -> None:
    """Refuse before the work whatever would fail after it.

    Raises:
        InputError: the name is neither .csv nor .parquet; `check_writable`'s.
        MissingDependencyError: pyarrow is not installed.
    """
    if path.suffix not in {".csv", ".parquet"}:
        raise InputError(
            "the suffix of the table decides its format, and this one is unknown",
            where=path,
            got=path.suffix or "no suffix",
            expected="a name that ends in .csv or .parquet",
        )
    if path.suffix == ".parquet":
        import_extra("pyarrow", "a Parquet table", instead="name the table .csv")
    check_writable(path, overwrite=overwrite)


def write_table(cases: Sequence[CaseOutcome], path: Path) -> None:
    """Write the table, atomically; an old one is replaced.

    Args:
        cases: one row each.
        path: `.csv` (UTF-8, numbers with a point) or `.parquet`.
    """
    rows = [_row(case) for case in cases]
    if path.suffix == ".csv":
        write_text_atomically(path, csv_text(COLUMNS, rows))
        return
    import pyarrow as pa  # noqa: PLC0415  (an extra, and 0.2 s)
    from pyarrow import parquet  # noqa: PLC0415

    schema = pa.schema([(name, getattr(pa, _MAKERS[kind])()) for name, kind in COLUMNS.items()])
    with replace_atomically(path) as temporary:
        parquet.write_table(pa.Table.from_pylist(_printable(rows), schema=schema), temporary)


def _printable(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: printable(value) if isinstance(value, str) else value for name, value in row.items()}
        for row in rows
    ]


_MAKERS: Final = {_TEXT: "string", _NUMBER: "float64", _COUNT: "int64", "bool": "bool_"}


def _row(case: CaseOutcome) -> dict[str, Any]:
    quality = case.quality
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= case.model_dump(include=COLUMNS.keys() - {"seconds"})
    if case.seconds:
        row["seconds"] = round(sum(case.seconds.values()), 3)
    if case.nephrometry is not None and case.nephrometry.lesions:
        cells = score_cells(case.nephrometry.lesions[0])
        row |= {name: value for name, value in cells.items() if name in COLUMNS}
    if quality is not None:
        row |= {
            "contrast": quality.contrast.contrast,
            "phase": quality.contrast.phase,
            "flags": _SEPARATOR.join(quality.flags),
            "tumours": len(quality.tumours),
        }
        for side in SIDES:
            row |= {f"{side}_{name}": value for name, value in _of_side(quality, side).items()}
    return row


def _of_side(quality: QualityReport, side: Side) -> dict[str, float | None]:
    """What lies on one side: for two kidneys there, their sum and the confidence of the larger one."""
    kidneys = [kidney for kidney in quality.kidneys if kidney.side == side]
    tumours = [tumour.tumour_ml for tumour in quality.tumours if tumour.side == side]
    return {
        "kidney_ml": round(sum(kidney.kidney_ml for kidney in kidneys), 2) if kidneys else None,
        "tumour_ml": round(sum(tumours), 2) if kidneys or tumours else None,
        "confidence": kidneys[0].confidence if kidneys else None,
    }
