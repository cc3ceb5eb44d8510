"""Inspecting a data set: findings, JSON, a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from renalmap import __version__
from renalmap.dataset.layouts import Case, Dataset, Edition, LayoutName, read_by, read_dataset
from renalmap.dataset.workers import Step, Task, Workload, run_tasks
from renalmap.errors import DatasetError
from renalmap.imaging import Orientation
from renalmap.imaging.files import check_writable, write_text_atomically
from renalmap.inspection import CaseInspection, Finding, Severity, inspect_case, inspect_dataset, worst
from renalmap.progress import Progress
from renalmap.report.inspection import inspection_page
from renalmap.report.thumbnail import draw_thumbnail


class InspectionOutcome(BaseModel):
    """What `renalmap inspect` found.

    Attributes:
        layout: how the data set is organised on disk.
        edition: which KiTS it is; None if it is not KiTS.
        findings: those that do not concern a single case.
        cases: by id.
    """

    model_config = ConfigDict(extra="forbid")

    renalmap_version: str
    dataset: str
    layout: LayoutName
    edition: Edition | None
    findings: list[Finding]
    cases: list[CaseInspection]

    @property
    def worst(self) -> Severity | None:
        """The worst severity among all findings; None without any."""
        return worst([*self.findings, *(finding for case in self.cases for finding in case.findings)])


_CaseWork = tuple[Case, Mapping[str, Any] | None]
"""A case, and what the data set's table says about it."""


def _inspect_case(
    edition: Edition | None, work: _CaseWork, _: Step, *, picture: bool
) -> tuple[CaseInspection, str | None]:
    found, volume, mask = inspect_case(*work, edition)
    return found, draw_thumbnail(volume, mask) if picture else None


def inspect(
    root: Path,
    *,
    html: Path | None = None,
    orientation: Orientation | None = None,
    jobs: int = 1,
    progress: Progress = lambda *_: None,
) -> InspectionOutcome:
    """Inspect every case of a data set.

    Args:
        root: a data set that `read_dataset` reads; masks without imaging are enough.
        html: write a page with a picture of each case here; an existing file is replaced.
        orientation: which of sform and qform counts in NIfTI files where they contradict each other.
        jobs: cases at once, each in its own process. A process holds one case: up to 0.9 GB
            for a scan of 1,059 slices and its mask.
        progress: called after every case.

    Returns:
        What was found. A case that cannot be read, or whose process dies, is an error in it, not an exception.

    Raises:
        InputError: there is no data set of scans, or the page cannot be written.
    """
    if html is not None:
        check_writable(html, overwrite=True)
    dataset = read_dataset(root)
    dataset = replace(dataset, cases=read_by(dataset.cases, orientation))
    if dataset.layout == "slices":
        raise DatasetError(
            "the data set consists of single slices",
            where=root,
            expected="whole scans or masks",
            hint="prepare checks slices while it reads them",
        )
    inspected, thumbnails = [], {}
    for found, thumbnail in _inspect_all(dataset, jobs, progress, pictures=html is not None):
        inspected.append(found)
        if thumbnail is not None:
            thumbnails[found.case_id] = thumbnail
    cases = sorted(inspected, key=lambda case: case.case_id)
    outcome = InspectionOutcome(
        renalmap_version=__version__,
        dataset=str(root),
        layout=dataset.layout,
        edition=dataset.edition,
        findings=inspect_dataset(dataset, cases),
        cases=cases,
    )
    if html is not None:
        write_text_atomically(html, inspection_page(str(root), cases, outcome.findings, thumbnails))
    return outcome


def _inspect_all(
    dataset: Dataset, jobs: int, progress: Progress, *, pictures: bool
) -> Iterator[tuple[CaseInspection, str | None]]:
    records = dataset.records
    tasks = [Task(case.case_id, (case, records.get(case.case_id))) for case in dataset.cases]
    work = partial(_inspect_case, dataset.edition, picture=pictures)
    with closing(run_tasks(tasks, work, Workload(jobs), hint="Lower --jobs")) as outcomes:
        for done, outcome in enumerate(outcomes, start=1):
            name = outcome.task.name
            progress(f"inspected {name}", done, len(tasks))
            if outcome.result is not None:
                yield outcome.result
            else:
                found = CaseInspection.of(outcome.task.item[0])
                found.add("not_inspected", "error", str(outcome.error).removeprefix(f"{name}: "))
                yield found, None
