"""What shows only when all cases are compared: gaps, duplicates, a table that disagrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from renalmap.dataset.layouts import Dataset
from renalmap.inspection.findings import CaseInspection, Finding


def inspect_dataset(dataset: Dataset, cases: Sequence[CaseInspection]) -> list[Finding]:
    """Compare the cases of a data set: findings about one case are added to it, all others returned."""
    findings = [*_check_missing(cases), *_check_table(dataset, cases)]
    _check_duplicates(cases, "image")
    _check_duplicates(cases, "mask")
    return findings


def _check_missing(cases: Sequence[CaseInspection]) -> list[Finding]:
    """One image that is missing is an error; if none is there, the masks alone were meant."""
    without_image = [case for case in cases if case.image is None]
    for case in cases:
        if case.image is None and len(without_image) < len(cases):
            case.add("missing", "error", "the image is missing")
        if case.mask is None:
            case.add(
                "missing", "note", "there is no mask: the case cannot be used for training or scored"
            )
    if cases and len(without_image) == len(cases):
        text = "no case has imaging: only masks were inspected"
        return [Finding(check="missing", severity="note", text=text)]
    return []


def _check_table(dataset: Dataset, cases: Sequence[CaseInspection]) -> list[Finding]:
    if not dataset.records:
        return []
    for case in cases:
        if case.case_id not in dataset.records:
            case.add("table", "warning", "the data set's table does not list the case")
    absent = sorted(dataset.records.keys() - {case.case_id for case in cases})
    if not absent:
        return []
    shown = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
    text = f"{len(absent)} cases of the table are not on disk: {shown}"
    return [Finding(check="table", severity="note", text=text)]


def _check_duplicates(cases: Sequence[CaseInspection], what: Literal["image", "mask"]) -> None:
    """The same voxels under two names: a warning for one patient, an error if a split could separate them."""
    by_hash: dict[str, list[CaseInspection]] = {}
    for case in cases:
        digest = case.image_sha256 if what == "image" else case.mask_sha256
        if digest is not None:
            by_hash.setdefault(digest, []).append(case)
    for twins in by_hash.values():
        patients = {case.patient for case in twins}
        for case in twins if len(twins) > 1 else ():
            others = ", ".join(other.case_id for other in twins if other is not case)
            severity: Literal["error", "warning"] = "error" if len(patients) > 1 else "warning"
            case.add("duplicate", severity, f"the {what} is the same as that of {others}")
