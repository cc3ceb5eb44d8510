"""One DICOM file, wherever it lies: on disk or inside a `.zip`, which is never unpacked.

Every byte that pydicom gets goes through `DicomStream`, and what it raises through `named_dicom_errors`: sizes that a
file only claims, and what it packs, are checked at these two places, for headers and pixels, DICOMDIRs and SEGs.
"""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from renalmap.errors import TooLargeError, TruncatedFileError, UnsafeArchiveError, named_errors
from renalmap.imaging.budget import check_budget, check_regular_file, is_trap, read_budget_bytes
from renalmap.imaging.dicom_files.archive import Archive

if TYPE_CHECKING:
    from pydicom import Dataset


_PREAMBLE_BYTES: Final = 128
_MAGIC: Final = b"DICM"
_BUFFER_BYTES: Final = 2**16
_DEFLATED_BYTES: Final = 256 * 2**20
"""A deflated file is unpacked whole: one slice has half a megabyte."""
_HEADER_BYTES: Final = 2**30
"""What parsing a header may take: that of an enhanced CT of 4,000 slices takes a quarter."""
_ELEMENT_BYTES: Final = 32 * 2**20
"""One element of a header; the frames of an enhanced CT of 4,000 slices take a third of that."""
_READ_BYTES: Final = 512
"""What pydicom keeps for each piece that it reads, beside the piece."""


def begins_as_dicom(stream: IO[bytes]) -> bool:
    """Whether a seekable file begins as DICOM PS3.10, section 7.1, says."""
    stream.seek(0)
    return stream.read(_PREAMBLE_BYTES + len(_MAGIC))[_PREAMBLE_BYTES:] == _MAGIC


@contextmanager
def named_dicom_errors(file: DicomFile | Path) -> Iterator[None]:
    """Turn whatever pydicom and its decoders raise, at once or when a value is looked at, into one error.

    Raises:
        TruncatedFileError: in place of it.
    """
    with named_errors(
        lambda got: TruncatedFileError(
            "the DICOM header is damaged", where=str(file), got=got, hint="Export it again"
        )
    ):
        yield


class DicomStream(io.BufferedReader):
    """A file as pydicom reads it, which stops at what no header and no scan needs.

    Args:
        raw: the file or the archive's member.
        file: which it is.
        whole: whether pixels will be read too; otherwise limits for headers hold.
    """

    def __init__(self, raw: Any, file: DicomFile, *, whole: bool = False) -> None:
        super().__init__(raw, _BUFFER_BYTES)
        self._where, self._size_bytes = str(file), file.size_bytes
        budget_bytes = read_budget_bytes()
        self._left_bytes = budget_bytes if whole else min(_HEADER_BYTES, budget_bytes)
        self._most_bytes = budget_bytes if whole else _ELEMENT_BYTES

    @property
    def name(self) -> str:
        """Its name, which bytes in memory lack."""
        return self._where

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any stream.

        Raises:
            TooLargeError: a header asks for more than headers have.
            UnsafeArchiveError: a deflated file unpacks to more than a scan can.
        """
        if size is None or size < 0:  # so reads pydicom what it will inflate, and nothing else
            return self._checked_deflated()
        size = min(size, self._size_bytes)
        self._left_bytes -= size + _READ_BYTES
        if size > self._most_bytes or self._left_bytes < 0:
            raise TooLargeError(
                "the DICOM header is larger than a scan's can be",
                where=self._where,
                got=f"an element of {size} bytes",
                hint="Export it again; if it is a scan after all, --memory-gb may allow more",
            )
        return super().read(size)

    def _checked_deflated(self) -> bytes:
        packed = super().read(min(self._size_bytes, _DEFLATED_BYTES))
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        unpacked, rest = 0, packed
        while rest and not inflater.eof:
            unpacked += len(inflater.decompress(rest, _BUFFER_BYTES))
            rest = inflater.unconsumed_tail
            if unpacked > _DEFLATED_BYTES or is_trap(unpacked, len(packed)):
                raise UnsafeArchiveError(
                    "the deflated DICOM file unpacks to more than a scan can",
                    where=self._where,
                    got=f"more than {unpacked} bytes out of {len(packed)}",
                    hint="If you trust it, decompress it first (dcmconv +te)",
                )
        check_budget(unpacked + len(packed), self._where)
        return packed


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
            with DicomStream(self.path.open("rb", buffering=0), self) as stream:
                yield stream
        else:
            with self.archive.open(self.member) as member, DicomStream(member, self) as stream:
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
            with DicomStream(raw, self, whole=True) as stream, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return dcmread(stream)
