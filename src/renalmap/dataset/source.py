"""What a prepared case was made of, so that a later run knows whether it still is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from renalmap.config import sha256_of
from renalmap.dataset.layouts import Case


class CaseSource(BaseModel):
    """A case's files and how they were read. Names and places are left out: a data set may move.

    Attributes:
        size: of all its files, in bytes.
        mtime_ns: of the one that changed last.
        sha256: of their contents, in their order.
        acquisition: which was taken of a DICOM series.
        mask_labels: how the mask's numbers were translated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    mtime_ns: int
    sha256: str
    acquisition: int | None = None
    mask_labels: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, case: Case) -> CaseSource:
        """Read a case's files.

        Raises:
            OSError: one is not there.
        """
        size, mtime_ns = _size_and_time(case)
        digest = hashlib.sha256()
        for path in _files(case):
            digest.update(bytes.fromhex(sha256_of(path)))
        return cls(
            size=size,
            mtime_ns=mtime_ns,
            sha256=digest.hexdigest(),
            acquisition=case.acquisition,
            mask_labels=case.mask_labels,
        )

    def still_is(self, case: Case) -> bool:
        """Whether a case is what it was: same size and time, or else the same contents.

        A case whose files are gone is taken to be: its slices are all there is.
        """
        if (self.acquisition, self.mask_labels) != (case.acquisition, case.mask_labels):
            return False
        try:
            size, mtime_ns = _size_and_time(case)
            if (size, mtime_ns) == (self.size, self.mtime_ns):
                return True
            return size == self.size and CaseSource.of(case).sha256 == self.sha256
        except FileNotFoundError:
            return True


def _size_and_time(case: Case) -> tuple[int, int]:
    states = [path.stat() for path in _files(case)]
    return sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)


def _files(case: Case) -> Iterator[Path]:
    for path in (case.image, case.mask, *(path for _, path in case.slice_files)):
        if path is not None and path.is_dir():
            yield from sorted(inner for inner in path.rglob("*") if inner.is_file())
        elif path is not None:
            yield path
