"""One DICOM file, wherever it lies: on disk or inside a `.zip`, which is never unpacked."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from renalmap.imaging.budget import check_budget, check_regular_file
from renalmap.imaging.dicom_files.archive import Archive
from renalmap.imaging.dicom_files.bounds import DicomStream, named_dicom_errors

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

    @property
    def size_bytes(self) -> int:
        """How long it is; in an archive, unpacked."""
        if self.member is None or self.archive is None:
            return self.path.stat().st_size
        return self.archive.size_bytes(self.member)

    def __str__(self) -> str:
        return str(self.path if self.member is None else self.path / self.member)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open it to read its header; seekable.

        Raises:
            UnreadableImageError: it is a pipe or a device.
        """
        if self.member is None or self.archive is None:
            check_regular_file(self.path)
            with DicomStream(self.path.open("rb", buffering=0), str(self), self.size_bytes) as stream:
                yield stream
        else:
            with (
                self.archive.open(self.member) as member,
                DicomStream(member, str(self), self.size_bytes) as stream,
            ):
                yield stream

    def read_header(self, tags: Sequence[str]) -> Dataset:
        """Some of its tags.

        Raises:
            TruncatedFileError: it is damaged, or no DICOM file.
            TooLargeError, UnsafeArchiveError, UnreadableImageError: see `DicomStream` and `open`.
        """
        from pydicom import dcmread  # noqa: PLC0415  (slow import)

        with named_dicom_errors(self), self.open() as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dcmread(stream, stop_before_pixels=True, specific_tags=list(tags))

    def read_dataset(self) -> Dataset:
        """The whole dataset, pixels undecoded.

        Raises:
            TruncatedFileError: it is damaged, or no DICOM file.
            TooLargeError, UnsafeArchiveError: it is larger than a read may be, or unpacks to that.
        """
        from pydicom import dcmread  # noqa: PLC0415  (slow import)

        check_budget(2 * self.size_bytes, str(self))
        with named_dicom_errors(self):
            if self.member is None or self.archive is None:
                check_regular_file(self.path)
                raw: Any = self.path.open("rb", buffering=0)
            else:
                raw = io.BytesIO(self.archive.read(self.member))
            with (
                DicomStream(raw, str(self), self.size_bytes, whole=True) as stream,
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                return dcmread(stream)
