"""The record of what was fetched, in `fetch.json` beside `data/`.

It is rewritten after every file, so a killed run loses at most the record of files that the next run checks and
finds complete.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from renalmap.dataset.fetch.sources import DatasetName
from renalmap.errors import DatasetError
from renalmap.imaging.files import locked_folder, write_text_atomically

MANIFEST_NAME: Final = "fetch.json"
LOCK_NAME: Final = ".fetch.lock"


class FileEntry(BaseModel):
    """A file that was found complete.

    Attributes:
        sha256: of its bytes, in hexadecimal.
        size: in bytes.
        url: where it came from, without a password; empty if it was there before.
        recorded: when.
    """

    model_config = ConfigDict(extra="forbid")

    sha256: str
    size: int
    url: str = ""
    recorded: str


class Partial(BaseModel):
    """What is known about a file whose first part is on disk.

    Attributes:
        url: where it comes from.
        validator: the ETag or the date that the server gave for it; without either it cannot be resumed.
        size: of the whole file.
        published_sha256: the hash that the server announces.
    """

    model_config = ConfigDict(extra="forbid")

    url: str
    validator: str = ""
    size: int | None = None
    published_sha256: str = ""


class ManifestContent(BaseModel):
    """`fetch.json`; paths are relative to its folder, with `/`."""

    model_config = ConfigDict(extra="forbid")

    dataset: DatasetName
    files: dict[str, FileEntry] = {}
    partial: dict[str, Partial] = {}


class Manifest:
    """The record, shared by threads; every change is written to the disk."""

    def __init__(self, path: Path, content: ManifestContent) -> None:
        self._path = path
        self._content = content
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path, dataset: DatasetName) -> Manifest:
        """Read a folder's record, or begin one.

        Raises:
            DatasetError: it cannot be read, or the folder holds another data set.
        """
        path = folder / MANIFEST_NAME
        if not path.exists():
            return cls(path, ManifestContent(dataset=dataset))
        try:
            content = ManifestContent.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise DatasetError(
                "the record of fetched files cannot be read",
                where=path,
                got=f"{error.error_count()} faults",
                hint="Delete it: complete files are kept",
            ) from error
        if content.dataset != dataset:
            raise DatasetError(
                "the folder holds another data set",
                where=folder,
                got=content.dataset,
                expected=dataset,
                hint="Give another --out",
            )
        return cls(path, content)

    def entry(self, path: str) -> FileEntry | None:
        """What is recorded about a file."""
        return self._content.files.get(path)

    def partial(self, path: str) -> Partial | None:
        """What is known about a file that is only partly there."""
        return self._content.partial.get(path)

    def record(self, path: str, sha256: str, size: int, url: str = "") -> None:
        """Record a complete file."""
        entry = FileEntry(
            sha256=sha256, size=size, url=url, recorded=time.strftime("%Y-%m-%dT%H:%M:%S%z")
        )
        with self._lock:
            self._content.files[path] = entry
            self._content.partial.pop(path, None)
            self._write()

    def record_partial(self, path: str, partial: Partial | None) -> None:
        """Record what is known about a file that is only partly there, or that nothing is."""
        with self._lock:
            if self._content.partial.get(path) == partial:
                return
            self._content.partial.pop(path, None)
            if partial is not None:
                self._content.partial[path] = partial
            self._write()

    def _write(self) -> None:
        write_text_atomically(self._path, self._content.model_dump_json(indent=1) + "\n")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second `renalmap fetch` out of a folder, where the system can.

    The lock ends with the process, however that ends.

    Raises:
        FolderInUseError: another process has it.
    """
    with locked_folder(folder, LOCK_NAME, "fetch"):
        yield
