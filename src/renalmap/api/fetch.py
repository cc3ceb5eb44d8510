"""Fetching a KiTS data set from its official sources or a mirror."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from renalmap.dataset.fetch.manifest import MANIFEST_NAME
from renalmap.dataset.fetch.sources import OFFICIAL, DatasetName, Mirrors, list_files, parse_cases
from renalmap.errors import OutputExistsError
from renalmap.extras import import_extra
from renalmap.progress import Progress


@dataclass(frozen=True)
class FetchRequest:
    """What to fetch, and how.

    Attributes:
        cases: case numbers, as in `0-9,160`; empty for all.
        masks_only: leave the imaging out.
        jobs: files downloaded at once.
        attempts: attempts in a row without a byte before a file is given up.
        stall_s: seconds without data after which a connection is dropped.
    """

    dataset: DatasetName
    cases: str = ""
    mirrors: Mirrors = OFFICIAL
    masks_only: bool = False
    jobs: int = 4
    attempts: int = 5
    stall_s: float = 30.0


class FileOutcome(BaseModel):
    """A file's outcome: "kept" was there and complete, "refetched" was there and incomplete.

    Attributes:
        path: in the data set's folder, with `/`.
        note: why it was fetched again.
        error: why it is not there.
    """

    path: str
    url: str
    case: str
    status: Literal["kept", "fetched", "refetched", "failed", "not tried"]
    note: str = ""
    error: str = ""


class FetchOutcome(BaseModel):
    """A run's outcome.

    Attributes:
        manifest: the file with every fetched file's SHA-256.
        complete: whether every file is there.
    """

    dataset: DatasetName
    folder: str
    manifest: str
    complete: bool
    files: list[FileOutcome]


def fetch(request: FetchRequest, out: Path, progress: Progress = lambda *_: None) -> FetchOutcome:
    """Fetch a data set, or what is missing of it, into KiTS19's layout.

    Args:
        request: what, from where and how.
        out: the data set's folder; made if it does not exist.
        progress: called with bytes so far and in all, from several threads.

    Returns:
        One entry per file, including those that failed.

    Raises:
        InputError: the request cannot be met: a case that does not exist, a mirror that is not an address, a
            folder with another data set or in use, a disk that is too small.
        MissingDependencyError: httpx is not installed.
        NetworkError: a server cannot be reached at all.
        ContentError: what the server sends is not the table of cases.
    """
    numbers = parse_cases(request.cases, request.dataset)
    files = list_files(request.dataset, numbers, request.mirrors, masks_only=request.masks_only)
    if out.exists() and not out.is_dir():
        raise OutputExistsError("the output is a file", where=out, expected="a folder's name")
    import_extra("httpx", "fetching")
    from renalmap.dataset.fetch.run import Run, fetch_files  # noqa: PLC0415
    from renalmap.dataset.fetch.transfer import Patience  # noqa: PLC0415

    patience = Patience(request.attempts, min(10.0, request.stall_s), request.stall_s)
    outcomes = fetch_files(files, Run(request.dataset, out, request.jobs, patience), progress)
    return FetchOutcome(
        dataset=request.dataset,
        folder=str(out),
        manifest=str(out / MANIFEST_NAME),
        complete=all(outcome.status in {"kept", "fetched", "refetched"} for outcome in outcomes),
        files=[
            FileOutcome(
                path=each.file.path,
                url=each.file.shown_url,
                case=each.file.case,
                status=each.status,
                note=each.note,
                error=each.error,
            )
            for each in outcomes
        ],
    )
