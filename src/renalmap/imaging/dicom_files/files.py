"""One DICOM file, wherever it lies: on disk or inside a `.zip`, which is never unpacked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from renalmap.imaging.dicom_files.archive import Archive

if TYPE_CHECKING:
    from pydicom import Dataset


_PREAMBLE_BYTES: Final = 128
_MAGIC: Final = b"DICM"


def begins_as_dicom(stream: IO[bytes]) -> bool:
    """Whether a seekable file begins as DICOM PS3.10, section 7.1, says."""
    stream.seek(0)
    return stream.read(_PREAMBLE_BYTES + len(_MAGIC))[_PREAMBLE_BYTES:] == _MAGIC


@dataclass(frozen=True)
class DicomFile:
    """A file on disk, or a member of an archive; it stays readable as long as the path exists.

    Attributes:
        path: the file, or the archive that holds it.
        member: its name within the archive; None for a file on disk.
        archive: the opened archive; None for a file on disk.
    """

    path: Path
    member: str | None = None
    archive: Archive | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's own name, without folders."""
        return self.path.name if self.member is None else PurePosixPath(self.member).name

    @property
    def folder(self) -> str:
        """Where it lies, to tell files of different folders apart."""
        return str((self.path if self.member is None else self.path / self.member).parent)

    def __str__(self) -> str:
        return str(self.path if self.member is None else self.path / self.member)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open it for reading; seekable."""
        if self.member is None or self.archive is None:
            with self.path.open("rb") as stream:
                yield stream
        else:
            with self.archive.open(self.member) as stream:
                yield stream

    def read_dataset(self) -> Dataset:
        """The whole dataset, pixels undecoded.

        Raises:
            InvalidDicomError: pydicom's, if it is not a DICOM file.
            UnsafeArchiveError, TruncatedFileError: the archive's member cannot be taken or is damaged.
        """
        from pydicom import dcmread  # noqa: PLC0415  (slow import)

        if self.member is None or self.archive is None:
            return dcmread(self.path)
        return dcmread(io.BytesIO(self.archive.read(self.member)))
