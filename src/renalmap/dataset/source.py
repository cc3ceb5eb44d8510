"""Files as they were on disk, so that a later run knows whether they are still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from renalmap.config import sha256_of
from renalmap.dataset.layouts import Case
from renalmap.errors import InputError
from renalmap.imaging.nifti_geometry import Orientation


class FileState(BaseModel):
    """What distinguishes some files from others. Names and places are left out, because files may move.

    Attributes:
        size: of all together, in bytes.
        mtime_ns: of the one that changed last; 0 where there is none.
        sha256: of their contents, in their order; empty if it was not requested.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    mtime_ns: int
    sha256: str = ""

    @classmethod
    def at(cls, paths: Sequence[Path]) -> Self:
        """Without the hash, which is what takes time.

        Raises:
            OSError: a file is not there.
        """
        states = [path.stat() for path in paths]
        return cls(
            size=sum(state.st_size for state in states),
            mtime_ns=max((state.st_mtime_ns for state in states), default=0),
        )

    def hashed(self, paths: Sequence[Path]) -> Self:
        """With the hash.

        Raises:
            OSError: a file is not there.
            InputError: the files are not the same as when this state was taken.
        """
        sha256 = _hash(paths)
        now = FileState.at(paths)
        if (now.size, now.mtime_ns) != (self.size, self.mtime_ns):
            raise InputError("a file was changed while it was being processed", where=paths[0])
        return self.model_copy(update={"sha256": sha256})

    def describes(self, paths: Sequence[Path]) -> bool:
        """Whether the files are these: same size and time, or else same size and contents.

        Raises:
            OSError: one is not there.
        """
        now = FileState.at(paths)
        if (now.size, now.mtime_ns) == (self.size, self.mtime_ns):
            return True
        return now.size == self.size and _hash(paths) == self.sha256


class CaseSource(FileState):
    """A case's files and how they were read.

    Attributes:
        acquisition: which was taken of a DICOM series.
        mask_labels: how the mask's numbers were translated.
        orientation: which matrix of a NIfTI file was to count.
    """

    acquisition: int | None = None
    mask_labels: tuple[tuple[int, int], ...] = ()
    orientation: Orientation | None = None

    @classmethod
    def of(cls, case: Case) -> CaseSource:
        """The state of a case's files, without the hash.

        Raises:
            OSError: one is not there.
        """
        state = FileState.at(case_files(case))
        return cls(**state.model_dump(), **_read_as(case))

    def still_is(self, case: Case) -> bool:
        """Whether a case is unchanged. One whose files are gone counts as unchanged: its slices are all that is left."""
        if self != self.model_copy(update=_read_as(case)):
            return False
        try:
            return self.describes(case_files(case))
        except FileNotFoundError:
            return True


def _read_as(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in ("acquisition", "mask_labels", "orientation")}


def files_below(path: Path) -> list[Path]:
    """The file; of a folder all files below it, in the order of their names."""
    if not path.is_dir():
        return [path]
    return sorted(inner for inner in path.rglob("*") if inner.is_file())


def case_files(case: Case) -> list[Path]:
    """All files of a case: image, mask, single slices."""
    places = (case.image, case.mask, *(path for _, path in case.slice_files))
    return [file for place in places if place is not None for file in files_below(place)]


def _hash(paths: Sequence[Path]) -> str:
    """SHA-256 of the files' hashes; for a single file, its own."""
    hashes = [sha256_of(path) for path in paths]
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256(b"".join(map(bytes.fromhex, hashes))).hexdigest()
