"""Many files side by side: existing ones are checked, the rest are fetched, the outcomes are collected."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from renalmap.config import sha256_of
from renalmap.dataset.fetch.content import hash_checked
from renalmap.dataset.fetch.manifest import MANIFEST_NAME, Manifest, locked
from renalmap.dataset.fetch.parallel import Item, Result, work_on
from renalmap.dataset.fetch.sources import DatasetName, RemoteFile
from renalmap.dataset.fetch.transfer import (
    PATIENT,
    Patience,
    StoppedError,
    Transfer,
    UnreachableError,
    Watch,
    make_client,
)
from renalmap.errors import (
    ContentError,
    DiskSpaceError,
    NetworkError,
    as_output_error,
    is_full_disk,
)
from renalmap.imaging.files import make_folder, remove_left_overs
from renalmap.progress import Progress

Status = Literal["kept", "fetched", "refetched", "failed", "not tried"]

CHECKING: Final = "checking existing files"
ASKING: Final = "asking for sizes"
FETCHING: Final = "fetching"

_GONE_AFTER: Final = 3
"""Files in a row whose server cannot be reached; then the network is considered gone."""
_SHOW_EVERY_S: Final = 0.1


@dataclass(frozen=True)
class Outcome:
    """The outcome for a file.

    Attributes:
        note: why a file that was there was fetched again; empty otherwise.
        error: why it is not there.
        unreachable: the server could not be reached.
    """

    file: RemoteFile
    status: Status
    note: str = ""
    error: str = ""
    unreachable: bool = False


@dataclass(frozen=True)
class Run:
    """Settings of a run.

    Attributes:
        folder: the data set's.
        jobs: files downloaded at once.
    """

    dataset: DatasetName
    folder: Path
    jobs: int = 4
    patience: Patience = PATIENT


def fetch_files(
    files: Sequence[RemoteFile], run: Run, progress: Progress = lambda *_: None
) -> list[Outcome]:
    """Fetch files into a folder, except those that are there and complete.

    A file that fails does not keep others from being fetched; a network that is gone does. Whatever ends a
    run, complete files are kept, and the next run continues with partial ones.

    Args:
        files: the first is the table; if that cannot be fetched, nothing else is tried.
        run: where to, and how.
        progress: called often, from several threads, never at once.

    Returns:
        One outcome per file, in the order of the files.

    Raises:
        NetworkError: a server cannot be reached.
        ContentError: what the server sends is not the table.
        DiskSpaceError: the disk is too small for the rest, or full.
        DatasetError: the folder holds another data set.
        FolderInUseError: another run is writing there.
    """
    make_folder(run.folder)
    with locked(run.folder), make_client(run.patience) as client:
        remove_left_overs(run.folder, MANIFEST_NAME)
        manifest = Manifest.open(run.folder, run.dataset)
        stop = threading.Event()
        tally = _Tally(progress)
        transfer = Transfer(client, run.folder, manifest, run.patience, Watch(stop, tally.moved))
        work = _Work(run, manifest, transfer, stop, tally)
        outcomes = work.check(files)
        table = files[0]
        if outcomes[table].status != "kept":
            tally.begin(FETCHING, {})
            transfer.fetch(table)
            outcomes[table] = _done(outcomes[table])
        rest = [outcome for outcome in outcomes.values() if outcome.status == "not tried"]
        if rest:
            work.check_space([outcome.file for outcome in rest])
            outcomes |= work.fetch(rest)
        return [outcomes[file] for file in files]


class _Work:
    """The steps of a run, each over many files at once."""

    def __init__(
        self, run: Run, manifest: Manifest, transfer: Transfer, stop: threading.Event, tally: _Tally
    ) -> None:
        self._run = run
        self._manifest = manifest
        self._transfer = transfer
        self._stop = stop
        self._tally = tally

    def check(self, files: Sequence[RemoteFile]) -> dict[RemoteFile, Outcome]:
        """Which files are there and complete; the others are "not tried", with a note if something is there."""
        there = [file for file in files if (self._run.folder / file.path).exists()]
        self._tally.begin(
            CHECKING, {file.path: (self._run.folder / file.path).stat().st_size for file in there}
        )
        outcomes = {file: Outcome(file, "not tried") for file in files}
        outcomes.update(self._parallel(self._check_one, there))
        return outcomes

    def _check_one(self, file: RemoteFile) -> Outcome:
        path = self._run.folder / file.path
        entry = self._manifest.entry(file.path)
        size = path.stat().st_size
        if entry is not None:
            same = size == entry.size and sha256_of(path) == entry.sha256
            note = "" if same else "it is not the file that was fetched (its SHA-256 has changed)"
        else:  # from another program: complete is good enough
            try:
                self._manifest.record(file.path, hash_checked(path, file.kind, file.path), size)
                note = ""
            except ContentError as error:
                note = error.what
        self._tally.moved(file.path, size, size)
        return Outcome(file, "not tried" if note else "kept", note=note)

    def check_space(self, files: Sequence[RemoteFile]) -> None:
        """Compare what is still to come with the free disk space.

        Raises:
            NetworkError: a server cannot be reached.
            DiskSpaceError: there is too little room.
        """
        first = {urlsplit(file.url).netloc: file for file in reversed(files)}
        self._tally.begin(ASKING, {})
        sizes = {file: self._transfer.ask_size(file, patiently=True) for file in first.values()}
        others = [file for file in files if file not in sizes]
        sizes |= self._parallel(lambda file: self._transfer.ask_size(file, patiently=False), others)
        held = {file: self._transfer.held_bytes(file) for file in files}
        needed = sum(max(size - held[file], 0) for file, size in sizes.items() if size is not None)
        free = shutil.disk_usage(self._run.folder).free
        if needed > free:
            raise DiskSpaceError(
                "there is too little space on the disk",
                where=self._run.folder,
                got=f"{free / 1e9:.1f} GB free",
                expected=f"{needed / 1e9:.1f} GB",
                hint="Free some space, or fetch fewer --cases",
            )
        self._tally.begin(FETCHING, {file.path: sizes[file] or 0 for file in files})
        for file in files:
            self._tally.moved(file.path, held[file], None)

    def fetch(self, wanted: Sequence[Outcome]) -> dict[RemoteFile, Outcome]:
        """Fetch files; once the network is gone, the rest are not tried."""
        outcomes = {outcome.file: outcome for outcome in wanted}
        in_a_row = 0
        for before, after in work_on(wanted, self._fetch_one, jobs=self._run.jobs, stop=self._stop):
            outcomes[before.file] = after
            in_a_row = in_a_row + 1 if after.unreachable else 0
            if in_a_row >= max(_GONE_AFTER, self._run.jobs):
                self._stop.set()
        return outcomes

    def _fetch_one(self, wanted: Outcome) -> Outcome:
        try:
            self._transfer.fetch(wanted.file)
        except StoppedError:
            return wanted
        except (NetworkError, ContentError) as error:
            unreachable = isinstance(error, UnreachableError)
            return replace(wanted, status="failed", error=str(error), unreachable=unreachable)
        except OSError as error:
            if is_full_disk(error):
                raise as_output_error(self._run.folder, error) from error
            return replace(wanted, status="failed", error=str(error))
        return _done(wanted)

    def _parallel(self, work: Callable[[Item], Result], items: Sequence[Item]) -> dict[Item, Result]:
        return dict(work_on(items, work, jobs=self._run.jobs, stop=self._stop))


def _done(wanted: Outcome) -> Outcome:
    return replace(wanted, status="refetched" if wanted.note else "fetched")


class _Tally:
    """Sums what many transfers moved into one bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._what = ""
        self._held: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._shown_s = 0.0

    def begin(self, what: str, sizes: dict[str, int]) -> None:
        """Start a new bar."""
        with self._lock:
            self._what, self._sizes, self._held = what, sizes, {}
            self._progress(what, 0, sum(sizes.values()))

    def moved(self, path: str, held: int, size: int | None) -> None:
        """Note how much of a file is there."""
        with self._lock:
            self._held[path] = held
            if size is not None:
                self._sizes[path] = size
            now_s = time.monotonic()
            if now_s - self._shown_s >= _SHOW_EVERY_S:
                self._shown_s = now_s
                self._progress(self._what, sum(self._held.values()), sum(self._sizes.values()))
