"""What an inspection found, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from renalmap.cli.tables import number, table

if TYPE_CHECKING:
    from renalmap.api.inspect import InspectionOutcome
    from renalmap.inspection import CaseInspection

_COLOURS: Final = {"error": "red", "warning": "yellow", "note": "cyan"}


def inspection_tables(outcome: InspectionOutcome) -> Iterator[Table | Text]:
    """Every case on one line; errors and warnings in full; the number of cases with findings of each check."""
    yield _case_table(outcome)
    yield from _trouble_table(outcome)
    yield from _summary_table(outcome)
    for finding in outcome.findings:
        yield _coloured(finding.severity) + Text(f": {finding.text}")


def _coloured(severity: str) -> Text:
    return Text(severity, style=f"bold {_COLOURS[severity]}")


def _case_table(outcome: InspectionOutcome) -> Table:
    made = table(None, "case", "slices", "spacing mm", "kidney ml", "tumour ml", "found")
    made.columns[0].min_width = 12
    made.columns[-1].no_wrap = False
    for case in outcome.cases:
        spacing = case.spacing_mm
        made.add_row(
            case.case_id,
            "" if case.shape_zyx is None else str(case.shape_zyx[0]),
            "" if spacing is None else f"{spacing[0]:.2f} x {spacing[2]:.2f}",
            number(case.kidney_ml, 1),
            number(case.tumour_ml, 1),
            _counts(case),
        )
    return made


def _counts(case: CaseInspection) -> Text:
    """As "1 error, 2 notes", the worst first."""
    counts = Counter(finding.severity for finding in case.findings)
    parts = [
        Text(
            f"{counts[severity]} {severity}{'' if counts[severity] == 1 else 's'}",
            style=_COLOURS[severity],
        )
        for severity in ("error", "warning", "note")
        if counts[severity]
    ]
    return Text(", ").join(parts)


def _trouble_table(outcome: InspectionOutcome) -> Iterator[Table]:
    made = table("Errors and warnings", "case", "", "what")
    made.columns[1].justify = made.columns[2].justify = "left"
    made.columns[0].no_wrap, made.columns[2].no_wrap = True, False
    for severity in ("error", "warning"):
        for case in outcome.cases:
            for finding in case.findings:
                if finding.severity == severity:
                    made.add_row(case.case_id, _coloured(severity), Text(finding.text))
    if made.row_count:
        yield made


def _summary_table(outcome: InspectionOutcome) -> Iterator[Table]:
    made = table("By check", "check", "cases with errors", "warnings", "notes")
    cases_by = Counter(
        key
        for case in outcome.cases
        for key in {(finding.check, finding.severity) for finding in case.findings}
    )
    for check in sorted({check for check, _ in cases_by}):
        counts = [cases_by[check, severity] for severity in ("error", "warning", "note")]
        made.add_row(check.replace("_", " "), *[str(count or "") for count in counts])
    if made.row_count:
        yield made
