"""Looking a data set over: findings, a JSON, a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from renalmap import __version__
from renalmap.dataset.layouts import Case, Dataset, Edition, LayoutName, read_dataset
from renalmap.dataset.workers import children_deaf_to_ctrl_c
from renalmap.errors import DatasetError, RenalMapError
from renalmap.imaging.files import check_writable, write_text_atomically
from renalmap.inspection import (
    CaseInspection,
    Finding,
    Severity,
    inspect_case,
    inspect_dataset,
    worst,
)
from renalmap.report.inspection import inspection_page
from renalmap.report.thumbnail import draw_thumbnail

InspectProgress = Callable[[int, int, str], None]
"""Told (cases done, cases in all, the case's id)."""


class InspectionReport(BaseModel):
    """What `renalmap inspect` found.

    Attributes:
        layout: how the data set lies on disk.
        edition: which KiTS it is; None if it is none.
        findings: what is about no single case.
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


@dataclass(frozen=True)
class _Task:
    """One case's inspection, as it is sent to another process."""

    case: Case
    record: Mapping[str, Any] | None
    edition: Edition | None
    picture: bool

    def run(self) -> tuple[CaseInspection, str | None]:
        found, volume, mask = inspect_case(self.case, self.record, self.edition)
        return found, draw_thumbnail(volume, mask) if self.picture else None


def inspect(
    root: Path,
    *,
    html: Path | None = None,
    jobs: int = 1,
    progress: InspectProgress = lambda *_: None,
) -> InspectionReport:
    """Look every case of a data set over.

    Args:
        root: a data set that `read_dataset` reads; masks without imaging will do.
        html: write a page with a picture of each case here; an existing file is replaced.
        jobs: cases in work at once, each in a process of its own. A process holds one case: up to 0.9 GB
            for a scan of 1,059 slices and its mask.
        progress: called after every case.

    Returns:
        What was found. A case that cannot be read is an error in it, not an exception.

    Raises:
        InputError: there is no data set of scans, or the page cannot be written.
        RenalMapError: a process died.
    """
    if html is not None:
        check_writable(html, overwrite=True)
    dataset = read_dataset(root)
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
    report = InspectionReport(
        renalmap_version=__version__,
        dataset=str(root),
        layout=dataset.layout,
        edition=dataset.edition,
        findings=inspect_dataset(dataset, cases),
        cases=cases,
    )
    if html is not None:
        write_text_atomically(html, inspection_page(str(root), cases, report.findings, thumbnails))
    return report


def _inspect_all(
    dataset: Dataset, jobs: int, progress: InspectProgress, *, pictures: bool
) -> Iterator[tuple[CaseInspection, str | None]]:
    tasks = [
        _Task(case, dataset.records.get(case.case_id), dataset.edition, pictures)
        for case in dataset.cases
    ]
    results = (task.run() for task in tasks) if jobs == 1 else _in_processes(tasks, jobs)
    for done, result in enumerate(results, start=1):
        progress(done, len(tasks), result[0].case_id)
        yield result


def _in_processes(tasks: Sequence[_Task], jobs: int) -> Iterator[tuple[CaseInspection, str | None]]:
    # Spawned, not forked: libraries that were loaded before may have threads.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            with children_deaf_to_ctrl_c():
                futures = [pool.submit(task.run) for task in tasks]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise RenalMapError(
                "a process that inspected a case died",
                got="probably not enough memory",
                hint="Lower --jobs",
            ) from error
        finally:
            # Without waiting, the interpreter's own end may meet a pool that is closing, and print a traceback.
            pool.shutdown(wait=True, cancel_futures=True)
